/* What forward and backward of attention share. With channels innermost q is a matrix [tokens, c], k and v are [keys, c],
 * and a head is d = c / heads columns of them. A unit is a head of an image; scores are [units, tokens, keys]. */
#ifndef RD_KERNELS_CUDA_ATTENTION_H
#define RD_KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/blas.h"
#include "kernels/cuda/types.h"

struct rd_att {
	int64_t images, heads, tokens, keys, d, c, scores; /* scores: elements of them all */
	float scale;
};

static inline rd_att rd_att_of(const struct rd_attention_desc *p)
{
	int64_t t = p->d.h * p->d.w;

	return { p->d.n, p->heads, t, p->keys, p->d.c / p->heads, p->d.c, p->d.n * p->heads * t * p->keys, p->scale };
}

/* The rows of the softmax: a warp for each, which has RD_ATT_STRIP elements of it in registers at once. */
enum { RD_ATT_LANE = 8, RD_ATT_STRIP = 32 * RD_ATT_LANE };

/* A lane's elements of the strip at `at` of a row of n; v[k] is element at + 32 k + lane, or `beyond` past the end. */
static __device__ __forceinline__ void rd_att_load(float *v, const float *row, int64_t at, int64_t n, float beyond)
{
	RD_UNROLL
	for (int k = 0; k < RD_ATT_LANE; k++) {
		int64_t j = at + 32 * k + threadIdx.x;

		v[k] = j < n ? row[j] : beyond;
	}
}

static inline rd_tiles rd_att_rows(const rd_att &a)
{
	return { dim3(rd_blocks((a.images * a.heads * a.tokens + 7) / 8)), dim3(32, 8) };
}

/* The three products of attention, for all units: a head at a time over all images, or the other way round.
 *   by_dims     s [tokens, keys] = alpha x y^T     x of the queries (q, do), y of the keys (k, v), s f32
 *   by_tokens   o [tokens, d] = alpha s y, or +=   y of the keys, o of the queries, s in the activations' type
 *               o [keys, d] = alpha s^T y, or +=   where t_s: y of the queries, o of the keys */
int rd_att_by_dims(struct rd_dev *dev, const rd_att &a, float alpha, const void *x, const void *y, float *s, struct rd_err *e);
int rd_att_by_tokens(struct rd_dev *dev, const rd_att &a, float alpha, bool t_s, const void *s, const void *y, void *o,
                     int acc, struct rd_err *e);

#endif
