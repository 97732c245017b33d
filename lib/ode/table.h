/* A schedule of one's own: rows of (t, alpha, sigma) from least noise to most.
 *
 * Between rows ln(sigma/alpha) and ln(alpha^2 + sigma^2) are linear in t, and so the time of a given sigma/alpha is exact; next to
 * a row where one of alpha and sigma is 0 alpha and sigma themselves are. As a form it is called "table", and is
 * made of numbers rather than by name: rd_schedule_init takes table:FILE. */
#ifndef RD_LIB_ODE_TABLE_H
#define RD_LIB_ODE_TABLE_H

#include <stddef.h>

#include "lib/ode/schedule.h"

#define RD_TABLE_MAX_ROWS 10000

struct rd_table_row {
	double t, alpha, sigma;
};

struct rd_table {
	size_t n;
	struct rd_table_row row[];
};

/* n rows (2 to RD_TABLE_MAX_ROWS): t >= 0 and sigma/alpha both strictly increasing, alpha and sigma >= 0 and not both 0. Where the
 * first row is the data themselves (sigma = 0) the schedule begins a thousandth of its length after it. RD_EINPUT names the row. */
int rd_schedule_init_table(struct rd_schedule *s, const struct rd_table_row *row, size_t n, struct rd_err *e) RD_MUST;

/* The same from a text file: a row a line, its columns (t, alpha, sigma, or alpha and sigma, and then t is 0, 1, 2, ...)
 * separated by blanks or a comma; what follows a # is a comment. RD_EINPUT names the line. */
int rd_schedule_read_table(struct rd_schedule *s, const char *path, struct rd_err *e) RD_MUST;

/* The range with what two noise-to-signal ratios cut off of the table; RD_EDOMAIN where nothing is left. */
int rd_table_narrow(struct rd_schedule *s, double n_least, double n_most, struct rd_err *e) RD_MUST;

#endif
