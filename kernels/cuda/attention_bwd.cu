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

int rd_cuda_attention_bwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          const float *probs, const void *dout, void *dq, int acc_dq, void *dk, int acc_dk, void *dv,
                          int acc_dv, void *ws, struct rd_err *e)
{
	const rd_att a = rd_att_of(p);
	const rd_tiles t = rd_att_rows(a);
	float *dp = (float *)ws;
	rd_bf16 *ds16 = NULL, *p16 = NULL;
	const void *ds = dp, *pr = probs;
	int rc = rd_att_by_dims(dev, a, 1.0f, dout, v, dp, e);

	if (rd_is_bf16(dev)) {
		ds16 = (rd_bf16 *)(void *)((char *)ws + rd_align((size_t)a.scores * sizeof(float)));
		p16 = (rd_bf16 *)(void *)((char *)ds16 + rd_align((size_t)a.scores * sizeof(rd_bf16)));
		ds = ds16;
		pr = p16;
	}
	if (!rc)
		rc = RD_LAUNCH(dev, e, softmax_bwd_kernel, t.grid, t.block, 0, a.images * a.heads * a.tokens, a.keys, probs, dp,
		               dp, ds16, p16);
	if (!rc && dq)
		rc = rd_att_by_tokens(dev, a, a.scale, false, ds, k, dq, acc_dq, e);
	if (!rc && dk)
		rc = rd_att_by_tokens(dev, a, a.scale, true, ds, q, dk, acc_dk, e);
	return rc || !dv ? rc : rd_att_by_tokens(dev, a, 1.0f, true, pr, dout, dv, acc_dv, e);
}
