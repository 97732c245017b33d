/* Runge-Kutta: Heun's rule and the classic one of order 4, on coordinates (u, c) in which the ODE is du/dc = a prediction:
 *
 *   noise     u = x/alpha, c = sigma/alpha, slope eps        not from or to alpha = 0
 *   data      u = x/sigma, c = alpha/sigma, slope x0         not to sigma = 0
 *   velocity  u = x, c = sigma, slope eps - x0               where alpha = 1 - sigma; heun */
#include <math.h>

#include "lib/base/size.h"
#include "lib/ode/solver_impl.h"

static const double heun_weight[] = {0.5, 0.5}, rk4_weight[] = {1 / 6.0, 1 / 3.0, 1 / 3.0, 1 / 6.0};

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
	bool noise = s->type != RD_TYPE_DATA && s->type != RD_TYPE_VELOCITY;

	return from->sigma > 0 && to->sigma > 0 && (!noise || (from->alpha > 0 && to->alpha > 0));
}

int rd_rk_evaluations(const struct rd_solver *s, const struct rd_node *from, const struct rd_node *to)
{
	return !within(s, from, to) ? 1 : s->family == RD_RK4 ? 4 : 2;
}

/* The slope that a prediction gives: one of its buffers, or (velocity) `spare`. */
static int slope(struct rd_walk *r, void *x0, void *eps, void *spare, void **out, struct rd_err *e)
{
	if (r->s->type == RD_TYPE_VELOCITY) {
		*out = spare;
		return rd_lincomb(&r->o->lin, 1, eps, -1, x0, spare, e);
	}
	*out = r->s->type == RD_TYPE_DATA ? x0 : eps;
	return RD_OK;
}

/* out = x at node n with u = u_s + h k, where k1 is the slope at s. Along k1 itself that is alpha_n x0 + sigma_n eps in every coordinate,
 * without the cancellation of large terms; the rest is a difference of slopes. */
static int move(struct rd_walk *r, const struct rd_node *n, double h, const void *k, const void *k1, void *out, struct rd_err *e)
{
	struct rd_ode *o = r->o;
	double c = h * per(r->s->type, n);
	int rc = rd_lincomb(&o->lin, n->alpha, o->x0, n->sigma, o->eps, out, e);

	if (!rc && k != k1)
		rc = rd_lincomb(&o->lin, 1, out, c, k, out, e);
	return rc || k == k1 ? rc : rd_lincomb(&o->lin, 1, out, -c, k1, out, e);
}

/* The node half-way between two in the coordinate. */
static struct rd_node middle(enum rd_solver_type type, const struct rd_schedule *c, const struct rd_node *s,
                             const struct rd_node *t)
{
	double mean = (coordinate(type, s) + coordinate(type, t)) / 2;

	return rd_node_of_n(c, type == RD_TYPE_DATA ? 1 / mean : mean);
}

/* k1 at s; each further slope at a node reached with the one before; their weighted mean in the end. */
int rd_rk_step(struct rd_walk *r, int k, struct rd_err *e)
{
	static const double half[] = {0.5, 0.5, 1};
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k];
	bool rk4 = r->s->family == RD_RK4;
	const double *weight = rk4 ? rk4_weight : heun_weight;
	struct rd_ode *o = r->o;
	struct rd_node mid;
	double h;
	void *k1, *now, *sum = o->history[2];
	int rc;

	if (!within(r->s, s, t))
		return rd_ddim_step(r, k, e);
	h = coordinate(r->s->type, t) - coordinate(r->s->type, s);
	mid = rk4 ? middle(r->s->type, r->g->schedule, s, t) : *t;
	rc = slope(r, o->x0, o->eps, o->history[3], &k1, e);
	now = k1;
	if (!rc)
		rc = rd_lincomb(&o->lin, weight[0], k1, 0, NULL, sum, e);
	for (int i = 1; i < (rk4 ? 4 : 2) && !rc; i++) {
		double part = rk4 ? half[i - 1] : 1;
		const struct rd_node *n = part < 1 ? &mid : t;

		rc = move(r, n, part * h, now, k1, o->tmp, e);
		if (!rc)
			rc = r->denoise(r->ctx, n, o->tmp, o->history[0], o->history[1], e);
		if (!rc)
			rc = slope(r, o->history[0], o->history[1], o->history[0], &now, e);
		if (!rc)
			rc = rd_lincomb(&o->lin, 1, sum, weight[i], now, sum, e);
	}
	return rc ? rc : move(r, t, h, sum, k1, r->x, e);
}

/* --- the density of x -----------------------------------------------------------------------------------------------
 *
 * The density of x/alpha changes by the divergence alpha tr(deps/dx) dn, that of x/sigma by sigma tr(dx0/dx) d(1/n), that of x
 * (velocity) by tr(deps/dx) - tr(dx0/dx) dsigma. The first integrand is smooth where there is little noise, and goes as dim/n
 * where there is much; the second is the other way about. So a step counts in the coordinate that suits its end of the schedule,
 * whichever x moves in; what lies between the two coordinates is known. */

/* On the side of x/alpha: n below 1 at the step's middle. */
static bool at_data_end(const struct rd_node *from, const struct rd_node *to)
{
	return from->sigma * to->sigma < from->alpha * to->alpha;
}

/* An evaluation at node n whose slope u moves along for h. */
static struct rd_divergence_at weighed(enum rd_solver_type type, bool data_end, const struct rd_node *n, double h)
{
	double ratio = n->sigma / n->alpha, dn, dc; /* of n and 1/n, as the coordinate that moves by h has them */

	if (type == RD_TYPE_VELOCITY)
		return (struct rd_divergence_at){-h, h};
	dn = type == RD_TYPE_DATA ? -h * ratio * ratio : h;
	dc = type == RD_TYPE_DATA ? h : -h / (ratio * ratio);
	return data_end ? (struct rd_divergence_at){0, n->alpha * dn} : (struct rd_divergence_at){n->sigma * dc, 0};
}

/* Step k: its evaluations in at[], how many they are, and what the coordinate adds for each dimension. ddim's step, which is
 * Euler's on x/sigma, goes where alpha is 0. */
static int step_divergence(const struct rd_solver *s, const struct rd_grid *g, int k, struct rd_divergence_at *at, double *scale)
{
	const struct rd_node *from = &g->from[k], *to = &g->to[k];
	bool whole = within(s, from, to), rk4 = s->family == RD_RK4, data_end = at_data_end(from, to);
	enum rd_solver_type type = whole ? s->type : RD_TYPE_DATA;
	double h = coordinate(type, to) - coordinate(type, from);
	const double *weight = rk4 ? rk4_weight : heun_weight;
	struct rd_node mid;
	int n = 0;

	*scale = type == RD_TYPE_VELOCITY ? 0 : log(data_end ? to->alpha / from->alpha : to->sigma / from->sigma);
	at[n++] = weighed(type, data_end, from, whole ? h * weight[0] : h);
	if (!whole)
		return n;
	if (rk4) {
		mid = middle(type, g->schedule, from, to);
		at[n++] = weighed(type, data_end, &mid, h * weight[1]);
		at[n++] = weighed(type, data_end, &mid, h * weight[2]);
	}
	at[n] = weighed(type, data_end, to, h * weight[n]);
	return n + 1;
}

int rd_solver_divergence(struct rd_divergence *d, const struct rd_solver *s, const struct rd_grid *g, struct rd_err *e)
{
	double scale;
	void *p;
	int rc;

	*d = (struct rd_divergence){0};
	if (s->family != RD_HEUN && s->family != RD_RK4)
		return rd_fail(e, RD_EUSAGE, "solver %s: a density is integrated along the ODE by heun and rk4 alone",
		               rd_solver_name(s));
	rc = rd_alloc(&p, (size_t)rd_solver_nfe(s, g), sizeof *d->at, "divergences", e);
	if (rc)
		return rc;
	d->at = p;
	for (int k = 0, n = 0; k < g->steps; k++) {
		n += step_divergence(s, g, k, d->at + n, &scale);
		d->scale += scale;
	}
	return RD_OK;
}
