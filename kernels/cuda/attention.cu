/* o = softmax(scale q k^T) v: products by cuBLASLt, a warp for each row of the softmax. */
#include "kernels/cuda/attention.h"

#include "kernels/cuda/reduce.h"

size_t rd_cuda_attention_ws_bytes(struct rd_dev *dev, const struct rd_attention_desc *p, int backward)
{
	return rd_att_ws_bytes(dev, rd_att_part(rd_att_of(p), 0), backward ? 2 : 1);
}

/* Elements from unit to unit within a batch, and from batch to batch. */
struct stride {
	int64_t step, next;
};

/* A product for each of `batch` units, `times` times. */
struct units {
	int64_t batch, times;
	stride queries, keys, scores; /* of what is [tokens, c], [keys, c] and [tokens, pitch] */
};

static units units_of(const rd_att &a)
{
	int64_t scores = a.tokens * a.pitch, queries = a.tokens * a.c, keys = a.keys * a.c;

	if (a.heads <= a.images)
		return { a.images, a.heads, { queries, a.d }, { keys, a.d }, { a.heads * scores, scores } };
	return { a.heads, a.images, { a.d, queries }, { a.d, keys }, { scores, a.heads * scores } };
}

int rd_att_by_dims(struct rd_dev *dev, const rd_att &a, float alpha, const void *x, const void *y, float *s, struct rd_err *e)
{
	const units u = units_of(a);
	struct rd_product p = {};
	int rc = RD_OK;

	p.m = a.tokens;
	p.n = a.keys;
	p.ldc = a.pitch;
	p.k = a.d;
	p.lda = p.ldb = a.c;
	p.tb = true;
	p.bf16_in = rd_is_bf16(dev);
	p.alpha = alpha;
	p.batch = u.batch;
	p.a_step = u.queries.step;
	p.b_step = u.keys.step;
	p.c_step = u.scores.step;
	for (int64_t i = 0; i < u.times && !rc; i++)
		rc = rd_blas_product(dev, &p, rd_att_at(dev, x, i * u.queries.next), rd_att_at(dev, y, i * u.keys.next), NULL,
		                     s + i * u.scores.next, e);
	return rc;
}

int rd_att_by_tokens(struct rd_dev *dev, const rd_att &a, float alpha, bool t_s, const void *s, const void *y, void *o,
                     int acc, struct rd_err *e)
{
	const units u = units_of(a);
	const stride of_y = t_s ? u.queries : u.keys, of_o = t_s ? u.keys : u.queries;
	struct rd_product p = {};
	int rc = RD_OK;

	p.m = t_s ? a.keys : a.tokens;
	p.n = a.d;
	p.k = t_s ? a.tokens : a.keys;
	p.lda = a.pitch;
	p.ldb = p.ldc = a.c;
	p.ta = t_s;
	p.bf16_in = p.bf16_out = rd_is_bf16(dev);
	p.alpha = alpha;
	p.beta = acc ? 1.0f : 0.0f;
	p.batch = u.batch;
	p.a_step = u.scores.step;
	p.b_step = of_y.step;
	p.c_step = of_o.step;
	for (int64_t i = 0; i < u.times && !rc; i++)
		rc = rd_blas_product(dev, &p, rd_att_at(dev, s, i * u.scores.next), rd_att_at(dev, y, i * of_y.next), NULL,
		                     rd_att_at(dev, o, i * of_o.next), e);
	return rc;
}

/* Probabilities from rows of scores: in their place, or in bf16 to y16 where that is there; and the rows' statistics where
 * they are wanted. The sum is of exponentials below the largest score so far. A row of one strip is read once. */
static __global__ void softmax_kernel(int64_t rows, int64_t n, int64_t pitch, float *x, rd_bf16 *y16,
                                      float *stats)
{
	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		float *row = x + r * pitch;
		float v[RD_ATT_LANE], top = -INFINITY, sum = 0.0f;

		for (int64_t at = 0; at < n; at += RD_ATT_STRIP) {
			float was = top;

			rd_att_load(v, row, at, n, -INFINITY);
			for (int k = 0; k < RD_ATT_LANE; k++)
				top = v[k] > top ? v[k] : top;
			top = rd_warp_max(top);
			sum *= expf(was - top);
			for (int k = 0; k < RD_ATT_LANE; k++)
				sum += v[k] = expf(v[k] - top);
		}
		sum = 1.0f / rd_warp_sum(sum);
		for (int64_t at = 0; at < n; at += RD_ATT_STRIP) {
			if (n > RD_ATT_STRIP) {
				rd_att_load(v, row, at, n, 0.0f);
				for (int k = 0; k < RD_ATT_LANE; k++)
					v[k] = expf(v[k] - top);
			}
			for (int k = 0; k < RD_ATT_LANE; k++) {
				int64_t j = at + 32 * k + threadIdx.x;

				if (j < n && y16)
					rd_from_float(&y16[r * pitch + j], v[k] * sum);
				else if (j < n)
					row[j] = v[k] * sum;
			}
		}
		if (stats && threadIdx.x == 0) {
			stats[2 * r] = top;
			stats[2 * r + 1] = sum;
		}
	}
}

/* Of a part of the images. */
static int forward(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, void *o, float *stats,
                   void *ws, struct rd_err *e)
{
	const rd_tiles t = rd_att_rows(a);
	float *s = rd_att_wide(ws, a, 0);
	rd_bf16 *s16 = rd_att_narrow(dev, ws, a, 1, 0);
	int rc = rd_att_by_dims(dev, a, a.scale, q, k, s, e);

	if (!rc)
		rc = RD_LAUNCH(dev, e, softmax_kernel, t.grid, t.block, 0, a.images * a.heads * a.tokens, a.keys, a.pitch, s,
		               s16, stats);
	return rc ? rc : rd_att_by_tokens(dev, a, 1.0f, false, s16 ? (const void *)s16 : (const void *)s, v, o, 0, e);
}

int rd_cuda_attention_fwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          void *o, float *stats, void *ws, struct rd_err *e)
{
	const rd_att all = rd_att_of(p);
	const int64_t queries = all.tokens * all.c, keys = all.keys * all.c;
	int rc = RD_OK;

	for (int64_t i = 0; i < all.images && !rc;) {
		const rd_att part = rd_att_part(all, i);

		rc = forward(dev, part, rd_att_at(dev, q, i * queries), rd_att_at(dev, k, i * keys), rd_att_at(dev, v, i * keys),
		             rd_att_at(dev, o, i * queries), stats ? stats + 2 * i * all.heads * all.tokens : NULL, ws, e);
		i += part.images;
	}
	return rc;
}
