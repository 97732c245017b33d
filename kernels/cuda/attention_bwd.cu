/* Backward of attention:
 *
 * P as forward had it, from the scores made again and the rows' statistics
 * dP = do v^T,  dS = P (dP - rowsum P dP),  dq = scale dS k,  dk = scale dS^T q,  dv = P^T do */
#include "kernels/cuda/attention.h"

#include "kernels/cuda/reduce.h"

/* A strip of a row: p of its scores, 0 past the end, and dp. */
static __device__ __forceinline__ void load(float *p, float *dp, const float *s_row, const float *dp_row, int64_t at, int64_t n,
                                            float top, float inv)
{
	rd_att_load(p, s_row, at, n, -INFINITY);
	rd_att_load(dp, dp_row, at, n, 0.0f);
	for (int k = 0; k < RD_ATT_LANE; k++)
		p[k] = expf(p[k] - top) * inv;
}

/* P and dS from rows of scores and dP, in their places, or in bf16 to p16 and ds16 where these are there. A row of one strip
 * is read once. */
static __global__ void softmax_bwd_kernel(int64_t rows, int64_t n, int64_t pitch, const float *stats, float *s, float *dp,
                                          rd_bf16 *p16, rd_bf16 *ds16)
{
	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		float v[RD_ATT_LANE], dv[RD_ATT_LANE], top = stats[2 * r], inv = stats[2 * r + 1], dot = 0.0f;

		for (int64_t at = 0; at < n; at += RD_ATT_STRIP) {
			load(v, dv, s + r * pitch, dp + r * pitch, at, n, top, inv);
			for (int k = 0; k < RD_ATT_LANE; k++)
				dot += v[k] * dv[k];
		}
		dot = rd_warp_sum(dot);
		for (int64_t at = 0; at < n; at += RD_ATT_STRIP) {
			if (n > RD_ATT_STRIP)
				load(v, dv, s + r * pitch, dp + r * pitch, at, n, top, inv);
			for (int k = 0; k < RD_ATT_LANE; k++) {
				int64_t j = at + 32 * k + threadIdx.x, i = r * pitch + j;

				if (j < n && p16) {
					rd_from_float(&p16[i], v[k]);
					rd_from_float(&ds16[i], v[k] * (dv[k] - dot));
				} else if (j < n) {
					s[i] = v[k];
					dp[i] = v[k] * (dv[k] - dot);
				}
			}
		}
	}
}

struct grads {
	void *dq, *dk, *dv;
	int acc_dq, acc_dk, acc_dv;
};

/* Of a part of the images. */
static int backward(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, const float *stats,
                    const void *dout, const grads &g, void *ws, struct rd_err *e)
{
	const rd_tiles t = rd_att_rows(a);
	float *s = rd_att_wide(ws, a, 0), *dp = rd_att_wide(ws, a, 1);
	rd_bf16 *p16 = rd_att_narrow(dev, ws, a, 2, 0), *ds16 = rd_att_narrow(dev, ws, a, 2, 1);
	const void *pr = p16 ? (const void *)p16 : (const void *)s, *ds = ds16 ? (const void *)ds16 : (const void *)dp;
	int rc = rd_att_by_dims(dev, a, a.scale, q, k, s, e);

	if (!rc)
		rc = rd_att_by_dims(dev, a, 1.0f, dout, v, dp, e);
	if (!rc)
		rc = RD_LAUNCH(dev, e, softmax_bwd_kernel, t.grid, t.block, 0, a.images * a.heads * a.tokens, a.keys, a.pitch, stats, s,
		               dp, p16, ds16);
	if (!rc && g.dq)
		rc = rd_att_by_tokens(dev, a, a.scale, false, ds, k, g.dq, g.acc_dq, e);
	if (!rc && g.dk)
		rc = rd_att_by_tokens(dev, a, a.scale, true, ds, q, g.dk, g.acc_dk, e);
	return rc || !g.dv ? rc : rd_att_by_tokens(dev, a, 1.0f, true, pr, dout, g.dv, g.acc_dv, e);
}

int rd_cuda_attention_bwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          const float *stats, const void *dout, void *dq, int acc_dq, void *dk, int acc_dk, void *dv,
                          int acc_dv, void *ws, struct rd_err *e)
{
	const rd_att all = rd_att_of(p);
	const int64_t queries = all.tokens * all.c, keys = all.keys * all.c;
	int rc = RD_OK;

	for (int64_t i = 0; i < all.images && !rc;) {
		const rd_att part = rd_att_part(all, i);
		const grads g = { rd_att_at(dev, dq, i * queries), rd_att_at(dev, dk, i * keys), rd_att_at(dev, dv, i * keys),
			          acc_dq, acc_dk, acc_dv };

		rc = backward(dev, part, rd_att_at(dev, q, i * queries), rd_att_at(dev, k, i * keys), rd_att_at(dev, v, i * keys),
		              stats + 2 * i * all.heads * all.tokens, rd_att_at(dev, dout, i * queries), g, ws, e);
		i += part.images;
	}
	return rc;
}
