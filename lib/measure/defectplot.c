#include "lib/measure/defectplot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/measure/chart.h"

const char *const rd_defect_axis_names[] = { "t", "n", NULL };

enum { LO, LOWER, MIDDLE, UPPER, HI, SETS }; /* rd_traj_quantiles */

/* The curves of all inputs, one behind the other. */
struct curves {
	size_t n_points;
	double *x, *y[SETS];
	double (*room)[2];
};

static int alloc(struct curves *c, const struct rd_traj_told *t, size_t n, struct rd_err *e)
{
	double *all;
	int rc;

	memset(c, 0, sizeof *c);
	for (size_t i = 0; i < n; i++)
		c->n_points += (size_t)t[i].stats->nodes;
	rc = rd_alloc((void **)&all, c->n_points, (SETS + 1) * sizeof *all, "the picture's points", e);
	if (rc)
		return rc;
	c->x = all;
	for (int q = 0; q < SETS; q++)
		c->y[q] = all + (size_t)(q + 1) * c->n_points;
	return rd_alloc((void **)&c->room, 2 * c->n_points, sizeof *c->room, "a curve", e);
}

static int collect(struct curves *c, const struct rd_traj_told *t, size_t n, enum rd_defect_axis axis, struct rd_err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < t[i].stats->nodes; k++, at++) {
			const struct rd_traj_grid *g = t[i].grid;
			struct rd_traj_summary m;
			int rc = rd_traj_stats_node(t[i].stats, k, &m, e);

			if (rc)
				return rc;
			c->x[at] = axis == RD_DEFECT_T ? g->t[k] : g->sigma[k] > 0 && g->alpha[k] > 0 ? g->sigma[k] / g->alpha[k] : NAN;
			for (int q = 0; q < SETS; q++)
				c->y[q][at] = m.q[q];
		}
	return RD_OK;
}

static const char *form(const struct rd_traj_told *t)
{
	const char *s = json_string_value(json_object_get(t->meta, "form"));

	return s ? s : "?";
}

static int check(const struct rd_traj_told *t, size_t n, enum rd_defect_axis axis, struct rd_err *e)
{
	for (size_t i = 1; axis == RD_DEFECT_T && i < n; i++)
		if (strcmp(form(t), form(t + i)))
			return rd_fail(e, RD_EUSAGE, "%s is of form %s, %s of form %s: their times do not compare; n does (--axis n)",
			               t[0].name, form(t), t[i].name, form(t + i));
	return RD_OK;
}

static void draw(const struct curves *c, struct rd_svg *s, const struct rd_panel *p, const struct rd_traj_told *t,
                 size_t n)
{
	size_t at = 0;

	rd_panel_axes(s, p);
	for (size_t i = 0; i < n; at += (size_t)t[i++].stats->nodes) {
		const size_t k = (size_t)t[i].stats->nodes;

		rd_panel_band(s, p, c->x + at, c->y[LO] + at, c->y[HI] + at, k, i, c->room);
		rd_panel_band(s, p, c->x + at, c->y[LOWER] + at, c->y[UPPER] + at, k, i, c->room);
	}
	at = 0;
	for (size_t i = 0; i < n; at += (size_t)t[i++].stats->nodes) {
		rd_panel_curve(s, p, c->x + at, c->y[MIDDLE] + at, (size_t)t[i].stats->nodes, i, c->room);
		rd_chart_key(s, p->left + p->w + 16, p->top + 14 + 20 * (double)i, i, t[i].name);
	}
}

static double key_width(const struct rd_traj_told *t, size_t n)
{
	double widest = 0;

	for (size_t i = 0; i < n; i++)
		widest = fmax(widest, rd_chart_key_width(t[i].name));
	return widest;
}

int rd_defectplot_write(const struct rd_traj_told *t, size_t n, enum rd_defect_axis axis, struct rd_out *o,
                        struct rd_err *e)
{
	static const char title[] = "First-order defect along the trajectories";
	struct rd_panel p = { .left = 76, .top = 66, .w = 500, .h = 340, .clip = "frame",
		.x = { .log = axis == RD_DEFECT_N,
		       .label = axis == RD_DEFECT_N ? "noise to signal n = \u03c3/\u03b1" : "time t (0: data)" },
		.y = { .log = true, .label = "|\u03b5 \u2212 mean \u03b5|\u00b2/d" } };
	struct rd_svg *s;
	struct curves c = { 0 };
	int rc = check(t, n, axis, e);

	if (!rc)
		rc = alloc(&c, t, n, e);
	if (!rc)
		rc = collect(&c, t, n, axis, e);
	if (!rc) {
		rd_axis_fit(&p.x, c.x, c.n_points);
		rd_axis_fit(&p.y, c.y[0], SETS * c.n_points);
		p.h = fmax(p.h, 20 * (double)n + 10);
		rc = rd_chart_open(&s, o, p.left + p.w + 22 + key_width(t, n), p.top + p.h + 54, title, e);
	}
	if (!rc) {
		rd_chart_titles(s, p.left, 28, p.w, title, "median over the samples; bands: 25 to 75 % and 5 to 95 % of them");
		draw(&c, s, &p, t, n);
		rc = rd_chart_finish(s, e);
	}
	free(c.x);
	free(c.room);
	return rc;
}
