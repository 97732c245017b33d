#include "lib/ode/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/in.h"
#include "lib/base/size.h"

#define MAX_BYTES ((size_t)4 << 20)
#define MAX_NUMBER 1e6
#define MAX_RATIO 1e15
#define UNSEEN 1e-3 /* of the time, next to the data */

static double ratio(const struct rd_table_row *r)
{
	return r->sigma / r->alpha;
}

/* --- between rows --------------------------------------------------------------------------------------------------- */

/* Whether alpha and sigma themselves are linear between a row and the next: one end has no logarithm. */
static bool is_plain(const struct rd_table_row *r)
{
	return !(r[0].sigma > 0 && r[1].alpha > 0);
}

/* The row at whose time or after it t is, not the last. */
static const struct rd_table_row *row_before(const struct rd_table *p, double t)
{
	size_t lo = 0, hi = p->n - 1;

	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (p->row[mid].t <= t)
			lo = mid;
		else
			hi = mid;
	}
	return &p->row[lo];
}

static struct rd_table_row at(const struct rd_schedule *s, double t)
{
	const struct rd_table *p = s->table;
	const struct rd_table_row *r = row_before(p, t), *q = r + 1;
	double f = (t - r->t) / (q->t - r->t), n, size;

	if (!(f > 0))
		return *r;
	if (f >= 1)
		return *q;
	if (is_plain(r))
		return (struct rd_table_row){t, (1 - f) * r->alpha + f * q->alpha, (1 - f) * r->sigma + f * q->sigma};
	n = exp((1 - f) * log(ratio(r)) + f * log(ratio(q)));
	size = exp((1 - f) * log(hypot(r->alpha, r->sigma)) + f * log(hypot(q->alpha, q->sigma)));
	return (struct rd_table_row){t, size / hypot(1, n), size * n / hypot(1, n)};
}

static double alpha(const struct rd_schedule *s, double t)
{
	return at(s, t).alpha;
}

static double sigma(const struct rd_schedule *s, double t)
{
	return at(s, t).sigma;
}

static double t_of_n(const struct rd_schedule *s, double n)
{
	const struct rd_table *p = s->table;
	const struct rd_table_row *r = p->row;
	size_t lo = 0, hi = p->n - 1;
	double a, b, t;

	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (ratio(&r[mid]) <= n)
			lo = mid;
		else
			hi = mid;
	}
	r += lo;
	if (is_plain(r)) { /* sigma - n alpha is linear too, and 0 where the ratio is n */
		a = n * r[0].alpha - r[0].sigma;
		b = r[1].sigma - n * r[1].alpha;
	} else {
		a = log(n / ratio(&r[0]));
		b = log(ratio(&r[1]) / n);
	}
	t = !(a > 0) ? r[0].t : isinf(n) || !(b > 0) ? r[1].t : r[0].t + (r[1].t - r[0].t) * (a / (a + b));
	return t < s->t_lo ? s->t_lo : t > s->t_hi ? s->t_hi : t;
}

static double net_time(const struct rd_schedule *s, double t)
{
	struct rd_table_row r = at(s, t);

	return s->log_time ? log(ratio(&r)) / 4 : t;
}

static double t_of_u(const struct rd_schedule *s, double u)
{
	return s->t_lo + u * (s->t_hi - s->t_lo);
}

static const struct rd_form form = {"table", alpha, sigma, t_of_n, net_time, t_of_u};

/* --- rows ----------------------------------------------------------------------------------------------------------- */

/* A row after another (NULL: the first). */
static int check_row(const struct rd_table_row *before, const struct rd_table_row *r, struct rd_err *e)
{
	double n = ratio(r);

	if (!(r->t >= 0 && r->t <= MAX_NUMBER && r->alpha >= 0 && r->alpha <= MAX_NUMBER && r->sigma >= 0 && r->sigma <= MAX_NUMBER))
		return rd_fail(e, RD_EINPUT, "t %g, alpha %g, sigma %g: numbers from 0 to %g expected", r->t, r->alpha, r->sigma, MAX_NUMBER);
	if (!(r->alpha + r->sigma > 0))
		return rd_fail(e, RD_EINPUT, "alpha and sigma are both 0");
	if (r->alpha > 0 && r->sigma > 0 && !(n < MAX_RATIO && n > 1 / MAX_RATIO))
		return rd_fail(e, RD_EINPUT, "sigma/alpha is %g: between %g and %g, 0 or infinite expected", n, 1 / MAX_RATIO, MAX_RATIO);
	if (before && !(r->t > before->t))
		return rd_fail(e, RD_EINPUT, "t %.9g is not above that of the row before, %.9g", r->t, before->t);
	if (before && !(n > ratio(before)))
		return rd_fail(e, RD_EINPUT, "sigma/alpha %.9g is not above that of the row before, %.9g: rows go from least noise to most", n,
		               ratio(before));
	return RD_OK;
}

int rd_schedule_init_table(struct rd_schedule *s, const struct rd_table_row *row, size_t n, struct rd_err *e)
{
	void *p;
	int rc;

	memset(s, 0, sizeof *s);
	if (n < 2 || n > RD_TABLE_MAX_ROWS)
		return rd_fail(e, RD_EINPUT, "a table of %zu rows: 2 to %d expected", n, RD_TABLE_MAX_ROWS);
	for (size_t i = 0; i < n; i++)
		if (check_row(i ? &row[i - 1] : NULL, &row[i], e))
			return rd_context(e, "row %zu", i + 1);
	rc = rd_alloc(&p, 1, sizeof *s->table + n * sizeof *row, "schedule", e);
	if (rc)
		return rc;
	s->table = p;
	s->table->n = n;
	memcpy(s->table->row, row, n * sizeof *row);
	s->form = &form;
	s->n_train = 1000;
	s->sigma_data = 1;
	s->t_hi = row[n - 1].t;
	s->t_lo = row[0].sigma > 0 ? row[0].t : row[0].t + UNSEEN * (s->t_hi - row[0].t);
	return RD_OK;
}

int rd_table_narrow(struct rd_schedule *s, double n_least, double n_most, struct rd_err *e)
{
	const struct rd_table_row *first = &s->table->row[0], *last = &s->table->row[s->table->n - 1];

	s->t_lo = first->t;
	if (!(n_least > 0) && !(first->sigma > 0))
		s->t_lo += UNSEEN * (s->t_hi - first->t);
	s->t_lo = t_of_n(s, n_least);
	s->t_hi = t_of_n(s, n_most);
	if (s->t_hi > s->t_lo && ratio(first) < n_most && ratio(last) > n_least)
		return RD_OK;
	return rd_fail(e, RD_EDOMAIN, "its rows have sigma/alpha from %g to %g, the network knows %g to %g", ratio(first), ratio(last), n_least,
	               n_most);
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

/* The numbers of a line, at most 3, its end cut off at a comment; -1: not numbers. */
static int numbers(char *line, double v[3], struct rd_err *e)
{
	int n = 0;

	line[strcspn(line, "#")] = 0;
	for (char *from = line, *end;; from = end) {
		from += strspn(from, " \t\r");
		if (n && *from == ',')
			from += 1 + strspn(from + 1, " \t\r");
		if (!*from)
			return n;
		if (n == 3)
			return rd_fail(e, RD_EINPUT, "more than three columns: t, alpha and sigma, or alpha and sigma expected");
		v[n] = strtod(from, &end);
		if (end == from || !strchr(" \t\r,", *end) || !isfinite(v[n]))
			return rd_fail(e, RD_EINPUT, "'%.20s': a number expected", from);
		n++;
	}
}

/* A line's row, if it has one, after the n there are. *columns: how many all lines have, 0 before the first. */
static int read_row(char *line, struct rd_table_row *row, size_t *n, int *columns, struct rd_err *e)
{
	double v[3];
	int k = numbers(line, v, e);

	if (k <= 0)
		return k;
	if (k == 1 || (*columns && k != *columns))
		return rd_fail(e, RD_EINPUT, "%d columns: %s expected", k,
		               *columns == 2 ? "2, as before," : *columns ? "3, as before," : "t, alpha and sigma, or alpha and sigma");
	if (*n == RD_TABLE_MAX_ROWS)
		return rd_fail(e, RD_EINPUT, "more than %d rows", RD_TABLE_MAX_ROWS);
	*columns = k;
	row[*n] = k == 3 ? (struct rd_table_row){v[0], v[1], v[2]} : (struct rd_table_row){(double)*n, v[0], v[1]};
	k = check_row(*n ? &row[*n - 1] : NULL, &row[*n], e);
	*n += !k;
	return k;
}

static int read_rows(char *text, const char *path, struct rd_table_row *row, size_t *n, struct rd_err *e)
{
	char *line = text;
	int columns = 0;

	*n = 0;
	for (int number = 1; line; number++) {
		char *next = strchr(line, '\n');

		if (next)
			*next++ = 0;
		if (read_row(line, row, n, &columns, e))
			return rd_context(e, "%s: line %d", path, number);
		line = next;
	}
	return *n < 2 ? rd_fail(e, RD_EINPUT, "%s: %s: two rows at least make a schedule", path, *n ? "one row" : "no row") : RD_OK;
}

int rd_schedule_read_table(struct rd_schedule *s, const char *path, struct rd_err *e)
{
	void *row = NULL;
	char *text;
	size_t size, n;
	int rc = rd_in_file(path, MAX_BYTES, &text, &size, e);

	memset(s, 0, sizeof *s);
	if (!rc && memchr(text, 0, size))
		rc = rd_fail(e, RD_EINPUT, "%s: not text", path);
	if (!rc)
		rc = rd_alloc(&row, RD_TABLE_MAX_ROWS, sizeof(struct rd_table_row), "schedule", e);
	if (!rc)
		rc = read_rows(text, path, row, &n, e);
	if (!rc)
		rc = rd_schedule_init_table(s, row, n, e);
	free(row);
	free(text);
	return rc;
}
