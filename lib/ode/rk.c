/* Runge-Kutta: Heun's rule and the classic one of order 4, on coordinates (u, c) in which the ODE is du/dc = a prediction:
 *
 *   noise     u = x/alpha, c = sigma/alpha, slope eps        not from alpha = 0
 *   data      u = x/sigma, c = alpha/sigma, slope x0         not to sigma = 0
 *   velocity  u = x, c = sigma, slope eps - x0               where alpha = 1 - sigma; heun */
#include <math.h>

#include "lib/ode/solver_impl.h"

/* u = x / per; c of a node. */
static double per(enum rd_solver_type type, const struct rd_node *n)
{
	return type == RD_TYPE_DATA ? n->sigma : type == RD_TYPE_VELOCITY ? 1 : n->alpha;
}

static double coordinate(enum rd_solver_type type, const struct rd_node *n)
{
	return type == RD_TYPE_DATA ? n->alpha / n->sigma : type == RD_TYPE_VELOCITY ? n->sigma : n->sigma / n->alpha;
}

/* Whether the step's ends are within the coordinates; if not, it is ddim's. The network says nothing at sigma = 0. */
static bool within(const struct rd_solver *s, const struct rd_node *from, const struct rd_node *to)
{
	return from->sigma > 0 && to->sigma > 0 && (s->type == RD_TYPE_DATA || s->type == RD_TYPE_VELOCITY || from->alpha > 0);
}

int rd_rk_evaluations(const struct rd_solver *s, const struct rd_node *from, const struct rd_node *to)
{
	return !within(s, from, to) ? 1 : s->family == RD_RK4 ? 4 : 2;
}

/* The slope from a prediction, in its buffer or in x0's. */
static int slope(struct rd_walk *r, void *x0, void *eps, void **out, struct rd_err *e)
{
	*out = r->s->type == RD_TYPE_DATA || r->s->type == RD_TYPE_VELOCITY ? x0 : eps;
	return r->s->type == RD_TYPE_VELOCITY ? rd_lincomb(&r->o->lin, 1, eps, -1, x0, x0, e) : RD_OK;
}

/* out = x at node n, with u = u_s + h k */
static int move(struct rd_walk *r, const struct rd_node *s, const struct rd_node *n, double h, const void *k, void *out,
                struct rd_err *e)
{
	double scale = per(r->s->type, n);

	return rd_lincomb(&r->o->lin, scale / per(r->s->type, s), r->x, scale * h, k, out, e);
}

/* The node half-way between two in the coordinate. */
static struct rd_node middle(const struct rd_walk *r, const struct rd_node *s, const struct rd_node *t)
{
	double c = (coordinate(r->s->type, s) + coordinate(r->s->type, t)) / 2;

	return rd_node_of_n(r->g->schedule, r->s->type == RD_TYPE_DATA ? 1 / c : c);
}

/* k1 at s; each further slope at a node reached with the one before; their weighted mean in the end. */
int rd_rk_step(struct rd_walk *r, int k, struct rd_err *e)
{
	static const double half[] = {0.5, 0.5, 1}, heun_weight[] = {0.5, 0.5}, rk4_weight[] = {1 / 6.0, 1 / 3.0, 1 / 3.0, 1 / 6.0};
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k];
	bool rk4 = r->s->family == RD_RK4;
	const double *weight = rk4 ? rk4_weight : heun_weight;
	struct rd_ode *o = r->o;
	struct rd_node mid;
	double h;
	void *now, *sum = o->history[2];
	int rc;

	if (!within(r->s, s, t))
		return rd_ddim_step(r, k, e);
	h = coordinate(r->s->type, t) - coordinate(r->s->type, s);
	mid = rk4 ? middle(r, s, t) : *t;
	rc = slope(r, o->x0, o->eps, &now, e);
	if (!rc)
		rc = rd_lincomb(&o->lin, weight[0], now, 0, NULL, sum, e);
	for (int i = 1; i < (rk4 ? 4 : 2) && !rc; i++) {
		double part = rk4 ? half[i - 1] : 1;
		const struct rd_node *n = part < 1 ? &mid : t;

		rc = move(r, s, n, part * h, now, o->tmp, e);
		if (!rc)
			rc = r->denoise(r->ctx, n, o->tmp, o->history[0], o->history[1], e);
		if (!rc)
			rc = slope(r, o->history[0], o->history[1], &now, e);
		if (!rc)
			rc = rd_lincomb(&o->lin, 1, sum, weight[i], now, sum, e);
	}
	return rc ? rc : move(r, s, t, h, sum, r->x, e);
}
