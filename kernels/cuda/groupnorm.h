/* What forward and backward of the group normalisation share: the work space, the division of the work, and the passes.
 *
 * One pass makes sums per channel, in f32; one makes of these, in double, the coefficients of y = act(x a[c] + b[c]); one
 * applies them. Where an image is small, some of its groups are one block's work from the first pass to the last, in one
 * launch: sums and coefficients stay in the block's shared memory, x in the cache. Otherwise each pass is a kernel. The first
 * one's blocks have a chunk of rows (pixels) each; the second one's have a group each, for which they add the chunks' sums
 * first, in double. All sizes, and the order of all sums, follow from the shape alone. */
#ifndef RD_KERNELS_CUDA_GROUPNORM_H
#define RD_KERNELS_CUDA_GROUPNORM_H

#include "kernels/cuda/actmath.h"
#include "kernels/cuda/reduce.h"

enum { RD_GN_ROWS = 64, RD_GN_SUMS = 3, RD_GN_COEFS = 6, RD_GN_WARP = 32 };

/* What a kernel is told. Work space: total [n][3][c] in double, then affine [n][2][c], coef [n][6][c], part [n][chunks][3][c]. */
struct rd_gn {
	int64_t n, c, rows, groups;
	int64_t width, chunk, chunks; /* channels and rows of a block; chunks of an image */
	bool whole;                   /* a block has all rows of its channels, which are whole groups */
	float eps;
	enum rd_act act;
	double *total;
	float *affine, *coef, *part;
};

/* With what forward reads, and backward too. */
template <class T> struct rd_gn_in {
	rd_gn g;
	const T *x, *chan, *ss;
	const float *gamma, *beta;
};

static inline rd_gn rd_gn_of(const struct rd_groupnorm_desc *p, void *ws)
{
	rd_gn g = {};

	g.n = p->d.n;
	g.c = p->d.c;
	g.rows = p->d.h * p->d.w;
	g.groups = p->groups;
	g.chunk = RD_GN_ROWS;
	g.chunks = (g.rows + RD_GN_ROWS - 1) / RD_GN_ROWS;
	g.eps = p->eps;
	g.act = p->act;
	g.total = (double *)ws;
	g.affine = (float *)(g.total + g.n * RD_GN_SUMS * g.c);
	g.coef = g.affine + g.n * 2 * g.c;
	g.part = g.coef + g.n * RD_GN_COEFS * g.c;
	return g;
}

/* Channels of a block that does everything to them, or 0 where that is too much for one. They are whole groups and whole
 * packs of V: four packs (64 bytes of a pixel) or what a group needs, but fewer of them where few images would leave a large
 * device idle. A thread has 16 packs at most, and the block's shared memory is for 256 channels. */
static inline int64_t rd_gn_whole(const rd_gn &g, int V)
{
	int64_t unit = g.c / g.groups, packs = g.n * g.c / V / 256, width;

	while (unit % V)
		unit *= 2; /* V is a power of two: the least common multiple */
	packs = packs < 1 ? 1 : packs > 4 ? 4 : packs;
	width = packs * V < unit ? unit : packs * V / unit * unit;
	width = width < g.c ? width : g.c;
	return width <= 256 && width / V * g.rows <= 16 * RD_THREADS ? width : 0;
}

/* Divides the work for packs of V channels. */
static inline void rd_gn_divide(rd_gn *g, int V)
{
	g->width = rd_gn_whole(*g, V);
	g->whole = g->width > 0;
	if (g->whole) {
		g->chunk = g->rows;
		g->chunks = 1;
	} else {
		g->width = g->c < 32 * V ? g->c : 32 * V;
	}
}

/* Of the passes that sum: threads x along packs of channels, y along rows. A block's shared memory: coef [6][x V],
 * part [3][x V], and what rd_rows_sum wants. */
struct rd_gn_launch {
	dim3 grid, block;
	size_t shared;
};

static inline rd_gn_launch rd_gn_launch_of(const rd_gn &g, int V, int n_sums)
{
	unsigned x = 1;

	while (x * V < g.width)
		x *= 2;
	return { dim3((unsigned)g.chunks, (unsigned)((g.c + g.width - 1) / g.width), rd_blocks_y(g.n)), dim3(x, RD_THREADS / x),
		 (RD_GN_COEFS + RD_GN_SUMS) * sizeof(float) * x * (size_t)V + rd_rows_bytes(x, V, n_sums) };
}

/* The block's channels first .. end, and this thread's V from l on with rows lo, lo + blockDim.y, ... of those below hi; a
 * thread past the end has no rows. */
struct rd_gn_share {
	int64_t first, end, l, lo, hi;
};

static __device__ __forceinline__ rd_gn_share rd_gn_share_of(const rd_gn &g, int V)
{
	int64_t first = blockIdx.y * g.width, lo = blockIdx.x * g.chunk;
	rd_gn_share b = { first, first + g.width, first + threadIdx.x * V, lo + threadIdx.y, lo + g.chunk };

	b.end = b.end < g.c ? b.end : g.c;
	b.hi = b.l >= b.end ? 0 : b.hi < g.rows ? b.hi : g.rows;
	return b;
}

static __device__ __forceinline__ int rd_gn_thread()
{
	return (int)(threadIdx.y * blockDim.x + threadIdx.x);
}

/* Where an image's coefficients and sums are, of the channels from first on: coef [6][pitch], part [chunks][3][pitch]. */
struct rd_gn_at {
	float *coef, *part;
	int64_t pitch, first;
};

static __device__ __forceinline__ rd_gn_at rd_gn_at_image(const rd_gn &g, int64_t image)
{
	return { g.coef + image * RD_GN_COEFS * g.c, g.part + image * g.chunks * RD_GN_SUMS * g.c, g.c, 0 };
}

/* In shared memory; *rest is what follows. */
static __device__ __forceinline__ rd_gn_at rd_gn_at_block(float *shared, int64_t first, int V, float **rest)
{
	int64_t pitch = blockDim.x * V;

	*rest = shared + (RD_GN_COEFS + RD_GN_SUMS) * pitch;
	return { shared, shared + RD_GN_COEFS * pitch, pitch, first };
}

/* Sums over an image's rows, [3][pitch], of the channels from first on: of a block in f32, as it has all rows, else in double. */
template <class S> struct rd_gn_sums {
	const S *p;
	int64_t pitch, first;

	__device__ double operator()(int64_t s, int64_t l) const
	{
		return (double)p[s * pitch + l - first];
	}
};

/* By a block of rd_gn_group_block, x along the group's channels and y along chunks: the first N sums of each channel. Thread y
 * adds chunks y, y + blockDim.y, ..., and one thread those sums, in that order. shared: RD_GN_GROUP_BYTES. */
template <int N>
static __device__ __forceinline__ rd_gn_sums<double> rd_gn_total(const rd_gn &g, int64_t image, int64_t group, double *shared)
{
	const float *part = g.part + image * g.chunks * RD_GN_SUMS * g.c;
	double *total = g.total + image * RD_GN_SUMS * g.c;
	int64_t width = g.c / g.groups, end = (group + 1) * width;

	for (int64_t l = end - width + threadIdx.x, at = 0; at < width; at += blockDim.x, l += blockDim.x) {
		double sum[N];

		for (int s = 0; s < N; s++)
			sum[s] = 0.0;
		RD_UNROLL_4
		for (int64_t k = l < end ? threadIdx.y : g.chunks; k < g.chunks; k += blockDim.y)
			for (int s = 0; s < N; s++)
				sum[s] += (double)part[(k * RD_GN_SUMS + s) * g.c + l];
		for (int s = 0; s < N; s++)
			shared[(s * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x] = sum[s];
		__syncthreads();
		if (threadIdx.y < N && l < end) {
			const double *mine = shared + threadIdx.y * RD_THREADS + threadIdx.x;

			sum[0] = 0.0;
			for (unsigned y = 0; y < blockDim.y; y++)
				sum[0] += mine[y * blockDim.x];
			total[threadIdx.y * g.c + l] = sum[0];
		}
		__syncthreads();
	}
	return { total, g.c, 0 };
}

static inline dim3 rd_gn_group_block(const rd_gn &g)
{
	unsigned x = rd_side_by_side(g.c / g.groups);

	return dim3(x, RD_THREADS / x);
}

enum { RD_GN_GROUP_BYTES = RD_GN_SUMS * RD_THREADS * sizeof(double) };

/* Coefficient k of V channels from l on. */
template <int V>
static __device__ __forceinline__ void rd_gn_load(float *out, const rd_gn_at &at, int64_t k, int64_t l)
{
	rd_load<float, V>(out, at.coef + k * at.pitch + l - at.first);
}

/* Coefficients 0 and 1, a and b of act's argument x a + b, for channel l. */
template <class T>
static __device__ __forceinline__ void rd_gn_affine(const rd_gn_in<T> &j, const rd_gn_at &at, int64_t image, int64_t l,
                                                    double mean, double rstd)
{
	float *coef = at.coef + l - at.first;
	double a = rstd * (double)j.gamma[l], b;

	b = (double)j.beta[l] + ((j.chan ? (double)rd_to_float(j.chan[image * j.g.c + l]) : 0.0) - mean) * a;
	if (j.ss) {
		const T *ss = j.ss + image * 2 * j.g.c + l;
		double s1 = 1.0 + (double)rd_to_float(ss[0]);

		a *= s1;
		b = b * s1 + (double)rd_to_float(ss[j.g.c]);
	}
	coef[0] = (float)a;
	coef[at.pitch] = (float)b;
}

#endif
