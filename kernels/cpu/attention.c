/* o = softmax(scale q k^T) v. Units and blocks of their rows are divided among the threads together, so that one
 * large image keeps them all busy too. */
#include "kernels/cpu/attention.h"

/* Backward's, which holds all rows of scores; forward has a block of them, and touches no more. */
size_t RD_SYM(attention_ws_bytes)(struct rd_dev *dev, const struct rd_attention_desc *p)
{
	const struct rd_att a = rd_att(dev, p, p->d.h * p->d.w, NULL);

	return (size_t)dev->threads * (size_t)a.slot_floats * sizeof(float);
}

enum { LANES = 32 };

/* In lanes, the rest of the row apart: the same order with every instruction set. */
static float row_max(const float *x, int64_t n)
{
	float m[LANES], top = x[0];
	int64_t full = n / LANES * LANES;

	for (int l = 0; l < LANES; l++)
		m[l] = x[0];
	for (int64_t j = 0; j < full; j += LANES) {
		RD_SIMD
		for (int l = 0; l < LANES; l++)
			m[l] = x[j + l] > m[l] ? x[j + l] : m[l];
	}
	for (int l = 0; l < LANES; l++)
		top = m[l] > top ? m[l] : top;
	for (int64_t j = full; j < n; j++)
		top = x[j] > top ? x[j] : top;
	return top;
}

static float row_sum(const float *x, int64_t n)
{
	float s[LANES] = { 0.0f }, sum = 0.0f;
	int64_t full = n / LANES * LANES;

	for (int64_t j = 0; j < full; j += LANES) {
		RD_SIMD
		for (int l = 0; l < LANES; l++)
			s[l] += x[j + l];
	}
	for (int l = 0; l < LANES; l++)
		sum += s[l];
	for (int64_t j = full; j < n; j++)
		sum += x[j];
	return sum;
}

/* Probabilities from a row of scores. */
static void softmax(float *x, int64_t n)
{
	float top = row_max(x, n), inv;

	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		x[j] = rd_expf(x[j] - top);
	inv = 1.0f / row_sum(x, n);
	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		x[j] *= inv;
}

/* The rows r of a unit: their probabilities to s and their o. kt [d, keys] and vp [keys, d] are the packed k and v. */
static void block(const struct rd_att *a, struct rd_range r, const float *q, const float *kt, const float *vp,
                  float *s, float *o)
{
	const struct rd_gemm scores = {
		.m = r.hi - r.lo,
		.n = a->keys,
		.k = a->d,
		.a = q + r.lo * a->c,
		.ars = a->c,
		.acs = 1,
		.b = kt,
		.ldb = RD_VW,
		.panel = a->d * RD_VW,
		.alpha = a->scale,
		.wide = a->wide,
		.c = s,
		.ldc = a->keys,
	};
	const struct rd_gemm out = {
		.m = r.hi - r.lo,
		.n = a->d,
		.k = a->keys,
		.a = s,
		.ars = a->keys,
		.acs = 1,
		.b = vp,
		.ldb = RD_VW,
		.panel = a->keys * RD_VW,
		.alpha = 1.0f,
		.wide = a->wide,
		.c = o + r.lo * a->c,
		.ldc = a->c,
	};

	RD_SYM(gemm)(&scores);
	for (int64_t i = 0; i < r.hi - r.lo; i++)
		softmax(s + i * a->keys, a->keys);
	RD_SYM(gemm)(&out);
}

int RD_SYM(attention_fwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k,
                          const void *v, void *o, float *probs, void *ws, struct rd_err *e)
{
	int64_t tokens = p->d.h * p->d.w, blocks = rd_att_blocks(tokens);
	const struct rd_att a = rd_att(dev, p, tokens < RD_ATT_ROWS ? tokens : RD_ATT_ROWS, ws);
	const float *fq = q, *fk = k, *fv = v;
	float *fo = o;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (a.units * tokens * a.keys >= RD_PARALLEL_MIN)
	{
		struct rd_range mine = rd_share(a.units * blocks, 1);
		int64_t unit = -1, me = omp_get_thread_num();
		float *kt = rd_att_packed(&a, me), *vp = kt + rd_gemm_packed(a.d, a.keys);

		for (int64_t i = mine.lo; i < mine.hi; i++) {
			int64_t u = i / blocks, at = rd_att_at(&a, u, tokens), at_k = rd_att_at(&a, u, a.keys);
			struct rd_range r = rd_att_range(i % blocks, i % blocks + 1, tokens);
			float *s = probs ? probs + (u * tokens + r.lo) * a.keys : rd_att_scores(&a, me);

			if (u != unit) {
				RD_SYM(gemm_pack)(kt, fk + at_k, 1, a.c, a.d, a.keys);
				RD_SYM(gemm_pack)(vp, fv + at_k, a.c, 1, a.keys, a.d);
				unit = u;
			}
			block(&a, r, fq + at, kt, vp, s, fo + at);
		}
	}
	return RD_OK;
}
