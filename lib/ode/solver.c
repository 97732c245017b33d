#include "lib/ode/solver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/ode/lincomb.h"

const char *const rd_solver_names[] = {"ddim", "euler", "heun", "dpm++2m", NULL};

struct rd_ode {
	struct rd_lincomb lin;
	void *x0, *eps, *old_x0, *tmp, *eps2; /* samples */
};

struct walk {
	struct rd_ode *o;
	const struct rd_grid *g;
	void *x;
	rd_denoise_fn denoise;
	void *ctx;
};

int rd_solver_nfe(enum rd_solver s, const struct rd_grid *g)
{
	int n = g->steps;

	if (s == RD_SOLVER_HEUN)
		for (int k = 0; k < g->steps; k++)
			n += g->to[k].sigma > 0 && g->from[k].alpha > 0;
	return n;
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
	void **bufs[] = {&o->x0, &o->eps, &o->old_x0, &o->tmp, &o->eps2};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs && !rc; i++)
		rc = be->alloc(dev, bufs[i], be->sample_bytes(d), e);
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
	void *bufs[] = {o->x0, o->eps, o->old_x0, o->tmp, o->eps2};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		if (bufs[i])
			o->lin.be->release(o->lin.dev, bufs[i]);
	rd_lincomb_free(&o->lin);
	free(o);
}

static int ddim_step(struct walk *r, int k, struct rd_err *e)
{
	const struct rd_node *t = &r->g->to[k];

	return rd_lincomb(&r->o->lin, t->alpha, r->o->x0, t->sigma, r->o->eps, r->x, e);
}

/* y_t = y_s + (n_t - n_s) eps; where alpha_s is 0, y is not there and the step is ddim's. */
static int euler_step(struct walk *r, int k, struct rd_err *e)
{
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k];

	if (!(s->alpha > 0))
		return ddim_step(r, k, e);
	return rd_lincomb(&r->o->lin, t->alpha / s->alpha, r->x, t->sigma - t->alpha * s->sigma / s->alpha, r->o->eps, r->x, e);
}

/* y_t = y_s + (n_t - n_s)(eps_s + eps_t)/2 with eps_t at the end of Euler's step. */
static int heun_step(struct walk *r, int k, struct rd_err *e)
{
	struct rd_ode *o = r->o;
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k];
	double slope;
	int rc;

	if (!(t->sigma > 0) || !(s->alpha > 0))
		return euler_step(r, k, e);
	slope = t->sigma - t->alpha * s->sigma / s->alpha;
	rc = rd_lincomb(&o->lin, t->alpha / s->alpha, r->x, slope, o->eps, o->tmp, e);
	if (!rc)
		rc = r->denoise(r->ctx, t, o->tmp, o->old_x0, o->eps2, e);
	if (!rc)
		rc = rd_lincomb(&o->lin, 0.5, o->eps, 0.5, o->eps2, o->eps2, e);
	return rc ? rc : rd_lincomb(&o->lin, t->alpha / s->alpha, r->x, slope, o->eps2, r->x, e);
}

/* x_t = sigma_t/sigma_s x + alpha_t (1 - exp(-h)) D with h = lambda_t - lambda_s, D = x0 + (x0 - x0')/(2 r), r = h'/h. */
static int dpmpp2m_step(struct walk *r, int k, struct rd_err *e)
{
	struct rd_ode *o = r->o;
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k], *q = k ? &r->g->from[k - 1] : NULL;
	double ratio = t->alpha > 0 ? t->sigma * s->alpha / (t->alpha * s->sigma) : 1; /* exp(-h) */
	const void *d = o->x0;
	int rc = 0;

	if (q && q->alpha > 0 && t->sigma > 0) {
		double h = -log(ratio), hq = log(s->alpha / s->sigma) - log(q->alpha / q->sigma), w = h / (2 * hq);

		rc = rd_lincomb(&o->lin, 1 + w, o->x0, -w, o->old_x0, o->tmp, e);
		d = o->tmp;
	}
	if (!rc)
		rc = rd_lincomb(&o->lin, t->sigma / s->sigma, r->x, t->alpha * (1 - ratio), d, r->x, e);
	if (!rc) { /* this step's x0 is the next one's history */
		void *swap = o->old_x0;

		o->old_x0 = o->x0;
		o->x0 = swap;
	}
	return rc;
}

static int (*const steps[])(struct walk *r, int k, struct rd_err *e) = {
	[RD_SOLVER_DDIM] = ddim_step,
	[RD_SOLVER_EULER] = euler_step,
	[RD_SOLVER_HEUN] = heun_step,
	[RD_SOLVER_DPMPP2M] = dpmpp2m_step,
};

int rd_ode_solve(struct rd_ode *o, enum rd_solver s, const struct rd_grid *g, void *x, rd_denoise_fn denoise,
                 rd_observe_fn observe, void *ctx, struct rd_err *e)
{
	struct walk r = {.o = o, .g = g, .x = x, .denoise = denoise, .ctx = ctx};
	int rc = 0;

	for (int k = 0; k < g->steps && !rc; k++) {
		rc = denoise(ctx, &g->from[k], x, o->x0, o->eps, e);
		if (!rc && observe)
			rc = observe(ctx, k, &g->from[k], x, o->x0, o->eps, e);
		if (!rc)
			rc = steps[s](&r, k, e);
	}
	if (!rc && observe)
		rc = observe(ctx, g->steps, &g->to[g->steps - 1], x, NULL, NULL, e);
	return rc;
}
