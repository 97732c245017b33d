/* Attention of every backend against double, forward and backward. */
#include "tests/kernels.h"

#define TOL 4e-6

struct ref {
	double *o, *p, *dq, *dk, *dv;
};

static struct rd_attention_desc desc;
static const float *q, *k_, *v, *dout;

/* Channel l of head h at token t of image n, in NCHW. */
static int64_t at(int64_t n, int64_t h, int64_t t, int64_t l)
{
	int64_t tokens = desc.d.h * desc.d.w, d = desc.d.c / desc.heads;

	return (n * desc.d.c + h * d + l) * tokens + t;
}

static void softmax(double *s, int64_t n)
{
	double m = s[0], sum = 0.0;

	for (int64_t j = 1; j < n; j++)
		m = fmax(m, s[j]);
	for (int64_t j = 0; j < n; j++)
		sum += s[j] = exp(s[j] - m);
	for (int64_t j = 0; j < n; j++)
		s[j] /= sum;
}

static void query(const struct ref *r, int64_t n, int64_t h, int64_t i, double *dp)
{
	int64_t tokens = desc.d.h * desc.d.w, d = desc.d.c / desc.heads;
	double *p = r->p + ((n * desc.heads + h) * tokens + i) * tokens, dot = 0.0;

	for (int64_t j = 0; j < tokens; j++)
		for (int64_t l = 0; l < d; l++)
			p[j] += (double)desc.scale * (double)q[at(n, h, i, l)] * (double)k_[at(n, h, j, l)];
	softmax(p, tokens);
	for (int64_t j = 0; j < tokens; j++) {
		dp[j] = 0.0;
		for (int64_t l = 0; l < d; l++) {
			r->o[at(n, h, i, l)] += p[j] * (double)v[at(n, h, j, l)];
			r->dv[at(n, h, j, l)] += p[j] * (double)dout[at(n, h, i, l)];
			dp[j] += (double)dout[at(n, h, i, l)] * (double)v[at(n, h, j, l)];
		}
		dot += p[j] * dp[j];
	}
	for (int64_t j = 0; j < tokens; j++)
		for (int64_t l = 0; l < d; l++) {
			double ds = (double)desc.scale * p[j] * (dp[j] - dot);

			r->dq[at(n, h, i, l)] += ds * (double)k_[at(n, h, j, l)];
			r->dk[at(n, h, j, l)] += ds * (double)q[at(n, h, i, l)];
		}
}

static struct ref reference(struct kt *k)
{
	int64_t n = rd_dims_elems(desc.d), tokens = desc.d.h * desc.d.w;
	struct ref r = {
		.o = kt_zeros(k, n),
		.p = kt_zeros(k, desc.d.n * desc.heads * tokens * tokens),
		.dq = kt_zeros(k, n),
		.dk = kt_zeros(k, n),
		.dv = kt_zeros(k, n),
	};
	double *dp = kt_zeros(k, tokens);

	for (int64_t i = 0; i < desc.d.n; i++)
		for (int64_t h = 0; h < desc.heads; h++)
			for (int64_t t = 0; t < tokens; t++)
				query(&r, i, h, t, dp);
	return r;
}

/* mask and acc: bits of dq, dk, dv. */
static void backward(struct kt *k, const void *const in[5], const float *probs, void *ws, int mask, int acc)
{
	static const char *const names[] = { "attention dq", "attention dk", "attention dv" };
	int64_t n = rd_dims_elems(desc.d);
	struct ref r = reference(k);
	double *want[] = { r.dq, r.dk, r.dv };
	float *start = kt_random(k, n, 9);
	void *g[3];

	for (int i = 0; i < 3; i++)
		g[i] = mask >> i & 1 ? kt_out(k, desc.d, acc >> i & 1, start) : NULL;
	CHECK_OK(k->be->attention_bwd(k->dev, &desc, in[0], in[1], in[2], probs, in[3], g[0], acc & 1, g[1],
	                              acc >> 1 & 1, g[2], acc >> 2 & 1, ws, &k->e), &k->e);
	for (int i = 0; i < 3; i++) {
		kt_acc(want[i], start, n, acc >> i & 1);
		if (g[i])
			kt_near(k, names[i], kt_get_act(k, desc.d, g[i]), want[i], n, TOL);
	}
}

static void attention(struct kt *k, struct rd_dims d, int64_t heads, float spread, int seed)
{
	int64_t n = rd_dims_elems(d), n_probs = d.n * heads * d.h * d.w * d.h * d.w;
	struct ref r;
	float *hq = kt_random(k, n, 1), *probs = kt_poison(k, (size_t)n_probs * sizeof *probs);
	void *o = kt_out(k, d, 0, NULL), *o2 = kt_out(k, d, 0, NULL), *ws;
	const void *in[5];

	for (int64_t i = 0; i < n; i++)
		hq[i] *= spread;
	kt_round(k, hq, n);
	desc = (struct rd_attention_desc){ .d = d, .keys = d.h * d.w, .heads = heads, .scale = 1.0f / sqrtf((float)(d.c / heads)) };
	q = hq;
	k_ = kt_random(k, n, 2);
	v = kt_random(k, n, 3);
	dout = kt_random(k, n, 4);
	r = reference(k);
	in[0] = kt_act(k, d, q);
	in[1] = kt_act(k, d, k_);
	in[2] = kt_act(k, d, v);
	in[3] = kt_act(k, d, dout);
	ws = kt_poison(k, k->be->attention_ws_bytes(k->dev, &desc) + 1);
	CHECK_OK(k->be->attention_fwd(k->dev, &desc, in[0], in[1], in[2], o, probs, ws, &k->e), &k->e);
	CHECK_OK(k->be->attention_fwd(k->dev, &desc, in[0], in[1], in[2], o2, NULL, ws, &k->e), &k->e);
	kt_near(k, "attention o", kt_get_act(k, d, o), r.o, n, TOL);
	kt_near(k, "attention o without probs", kt_get_act(k, d, o2), r.o, n, TOL);
	kt_near(k, "attention probs", kt_get(k, n_probs, probs), r.p, n_probs, TOL);
	backward(k, in, probs, ws, 7, seed & 7);
	backward(k, in, probs, ws, seed % 7 + 1, seed >> 3 & 7);
	kt_free(k);
}

static void attentions(struct kt *k)
{
	static const struct {
		int64_t c, heads;
	} heads[] = { { 1, 1 }, { 3, 1 }, { 5, 5 }, { 17, 1 }, { 24, 3 }, { 32, 4 }, { 48, 6 }, { 96, 2 } };
	int seed = 0;

	for (size_t i = 0; i < KT_N(heads); i++)
		for (size_t h = 0; h < KT_N(kt_sizes); h++)
			for (size_t w = 0; w < KT_N(kt_sizes); w++, seed++)
				if (!kt_skip(k, seed))
					attention(k, (struct rd_dims){ 1 + seed % 3, heads[i].c, kt_sizes[h], kt_sizes[w] }, heads[i].heads,
					          1.0f, seed);
	attention(k, (struct rd_dims){ 1, 64, 16, 16 }, 1, 1.0f, 5); /* fewer heads than threads */
	attention(k, (struct rd_dims){ 2, 8, 9, 9 }, 1, 1.0f, 3);    /* a thread's part begins within a head */
	attention(k, (struct rd_dims){ 2, 16, 7, 7 }, 2, 120.0f, 6); /* scores far apart */
	attention(k, (struct rd_dims){ 1, 6, 17, 31 }, 2, 40.0f, 7); /* and in rows of several strips, the last one short */
}

int main(void)
{
	kt_each(attentions);
	return check_report("kernels_attention");
}
