/* What forward and backward of attention share. With channels innermost q is a matrix [tokens, c], k and v are [keys, c],
 * and a head is d = c / heads columns of them. A unit is a head of an image; scores are [units, tokens, pitch]: a row has keys
 * elements and up to a multiple of RD_ATT_PITCH nothing, so that it begins at 16 bytes in bf16 too. */
#ifndef RD_KERNELS_CUDA_ATTENTION_H
#define RD_KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/blas.h"
#include "kernels/cuda/reduce.h"

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

/* The i-th of n results in the activations' type: in f32 in the place of the i-th array, else after all n. */
template <class T> static inline T *rd_att_result(void *ws, const rd_att &part, int n, int i);

template <> inline float *rd_att_result<float>(void *ws, const rd_att &part, int, int i)
{
	return rd_att_wide(ws, part, i);
}

template <> inline rd_bf16 *rd_att_result<rd_bf16>(void *ws, const rd_att &part, int n, int i)
{
	size_t step = rd_align((size_t)rd_att_scores(part) * sizeof(rd_bf16));

	return (rd_bf16 *)(void *)((char *)rd_att_wide(ws, part, n) + (size_t)i * step);
}

/* Element n of an activation; NULL of NULL. */
static inline void *rd_att_at(struct rd_dev *dev, const void *p, int64_t n)
{
	return p ? (char *)(uintptr_t)p + n * (rd_is_bf16(dev) ? 2 : 4) : NULL;
}

/* A row of the softmax is N threads' work, a warp's or a block's. Each has I packs of 4 elements, N packs apart, in registers
 * at once: a strip of the row is what they have together. FITS: a row is one strip, which is read once. Block and grid are
 * rd_att_rows<N>'s. */
enum { RD_ATT_PACK = 4 };

template <int N, int I> constexpr int rd_att_strip = N * I * RD_ATT_PACK;

/* Where this thread's pack k is in a strip. */
template <int N> static __device__ __forceinline__ int rd_att_pack_at(int k)
{
	return RD_ATT_PACK * (k * N + (int)threadIdx.x);
}

/* The strip at row, which has `left` elements more of the row; what is past the end is `beyond`. */
template <int N, int I>
static __device__ __forceinline__ void rd_att_load(float (*v)[RD_ATT_PACK], const float *row, int64_t left, float beyond)
{
	RD_UNROLL
	for (int k = 0; k < I; k++) {
		int at = rd_att_pack_at<N>(k);

		RD_UNROLL
		for (int i = 0; i < RD_ATT_PACK; i++)
			v[k][i] = beyond;
		if (at >= left)
			continue;
		rd_load<float, RD_ATT_PACK>(v[k], row + at);
		RD_UNROLL
		for (int i = 1; i < RD_ATT_PACK; i++)
			v[k][i] = at + i < left ? v[k][i] : beyond;
	}
}

/* The last pack's elements past the end are in the row's pitch. */
template <class T, int N, int I>
static __device__ __forceinline__ void rd_att_store(T *row, int64_t left, const float (*v)[RD_ATT_PACK])
{
	RD_UNROLL
	for (int k = 0; k < I; k++)
		if (rd_att_pack_at<N>(k) < left)
			rd_store<T, RD_ATT_PACK>(row + rd_att_pack_at<N>(k), v[k]);
}

template <int N> static __device__ __forceinline__ float rd_att_sum(float v, float *shared)
{
	return N == 32 ? rd_warp_sum(v) : rd_block_sum<N>(v, shared);
}

template <int N> static __device__ __forceinline__ float rd_att_max(float v, float *shared)
{
	return N == 32 ? rd_warp_max(v) : rd_block_max<N>(v, shared);
}

template <int N> constexpr int rd_att_threads = N < RD_THREADS ? RD_THREADS : N;
template <int N> constexpr size_t rd_att_shared = N / 32 * sizeof(float);

template <int N> static inline rd_tiles rd_att_rows(const rd_att &a)
{
	int64_t rows = a.images * a.heads * a.tokens, each = rd_att_threads<N> / N;

	return { dim3(rd_blocks((rows + each - 1) / each)), dim3(N, (unsigned)each) };
}

/* f<T, N, I, FITS> with the smallest strip that has a whole row. 64 registers to a thread, of which 1024 have no more, allow 4
 * packs of two arrays. */
#define RD_ATT_BY_ROW(a, T, f, ...) \
	((a).keys <= rd_att_strip<32, 1> ? f<T, 32, 1, true>(__VA_ARGS__) \
	 : (a).keys <= rd_att_strip<32, 2> ? f<T, 32, 2, true>(__VA_ARGS__) \
	 : (a).keys <= rd_att_strip<32, 4> ? f<T, 32, 4, true>(__VA_ARGS__) \
	 : (a).keys <= rd_att_strip<256, 1> ? f<T, 256, 1, true>(__VA_ARGS__) \
	 : (a).keys <= rd_att_strip<256, 2> ? f<T, 256, 2, true>(__VA_ARGS__) \
	 : (a).keys <= rd_att_strip<256, 4> ? f<T, 256, 4, true>(__VA_ARGS__) \
	 : (a).keys <= rd_att_strip<512, 4> ? f<T, 512, 4, true>(__VA_ARGS__) \
	 : (a).keys <= rd_att_strip<1024, 4> ? f<T, 1024, 4, true>(__VA_ARGS__) \
	 : f<T, 1024, 2, false>(__VA_ARGS__))

/* What backward is given, and what it gives; a gradient may be NULL. */
struct rd_att_operands {
	const void *q, *k, *v, *o;
	const float *stats;
	const void *dout;
};

struct rd_att_grads {
	void *dq, *dk, *dv;
	int acc_dq, acc_dk, acc_dv;
};

/* The three products of attention, for all units: a head at a time over all images, or the other way round.
 *   by_dims     s [tokens, keys] = alpha x y^T     x of the queries (q, do), y of the keys (k, v), s f32
 *   by_tokens   o [tokens, d] = alpha s y, or +=   y of the keys, o of the queries, s in the activations' type
 *               o [keys, d] = alpha s^T y, or +=   where t_s: y of the queries, o of the keys */
int rd_att_by_dims(struct rd_dev *dev, const rd_att &a, float alpha, const void *x, const void *y, float *s, struct rd_err *e);
int rd_att_by_tokens(struct rd_dev *dev, const rd_att &a, float alpha, bool t_s, const void *s, const void *y, void *o,
                     int acc, struct rd_err *e);

#endif
