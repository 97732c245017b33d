/* Backward of attention:
 *
 * dP = do v^T,  dS = P (dP - rowsum P dP),  dq = scale dS k,  dk = scale dS^T q,  dv = P^T do */
#include "kernels/cuda/attention.h"

#include "kernels/cuda/reduce.h"

/* dS from rows of P and dP: to ds, which may be dp, or in bf16 to ds16 with p16 beside it. A row of one strip is read once. */
static __global__ void softmax_bwd_kernel(int64_t rows, int64_t n, const float *p, const float *dp, float *ds, rd_bf16 *ds16,
                                          rd_bf16 *p16)
{
	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		float v[RD_ATT_LANE], dv[RD_ATT_LANE], dot = 0.0f;

		for (int64_t at = 0; at < n; at += RD_ATT_STRIP) {
			rd_att_load(v, p + r * n, at, n, 0.0f);
			rd_att_load(dv, dp + r * n, at, n, 0.0f);
			for (int k = 0; k < RD_ATT_LANE; k++)
				dot += v[k] * dv[k];
		}
		dot = rd_warp_sum(dot);
		for (int64_t at = 0; at < n; at += RD_ATT_STRIP) {
			if (n > RD_ATT_STRIP) {
				rd_att_load(v, p + r * n, at, n, 0.0f);
				rd_att_load(dv, dp + r * n, at, n, 0.0f);
			}
			for (int k = 0; k < RD_ATT_LANE; k++) {
				int64_t j = at + 32 * k + threadIdx.x, i = r * n + j;

				if (j < n && ds16) {
					rd_from_float(&ds16[i], v[k] * (dv[k] - dot));
					rd_from_float(&p16[i], v[k]);
				} else if (j < n) {
					ds[i] = v[k] * (dv[k] - dot);
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
static int backward(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, const float *probs,
                    const void *dout, const grads &g, void *ws, struct rd_err *e)
{
	const rd_tiles t = rd_att_rows(a);
	float *dp = (float *)ws;
	rd_bf16 *ds16 = rd_att_narrow(dev, ws, a, 0), *p16 = rd_att_narrow(dev, ws, a, 1);
	const void *ds = ds16 ? (const void *)ds16 : (const void *)dp, *pr = p16 ? (const void *)p16 : (const void *)probs;
	int rc = rd_att_by_dims(dev, a, 1.0f, dout, v, dp, e);

	if (!rc)
		rc = RD_LAUNCH(dev, e, softmax_bwd_kernel, t.grid, t.block, 0, a.images * a.heads * a.tokens, a.keys, probs, dp,
		               dp, ds16, p16);
	if (!rc && g.dq)
		rc = rd_att_by_tokens(dev, a, a.scale, false, ds, k, g.dq, g.acc_dq, e);
	if (!rc && g.dk)
		rc = rd_att_by_tokens(dev, a, a.scale, true, ds, q, g.dk, g.acc_dk, e);
	return rc || !g.dv ? rc : rd_att_by_tokens(dev, a, 1.0f, true, pr, dout, g.dv, g.acc_dv, e);
}

int rd_cuda_attention_bwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          const float *probs, const void *dout, void *dq, int acc_dq, void *dk, int acc_dk, void *dv,
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
		              probs + i * all.heads * all.tokens * all.keys, rd_att_at(dev, dout, i * queries), g, ws, e);
		i += part.images;
	}
	return rc;
}
