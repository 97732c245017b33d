/* Numbers with a name and a standard error, told in one of three ways. */
#ifndef RD_LIB_MEASURE_FIGURES_H
#define RD_LIB_MEASURE_FIGURES_H

#include <jansson.h>

#include "formats/out.h"
#include "lib/measure/metrics.h"

struct rd_figure {
	char name[32];
	bool there;       /* false: asked for, not defined */
	double value, se;
	json_t *more;     /* what JSON has beside value and se, an object; NULL: nothing */
};

/* The metrics that were wanted, in their order, each name behind prefix. Returns how many; f has room for RD_N_METRICS. */
int rd_metrics_figures(const struct rd_metrics *m, const struct rd_metrics_opts *o, const char *prefix, struct rd_figure *f);
void rd_figures_free(struct rd_figure *f, int n); /* what they own */

/* "name value error", a line each, of those that are there. */
int rd_figures_text(struct rd_out *out, const struct rd_figure *f, int n, struct rd_err *e) RD_MUST;
/* A line of column names and a line of values, behind a column `name` that holds row; "-" where one is not there. */
int rd_figures_tsv(struct rd_out *out, const char *row, const struct rd_figure *f, int n, struct rd_err *e) RD_MUST;
/* A member of head for each figure, null where it is not there; then head as a line. RD_EFAIL where head is NULL, as jansson
 * makes an object of text that is not UTF-8. */
int rd_figures_json(struct rd_out *out, json_t *head, const struct rd_figure *f, int n, struct rd_err *e) RD_MUST;

#endif
