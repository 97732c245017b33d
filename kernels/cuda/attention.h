/* What forward and backward of attention share. With channels innermost q is a matrix [tokens, c], k and v are [keys, c],
 * and a head is d = c / heads columns of them. A unit is a head of an image; scores are [units, tokens, pitch]: a row has keys
 * elements and up to a multiple of RD_ATT_PITCH nothing, so that it begins at 16 bytes in bf16 too. */
#ifndef RD_KERNELS_CUDA_ATTENTION_H
#define RD_KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/blas.h"
#include "kernels/cuda/types.h"

/* Elements of scores that are worked on at a time, if an image has no more: 256 MiB in f32, of which backward has two. */
#ifndef RD_ATT_MOST
#define RD_ATT_MOST ((int64_t)1 << 26)
#endif

enum { RD_ATT_PITCH = 8 };

struct rd_att {
	int64_t images, heads, tokens, keys, pitch, d, c;
	float scale;
};

static inline rd_att rd_att_of(const struct rd_attention_desc *p)
{
	int64_t pitch = (p->keys + RD_ATT_PITCH - 1) / RD_ATT_PITCH * RD_ATT_PITCH;

	return { p->d.n, p->heads, p->d.h * p->d.w, p->keys, pitch, p->d.c / p->heads, p->d.c, p->scale };
}

static inline int64_t rd_att_scores(const rd_att &a)
{
	return a.images * a.heads * a.tokens * a.pitch;
}

/* What is worked on at a time of the images from `first` on: as many of them as RD_ATT_MOST allows, one at least. */
static inline rd_att rd_att_part(const rd_att &a, int64_t first)
{
	int64_t most = RD_ATT_MOST / (a.heads * a.tokens * a.pitch), left = a.images - first;
	rd_att part = a;

	part.images = most < 1 ? 1 : most < left ? most : left;
	return part;
}

/* Work space of a part: n arrays of the size of its scores, in f32, then, where activations are bf16, as many in bf16. */
static inline size_t rd_att_ws_bytes(struct rd_dev *dev, const rd_att &part, int n)
{
	size_t elems = (size_t)rd_att_scores(part);

	return (size_t)n * (rd_align(elems * sizeof(float)) + (rd_is_bf16(dev) ? rd_align(elems * sizeof(rd_bf16)) : 0));
}

/* The i-th array in f32. */
static inline float *rd_att_wide(void *ws, const rd_att &part, int i)
{
	return (float *)(void *)((char *)ws + (size_t)i * rd_align((size_t)rd_att_scores(part) * sizeof(float)));
}

/* The i-th of n arrays in bf16; NULL where activations are f32. */
static inline rd_bf16 *rd_att_narrow(struct rd_dev *dev, void *ws, const rd_att &part, int n, int i)
{
	size_t step = rd_align((size_t)rd_att_scores(part) * sizeof(rd_bf16));

	return rd_is_bf16(dev) ? (rd_bf16 *)(void *)((char *)rd_att_wide(ws, part, n) + (size_t)i * step) : NULL;
}

/* Element n of an activation; NULL of NULL. */
static inline void *rd_att_at(struct rd_dev *dev, const void *p, int64_t n)
{
	return p ? (char *)(uintptr_t)p + n * (rd_is_bf16(dev) ? 2 : 4) : NULL;
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
