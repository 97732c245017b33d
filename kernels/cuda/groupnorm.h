/* What forward and backward of the group normalisation share: the work space and the passes.
 *
 * An image is cut into chunks of rows (pixels), a chunk's sums per channel are f32; a second kernel adds the chunks in
 * double, in their order, and makes the coefficients of y = act(x a[c] + b[c]); a third one applies them. All sizes follow
 * from the shape alone. */
#ifndef RD_KERNELS_CUDA_GROUPNORM_H
#define RD_KERNELS_CUDA_GROUPNORM_H

#include "kernels/cuda/actmath.h"

enum { RD_GN_ROWS = 64, RD_GN_SUMS = 3, RD_GN_COEFS = 6 };

/* What a kernel is told. Work space: part [n][chunks][3][c], coef [n][6][c], affine [n][2][c], all f32. */
struct rd_gn {
	int64_t n, c, rows, groups, chunks;
	float eps;
	enum rd_act act;
	float *part, *coef, *affine;
};

static inline rd_gn rd_gn_of(const struct rd_groupnorm_desc *p, void *ws)
{
	rd_gn g = {};

	g.n = p->d.n;
	g.c = p->d.c;
	g.rows = p->d.h * p->d.w;
	g.groups = p->groups;
	g.chunks = (g.rows + RD_GN_ROWS - 1) / RD_GN_ROWS;
	g.eps = p->eps;
	g.act = p->act;
	g.part = (float *)ws;
	g.coef = g.part + g.n * g.chunks * RD_GN_SUMS * g.c;
	g.affine = g.coef + g.n * RD_GN_COEFS * g.c;
	return g;
}

/* Threads of the kernel of sums: x along packs of channels, y along rows. Its shared memory: y rows of SUMS sums. */
struct rd_gn_launch {
	dim3 grid, block;
	size_t shared;
};

static inline rd_gn_launch rd_gn_sums(const rd_gn &g, int width, int n_sums)
{
	unsigned x = 1;
	int64_t packs = g.c / width;

	while (x < packs && x < 32)
		x *= 2;
	return { dim3((unsigned)g.chunks, (unsigned)((packs + x - 1) / x), rd_blocks_y(g.n)),
		 dim3(x, RD_THREADS / x), (size_t)(RD_THREADS * width * n_sums) * sizeof(float) };
}

/* The block's sums of V channels a thread, written to part[s][c]; shared as rd_gn_sums has it. All threads come here. */
template <int V, int N>
static __device__ __forceinline__ void rd_gn_reduce(const float *mine, float *shared, float *part, int64_t c, int64_t first,
                                                    bool inside)
{
	int at = (int)(threadIdx.y * blockDim.x + threadIdx.x) * V * N;

	for (int k = 0; k < V * N; k++)
		shared[at + k] = mine[k];
	__syncthreads();
	if (threadIdx.y == 0 && inside)
		for (int k = 0; k < V * N; k++) {
			float sum = 0.0f;

			for (unsigned y = 0; y < blockDim.y; y++)
				sum += shared[(y * blockDim.x + threadIdx.x) * V * N + k];
			part[k / V * c + first + k % V] = sum;
		}
	__syncthreads();
}

/* Sum s of channel l of an image, over its chunks. */
static __device__ __forceinline__ double rd_gn_total(const rd_gn &g, int64_t image, int64_t s, int64_t l)
{
	double sum = 0.0;

	for (int64_t k = 0; k < g.chunks; k++)
		sum += (double)g.part[((image * g.chunks + k) * RD_GN_SUMS + s) * g.c + l];
	return sum;
}

/* coef[0] = a and coef[1] = b of act's argument x a + b, for channel l. */
template <class T>
static __device__ __forceinline__ void rd_gn_affine(const rd_gn &g, int64_t image, int64_t l, double mean, double rstd,
                                                    const T *chan, const float *gamma, const float *beta, const T *ss)
{
	float *coef = g.coef + image * RD_GN_COEFS * g.c;
	double a = rstd * (double)gamma[l], b;

	b = (double)beta[l] + ((chan ? (double)rd_to_float(chan[image * g.c + l]) : 0.0) - mean) * a;
	if (ss) {
		double s1 = 1.0 + (double)rd_to_float(ss[image * 2 * g.c + l]);

		a *= s1;
		b = b * s1 + (double)rd_to_float(ss[image * 2 * g.c + g.c + l]);
	}
	coef[l] = (float)a;
	coef[g.c + l] = (float)b;
}

/* Threads of the second kernel: a block for each group of an image, a warp of which works. */
enum { RD_GN_WARP = 32 };

#endif
