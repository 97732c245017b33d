/* o = softmax(scale q k^T) v: by cuDNN where it has an engine and there is much to do, in one kernel where there is one
 * (attention_fused.cu), else products by cuBLASLt and the softmax of their rows. */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_fused.h"
#include "kernels/cuda/dnn.h"

size_t rd_cuda_attention_ws_bytes(struct rd_dev *dev, const struct rd_attention_desc *p, int backward)
{
	const rd_att a = rd_att_of(p);
	bool planned = rd_dnn_attention_plan(dev, p, backward);
	size_t library = rd_dnn_attention_ws_bytes(dev, p, backward), own;

	if (planned && !backward)
		return library;
	own = !rd_att_is_fused(dev, a) ? rd_att_ws_bytes(dev, rd_att_part(a, 0), backward ? 2 : 1) :
	                                 backward ? rd_fused_bwd_ws_bytes(a) : 0;
	return own > library ? own : library;
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

/* Probabilities y from rows of scores x, which y may be; and the rows' statistics where they are wanted. The sum is of
 * exponentials below the largest score so far. */
template <class T, int N, int I, bool FITS>
static __global__ void __launch_bounds__(rd_att_threads<N>)
softmax_kernel(int64_t rows, int64_t n, int64_t pitch, const float *x, T *y, float *stats)
{
	constexpr int strip = rd_att_strip<N, I>;
	RD_SHARED(float, shared);

	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		float v[I][RD_ATT_PACK], top = -INFINITY, sum = 0.0f;

		for (int64_t at = 0; at < (FITS ? 1 : n); at += strip) {
			float was = top;

			rd_att_load<N, I>(v, x + r * pitch + at, n - at, -INFINITY);
			for (int k = 0; k < I; k++)
				for (int i = 0; i < RD_ATT_PACK; i++)
					top = v[k][i] > top ? v[k][i] : top;
			top = rd_att_max<N>(top, shared);
			sum *= expf(was - top);
			for (int k = 0; k < I; k++)
				for (int i = 0; i < RD_ATT_PACK; i++)
					sum += v[k][i] = expf(v[k][i] - top);
		}
		sum = 1.0f / rd_att_sum<N>(sum, shared);
		for (int64_t at = 0; at < (FITS ? 1 : n); at += strip) {
			if (!FITS)
				rd_att_load<N, I>(v, x + r * pitch + at, n - at, -INFINITY);
			for (int k = 0; k < I; k++)
				for (int i = 0; i < RD_ATT_PACK; i++)
					v[k][i] = (FITS ? v[k][i] : expf(v[k][i] - top)) * sum;
			rd_att_store<T, N, I>(y + r * pitch + at, n - at, v);
		}
		if (stats && threadIdx.x == 0) {
			stats[2 * r] = top;
			stats[2 * r + 1] = sum;
		}
	}
}

template <class T, int N, int I, bool FITS>
static int softmax_rows(struct rd_dev *dev, const rd_att &a, const float *s, T *p, float *stats, struct rd_err *e)
{
	const rd_tiles t = rd_att_rows<N>(a);

	return RD_LAUNCH(dev, e, (softmax_kernel<T, N, I, FITS>), t.grid, t.block, rd_att_shared<N>,
	                 a.images * a.heads * a.tokens, a.keys, a.pitch, s, p, stats);
}

/* Of a part of the images. */
template <class T>
static int forward(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, void *o, float *stats,
                   void *ws, struct rd_err *e)
{
	float *s = rd_att_wide(ws, a, 0);
	T *p = rd_att_result<T>(ws, a, 1, 0);
	int rc = rd_att_by_dims(dev, a, a.scale, q, k, s, e);

	if (!rc)
		rc = RD_ATT_BY_ROW(a, T, softmax_rows, dev, a, s, p, stats, e);
	return rc ? rc : rd_att_by_tokens(dev, a, 1.0f, false, p, v, o, 0, e);
}

int rd_cuda_attention_fwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          void *o, float *stats, void *ws, struct rd_err *e)
{
	const rd_att all = rd_att_of(p);
	const int64_t queries = all.tokens * all.c, keys = all.keys * all.c;
	int rc = RD_OK;

	if (rd_dnn_attention_has(dev, p, stats != NULL))
		return rd_dnn_attention_fwd(dev, p, q, k, v, o, stats, ws, e);
	if (rd_att_is_fused(dev, all))
		return rd_fused_fwd(dev, all, q, k, v, o, stats, e);
	for (int64_t i = 0; i < all.images && !rc;) {
		const rd_att part = rd_att_part(all, i);

		rc = RD_BY_TYPE(dev, forward, dev, part, rd_att_at(dev, q, i * queries), rd_att_at(dev, k, i * keys),
		                rd_att_at(dev, v, i * keys), rd_att_at(dev, o, i * queries),
		                stats ? stats + 2 * i * all.heads * all.tokens : NULL, ws, e);
		i += part.images;
	}
	return rc;
}
