#include "lib/ode/solver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/ode/solver_impl.h"
#include "lib/ode/weights.h"

#define SHORT_RUN 15 /* runs of fewer steps end in lower orders */

int rd_solver_nfe(const struct rd_solver *s, const struct rd_grid *g)
{
	int n = 0;

	for (int k = 0; k < g->steps && !rd_solver_chooses_steps(s); k++)
		n += s->family == RD_HEUN || s->family == RD_RK4 ? rd_rk_evaluations(s, &g->from[k], &g->to[k]) : 1;
	return n;
}

static void **buffer(struct rd_ode *o, size_t i)
{
	void **b[] = {&o->x0, &o->eps, &o->tmp, &o->base};

	return i < RD_N_HISTORY ? &o->history[i] : i - RD_N_HISTORY < sizeof b / sizeof *b ? b[i - RD_N_HISTORY] : NULL;
}

int rd_ode_new(struct rd_ode **out, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d, struct rd_err *e)
{
	struct rd_ode *o;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *o, "solver", e);

	*out = NULL;
	if (rc)
		return rc;
	o = p;
	rc = rd_lincomb_init(&o->lin, be, dev, d, e);
	for (size_t i = 0; buffer(o, i) && !rc; i++)
		rc = be->alloc(dev, buffer(o, i), be->sample_bytes(d), e);
	if (rc)
		rd_ode_free(o);
	else
		*out = o;
	return rc;
}

void rd_ode_free(struct rd_ode *o)
{
	if (!o)
		return;
	for (size_t i = 0; buffer(o, i); i++)
		if (*buffer(o, i))
			o->lin.be->release(o->lin.dev, *buffer(o, i));
	rd_lincomb_free(&o->lin);
	free(o);
}

/* --- first order ---------------------------------------------------------------------------------------------------- */

int rd_ddim_step(struct rd_walk *r, int k, struct rd_err *e)
{
	const struct rd_node *t = &r->g->to[k];

	return rd_lincomb(&r->o->lin, t->alpha, r->o->x0, t->sigma, r->o->eps, r->x, e);
}

/* --- exponential integrators ---------------------------------------------------------------------------------------- */

static bool finite_lambda(const struct rd_node *n)
{
	return n->alpha > 0 && n->sigma > 0;
}

/* Nodes of step k and before it that its weights may look at: s[0] .. s[n - 1]. */
static int nodes_behind(const struct rd_walk *r, int k, const struct rd_node **s)
{
	int n = 0;

	while (n < RD_MAX_ORDER && k - n >= 0 && finite_lambda(&r->g->from[k - n])) {
		s[n] = &r->g->from[k - n];
		n++;
	}
	return n;
}

static int at_most(int a, int b)
{
	return a < b ? a : b;
}

/* out = w.x x + sum of w.m[i] history[i] */
static int apply(struct rd_walk *r, const struct rd_step_weights *w, const void *x, void *out, struct rd_err *e)
{
	struct rd_ode *o = r->o;
	int rc = rd_lincomb(&o->lin, w->x, x, w->m[0], o->history[0], out, e);

	for (int i = 1; i < w->n && !rc; i++)
		if (w->m[i] != 0)
			rc = rd_lincomb(&o->lin, 1, out, w->m[i], o->history[i], out, e);
	return rc;
}

/* A step of order 1 in the solver's form; it needs no lambda at its end. */
static int first_order_step(struct rd_walk *r, int k, struct rd_err *e)
{
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k];

	if (!finite_lambda(s) || !r->s->data)
		return rd_ddim_step(r, k, e);
	return rd_lincomb(&r->o->lin, t->sigma / s->sigma, r->x, t->alpha - s->alpha * t->sigma / s->sigma, r->o->x0, r->x, e);
}

/* The step's output becomes the newest of the history. */
static void remember(struct rd_walk *r)
{
	struct rd_ode *o = r->o;
	void **now = r->s->data ? &o->x0 : &o->eps, *oldest = o->history[RD_N_HISTORY - 1];

	memmove(o->history + 1, o->history, (RD_N_HISTORY - 1) * sizeof *o->history);
	o->history[0] = *now;
	*now = oldest;
}

/* The order of multistep step k, with `behind` nodes to look at. */
static int multistep_order(const struct rd_walk *r, int k, int behind)
{
	const struct rd_solver *s = r->s;
	int left = r->g->steps - k;
	bool lowered = !s->high_order_final && r->g->steps < SHORT_RUN;
	const struct rd_node *from = &r->g->from[k], *to = &r->g->to[k];

	if (!finite_lambda(to) || (left == 1 && (lowered || s->euler_at_final)))
		return 1;
	if (fabs(log(to->alpha * from->sigma / (to->sigma * from->alpha))) < 1e-9) /* no step to speak of: phi would be 0/0 */
		return 1;
	return at_most(at_most(s->order, behind), left == 2 && lowered ? 2 : RD_MAX_ORDER);
}

/* dpm and deis, multistep. */
static int multistep_step(struct rd_walk *r, int k, struct rd_err *e)
{
	const struct rd_node *s[RD_MAX_ORDER];
	int order = multistep_order(r, k, nodes_behind(r, k, s)), rc;
	struct rd_step_weights w;

	if (order <= 1) {
		rc = first_order_step(r, k, e);
		remember(r);
		return rc;
	}
	if (r->s->family == RD_DEIS)
		rd_deis_weights(&w, order, &r->g->to[k], s);
	else
		rd_dpm_weights(&w, r->s, order, &r->g->to[k], s);
	remember(r);
	return apply(r, &w, r->x, r->x, e);
}

/* The place of step k in its cycle 1, 2 .. order; what is left over at the end of a run makes shorter cycles, and the last
 * step is of order 1 where it ends at sigma = 0. */
static int singlestep_order(const struct rd_walk *r, int k)
{
	int order = r->s->order, steps = r->g->steps, left = steps - k, place = k % order + 1;
	bool to_data = !finite_lambda(&r->g->to[steps - 1]), lowered = to_data || !r->s->high_order_final || steps % order;

	if (lowered && order == 3 && steps % 3 == 0 && left <= 3)
		return left == 2 ? 2 : 1; /* 1, 2 and 1 */
	if (left == 1 && ((lowered && order == 2) || to_data))
		return 1;
	return place;
}

static int singlestep_step(struct rd_walk *r, int k, struct rd_err *e)
{
	const struct rd_node *s[RD_MAX_ORDER];
	int behind = nodes_behind(r, k, s), order = at_most(singlestep_order(r, k), r->order + 1), rc;
	struct rd_step_weights w;

	if (order == 1 || !finite_lambda(&r->g->to[k])) {
		rc = rd_lincomb(&r->o->lin, 1, r->x, 0, NULL, r->o->base, e);
		if (!rc)
			rc = first_order_step(r, k, e);
		r->order = behind > 0; /* a cycle begins only where lambda is finite */
		remember(r);
		return rc;
	}
	rd_dpm_weights(&w, r->s, order, &r->g->to[k], s);
	r->order = order;
	remember(r);
	return apply(r, &w, r->o->base, r->x, e);
}

static bool corrected(const struct rd_walk *r, int k)
{
	for (int i = 0; i < r->s->n_uncorrected; i++)
		if (r->s->uncorrected[i] == k - 1)
			return false;
	return k > 0 && finite_lambda(&r->g->from[k - 1]) && finite_lambda(&r->g->from[k]);
}

/* The step before, done again now that the output at its end is known (history[0], after remember). */
static int correct(struct rd_walk *r, int k, struct rd_err *e)
{
	const struct rd_node *s[RD_MAX_ORDER];
	int behind = nodes_behind(r, k - 1, s);
	struct rd_step_weights w;

	rd_unipc_correct(&w, r->s, at_most(r->order, behind), &r->g->from[k], s);
	return apply(r, &w, r->o->base, r->x, e);
}

static int unipc_step(struct rd_walk *r, int k, struct rd_err *e)
{
	struct rd_ode *o = r->o;
	const struct rd_node *s[RD_MAX_ORDER], *t = &r->g->to[k];
	int behind = nodes_behind(r, k, s), left = r->g->steps - k, order, rc = 0;
	void *x0 = o->x0, *eps = o->eps;
	struct rd_step_weights w;

	order = at_most(r->s->order, k + 1);
	if (!r->s->high_order_final)
		order = at_most(order, left);
	remember(r);
	if (corrected(r, k))
		rc = correct(r, k, e);
	if (!rc)
		rc = rd_lincomb(&o->lin, 1, r->x, 0, NULL, o->base, e);
	r->order = order = at_most(order, behind);
	if (rc)
		return rc;
	if (order < 1) /* from alpha = 0: x is x0 and eps together, and the output not in the history's form alone */
		return rd_lincomb(&o->lin, t->alpha, x0, t->sigma, eps, r->x, e);
	if (!finite_lambda(t)) {
		w = (struct rd_step_weights){.n = 1};
		w.x = r->s->data ? t->sigma / s[0]->sigma : t->alpha / s[0]->alpha;
		w.m[0] = r->s->data ? t->alpha - s[0]->alpha * w.x : t->sigma - s[0]->sigma * w.x;
	} else {
		rd_unipc_predict(&w, r->s, order, t, s);
	}
	return apply(r, &w, r->x, r->x, e);
}

/* -------------------------------------------------------------------------------------------------------------------- */

typedef int (*step_fn)(struct rd_walk *r, int k, struct rd_err *e);

static step_fn step_of(const struct rd_solver *s)
{
	switch (s->family) {
	case RD_DDIM:
	case RD_EULER: return rd_ddim_step;
	case RD_HEUN:
	case RD_RK4: return rd_rk_step;
	case RD_UNIPC: return unipc_step;
	default: return s->singlestep && s->order > 1 ? singlestep_step : multistep_step;
	}
}

int rd_ode_solve(struct rd_ode *o, const struct rd_solver *s, const struct rd_grid *g, void *x, rd_denoise_fn denoise,
                 rd_observe_fn observe, void *ctx, struct rd_err *e)
{
	struct rd_walk r = {.o = o, .s = s, .g = g, .x = x, .denoise = denoise, .ctx = ctx};
	step_fn step = step_of(s);
	int rc = 0;

	if (rd_solver_chooses_steps(s))
		return rd_fail(e, RD_EUSAGE, "%s: no solver of given steps", rd_solver_name(s));
	for (int k = 0; k < g->steps && !rc; k++) {
		rc = denoise(ctx, &g->from[k], x, o->x0, o->eps, e);
		if (!rc && observe)
			rc = observe(ctx, k, &g->from[k], x, o->x0, o->eps, e);
		if (!rc)
			rc = step(&r, k, e);
	}
	if (!rc && observe)
		rc = observe(ctx, g->steps, &g->to[g->steps - 1], x, NULL, NULL, e);
	return rc;
}
