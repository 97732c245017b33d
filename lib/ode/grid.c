#include "lib/ode/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

const char *const rd_spacing_names[] = {"trailing", "leading", "linspace", "karras", NULL};

struct rd_node rd_node_at(const struct rd_schedule *s, double t)
{
	return (struct rd_node){t, s->form->net_time(s, t), rd_alpha(s, t), rd_sigma(s, t)};
}

/* Discrete times as numpy computes them in diffusers: rint rounds half to even, like numpy's round. */
static double ddpm_time(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double n = (double)s->n_train, steps = o->steps;
	int points = o->steps + (o->one_more ? 1 : 0), j = points - 1 - k;

	switch (o->spacing) {
	case RD_SPACING_LEADING:
		return (double)(j * (s->n_train / points)) + o->steps_offset;
	case RD_SPACING_LINSPACE:
		return points > 1 ? rint((n - 1) * j / (points - 1)) : 0;
	default:
		return rint(n - k * (n / steps)) - 1;
	}
}

/* The same on a continuous time axis; ve's axis is ln sigma. */
static double continuous_time(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	bool ve = !strcmp(s->form->name, "ve");
	double lo = ve ? log(s->t_lo) : s->t_lo, hi = ve ? log(s->t_hi) : s->t_hi, t;
	int points = o->steps + (o->one_more ? 1 : 0), j = points - 1 - k;

	switch (o->spacing) {
	case RD_SPACING_LEADING:
		t = lo + (hi - lo) * j / points;
		break;
	case RD_SPACING_LINSPACE:
		t = points > 1 ? lo + (hi - lo) * j / (points - 1) : hi;
		break;
	default:
		t = ve ? hi - k * (hi - lo) / o->steps : hi * (1 - (double)k / o->steps);
	}
	return ve ? exp(t) : t;
}

static double shifted(double t, double shift)
{
	/* 1 stays 1, where a small shift would round beyond it, to a negative alpha */
	return shift > 0 ? fmin(shift * t / (1 + (shift - 1) * t), 1) : t;
}

/* FlowMatchEulerDiscreteScheduler: the range is shifted when the scheduler is made, and its points once more. */
static double flow_match_time(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double lo = shifted(1 / (double)s->n_train, o->shift), hi = shifted(1, o->shift);

	return shifted(o->steps > 1 ? hi - k * (hi - lo) / (o->steps - 1) : hi, o->shift);
}

static struct rd_node karras_node(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double rho = 7, hi, lo, n, f = o->steps > 1 ? (double)k / (o->steps - 1) : 0;
	struct rd_node a = rd_node_at(s, s->t_hi), b = rd_node_at(s, s->t_lo), r;

	hi = pow(a.sigma / a.alpha, 1 / rho);
	lo = pow(b.sigma / b.alpha, 1 / rho);
	n = pow(hi + f * (lo - hi), rho);
	r.t = s->form->t_of_n(s, n);
	if (!strcmp(s->form->name, "ddpm")) { /* alpha^2 + sigma^2 = 1 between the integers too */
		r.alpha = 1 / sqrt(1 + n * n);
		r.sigma = n / sqrt(1 + n * n);
		r.net_t = o->fractional ? r.t : rint(r.t);
		return r;
	}
	return rd_node_at(s, r.t);
}

static struct rd_node node_of(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	bool ddpm = !strcmp(s->form->name, "ddpm");

	if (o->spacing == RD_SPACING_KARRAS)
		return karras_node(s, o, k);
	if (ddpm)
		return rd_node_at(s, ddpm_time(s, o, k));
	if (o->flow_match)
		return rd_node_at(s, flow_match_time(s, o, k));
	return rd_node_at(s, shifted(continuous_time(s, o, k), o->shift));
}

static struct rd_node final_node(const struct rd_schedule *s, const struct rd_grid_opts *o)
{
	if (o->final_at_t0)
		return rd_node_at(s, s->t_lo);
	/* under ve the time is sigma; elsewhere 0 is the data end of the axis */
	return (struct rd_node){0, 0, 1, 0};
}

static int check(const struct rd_schedule *s, const struct rd_grid_opts *o, struct rd_err *e)
{
	if (o->steps < 1 || o->steps > 100000)
		return rd_fail(e, RD_EUSAGE, "steps %d: between 1 and 100000 expected", o->steps);
	if (!strcmp(s->form->name, "ddpm") && o->steps > s->n_train - (o->one_more ? 1 : 0))
		return rd_fail(e, RD_EUSAGE, "steps %d: the schedule has only %lld times", o->steps, (long long)s->n_train);
	if (o->spacing == RD_SPACING_KARRAS && !(rd_alpha(s, s->t_hi) > 0))
		return rd_fail(e, RD_EDOMAIN, "karras spacing: sigma/alpha is infinite at this schedule's start");
	return RD_OK;
}

int rd_grid_init(struct rd_grid *g, const struct rd_schedule *s, const struct rd_grid_opts *o, struct rd_err *e)
{
	void *p;
	int rc;

	memset(g, 0, sizeof *g);
	rc = check(s, o, e);
	if (rc)
		return rc;
	rc = rd_alloc(&p, 2 * (size_t)o->steps, sizeof *g->from, "grid", e);
	if (rc)
		return rc;
	g->steps = o->steps;
	g->from = p;
	g->to = g->from + o->steps;
	for (int k = 0; k < o->steps; k++)
		g->from[k] = node_of(s, o, k);
	for (int k = 0; k + 1 < o->steps; k++)
		g->to[k] = g->from[k + 1];
	g->to[o->steps - 1] = final_node(s, o);
	if (o->ddim_prev && !strcmp(s->form->name, "ddpm"))
		for (int k = 0; k < o->steps; k++) {
			double prev = g->from[k].t - (double)(s->n_train / o->steps);

			g->to[k] = prev >= 0 ? rd_node_at(s, prev) : final_node(s, o);
		}
	return RD_OK;
}

void rd_grid_free(struct rd_grid *g)
{
	if (!g)
		return;
	free(g->from);
	memset(g, 0, sizeof *g);
}
