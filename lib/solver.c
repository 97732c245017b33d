#include "lib/solver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

const char *const rd_solver_names[] = {"ddim", "euler", "heun", "dpm++2m", NULL};

struct rd_ode {
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_dims d;
	void *x0, *eps, *old_x0, *tmp, *eps2; /* activations */
	void *coef[2];                        /* [n] f32 */
	float *host;                          /* [n] */
};

struct rd_run {
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
	o->be = be;
	o->dev = dev;
	o->d = d;
	rc = rd_alloc(&p, (size_t)d.n, sizeof *o->host, "solver", e);
	if (rc)
		goto fail;
	o->host = p;
	void **bufs[] = {&o->x0, &o->eps, &o->old_x0, &o->tmp, &o->eps2};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs && !rc; i++)
		rc = be->alloc(dev, bufs[i], be->act_bytes(d), e);
	for (int i = 0; i < 2 && !rc; i++)
		rc = be->alloc(dev, &o->coef[i], (size_t)d.n * sizeof(float), e);
	if (rc)
		goto fail;
	*out = o;
	return RD_OK;
fail:
	rd_ode_free(o);
	return rc;
}

void rd_ode_free(struct rd_ode *o)
{
	if (!o)
		return;
	void *bufs[] = {o->x0, o->eps, o->old_x0, o->tmp, o->eps2, o->coef[0], o->coef[1]};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		if (bufs[i])
			o->be->release(o->dev, bufs[i]);
	free(o->host);
	free(o);
}

/* out = a x + b y for all images alike. */
static int lin(struct rd_ode *o, double a, const void *x, double b, const void *y, void *out, struct rd_err *e)
{
	double v[2] = {a, b};
	int rc = 0;

	for (int i = 0; i < 2 && !rc; i++) {
		for (int64_t k = 0; k < o->d.n; k++)
			o->host[k] = (float)v[i];
		rc = o->be->put(o->dev, o->coef[i], o->host, (size_t)o->d.n * sizeof(float), e);
	}
	return rc ? rc : o->be->combine(o->dev, o->d, o->coef[0], x, o->coef[1], y, out, e);
}

static int ddim_step(struct rd_run *r, int k, struct rd_err *e)
{
	const struct rd_node *t = &r->g->to[k];

	return lin(r->o, t->alpha, r->o->x0, t->sigma, r->o->eps, r->x, e);
}

/* y_t = y_s + (n_t - n_s) eps; where alpha_s is 0, y is not there and the step is ddim's. */
static int euler_step(struct rd_run *r, int k, struct rd_err *e)
{
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k];

	if (!(s->alpha > 0))
		return ddim_step(r, k, e);
	return lin(r->o, t->alpha / s->alpha, r->x, t->sigma - t->alpha * s->sigma / s->alpha, r->o->eps, r->x, e);
}

/* y_t = y_s + (n_t - n_s)(eps_s + eps_t)/2 with eps_t at the end of Euler's step. */
static int heun_step(struct rd_run *r, int k, struct rd_err *e)
{
	struct rd_ode *o = r->o;
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k];
	double slope;
	int rc;

	if (!(t->sigma > 0) || !(s->alpha > 0))
		return euler_step(r, k, e);
	slope = t->sigma - t->alpha * s->sigma / s->alpha;
	rc = lin(o, t->alpha / s->alpha, r->x, slope, o->eps, o->tmp, e);
	if (!rc)
		rc = r->denoise(r->ctx, t, o->tmp, o->old_x0, o->eps2, e);
	if (!rc)
		rc = lin(o, 0.5, o->eps, 0.5, o->eps2, o->eps2, e);
	return rc ? rc : lin(o, t->alpha / s->alpha, r->x, slope, o->eps2, r->x, e);
}

/* x_t = sigma_t/sigma_s x + alpha_t (1 - exp(-h)) D with h = lambda_t - lambda_s, D = x0 + (x0 - x0')/(2 r), r = h'/h. */
static int dpmpp2m_step(struct rd_run *r, int k, struct rd_err *e)
{
	struct rd_ode *o = r->o;
	const struct rd_node *s = &r->g->from[k], *t = &r->g->to[k], *q = k ? &r->g->from[k - 1] : NULL;
	double ratio = t->alpha > 0 ? t->sigma * s->alpha / (t->alpha * s->sigma) : 1; /* exp(-h) */
	const void *d = o->x0;
	int rc = 0;

	if (q && q->alpha > 0 && t->sigma > 0) {
		double h = -log(ratio), hq = log(s->alpha / s->sigma) - log(q->alpha / q->sigma), w = h / (2 * hq);

		rc = lin(o, 1 + w, o->x0, -w, o->old_x0, o->tmp, e);
		d = o->tmp;
	}
	if (!rc)
		rc = lin(o, t->sigma / s->sigma, r->x, t->alpha * (1 - ratio), d, r->x, e);
	if (!rc) { /* this step's x0 is the next one's history */
		void *swap = o->old_x0;

		o->old_x0 = o->x0;
		o->x0 = swap;
	}
	return rc;
}

static int (*const steps[])(struct rd_run *r, int k, struct rd_err *e) = {
	[RD_SOLVER_DDIM] = ddim_step,
	[RD_SOLVER_EULER] = euler_step,
	[RD_SOLVER_HEUN] = heun_step,
	[RD_SOLVER_DPMPP2M] = dpmpp2m_step,
};

int rd_ode_solve(struct rd_ode *o, enum rd_solver s, const struct rd_grid *g, void *x, rd_denoise_fn denoise,
                 rd_observe_fn observe, void *ctx, struct rd_err *e)
{
	struct rd_run r = {.o = o, .g = g, .x = x, .denoise = denoise, .ctx = ctx};
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
