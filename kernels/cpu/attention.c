/* o = softmax(scale q k^T) v. Units and blocks of their rows are divided among the threads together, so that one
 * large image keeps them all busy too. */
#include "kernels/cpu/attention.h"

size_t RD_SYM(attention_ws_bytes)(struct rd_dev *dev, const struct rd_attention_desc *p, int backward)
{
	const struct rd_att forward = rd_att(dev, p, 0, NULL), both = rd_att(dev, p, backward, NULL);
	size_t f = rd_att_ws_bytes(&forward), b = rd_att_ws_bytes(&both);

	return f > b ? f : b; /* with few units forward has more slots than backward */
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

/* Probabilities from a row of scores, and its statistics where they are wanted. */
static void softmax(float *x, int64_t n, float *stats)
{
	float top = row_max(x, n), inv;

	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		x[j] = rd_expf(x[j] - top);
	inv = 1.0f / row_sum(x, n);
	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		x[j] *= inv;
	if (stats) {
		stats[0] = top;
		stats[1] = inv;
	}
}

int RD_SYM(attention_fwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k,
                          const void *v, void *o, float *stats, void *ws, struct rd_err *e)
{
	int64_t tokens = p->d.h * p->d.w, blocks = rd_att_blocks(tokens);
	const struct rd_att a = rd_att(dev, p, 0, ws);
	const float *fq = q, *fk = k, *fv = v;
	float *fo = o;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (a.units * tokens * a.keys >= RD_PARALLEL_MIN)
	{
		struct rd_range mine = rd_share(a.units * blocks, 1);
		int64_t unit = -1, me = omp_get_thread_num();
		float *kt = rd_att_packed(&a, me), *vp = kt + rd_gemm_packed(a.d, a.keys), *s = rd_att_scores(&a, me);

		for (int64_t i = mine.lo; i < mine.hi; i++) {
			int64_t u = i / blocks, at = rd_att_at(&a, u, tokens), at_k = rd_att_at(&a, u, a.keys);
			struct rd_range r = rd_att_range(i % blocks, i % blocks + 1, tokens);

			if (u != unit) {
				RD_SYM(gemm_pack)(kt, fk + at_k, 1, a.c, a.d, a.keys);
				RD_SYM(gemm_pack)(vp, fv + at_k, a.c, 1, a.keys, a.d);
				unit = u;
			}
			rd_att_by_dims(&a, r, a.scale, fq + at, kt, s);
			for (int64_t t = r.lo; t < r.hi; t++)
				softmax(s + (t - r.lo) * a.keys, a.keys, stats ? stats + 2 * (u * tokens + t) : NULL);
			rd_att_by_keys(&a, r, 1.0f, s, vp, fo + at, 0);
		}
	}
	return RD_OK;
}
