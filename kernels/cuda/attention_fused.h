/* Attention of bf16 without its scores in memory (FlashAttention-2, arXiv 2307.08691): a block keeps rows of one side, queries or
 * keys, in registers, while tiles of the other side pass through shared memory. What forward and both directions of backward share.
 *
 * A head's d channels are padded to D, a multiple of 16, with zeros. A warp has M times 16 rows of a block's; a tile has N rows. */
#ifndef RD_KERNELS_CUDA_ATTENTION_FUSED_H
#define RD_KERNELS_CUDA_ATTENTION_FUSED_H

#include "kernels/cuda/attention.h"
#include "kernels/cuda/mma.h"

enum { RD_FUSED_WARPS = 4, RD_FUSED_THREADS = 32 * RD_FUSED_WARPS };

constexpr float RD_LOG2E = 1.44269504f;

template <int M> constexpr int rd_fused_rows = 16 * M * RD_FUSED_WARPS;
template <int D> constexpr int rd_fused_pitch = D + 8; /* rows of a tile in shared memory: 8 of them are in different banks */
template <int D, int N> constexpr size_t rd_fused_tile = (size_t)N * rd_fused_pitch<D>;
/* Two tiles to work on, and two on their way. */
template <int D, int N> constexpr size_t rd_fused_shared = 4 * rd_fused_tile<D, N> * sizeof(rd_bf16);

/* Blocks for `rows` tokens of each unit, one after another. */
template <int M> static inline __host__ __device__ int64_t rd_fused_blocks(int64_t rows)
{
	return (rows + rd_fused_rows<M> - 1) / rd_fused_rows<M>;
}

/* 2^x to 22 bits, in one instruction. */
static __device__ __forceinline__ float rd_exp2(float x)
{
#ifdef RD_CUDA_HOST
	return exp2f(x);
#else
	float y;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
#endif
}

static __device__ __forceinline__ int rd_lane()
{
	return (int)threadIdx.x % 32;
}

/* Where a block is at work: its unit, where that begins in what is of the queries and in what is of the keys, and the first of this
 * warp's rows. */
struct rd_fused_place {
	int64_t unit, queries, keys, first;
};

/* Of block b, where each unit has `each` of them. */
template <int M> static __device__ __forceinline__ rd_fused_place rd_fused_place_of(const rd_att &p, int64_t b, int64_t each)
{
	int64_t unit = b / each, image = unit / p.heads, channel = unit % p.heads * p.d;

	return { unit, image * p.tokens * p.c + channel, image * p.keys * p.c + channel,
		 b % each * rd_fused_rows<M> + (int)threadIdx.x / 32 * 16 * M };
}

/* Row and column of this lane's elements 2h and 2h + 1 of a result's fragment. */
static __device__ __forceinline__ int rd_c_row(int h)
{
	return rd_lane() / 4 + 8 * h;
}

static __device__ __forceinline__ int rd_c_col()
{
	return rd_lane() % 4 * 2;
}

/* The warp's rows from `first` on, of m's `rows`. */
template <int D, int M>
static __device__ __forceinline__ void rd_fused_load(uint32_t (*a)[D / 16][4], const rd_att &p, const rd_bf16 *m, int64_t first,
                                                     int64_t rows)
{
	const int64_t left = rows - first - rd_c_row(0);
	const rd_bf16 *at = m + (first + rd_c_row(0)) * p.c + rd_c_col();
	const int d = (int)p.d;

	RD_UNROLL
	for (int i = 0; i < M; i++)
		RD_UNROLL
		for (int h = 0; h < 2; h++, at += 8 * p.c)
			RD_UNROLL
			for (int j = 0; j < D / 8; j++) /* d is a multiple of 8 */
				a[i][j / 2][h + j % 2 * 2] = 16 * i + 8 * h < left && 8 * j < d ? *reinterpret_cast<const uint32_t *>(at + 8 * j) : 0;
}

/* m's rows = or += factor x. */
template <int D, int M>
static __device__ __forceinline__ void rd_fused_store(rd_bf16 *m, const rd_att &p, float (*x)[D / 8][4], int64_t first,
                                                      int64_t rows, float factor, int acc)
{
	const int64_t left = rows - first - rd_c_row(0);
	rd_bf16 *at = m + (first + rd_c_row(0)) * p.c + rd_c_col();
	const int d = (int)p.d;

	RD_UNROLL
	for (int i = 0; i < M; i++)
		RD_UNROLL
		for (int h = 0; h < 2; h++, at += 8 * p.c) {
			uint32_t old[D / 8];

			if (16 * i + 8 * h >= left)
				continue;
			RD_UNROLL
			for (int j = 0; j < D / 8; j++) /* all on their way together */
				old[j] = acc && 8 * j < d ? *reinterpret_cast<const uint32_t *>(at + 8 * j) : 0;
			RD_UNROLL
			for (int j = 0; j < D / 8; j++)
				if (8 * j < d)
					*reinterpret_cast<uint32_t *>(at + 8 * j) = rd_pair(factor * x[i][j][2 * h] + rd_pair_first(old[j]),
					                                                    factor * x[i][j][2 * h + 1] + rd_pair_second(old[j]));
		}
}

/* Tiles of the other side's two matrices; tile i + 1 is on its way while tile i is worked on. */
template <int D, int N> struct rd_fused_tiles {
	rd_bf16 *shared;
	const rd_att &p;
	const rd_bf16 *x, *y;
	int64_t rows;

	__device__ int64_t count() const
	{
		return (rows + N - 1) / N;
	}

	__device__ rd_bf16 *tile(int64_t i, int which) const
	{
		return shared + (i % 2 * 2 + which) * rd_fused_tile<D, N>;
	}

	__device__ void fetch(int64_t i) const
	{
		constexpr int packs = D / 8;

		for (int at = (int)threadIdx.x; i < count() && at < N * packs; at += RD_FUSED_THREADS) {
			int row = at / packs, col = at % packs * 8, to = row * rd_fused_pitch<D> + col;
			bool there = i * N + row < rows && col < p.d;
			int64_t from = there ? (i * N + row) * p.c + col : 0;

			rd_copy_async(tile(i, 0) + to, x + from, there);
			rd_copy_async(tile(i, 1) + to, y + from, there);
		}
		rd_copies_commit();
	}

	/* For all threads of the block; done() when nobody needs tile i any more. */
	__device__ void wait(int64_t i) const
	{
		fetch(i + 1);
		rd_copies_wait<1>();
		__syncthreads();
	}

	__device__ void done() const
	{
		__syncthreads();
	}
};

template <int D, int M> static __device__ __forceinline__ void rd_fused_zero(float (*x)[D / 8][4])
{
	RD_UNROLL
	for (int i = 0; i < M; i++)
		RD_UNROLL
		for (int j = 0; j < D / 8; j++)
			RD_UNROLL
			for (int h = 0; h < 4; h++)
				x[i][j][h] = 0.0f;
}

/* Of a tile's scores those of its first n keys alone. */
template <int M, int N> static __device__ __forceinline__ void rd_fused_mask(float (*s)[N / 8][4], int64_t n, float beyond)
{
	RD_UNROLL
	for (int i = 0; i < M; i++)
		RD_UNROLL
		for (int j = 0; j < N / 8; j++)
			RD_UNROLL
			for (int h = 0; h < 4; h++)
				s[i][j][h] = 8 * j + rd_c_col() + h % 2 < n ? s[i][j][h] : beyond;
}

/* s [rows, N] = a tile^T */
template <int D, int M, int N>
static __device__ __forceinline__ void rd_fused_by_dims(float (*s)[N / 8][4], uint32_t (*a)[D / 16][4], const rd_bf16 *tile)
{
	const rd_bf16 *row = tile + (rd_lane() / 16 * 8 + rd_lane() % 8) * rd_fused_pitch<D> + rd_lane() / 8 % 2 * 8;

	rd_fused_zero<N, M>(s);
	RD_UNROLL
	for (int k = 0; k < D / 16; k++)
		RD_UNROLL
		for (int j = 0; j < N / 16; j++) {
			uint32_t b[4];

			rd_load_matrices<false>(b, row + 16 * j * rd_fused_pitch<D> + 16 * k);
			RD_UNROLL
			for (int i = 0; i < M; i++) {
				rd_mma(s[i][2 * j], a[i][k], b);
				rd_mma(s[i][2 * j + 1], a[i][k], b + 2);
			}
		}
}

/* o [rows, D] += s tile, with s rounded to bf16. */
template <int D, int M, int N>
static __device__ __forceinline__ void rd_fused_by_rows(float (*o)[D / 8][4], float (*s)[N / 8][4], const rd_bf16 *tile)
{
	const rd_bf16 *row = tile + rd_lane() % 16 * rd_fused_pitch<D> + rd_lane() / 16 * 8;

	RD_UNROLL
	for (int j = 0; j < N / 16; j++) {
		uint32_t a[M][4];

		RD_UNROLL
		for (int i = 0; i < M; i++)
			RD_UNROLL
			for (int h = 0; h < 4; h++)
				a[i][h] = rd_pair(s[i][2 * j + h / 2][h % 2 * 2], s[i][2 * j + h / 2][h % 2 * 2 + 1]);
		RD_UNROLL
		for (int k = 0; k < D / 16; k++) {
			uint32_t b[4];

			rd_load_matrices<true>(b, row + 16 * j * rd_fused_pitch<D> + 16 * k);
			RD_UNROLL
			for (int i = 0; i < M; i++) {
				rd_mma(o[i][2 * k], a[i], b);
				rd_mma(o[i][2 * k + 1], a[i], b + 2);
			}
		}
	}
}

/* Blocks for a side of all units. */
template <int M> static inline int64_t rd_fused_units(const rd_att &a, int64_t rows)
{
	return a.images * a.heads * rd_fused_blocks<M>(rows);
}

/* Where blocks of 32 rows to a warp would leave a large device idle, 16 are better. The order of a row's sums is the same. */
#ifndef RD_FUSED_SMALL
#define RD_FUSED_SMALL 264
#endif

static inline bool rd_fused_is_small(const rd_att &a)
{
	return rd_fused_units<2>(a, a.tokens) < RD_FUSED_SMALL;
}

/* Whether these kernels do it: whole packs of channels in bf16, of which registers have room. */
static inline bool rd_att_is_fused(const struct rd_dev *dev, const rd_att &a)
{
	return rd_is_bf16(dev) && a.d % 8 == 0 && a.d <= 128 && a.scale > 0.0f;
}

#define RD_FUSED_BY_DIM(d, f, ...) \
	((d) <= 32 ? f<32>(__VA_ARGS__) \
	 : (d) <= 48 ? f<48>(__VA_ARGS__) \
	 : (d) <= 64 ? f<64>(__VA_ARGS__) \
	 : (d) <= 80 ? f<80>(__VA_ARGS__) \
	 : (d) <= 96 ? f<96>(__VA_ARGS__) \
	 : f<128>(__VA_ARGS__))

/* As rd_cuda_attention_fwd and rd_cuda_attention_bwd, where rd_att_is_fused; forward needs no work space. */
int rd_fused_fwd(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, void *o, float *stats,
                 struct rd_err *e);
size_t rd_fused_bwd_ws_bytes(const rd_att &a);
int rd_fused_bwd(struct rd_dev *dev, const rd_att &a, const rd_att_operands &in, const rd_att_grads &g, void *ws,
                 struct rd_err *e);

#endif
