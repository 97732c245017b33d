#include "lib/measure/logplot.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/in.h"
#include "lib/base/moments.h"
#include "lib/base/size.h"
#include "lib/measure/chart.h"
#include "lib/measure/named.h"

enum { LINE_MAX_BYTES = 65536, POINTS = 400, HELD_POINTS = 40 };

enum { COLUMNS = 5 };

/* Room for one more line. */
static int reserve(struct rd_trainlog_read *l, struct rd_err *e)
{
	double **const column[] = { &l->step, &l->loss, &l->norm, &l->held_step, &l->held };
	size_t room = 0;
	int rc = RD_OK;

	for (int i = 0; i < COLUMNS && !rc; i++) {
		void *p = *column[i];

		room = l->room;
		rc = rd_reserve(&p, &room, l->n + 1, sizeof(double), "a log's lines", e);
		*column[i] = p;
	}
	if (!rc)
		l->room = room;
	return rc;
}

static int take_number(const json_t *o, const char *key, double *out, struct rd_err *e)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_number(v))
		return rd_fail(e, RD_EINPUT, "%s: a number expected", key);
	*out = json_number_value(v);
	return RD_OK;
}

/* Where it is there: rectrain's --hold-out tells it every so many steps. */
static int take_held_out(struct rd_trainlog_read *l, const json_t *o, struct rd_err *e)
{
	int rc;

	if (!json_object_get(o, "held_out"))
		return RD_OK;
	rc = take_number(o, "held_out", l->held + l->n_held, e);
	if (!rc)
		l->held_step[l->n_held++] = l->step[l->n];
	return rc;
}

static int take_line(struct rd_trainlog_read *l, const char *text, size_t n, struct rd_err *e)
{
	json_error_t why;
	json_t *o = json_loadb(text, n, 0, &why);
	int rc = reserve(l, e);

	if (!rc && !json_is_object(o))
		rc = rd_fail(e, RD_EINPUT, "no JSON object%s%s", o ? "" : ": ", o ? "" : why.text);
	if (!rc)
		rc = take_number(o, "step", l->step + l->n, e);
	if (!rc)
		rc = take_number(o, "loss", l->loss + l->n, e);
	if (!rc)
		rc = take_number(o, "grad_norm", l->norm + l->n, e);
	if (!rc && l->n && !(l->step[l->n] > l->step[l->n - 1]))
		rc = rd_fail(e, RD_EINPUT, "step %g after step %g", l->step[l->n], l->step[l->n - 1]);
	if (!rc)
		rc = take_held_out(l, o, e);
	json_decref(o);
	l->n += rc ? 0 : 1;
	return rc;
}

/* The next line's bytes without its end, at *text until the next look: 1; 0 at the end of the input. */
static int look(struct rd_in *in, const uint8_t **text, size_t *n, size_t *whole, struct rd_err *e)
{
	for (size_t room = 4096; room <= LINE_MAX_BYTES; room *= 4) {
		const uint8_t *end;
		int rc = rd_in_peek(in, room, text, n, e);

		if (rc || !*n)
			return rc;
		end = memchr(*text, '\n', *n);
		*whole = end ? (size_t)(end - *text) + 1 : *n;
		if (end)
			*n = *whole - 1;
		if (end || *whole < room) /* the last line may have no end */
			return 1;
	}
	return rd_fail(e, RD_EINPUT, "longer than %d bytes", LINE_MAX_BYTES);
}

static int take_lines(struct rd_trainlog_read *l, struct rd_in *in, struct rd_err *e)
{
	size_t line = 1, n, whole = 0;
	const uint8_t *text;
	int rc;

	for (; (rc = look(in, &text, &n, &whole, e)) > 0; line++) {
		char skipped[LINE_MAX_BYTES];
		size_t got;

		rc = take_line(l, (const char *)text, n, e);
		if (!rc)
			rc = rd_in_read(in, skipped, whole, &got, e);
		if (rc)
			break;
	}
	if (rc)
		return rd_context(e, "%s: line %zu", rd_in_name(in), line);
	return l->n ? RD_OK : rd_fail(e, RD_EINPUT, "%s: an empty log", rd_in_name(in));
}

int rd_logplot_read(struct rd_trainlog_read *l, const char *spec, struct rd_err *e)
{
	struct rd_in *in;
	int rc;

	memset(l, 0, sizeof *l);
	rc = rd_in_open(&in, rd_named_path(spec), e);
	if (rc)
		return rc;
	rc = rd_named_name(&l->name, spec, rd_in_name(in), e);
	if (!rc)
		rc = take_lines(l, in, e);
	rd_in_close(in);
	return rc;
}

void rd_logplot_free(struct rd_trainlog_read *l)
{
	free(l->name);
	free(l->step);
	free(l->loss);
	free(l->norm);
	free(l->held_step);
	free(l->held);
	memset(l, 0, sizeof *l);
}

/* A column of a log as it is drawn: at most POINTS of its lines, each with 5, 50 and 95 % of the window around it. */
struct smooth {
	size_t n;
	double x[POINTS], q[3][POINTS];
};

/* At most `points` of v [n] at step [n], of which windows are taken too; sorted: room for a window. */
static void smooth(struct smooth *c, const double *step, const double *v, size_t n, size_t points, size_t window,
                   double *sorted)
{
	static const double q[3] = { 0.05, 0.5, 0.95 };
	const size_t half = (window ? window : n / 20 + 1) / 2;

	c->n = n < points ? n : points;
	for (size_t i = 0; i < c->n; i++) {
		const size_t at = c->n > 1 ? i * (n - 1) / (c->n - 1) : 0;
		const size_t from = at > half ? at - half : 0, to = at + half + 1 < n ? at + half + 1 : n;
		const size_t m = to - from;

		memcpy(sorted, v + from, m * sizeof *v);
		qsort(sorted, m, sizeof *sorted, rd_by_value);
		c->x[i] = step[at];
		for (int k = 0; k < 3; k++)
			c->q[k][i] = sorted[(size_t)(q[k] * (double)(m - 1) + 0.5)];
	}
}

/* One panel for all logs. held: values of each that are points, NULL: none. pooled: room for all their
 * numbers. */
static void draw_panel(struct rd_svg *s, struct rd_panel *p, const struct smooth *c, const struct smooth *held, size_t n,
                       double *pooled)
{
	double room[2 * POINTS][2];
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < 3; k++) {
			memcpy(pooled + m, c[i].q[k], c[i].n * sizeof *pooled);
			m += c[i].n;
		}
	for (size_t i = 0; held && i < n; m += held[i++].n)
		memcpy(pooled + m, held[i].q[1], held[i].n * sizeof *pooled);
	rd_axis_fit(&p->y, pooled, m);
	rd_panel_axes(s, p);
	for (size_t i = 0; i < n; i++)
		rd_panel_band(s, p, c[i].x, c[i].q[0], c[i].q[2], c[i].n, i, room);
	for (size_t i = 0; i < n; i++)
		rd_panel_curve(s, p, c[i].x, c[i].q[1], c[i].n, i, room);
	for (size_t i = 0; held && i < n; i++)
		rd_panel_points(s, p, held[i].x, held[i].q[1], held[i].n, i);
}

static void fit_steps(struct rd_axis *a, const struct rd_trainlog_read *l, size_t n, double *ends)
{
	for (size_t i = 0; i < n; i++) {
		ends[2 * i] = l[i].step[0];
		ends[2 * i + 1] = l[i].step[l[i].n - 1];
	}
	rd_axis_fit(a, ends, 2 * n);
}

static const char held_out[] = "held out";

/* Of the legend's two columns: names, and beside them what is held out where a log tells it. */
static double names_width(const struct rd_trainlog_read *l, size_t n)
{
	double widest = 0;

	for (size_t i = 0; i < n; i++)
		widest = fmax(widest, rd_chart_key_width(l[i].name));
	return widest;
}

static double held_width(const struct rd_trainlog_read *l, size_t n)
{
	size_t told = 0;

	for (size_t i = 0; i < n; i++)
		told += l[i].n_held;
	return told ? rd_chart_key_width(held_out) : 0;
}

static void draw_keys(struct rd_svg *s, double x, double y, const struct rd_trainlog_read *l, size_t n)
{
	const double beside = x + names_width(l, n);

	for (size_t i = 0; i < n; i++, y += 20) {
		rd_chart_key(s, x, y, i, l[i].name);
		if (l[i].n_held)
			rd_chart_key_points(s, beside, y, i, held_out);
	}
}

/* c, held [n], sorted: room for a window and for all numbers of a panel. */
static void draw(struct rd_svg *s, const struct rd_trainlog_read *l, size_t n, size_t window, struct smooth *c,
                 struct smooth *held, double *sorted)
{
	struct rd_panel p = { .left = 76, .top = 66, .w = 500, .h = 230, .clip = "loss",
		.y = { .log = true, .label = "loss" } };

	fit_steps(&p.x, l, n, sorted);
	draw_keys(s, p.left + p.w + 16, p.top + 14, l, n);
	for (size_t i = 0; i < n; i++) {
		smooth(c + i, l[i].step, l[i].loss, l[i].n, POINTS, window, sorted);
		smooth(held + i, l[i].held_step, l[i].held, l[i].n_held, HELD_POINTS, 1, sorted);
	}
	draw_panel(s, &p, c, held, n, sorted);
	for (size_t i = 0; i < n; i++)
		smooth(c + i, l[i].step, l[i].norm, l[i].n, POINTS, window, sorted);
	p.top += p.h + 24;
	p.clip = "norm";
	p.x.label = "training step";
	p.y.label = "gradient norm";
	draw_panel(s, &p, c, NULL, n, sorted);
}

int rd_logplot_write(const struct rd_trainlog_read *l, size_t n, size_t window, struct rd_out *o,
                     struct rd_err *e)
{
	static const char title[] = "Training";
	struct smooth *c = NULL;
	size_t most = (3 * POINTS + HELD_POINTS) * n;
	struct rd_svg *s;
	double *sorted = NULL;
	int rc = rd_alloc((void **)&c, 2 * n, sizeof *c, "the curves", e);

	for (size_t i = 0; i < n; i++)
		most = l[i].n > most ? l[i].n : most;
	if (!rc)
		rc = rd_alloc((void **)&sorted, most, sizeof *sorted, "a window", e);
	if (!rc)
		rc = rd_chart_open(&s, o, 598 + names_width(l, n) + held_width(l, n), 66 + 2 * 230 + 24 + 54, title, e);
	if (!rc) {
		rd_chart_titles(s, 76, 28, 500, title, "running median; bands: 5 to 95 % of the lines of the log around it");
		draw(s, l, n, window, c, c + n, sorted);
		rc = rd_chart_finish(s, e);
	}
	free(sorted);
	free(c);
	return rc;
}
