/* Layer normalisation of every backend against double; on the CPU the same bits with every instruction set and any number of
 * threads. */
#include "tests/kernels.h"

#define TOL 1e-6

struct layer {
	struct rd_layernorm_desc p;
	const float *x, *gamma, *beta, *dy;
	double *y, *mean, *rstd, *dx, *dgamma, *dbeta; /* the reference */
};

/* Pixel i of image n; channels lie `px` apart. */
static void pixel(const struct layer *r, int64_t n, int64_t i)
{
	int64_t px = r->p.d.h * r->p.d.w, c = r->p.d.c, first = n * c * px + i;
	double m = 0.0, v = 0.0, s1 = 0.0, s2 = 0.0, rstd;

	for (int64_t l = 0; l < c; l++)
		m += (double)r->x[first + l * px] / (double)c;
	for (int64_t l = 0; l < c; l++)
		v += ((double)r->x[first + l * px] - m) * ((double)r->x[first + l * px] - m) / (double)c;
	rstd = 1.0 / sqrt(v + (double)r->p.eps);
	r->mean[n * px + i] = m;
	r->rstd[n * px + i] = rstd;
	for (int64_t l = 0; l < c; l++) {
		int64_t at = first + l * px;
		double xn = ((double)r->x[at] - m) * rstd, g = (double)r->gamma[l] * (double)r->dy[at];

		r->y[at] = (double)r->gamma[l] * xn + (double)r->beta[l];
		r->dgamma[l] += (double)r->dy[at] * xn;
		r->dbeta[l] += (double)r->dy[at];
		s1 += g / (double)c;
		s2 += g * xn / (double)c;
	}
	for (int64_t l = 0; l < c; l++) {
		int64_t at = first + l * px;

		r->dx[at] = rstd * ((double)r->gamma[l] * (double)r->dy[at] - s1 - ((double)r->x[at] - m) * rstd * s2);
	}
}

static void reference(struct kt *k, struct layer *r)
{
	int64_t n = rd_dims_elems(r->p.d), px = r->p.d.h * r->p.d.w;

	r->y = kt_zeros(k, n);
	r->mean = kt_zeros(k, r->p.d.n * px);
	r->rstd = kt_zeros(k, r->p.d.n * px);
	r->dx = kt_zeros(k, n);
	r->dgamma = kt_zeros(k, r->p.d.c);
	r->dbeta = kt_zeros(k, r->p.d.c);
	for (int64_t i = 0; i < r->p.d.n * px; i++)
		pixel(r, i / px, i % px);
}

static struct layer layer(struct kt *k, const struct rd_layernorm_desc *p, float offset, float spread)
{
	int64_t n = rd_dims_elems(p->d);
	float *x = kt_random(k, n, 1);
	struct layer r = {
		.p = *p,
		.x = x,
		.gamma = kt_random(k, p->d.c, 2),
		.beta = kt_random(k, p->d.c, 3),
		.dy = kt_random(k, n, 4),
	};

	for (int64_t i = 0; i < n; i++)
		x[i] = spread * x[i] + offset;
	kt_round(k, x, n);
	return r;
}

struct device_in {
	void *x, *ws;
	float *gamma, *beta, *stats;
};

static struct device_in device_in(struct kt *k, const struct layer *r)
{
	int64_t rows = r->p.d.n * r->p.d.h * r->p.d.w;

	return (struct device_in){
		.x = kt_act(k, r->p.d, r->x),
		.ws = kt_poison(k, k->be->layernorm_ws_bytes(k->dev, &r->p)),
		.gamma = kt_flat(k, r->p.d.c, r->gamma),
		.beta = kt_flat(k, r->p.d.c, r->beta),
		.stats = kt_poison(k, (size_t)rows * 2 * sizeof(float)),
	};
}

/* mask: 1 dx, 2 dgamma, 4 dbeta. in_place: dx is dy. */
static void backward(struct kt *k, const struct layer *r, const struct device_in *in, int mask, int acc, int in_place)
{
	struct rd_dims d = r->p.d;
	int64_t n = rd_dims_elems(d);
	float *x0 = kt_random(k, n, 20), *g0 = kt_random(k, d.c, 21);
	double *want = kt_zeros(k, n), *wg = kt_zeros(k, d.c), *wb = kt_zeros(k, d.c);
	void *dy = kt_act(k, d, r->dy), *dx = in_place ? dy : mask & 1 ? kt_out(k, d, acc, x0) : NULL;
	float *dgamma = mask & 2 ? kt_flat(k, d.c, g0) : NULL, *dbeta = mask & 4 ? kt_flat(k, d.c, g0) : NULL;

	CHECK_OK(k->be->layernorm_bwd(k->dev, &r->p, in->x, in->gamma, in->stats, dy, dx, acc, dgamma, dbeta, in->ws, &k->e),
	         &k->e);
	memcpy(want, r->dx, (size_t)n * sizeof *want);
	memcpy(wg, r->dgamma, (size_t)d.c * sizeof *wg);
	memcpy(wb, r->dbeta, (size_t)d.c * sizeof *wb);
	kt_acc(want, x0, n, acc);
	kt_acc(wg, g0, d.c, 1);
	kt_acc(wb, g0, d.c, 1);
	if (dx)
		kt_near(k, "layernorm dx", kt_get_act(k, d, dx), want, n, TOL);
	if (dgamma)
		kt_near(k, "layernorm dgamma", kt_get(k, d.c, dgamma), wg, d.c, TOL);
	if (dbeta)
		kt_near(k, "layernorm dbeta", kt_get(k, d.c, dbeta), wb, d.c, TOL);
}

static void norm(struct kt *k, const struct rd_layernorm_desc *p, float offset, float spread)
{
	struct rd_dims d = p->d;
	int64_t n = rd_dims_elems(d), rows = d.n * d.h * d.w;
	struct layer r = layer(k, p, offset, spread);
	struct device_in in = device_in(k, &r);
	void *y = kt_out(k, d, 0, NULL);
	float *stats, *mean = kt_host(k, (size_t)rows, sizeof *mean), *rstd = kt_host(k, (size_t)rows, sizeof *rstd);

	reference(k, &r);
	CHECK_OK(k->be->layernorm_fwd(k->dev, p, in.x, in.gamma, in.beta, y, in.stats, &k->e), &k->e);
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
static void same_bits(struct kt *k)
{
	static const struct rd_layernorm_desc p = { { 3, 203, 40, 41 }, 1e-5f };
	static float *first;
	int64_t n = rd_dims_elems(p.d), rows = p.d.n * p.d.h * p.d.w, c = p.d.c;
	size_t all = (size_t)(2 * n + 2 * rows + 2 * c) * sizeof(float);
	struct layer r = layer(k, &p, 0.0f, 1.5f);
	struct device_in in = device_in(k, &r);
	void *dy = kt_act(k, p.d, r.dy), *y = kt_out(k, p.d, 0, NULL), *dx = kt_out(k, p.d, 0, NULL);
	float *dgamma = kt_flat(k, c, r.beta), *dbeta = kt_flat(k, c, r.gamma), *got = malloc(all), *at = got;

	CHECK_OK(k->be->layernorm_fwd(k->dev, &p, in.x, in.gamma, in.beta, y, in.stats, &k->e), &k->e);
	CHECK_OK(k->be->layernorm_bwd(k->dev, &p, in.x, in.gamma, in.stats, dy, dx, 0, dgamma, dbeta, in.ws, &k->e), &k->e);
	if (!got)
		exit(1);
	memcpy(at, kt_get_act(k, p.d, y), (size_t)n * sizeof *at);
	memcpy(at += n, kt_get_act(k, p.d, dx), (size_t)n * sizeof *at);
	memcpy(at += n, kt_get(k, 2 * rows, in.stats), (size_t)rows * 2 * sizeof *at);
	memcpy(at += 2 * rows, kt_get(k, c, dgamma), (size_t)c * sizeof *at);
	memcpy(at + c, kt_get(k, c, dbeta), (size_t)c * sizeof *at);
	if (!first)
		first = got;
	CHECK(memcmp(first, got, all) == 0);
	if (first != got)
		free(got);
	kt_free(k);
}

/* A single channel is 0, normalised. Channels in packs and one by one, in lanes and past them, more than a warp's or a block's
 * packs; rows of one block and of several, then so many that blocks (CUDA) and units (CPU) have more of them, the last one
 * fewer. Means far larger than the spread, up to where f32 has only some hundred numbers for it and bf16 one. */
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
};

static void norms(struct kt *k)
{
	for (size_t i = 0; i < KT_N(cases); i++)
		norm(k, &cases[i].p, cases[i].offset, cases[i].spread);
	if (k->threads)
		same_bits(k);
}

int main(void)
{
	kt_each(norms);
	return check_report("kernels_layernorm");
}
