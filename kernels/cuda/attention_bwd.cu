/* Backward of attention:
 *
 * P as forward had it, from the scores made again and the rows' statistics
 * dP = do v^T,  dS = P (dP - rowsum P dP),  dq = scale dS k,  dk = scale dS^T q,  dv = P^T do */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_fused.h"

/* A strip of a row: p of its scores, 0 past the end, and dp. */
template <int N, int I>
static __device__ __forceinline__ void load(float (*p)[RD_ATT_PACK], float (*dp)[RD_ATT_PACK], const float *s_row,
                                            const float *dp_row, int64_t left, float top, float inv)
{
	rd_att_load<N, I>(p, s_row, left, -INFINITY);
	rd_att_load<N, I>(dp, dp_row, left, 0.0f);
	for (int k = 0; k < I; k++)
		for (int i = 0; i < RD_ATT_PACK; i++)
			p[k][i] = expf(p[k][i] - top) * inv;
}

/* P and dS from rows of scores and dP, in whose places they may be. */
template <class T, int N, int I, bool FITS>
static __global__ void __launch_bounds__(rd_att_threads<N>)
softmax_bwd_kernel(int64_t rows, int64_t n, int64_t pitch, const float *stats, const float *s,
                                          const float *dp, T *p, T *ds)
{
	constexpr int strip = rd_att_strip<N, I>;
	RD_SHARED(float, shared);

	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		float v[I][RD_ATT_PACK], dv[I][RD_ATT_PACK], top = stats[2 * r], inv = stats[2 * r + 1], dot = 0.0f;

		for (int64_t at = 0; at < (FITS ? 1 : n); at += strip) {
			load<N, I>(v, dv, s + r * pitch + at, dp + r * pitch + at, n - at, top, inv);
			for (int k = 0; k < I; k++)
				for (int i = 0; i < RD_ATT_PACK; i++)
					dot += v[k][i] * dv[k][i];
		}
		dot = rd_att_sum<N>(dot, shared);
		for (int64_t at = 0; at < (FITS ? 1 : n); at += strip) {
			if (!FITS)
				load<N, I>(v, dv, s + r * pitch + at, dp + r * pitch + at, n - at, top, inv);
			for (int k = 0; k < I; k++)
				for (int i = 0; i < RD_ATT_PACK; i++)
					dv[k][i] = v[k][i] * (dv[k][i] - dot);
			rd_att_store<T, N, I>(p + r * pitch + at, n - at, v);
			rd_att_store<T, N, I>(ds + r * pitch + at, n - at, dv);
		}
	}
}

template <class T, int N, int I, bool FITS>
static int softmax_rows(struct rd_dev *dev, const rd_att &a, const float *stats, const float *s, const float *dp, T *p, T *ds,
                        struct rd_err *e)
{
	const rd_tiles t = rd_att_rows<N>(a);

	return RD_LAUNCH(dev, e, (softmax_bwd_kernel<T, N, I, FITS>), t.grid, t.block, rd_att_shared<N>,
	                 a.images * a.heads * a.tokens, a.keys, a.pitch, stats, s, dp, p, ds);
}

/* Of a part of the images. */
template <class T>
static int backward(struct rd_dev *dev, const rd_att &a, const rd_att_operands &in, const rd_att_grads &g, void *ws,
                    struct rd_err *e)
{
	float *s = rd_att_wide(ws, a, 0), *dp = rd_att_wide(ws, a, 1);
	T *pr = rd_att_result<T>(ws, a, 2, 0), *ds = rd_att_result<T>(ws, a, 2, 1);
	int rc = rd_att_by_dims(dev, a, a.scale, in.q, in.k, s, e);

	if (!rc)
		rc = rd_att_by_dims(dev, a, 1.0f, in.dout, in.v, dp, e);
	if (!rc)
		rc = RD_ATT_BY_ROW(a, T, softmax_rows, dev, a, in.stats, s, dp, pr, ds, e);
	if (!rc && g.dq)
		rc = rd_att_by_tokens(dev, a, a.scale, false, ds, in.k, g.dq, g.acc_dq, e);
	if (!rc && g.dk)
		rc = rd_att_by_tokens(dev, a, a.scale, true, ds, in.q, g.dk, g.acc_dk, e);
	return rc || !g.dv ? rc : rd_att_by_tokens(dev, a, 1.0f, true, pr, in.dout, g.dv, g.acc_dv, e);
}

int rd_cuda_attention_bwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          const void *o, const float *stats, const void *dout, void *dq, int acc_dq, void *dk, int acc_dk,
                          void *dv, int acc_dv, void *ws, struct rd_err *e)
{
	const rd_att all = rd_att_of(p);
	const int64_t queries = all.tokens * all.c, keys = all.keys * all.c;
	int rc = RD_OK;

	if (rd_att_is_fused(dev, all))
		return rd_fused_bwd(dev, all, { q, k, v, o, stats, dout }, { dq, dk, dv, acc_dq, acc_dk, acc_dv }, ws, e);
	for (int64_t i = 0; i < all.images && !rc;) {
		const rd_att part = rd_att_part(all, i);
		const rd_att_operands in = { rd_att_at(dev, q, i * queries), rd_att_at(dev, k, i * keys), rd_att_at(dev, v, i * keys),
			                     NULL, stats + 2 * i * all.heads * all.tokens, rd_att_at(dev, dout, i * queries) };
		const rd_att_grads g = { rd_att_at(dev, dq, i * queries), rd_att_at(dev, dk, i * keys), rd_att_at(dev, dv, i * keys),
			                 acc_dq, acc_dk, acc_dv };

		rc = RD_BY_TYPE(dev, backward, dev, part, in, g, ws, e);
		i += part.images;
	}
	return rc;
}
