/* Forward of attention without its scores in memory. */
#include "kernels/cuda/attention_fused.h"

/* Of a lane's rows, two to each 16: the largest score so far, and the lane's part of the sum of exponentials below it. */
template <int M> struct softmax {
	float top[M][2], sum[M][2];
};

/* Of the four lanes that have a row. */
static __device__ __forceinline__ float row_max(float v)
{
	for (int lanes = 2; lanes; lanes /= 2)
		v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, lanes));
	return v;
}

static __device__ __forceinline__ float row_sum(float v)
{
	for (int lanes = 2; lanes; lanes /= 2)
		v += __shfl_xor_sync(0xffffffffu, v, lanes);
	return v;
}

/* Exponentials in the place of a tile's scores; what was summed before is brought to the new largest score. scale: of scores, for
 * exponentials of base 2. */
template <int D, int M, int N>
static __device__ __forceinline__ void exponentials(softmax<M> &x, float (*s)[N / 8][4], float (*out)[D / 8][4], float scale)
{
	RD_UNROLL
	for (int i = 0; i < M; i++)
		RD_UNROLL
		for (int h = 0; h < 2; h++) {
			float top = x.top[i][h], less, sum = 0.0f;

			RD_UNROLL
			for (int j = 0; j < N / 4; j++)
				top = fmaxf(top, s[i][j / 2][2 * h + j % 2]);
			top = row_max(top);
			less = rd_exp2((x.top[i][h] - top) * scale);
			RD_UNROLL
			for (int j = 0; j < N / 4; j++)
				sum += s[i][j / 2][2 * h + j % 2] = rd_exp2(s[i][j / 2][2 * h + j % 2] * scale - top * scale);
			RD_UNROLL
			for (int j = 0; j < D / 4; j++)
				out[i][j / 2][2 * h + j % 2] *= less;
			x.top[i][h] = top;
			x.sum[i][h] = x.sum[i][h] * less + sum;
		}
}

/* Divides by the sums, and writes the statistics where they are wanted. */
template <int D, int M>
static __device__ __forceinline__ void finish(softmax<M> &x, float (*out)[D / 8][4], const rd_att &p, int64_t first, float *stats)
{
	RD_UNROLL
	for (int i = 0; i < M; i++)
		RD_UNROLL
		for (int h = 0; h < 2; h++) {
			int64_t row = first + 16 * i + rd_c_row(h);
			float inv = 1.0f / row_sum(x.sum[i][h]);

			RD_UNROLL
			for (int j = 0; j < D / 4; j++)
				out[i][j / 2][2 * h + j % 2] *= inv;
			if (stats && row < p.tokens && rd_c_col() == 0) {
				stats[2 * row] = p.scale * x.top[i][h];
				stats[2 * row + 1] = inv;
			}
		}
}

template <int D, int M, int N>
static __global__ void __launch_bounds__(RD_FUSED_THREADS)
forward_kernel(rd_att p, const rd_bf16 *q, const rd_bf16 *k, const rd_bf16 *v, rd_bf16 *o, float *stats)
{
	RD_SHARED(rd_bf16, shared);
	int64_t each = rd_fused_blocks<M>(p.tokens);

	for (int64_t b = blockIdx.x; b < p.images * p.heads * each; b += gridDim.x) {
		const rd_fused_place at = rd_fused_place_of<M>(p, b, each);
		const rd_fused_tiles<D, N> tiles = { shared, p, k + at.keys, v + at.keys, p.keys };
		uint32_t a[M][D / 16][4];
		float out[M][D / 8][4], s[M][N / 8][4];
		softmax<M> x;

		tiles.fetch(0);
		rd_fused_load<D, M>(a, p, q + at.queries, at.first, p.tokens);
		rd_fused_zero<D, M>(out);
		for (int i = 0; i < 2 * M; i++) {
			x.top[i / 2][i % 2] = -INFINITY;
			x.sum[i / 2][i % 2] = 0.0f;
		}
		for (int64_t i = 0; i < tiles.count(); i++) {
			tiles.wait(i);
			rd_fused_by_dims<D, M, N>(s, a, tiles.tile(i, 0));
			if ((i + 1) * N > p.keys)
				rd_fused_mask<M, N>(s, p.keys - i * N, -INFINITY);
			exponentials<D, M, N>(x, s, out, p.scale * RD_LOG2E);
			rd_fused_by_rows<D, M, N>(out, s, tiles.tile(i, 1));
			tiles.done();
		}
		finish<D, M>(x, out, p, at.first, stats ? stats + 2 * at.unit * p.tokens : stats);
		rd_fused_store<D, M>(o + at.queries, p, out, at.first, p.tokens, 1.0f, 0);
	}
}

template <int D, int M, int N>
static int launch(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, void *o, float *stats,
                   struct rd_err *e)
{
	dim3 grid(rd_blocks(rd_fused_units<M>(a, a.tokens)));

	return RD_LAUNCH(dev, e, (forward_kernel<D, M, N>), grid, RD_FUSED_THREADS, (rd_fused_shared<D, N>), a, (const rd_bf16 *)q,
	                 (const rd_bf16 *)k, (const rd_bf16 *)v, (rd_bf16 *)o, stats);
}

/* As many keys to a tile as registers and 48 KiB of shared memory have room for. */
template <int D>
static int forward(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, void *o, float *stats,
                   struct rd_err *e)
{
	constexpr int M = D <= 80 ? 2 : 1, N = D <= 64 ? 64 : 32;

	return rd_fused_is_small(a) ? launch<D, 1, N>(dev, a, q, k, v, o, stats, e) : launch<D, M, N>(dev, a, q, k, v, o, stats, e);
}

int rd_fused_fwd(struct rd_dev *dev, const rd_att &a, const void *q, const void *k, const void *v, void *o, float *stats,
                 struct rd_err *e)
{
	return RD_FUSED_BY_DIM(a.d, forward, dev, a, q, k, v, o, stats, e);
}
