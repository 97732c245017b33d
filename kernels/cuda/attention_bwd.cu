/* Backward of attention:
 *
 * dP = do v^T,  dS = P (dP - rowsum P dP),  dq = scale dS k,  dk = scale dS^T q,  dv = P^T do */
#include "kernels/cuda/attention.h"

#include "kernels/cuda/colsum.h"
#include "kernels/cuda/reduce.h"

/* dp becomes ds; in bf16 too, with p beside it, where that is wanted. */
static __global__ void softmax_bwd_kernel(int64_t rows, int64_t n, const float *p, float *dp, rd_bf16 *ds16, rd_bf16 *p16)
{
	int lane = (int)threadIdx.x;

	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		const float *pr = p + r * n;
		float *dr = dp + r * n, dot = 0.0f;

		for (int64_t j = lane; j < n; j += 32)
			dot += pr[j] * dr[j];
		dot = rd_warp_sum(dot);
		for (int64_t j = lane; j < n; j += 32) {
			float v = pr[j] * (dr[j] - dot);

			dr[j] = v;
			if (ds16) {
				rd_from_float(&ds16[r * n + j], v);
				rd_from_float(&p16[r * n + j], pr[j]);
			}
		}
	}
}

int rd_cuda_attention_bwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          const float *probs, const void *dout, void *dq, int acc_dq, void *dk, int acc_dk, void *dv,
                          int acc_dv, void *ws, struct rd_err *e)
{
	const rd_att a = rd_att_of(p);
	int64_t rows = a.images * a.heads * a.tokens, blocks = (rows + 7) / 8;
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
		rc = RD_LAUNCH(dev, e, softmax_bwd_kernel, dim3(rd_blocks(blocks)),
		               dim3(32, 8), 0, rows, a.tokens, probs, dp, ds16, p16);
	if (!rc && dq)
		rc = rd_att_by_tokens(dev, a, a.scale, false, ds, k, dq, acc_dq, e);
	if (!rc && dk)
		rc = rd_att_by_tokens(dev, a, a.scale, true, ds, q, dk, acc_dk, e);
	return rc || !dv ? rc : rd_att_by_tokens(dev, a, 1.0f, true, pr, dout, dv, acc_dv, e);
}
