/* Layer normalisation, its adaptive form and that by the root mean square, of every backend against double; on the CPU the same bits with every instruction
 * set and any number of threads. */
#include "tests/kernels.h"

#define TOL 1e-6

enum kind { PLAIN, ADAPTIVE, RMS, N_KINDS };

/* The gain is one + gamma; image n's gamma and beta are those of image 0, or `pitch` n after them: in the adaptive form, which
 * has shift_scale [n][2c], beta is its shift and gamma its scale. The gradients lie as these do. By the root mean square the mean
 * is 0 and beta is not looked at. */
struct layer {
	struct rd_layernorm_desc p;
	enum kind kind;
	int64_t pitch, n_params; /* of gamma and beta together */
	double one;
	const float *x, *params, *gamma, *beta, *dy;
	double *y, *mean, *rstd, *dx, *dparams, *dgamma, *dbeta; /* the reference */
};

/* Pixel i of image n; channels lie `px` apart. */
static void pixel(const struct layer *r, int64_t n, int64_t i)
{
	int64_t px = r->p.d.h * r->p.d.w, c = r->p.d.c, first = n * c * px + i;
	const float *gamma = r->gamma + n * r->pitch, *beta = r->beta + n * r->pitch;
	double m = 0.0, v = 0.0, s1 = 0.0, s2 = 0.0, rstd;

	for (int64_t l = 0; l < c && r->kind != RMS; l++)
		m += (double)r->x[first + l * px] / (double)c;
	for (int64_t l = 0; l < c; l++)
		v += ((double)r->x[first + l * px] - m) * ((double)r->x[first + l * px] - m) / (double)c;
	rstd = 1.0 / sqrt(v + (double)r->p.eps);
	r->mean[n * px + i] = m;
	r->rstd[n * px + i] = rstd;
	for (int64_t l = 0; l < c; l++) {
		int64_t at = first + l * px;
		double xn = ((double)r->x[at] - m) * rstd, gain = r->one + (double)gamma[l], g = gain * (double)r->dy[at];

		r->y[at] = gain * xn + (r->kind == RMS ? 0.0 : (double)beta[l]);
		r->dgamma[n * r->pitch + l] += (double)r->dy[at] * xn;
		r->dbeta[n * r->pitch + l] += (double)r->dy[at];
		s1 += r->kind == RMS ? 0.0 : g / (double)c;
		s2 += g * xn / (double)c;
	}
	for (int64_t l = 0; l < c; l++) {
		int64_t at = first + l * px;
		double g = (r->one + (double)gamma[l]) * (double)r->dy[at];

		r->dx[at] = rstd * (g - s1 - ((double)r->x[at] - m) * rstd * s2);
	}
}

static void reference(struct kt *k, struct layer *r)
{
	int64_t n = rd_dims_elems(r->p.d), px = r->p.d.h * r->p.d.w, c = r->p.d.c;

	r->y = kt_zeros(k, n);
	r->mean = kt_zeros(k, r->p.d.n * px);
	r->rstd = kt_zeros(k, r->p.d.n * px);
	r->dx = kt_zeros(k, n);
	r->dparams = kt_zeros(k, r->n_params);
	r->dbeta = r->dparams;
	r->dgamma = r->dparams + c;
	for (int64_t i = 0; i < r->p.d.n * px; i++)
		pixel(r, i / px, i % px);
}

static struct layer layer(struct kt *k, const struct rd_layernorm_desc *p, enum kind kind, float offset, float spread)
{
	int64_t n = rd_dims_elems(p->d), n_params = 2 * p->d.c * (kind == ADAPTIVE ? p->d.n : 1);
	float *x = kt_random(k, n, 1), *params = kt_random(k, n_params, 2);
	struct layer r = {
		.p = *p,
		.kind = kind,
		.pitch = kind == ADAPTIVE ? 2 * p->d.c : 0,
		.n_params = n_params,
		.one = kind == ADAPTIVE,
		.x = x,
		.params = params,
		.beta = params,
		.gamma = params + p->d.c,
		.dy = kt_random(k, n, 4),
	};

	for (int64_t i = 0; i < n; i++)
		x[i] = spread * x[i] + offset;
	kt_round(k, x, n);
	return r;
}

/* shift_scale as the backends take it. */
static struct rd_dims shape_ss(const struct layer *r)
{
	return (struct rd_dims){ r->p.d.n, 2 * r->p.d.c, 1, 1 };
}

struct device_in {
	void *x, *ws, *ss;
	float *params, *stats; /* beta, gamma */
};

static size_t ws_bytes(struct kt *k, const struct layer *r)
{
	if (r->kind == ADAPTIVE)
		return k->be->adanorm_ws_bytes(k->dev, &r->p);
	return (r->kind == RMS ? k->be->rmsnorm_ws_bytes : k->be->layernorm_ws_bytes)(k->dev, &r->p);
}

static struct device_in device_in(struct kt *k, const struct layer *r)
{
	int64_t rows = r->p.d.n * r->p.d.h * r->p.d.w;
	int adaptive = r->kind == ADAPTIVE;

	return (struct device_in){
		.x = kt_act(k, r->p.d, r->x),
		.ws = kt_poison(k, ws_bytes(k, r)),
		.ss = adaptive ? kt_act(k, shape_ss(r), r->params) : NULL,
		.params = adaptive ? NULL : kt_flat(k, r->n_params, r->params),
		.stats = kt_poison(k, (size_t)rows * 2 * sizeof(float)),
	};
}

static void run_fwd(struct kt *k, const struct layer *r, const struct device_in *in, void *y)
{
	int64_t c = r->p.d.c;

	if (r->kind == ADAPTIVE)
		CHECK_OK(k->be->adanorm_fwd(k->dev, &r->p, in->x, in->ss, y, in->stats, &k->e), &k->e);
	else if (r->kind == RMS)
		CHECK_OK(k->be->rmsnorm_fwd(k->dev, &r->p, in->x, in->params + c, y, in->stats, &k->e), &k->e);
	else
		CHECK_OK(k->be->layernorm_fwd(k->dev, &r->p, in->x, in->params + c, in->params, y, in->stats, &k->e), &k->e);
}

/* Gradients of the parameters: from g0 on, or where acc_dss is 0 from nothing. */
struct grads {
	void *dss;
	int acc_dss;
	float *dbeta, *dgamma;
};

static void run_bwd(struct kt *k, const struct layer *r, const struct device_in *in, const void *dy, void *dx, int acc,
                    const struct grads *g)
{
	const struct rd_layernorm_desc *p = &r->p;

	if (r->kind == ADAPTIVE)
		CHECK_OK(k->be->adanorm_bwd(k->dev, p, in->x, in->ss, in->stats, dy, dx, acc, g->dss, g->acc_dss, in->ws, &k->e), &k->e);
	else if (r->kind == RMS)
		CHECK_OK(k->be->rmsnorm_bwd(k->dev, p, in->x, in->params + p->d.c, in->stats, dy, dx, acc, g->dgamma, in->ws, &k->e), &k->e);
	else
		CHECK_OK(k->be->layernorm_bwd(k->dev, p, in->x, in->params + p->d.c, in->stats, dy, dx, acc, g->dgamma, g->dbeta, in->ws,
		                              &k->e), &k->e);
}

/* mask: 1 dx, 2 dgamma or dshift_scale, 4 dbeta or that this is added to. in_place: dx is dy. */
static void backward(struct kt *k, const struct layer *r, const struct device_in *in, int mask, int acc, int in_place)
{
	struct rd_dims d = r->p.d;
	int64_t n = rd_dims_elems(d), c = d.c;
	float *x0 = kt_random(k, n, 20), *g0 = kt_random(k, r->n_params, 21);
	double *want = kt_zeros(k, n), *wp = kt_zeros(k, r->n_params);
	void *dy = kt_act(k, d, r->dy), *dx = in_place ? dy : mask & 1 ? kt_out(k, d, acc, x0) : NULL;
	struct grads g = { .acc_dss = mask >> 2 & 1 };

	if (r->kind == ADAPTIVE) {
		g.dss = mask & 2 ? kt_out(k, shape_ss(r), g.acc_dss, g0) : NULL;
	} else {
		g.dbeta = mask & 4 && r->kind == PLAIN ? kt_flat(k, c, g0) : NULL;
		g.dgamma = mask & 2 ? kt_flat(k, c, g0 + c) : NULL;
	}
	run_bwd(k, r, in, dy, dx, acc, &g);
	memcpy(want, r->dx, (size_t)n * sizeof *want);
	memcpy(wp, r->dparams, (size_t)r->n_params * sizeof *wp);
	kt_acc(want, x0, n, acc);
	kt_acc(wp, g0, r->n_params, r->kind != ADAPTIVE || g.acc_dss);
	if (dx)
		kt_near(k, "layernorm dx", kt_get_act(k, d, dx), want, n, TOL);
	if (g.dss)
		kt_near(k, "adanorm dshift_scale", kt_get_act(k, shape_ss(r), g.dss), wp, r->n_params, TOL);
	if (g.dbeta)
		kt_near(k, "layernorm dbeta", kt_get(k, c, g.dbeta), wp, c, TOL);
	if (g.dgamma)
		kt_near(k, "layernorm dgamma", kt_get(k, c, g.dgamma), wp + c, c, TOL);
}

static void norm(struct kt *k, const struct rd_layernorm_desc *p, enum kind kind, float offset, float spread)
{
	struct rd_dims d = p->d;
	int64_t n = rd_dims_elems(d), rows = d.n * d.h * d.w;
	struct layer r = layer(k, p, kind, offset, spread);
	struct device_in in = device_in(k, &r);
	void *y = kt_out(k, d, 0, NULL);
	float *stats, *mean = kt_host(k, (size_t)rows, sizeof *mean), *rstd = kt_host(k, (size_t)rows, sizeof *rstd);

	reference(k, &r);
	run_fwd(k, &r, &in, y);
	stats = kt_get(k, 2 * rows, in.stats);
	for (int64_t i = 0; i < rows; i++) {
		mean[i] = stats[2 * i];
		rstd[i] = stats[2 * i + 1];
	}
	kt_near(k, "layernorm y", kt_get_act(k, d, y), r.y, n, TOL);
	kt_near(k, "layernorm mean", mean, r.mean, rows, 1e-6);
	kt_near(k, "layernorm 1/sqrt(var + eps)", rstd, r.rstd, rows, 1e-6);
	backward(k, &r, &in, 7, 0, 1);
	for (int mask = rows < 1000 ? 1 : 7; mask < 8; mask++)
		backward(k, &r, &in, mask, mask % 2 && mask > 2, 0);
	kt_free(k);
}

/* Everything that the first device of the CPU made of one case, for the others. */
static void same_bits(struct kt *k, enum kind kind)
{
	static const struct rd_layernorm_desc p = { { 3, 203, 40, 41 }, 1e-5f };
	static float *first[N_KINDS];
	struct layer r = layer(k, &p, kind, 0.0f, 1.5f);
	int64_t n = rd_dims_elems(p.d), rows = p.d.n * p.d.h * p.d.w, c = p.d.c, np = r.n_params;
	size_t all = (size_t)(2 * n + 2 * rows + np) * sizeof(float);
	struct device_in in = device_in(k, &r);
	void *dy = kt_act(k, p.d, r.dy), *y = kt_out(k, p.d, 0, NULL), *dx = kt_out(k, p.d, 0, NULL);
	float *dparams = kt_flat(k, np, r.params), *got = malloc(all), *at = got;
	const struct grads g = { kt_act(k, shape_ss(&r), kt_random(k, rd_dims_elems(shape_ss(&r)), 5)), 1, dparams, dparams + c };

	run_fwd(k, &r, &in, y);
	run_bwd(k, &r, &in, dy, dx, 0, &g);
	if (!got)
		exit(1);
	memcpy(at, kt_get_act(k, p.d, y), (size_t)n * sizeof *at);
	memcpy(at += n, kt_get_act(k, p.d, dx), (size_t)n * sizeof *at);
	memcpy(at += n, kt_get(k, 2 * rows, in.stats), (size_t)rows * 2 * sizeof *at);
	memcpy(at + 2 * rows, kind == ADAPTIVE ? kt_get_act(k, shape_ss(&r), g.dss) : kt_get(k, np, dparams), (size_t)np * sizeof *at);
	if (!first[kind])
		first[kind] = got;
	CHECK(memcmp(first[kind], got, all) == 0);
	if (first[kind] != got)
		free(got);
	kt_free(k);
}

/* A single channel is 0, normalised. Channels in packs and one by one, in lanes and past them, more than a warp's or a block's
 * packs; rows of one block and of several, then so many that blocks (CUDA) and units (CPU) have more of them, the last one
 * fewer, at last in many small images. Means far larger than the spread, up to where f32 has only some hundred numbers for it
 * and bf16 one. */
static const struct {
	struct rd_layernorm_desc p;
	float offset, spread;
} cases[] = {
	{ { { 1, 1, 1, 1 }, 1.0f }, 0.0f, 1.5f },
	{ { { 3, 1, 5, 5 }, 1.0f }, 3.0f, 1.5f },
	{ { { 3, 5, 1, 1 }, 1e-5f }, 0.0f, 1.5f },
	{ { { 2, 3, 7, 8 }, 1e-5f }, 0.0f, 1.5f },
	{ { { 2, 17, 3, 7 }, 1e-6f }, 0.0f, 1.5f },
	{ { { 1, 32, 8, 8 }, 1e-5f }, 10.0f, 1.5f },
	{ { { 2, 33, 3, 3 }, 1e-5f }, 0.0f, 1.5f },
	{ { { 3, 40, 7, 7 }, 1e-5f }, 1000.0f, 1.5f },
	{ { { 2, 96, 9, 5 }, 1e-5f }, 0.0f, 1.5f },
	{ { { 2, 300, 3, 3 }, 1e-5f }, 1000.0f, 0.01f },
	{ { { 2, 320, 4, 5 }, 1e-5f }, 1000.0f, 100.0f },
	{ { { 1, 1280, 3, 3 }, 1e-5f }, 0.0f, 1.5f },
	{ { { 1, 1283, 1, 2 }, 1e-5f }, 1000.0f, 0.01f },
	{ { { 1, 4104, 1, 2 }, 1e-6f }, 0.0f, 1.5f },
	{ { { 5, 7, 30, 28 }, 1e-5f }, 0.0f, 1.5f },
	{ { { 2, 24, 47, 45 }, 1e-5f }, 0.0f, 1.5f },
	{ { { 300, 9, 4, 4 }, 1e-5f }, 0.0f, 1.5f },
};

static void norms(struct kt *k)
{
	for (enum kind kind = PLAIN; kind < N_KINDS; kind++) {
		for (size_t i = 0; i < KT_N(cases); i++)
			norm(k, &cases[i].p, kind, cases[i].offset, cases[i].spread);
		if (k->threads)
			same_bits(k, kind);
	}
}

int main(void)
{
	kt_each(norms);
	return check_report("kernels_layernorm");
}
