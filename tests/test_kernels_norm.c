/* Group normalisation of every backend, fused with the channel add, scale and shift and the activation, against
 * double. */
#include "tests/kernels.h"

#define TOL 4e-6

struct norm {
	struct rd_groupnorm_desc p;
	const float *x, *chan, *gamma, *beta, *ss, *dy;
	/* the reference: y and the gradients */
	double *y, *dx, *dchan, *dgamma, *dbeta, *dss, *stats;
};

/* Image n, channel c, pixel i: the place in NCHW. */
static int64_t at(const struct norm *r, int64_t n, int64_t c, int64_t i)
{
	return (n * r->p.d.c + c) * r->p.d.h * r->p.d.w + i;
}

static double input(const struct norm *r, int64_t n, int64_t c, int64_t i)
{
	return (double)r->x[at(r, n, c, i)] + (r->chan ? (double)r->chan[n * r->p.d.c + c] : 0.0);
}

/* One group of one image. Backward by the chain rule, step by step: act, scale and shift, affine, normalisation. */
static void group(struct norm *r, int64_t n, int64_t lo, int64_t hi, double *dxn)
{
	int64_t px = r->p.d.h * r->p.d.w, c = r->p.d.c;
	double m = 0.0, v = 0.0, rstd, s1 = 0.0, s2 = 0.0, count = (double)((hi - lo) * px);

	for (int64_t k = lo * px; k < hi * px; k++)
		m += input(r, n, k / px, k % px) / count;
	for (int64_t k = lo * px; k < hi * px; k++)
		v += (input(r, n, k / px, k % px) - m) * (input(r, n, k / px, k % px) - m) / count;
	rstd = 1.0 / sqrt(v + (double)r->p.eps);
	r->stats[(n * r->p.groups + lo / (hi - lo)) * 2] = m;
	r->stats[(n * r->p.groups + lo / (hi - lo)) * 2 + 1] = rstd;
	for (int64_t k = lo * px; k < hi * px; k++) {
		int64_t l = k / px, i = at(r, n, l, k % px);
		double xn = (input(r, n, l, k % px) - m) * rstd, slope;
		double aff = xn * (double)r->gamma[l] + (double)r->beta[l];
		double sc = r->ss ? 1.0 + (double)r->ss[n * 2 * c + l] : 1.0, sh = r->ss ? (double)r->ss[n * 2 * c + c + l] : 0.0;
		double g;

		r->y[i] = kt_activation((int)r->p.act, aff * sc + sh, &slope);
		g = (double)r->dy[i] * slope;
		r->dss[n * 2 * c + l] += g * aff;
		r->dss[n * 2 * c + c + l] += g;
		r->dgamma[l] += g * sc * xn;
		r->dbeta[l] += g * sc;
		dxn[k] = g * sc * (double)r->gamma[l];
		s1 += dxn[k] / count;
		s2 += dxn[k] * xn / count;
	}
	for (int64_t k = lo * px; k < hi * px; k++) {
		double xn = (input(r, n, k / px, k % px) - m) * rstd, d = rstd * (dxn[k] - s1 - xn * s2);

		r->dx[at(r, n, k / px, k % px)] = d;
		r->dchan[n * c + k / px] += d;
	}
}

static void reference(struct kt *k, struct norm *r)
{
	int64_t n = rd_dims_elems(r->p.d), c = r->p.d.c, width = c / r->p.groups;
	double *dxn = kt_zeros(k, n);

	r->y = kt_zeros(k, n);
	r->dx = kt_zeros(k, n);
	r->dchan = kt_zeros(k, r->p.d.n * c);
	r->dss = kt_zeros(k, r->p.d.n * c * 2);
	r->dgamma = kt_zeros(k, c);
	r->dbeta = kt_zeros(k, c);
	r->stats = kt_zeros(k, r->p.d.n * r->p.groups * 2);
	for (int64_t i = 0; i < r->p.d.n; i++)
		for (int64_t g = 0; g < r->p.groups; g++)
			group(r, i, g * width, (g + 1) * width, dxn);
}

struct device_in {
	void *x, *chan, *ss, *dy, *ws;
	float *gamma, *beta, *stats;
};

/* mask: 1 dx, 2 dchan, 4 dgamma, 8 dbeta, 16 dss; acc: 1 dx, 2 dchan, 4 dss. in_place: dx is dy. */
static void backward(struct kt *k, const struct norm *r, const struct device_in *in, int mask, int acc, int in_place)
{
	struct rd_dims d = r->p.d, dc = { d.n, d.c, 1, 1 }, ds = { d.n, 2 * d.c, 1, 1 };
	int64_t n = rd_dims_elems(d), nc = d.n * d.c;
	float *x0 = kt_random(k, n, 20), *c0 = kt_random(k, nc, 21), *s0 = kt_random(k, 2 * nc, 22);
	float *g0 = kt_random(k, d.c, 23);
	void *dy = kt_act(k, d, r->dy);
	void *dx = in_place ? dy : mask & 1 ? kt_out(k, d, acc & 1, x0) : NULL;
	void *dchan = mask & 2 && r->chan ? kt_out(k, dc, acc & 2, c0) : NULL;
	void *dss = mask & 16 && r->ss ? kt_out(k, ds, acc & 4, s0) : NULL;
	float *dgamma = mask & 4 ? kt_flat(k, d.c, g0) : NULL, *dbeta = mask & 8 ? kt_flat(k, d.c, g0) : NULL;
	struct norm w;

	CHECK_OK(k->be->groupnorm_bwd(k->dev, &r->p, in->x, in->chan, in->gamma, in->beta, in->ss, in->stats, dy, dx,
	                              acc & 1, dchan, acc >> 1 & 1, dgamma, dbeta, dss, acc >> 2 & 1, in->ws, &k->e), &k->e);
	w = *r;
	reference(k, &w);
	kt_acc(w.dx, x0, n, acc & 1);
	kt_acc(w.dchan, c0, nc, acc & 2);
	kt_acc(w.dss, s0, 2 * nc, acc & 4);
	kt_acc(w.dgamma, g0, d.c, 1);
	kt_acc(w.dbeta, g0, d.c, 1);
	if (dx)
		kt_near(k, "groupnorm dx", kt_get_act(k, d, dx), w.dx, n, TOL);
	if (dchan)
		kt_near(k, "groupnorm dchan", kt_get_act(k, dc, dchan), w.dchan, nc, TOL);
	if (dss)
		kt_near(k, "groupnorm dss", kt_get_act(k, ds, dss), w.dss, 2 * nc, TOL);
	if (dgamma)
		kt_near(k, "groupnorm dgamma", kt_get(k, d.c, dgamma), w.dgamma, d.c, TOL);
	if (dbeta)
		kt_near(k, "groupnorm dbeta", kt_get(k, d.c, dbeta), w.dbeta, d.c, TOL);
}

/* opts: 1 chan, 2 scale_shift. offset moves the input away from zero. */
static void norm(struct kt *k, const struct rd_groupnorm_desc *p, int opts, float offset, unsigned seed)
{
	struct rd_dims d = p->d, dc = { d.n, d.c, 1, 1 }, ds = { d.n, 2 * d.c, 1, 1 };
	int64_t n = rd_dims_elems(d), n_stats = d.n * p->groups * 2;
	float *x = kt_random(k, n, seed);
	struct norm r = {
		.p = *p,
		.x = x,
		.chan = opts & 1 ? kt_random(k, d.n * d.c, 2) : NULL,
		.gamma = kt_random(k, d.c, 3),
		.beta = kt_random(k, d.c, 4),
		.ss = opts & 2 ? kt_random(k, d.n * d.c * 2, 5) : NULL,
		.dy = kt_random(k, n, 6),
	};
	struct device_in in;
	void *y = kt_out(k, d, 0, NULL);

	for (int64_t i = 0; i < n; i++)
		x[i] = 1.5f * x[i] + offset;
	kt_round(k, x, n);
	reference(k, &r);
	in.x = kt_act(k, d, r.x);
	in.chan = r.chan ? kt_act(k, dc, r.chan) : NULL;
	in.ss = r.ss ? kt_act(k, ds, r.ss) : NULL;
	in.gamma = kt_flat(k, d.c, r.gamma);
	in.beta = kt_flat(k, d.c, r.beta);
	in.stats = kt_poison(k, (size_t)n_stats * sizeof(float));
	in.ws = kt_poison(k, k->be->groupnorm_ws_bytes(p));
	CHECK_OK(k->be->groupnorm_fwd(k->dev, p, in.x, in.chan, in.gamma, in.beta, in.ss, y, in.stats, in.ws, &k->e), &k->e);
	kt_near(k, "groupnorm y", kt_get_act(k, d, y), r.y, n, TOL);
	kt_near(k, "groupnorm stats", kt_get(k, n_stats, in.stats), r.stats, n_stats, 1e-6);
	backward(k, &r, &in, 31, (int)seed & 7, 0);
	backward(k, &r, &in, 31, (int)seed & 6, 1);
	backward(k, &r, &in, (int)(seed % 31), (int)seed >> 5 & 7, 0);
	kt_free(k);
}

/* Large enough for all threads, few images and many; a mean ten times the spread. CUDA gives an image's groups to one block
 * up to some size: then one that is just that large, of 256 channels, of odd channels, of many slabs and a last one that
 * is smaller, with groups of one channel; and beyond it, by pixels and by channels, in packs and one by one. */
static const struct {
	struct rd_groupnorm_desc p;
	int opts;
	float offset;
	unsigned seed;
} shaped[] = {
	{ { { 2, 32, 28, 28 }, 8, 1e-5f, RD_ACT_SILU }, 3, 0.0f, 39 },
	{ { { 5, 64, 14, 14 }, 32, 1e-5f, RD_ACT_SILU }, 1, 0.0f, 32 },
	{ { { 1, 128, 16, 16 }, 32, 1e-6f, RD_ACT_NONE }, 0, 10.0f, 40 },
	{ { { 1, 8, 64, 64 }, 2, 1e-5f, RD_ACT_SILU }, 2, 0.0f, 39 },
	{ { { 2, 256, 3, 5 }, 1, 1e-5f, RD_ACT_SILU }, 3, 0.0f, 41 },
	{ { { 1, 251, 2, 2 }, 1, 1e-5f, RD_ACT_MISH }, 3, 0.0f, 42 },
	{ { { 160, 40, 3, 3 }, 40, 1e-5f, RD_ACT_SILU }, 3, 0.0f, 43 },
	{ { { 1, 8, 65, 64 }, 2, 1e-5f, RD_ACT_SILU }, 1, 0.0f, 44 },
	{ { { 2, 96, 19, 19 }, 1, 1e-5f, RD_ACT_SILU }, 3, 10.0f, 45 },
	{ { { 3, 17, 16, 16 }, 1, 1e-5f, RD_ACT_SILU }, 3, 0.0f, 46 },
	{ { { 3, 264, 1, 1 }, 1, 1e-5f, RD_ACT_NONE }, 3, 0.0f, 39 },
	{ { { 2, 301, 3, 5 }, 1, 1e-5f, RD_ACT_RELU }, 0, 0.0f, 47 },
};

static void norms(struct kt *k)
{
	unsigned seed = 0;

	for (size_t c = 0; c < KT_N(kt_channels); c++)
		for (size_t h = 0; h < KT_N(kt_sizes); h++)
			for (int act_kind = 0; act_kind < RD_N_ACTS; act_kind++, seed++) {
				int64_t ch = kt_channels[c], w = kt_sizes[(h + seed) % KT_N(kt_sizes)];
				struct rd_groupnorm_desc p = {
					.d = { 1 + seed % 4, ch, kt_sizes[h], w },
					.groups = ch % 8 == 0 && seed % 2 ? 8 : ch % 3 == 0 ? 3 : 1,
					.eps = seed % 3 ? 1e-5f : 1e-6f,
					.act = (enum rd_act)((act_kind + (int)seed / 12) % RD_N_ACTS), /* what kt_skip leaves has all */
				};

				/* a single value normalises to 0 with a slope of 1 / sqrt(eps) */
				if (!kt_skip(k, (int)seed) && ch / p.groups * p.d.h * p.d.w > 1)
					norm(k, &p, (int)(seed % 4), 0.0f, seed);
			}
	for (size_t i = 0; i < KT_N(shaped); i++)
		norm(k, &shaped[i].p, shaped[i].opts, shaped[i].offset, shaped[i].seed);
}

int main(void)
{
	kt_each(norms);
	return check_report("kernels_norm");
}
