/* Elements of activations, and 16 bytes of them at a time. */
#ifndef RD_KERNELS_CUDA_TYPES_H
#define RD_KERNELS_CUDA_TYPES_H

#include "kernels/cuda/dev.h"

#include <math.h>
#include <string.h>

#ifndef RD_CUDA_HOST
#include <cuda_bf16.h>
#endif

#ifdef RD_CUDA_HOST
#define RD_UNROLL
#define RD_UNROLL_4
#define RD_ROLLED
#else
#define RD_UNROLL _Pragma("unroll")
#define RD_UNROLL_4 _Pragma("unroll 4")
#define RD_ROLLED _Pragma("unroll 1")
#endif

struct rd_bf16 {
	uint16_t bits;
};

static __device__ __forceinline__ float rd_bits_float(uint32_t u)
{
#ifdef RD_CUDA_HOST
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
#else
	return __uint_as_float(u);
#endif
}

static __device__ __forceinline__ float rd_to_float(float x)
{
	return x;
}

static __device__ __forceinline__ float rd_to_float(rd_bf16 x)
{
	return rd_bits_float((uint32_t)x.bits << 16);
}

/* To the nearest, ties to even; NaN stays. */
static __device__ __forceinline__ void rd_from_float(rd_bf16 *y, float x)
{
#ifdef RD_CUDA_HOST
	uint32_t u;

	memcpy(&u, &x, sizeof u);
	y->bits = x != x ? 0x7fff : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
#else
	y->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
#endif
}

static __device__ __forceinline__ void rd_from_float(float *y, float x)
{
	*y = x;
}

/* V elements from or to p, in one access where they make 8 or 16 bytes (p is then aligned to that); from p also in several
 * of 16. */
template <class T, int V> static __device__ __forceinline__ void rd_load(float *out, const T *p)
{
	constexpr int fours = (int)(V * sizeof(T) / 16);
	union {
		T t[V];
		uint4 four[fours ? fours : 1];
		uint2 two;
	} u;

	if (V * sizeof(T) % 16 == 0) {
		RD_UNROLL
		for (int i = 0; i < fours; i++)
			u.four[i] = reinterpret_cast<const uint4 *>(p)[i];
	} else if (V * sizeof(T) == 8) {
		u.two = *reinterpret_cast<const uint2 *>(p);
	} else {
		for (int i = 0; i < V; i++)
			u.t[i] = p[i];
	}
	RD_UNROLL
	for (int i = 0; i < V; i++)
		out[i] = rd_to_float(u.t[i]);
}

/* The same of R rows of c elements, r, r + step, ..., so that all loads are on their way together. Of those from hi on, which
 * nobody wants, v has row r's. */
template <class T, int V, int R>
static __device__ __forceinline__ void rd_load_rows(float (*v)[V], const T *p, int64_t c, int64_t r, int64_t step, int64_t hi)
{
	RD_UNROLL
	for (int u = 0; u < R; u++)
		rd_load<T, V>(v[u], p + (r + u * step < hi ? r + u * step : r) * c);
}

template <class T, int V> static __device__ __forceinline__ void rd_store(T *p, const float *in)
{
	union {
		T t[V];
		uint4 four;
		uint2 two;
	} u;

	RD_UNROLL
	for (int i = 0; i < V; i++)
		rd_from_float(&u.t[i], in[i]);
	if (V * sizeof(T) == 16) {
		*reinterpret_cast<uint4 *>(p) = u.four;
	} else if (V * sizeof(T) == 8) {
		*reinterpret_cast<uint2 *>(p) = u.two;
	} else {
		for (int i = 0; i < V; i++)
			p[i] = u.t[i];
	}
}

/* p = v, or p += v, after which v is the sum. */
template <class T, int V> static __device__ __forceinline__ void rd_put(T *p, float *v, int acc)
{
	float old[V];

	if (acc) {
		rd_load<T, V>(old, p);
		for (int i = 0; i < V; i++)
			v[i] += old[i];
	}
	rd_store<T, V>(p, v);
}

/* Elements in 16 bytes. */
template <class T> constexpr int rd_width()
{
	return (int)(16 / sizeof(T));
}

/* f<T, V>: V is what 16 bytes hold where n divides by it, else 1. */
#define RD_BY_WIDTH(T, n, f, ...) \
	((n) % rd_width<T>() == 0 ? f<T, rd_width<T>()>(__VA_ARGS__) : f<T, 1>(__VA_ARGS__))

/* Work on a matrix of rows x cols: threads side by side along a row, blocks down the rows. */
struct rd_tiles {
	dim3 grid, block;
};

constexpr int RD_THREADS = 256;

/* Threads of a block side by side along n packs of channels, at most a warp; the block's others go down the rows. */
static inline unsigned rd_side_by_side(int64_t n)
{
	unsigned x = 1;

	while (x < n && x < 32)
		x *= 2;
	return x;
}

/* Blocks in the first dimension, and in the others: kernels go on from there in steps. */
#ifndef RD_MOST_X
#define RD_MOST_X (1 << 14)
#endif
#ifndef RD_MOST_Y
#define RD_MOST_Y 65535
#endif

static inline unsigned rd_blocks(int64_t n)
{
	return n < RD_MOST_X ? (unsigned)n : RD_MOST_X;
}

static inline unsigned rd_blocks_y(int64_t n)
{
	return n < RD_MOST_Y ? (unsigned)n : RD_MOST_Y;
}

static inline rd_tiles rd_tile(int64_t rows, int64_t cols)
{
	unsigned x = 1;
	int64_t blocks;

	while (x < cols && x < RD_THREADS)
		x *= 2;
	blocks = (rows + RD_THREADS / x - 1) / (RD_THREADS / x);
	return { dim3(rd_blocks(blocks)), dim3(x, RD_THREADS / x) };
}

/* The same for each of many images, which are the grid's second dimension: a thread takes `each` rows of an image or more, so
 * that what belongs to its columns is read once for them all. */
static inline rd_tiles rd_tile_images(int64_t images, int64_t rows, int64_t cols, int64_t each)
{
	rd_tiles t = rd_tile((rows + each - 1) / each, cols);

	t.grid.y = rd_blocks_y(images);
	return t;
}

/* This thread's rows are first, first + step, ...; its columns threadIdx.x, threadIdx.x + blockDim.x, ... */
static __device__ __forceinline__ int64_t rd_row_first()
{
	return (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
}

static __device__ __forceinline__ int64_t rd_row_step()
{
	return (int64_t)gridDim.x * blockDim.y;
}

#endif
