/* What layer normalisation, its adaptive form and that by the root mean square share; kernels/cpu/layernorm.h has the formulas. A row is one pixel's
 * channels.
 *
 * A block has a chunk of rows of one set, which is what has a gamma and a beta of its own: an image, or all images together.
 * Its warps make each row's coefficients, R rows of a warp at once, into shared memory; then its threads, side by side along
 * the channels, go down the chunk's rows with what belongs to their channels in registers, and find x in the cache. So dbeta
 * and dgamma are sums down a chunk, which are added in the chunks' order.
 *
 * P is what has gamma and beta: p.gamma<T, V>(out, set, at) and p.beta<T, V>(out, set, at) load those of V channels from `at`
 * on, where T is the type of an activation. P::centred says whether a mean comes off. */
#ifndef RD_KERNELS_CUDA_LAYERNORM_H
#define RD_KERNELS_CUDA_LAYERNORM_H

#include "kernels/cuda/reduce.h"

enum { RD_LN_WARP = 32, RD_LN_WARPS = RD_THREADS / RD_LN_WARP };
/* A row in shared memory: forward has the first three of these. */
enum { RD_LN_K, RD_LN_REST, RD_LN_RSTD, RD_LN_FWD, RD_LN_C2 = RD_LN_FWD, RD_LN_C3, RD_LN_BWD };

struct rd_ln {
	int64_t sets, rows, c, chunk, chunks; /* rows and chunks of a set; chunk: rows of a block */
	float eps;
};

/* Few rows make small chunks, so that there are blocks for a large device. The shape alone decides. */
static inline rd_ln rd_ln_of(const struct rd_layernorm_desc *p, int64_t sets)
{
	rd_ln l = { sets, p->d.n * p->d.h * p->d.w / sets, p->d.c, 0, 0, p->eps };

	l.chunk = sets * l.rows < 4096 || l.rows <= 2 * RD_LN_WARPS ? RD_LN_WARPS : 4 * RD_LN_WARPS;
	l.chunks = (l.rows + l.chunk - 1) / l.chunk;
	return l;
}

/* Of backward: sums [sets][chunks][2][c]. */
static inline size_t rd_ln_ws_bytes(const rd_ln &l)
{
	return (size_t)(l.sets * l.chunks * 2 * l.c) * sizeof(float);
}

/* This block's rows, and within its first pass this thread's warp and lane. */
struct rd_ln_place {
	int64_t set, lo, hi;
	int warp, lane;
};

static __device__ __forceinline__ rd_ln_place rd_ln_place_of(const rd_ln &l)
{
	unsigned set = blockIdx.x / (unsigned)l.chunks;
	int64_t lo = set * l.rows + blockIdx.x % (unsigned)l.chunks * l.chunk, hi = lo + l.chunk, end = (set + 1) * l.rows;
	int t = (int)(threadIdx.y * blockDim.x + threadIdx.x);

	return { set, lo, hi < end ? hi : end, t / RD_LN_WARP, t % RD_LN_WARP };
}

/* By a warp, for rows r, r + RD_LN_WARPS, ... of x: sum [R][2] of x - k[] and of its square. */
template <class T, int V, int R>
static __device__ __forceinline__ void rd_ln_moments(const rd_ln &l, const T *x, const rd_ln_place &p, const float *k,
                                                     float (*sum)[2])
{
	float v[R][V];

	for (int u = 0; u < R; u++)
		sum[u][0] = sum[u][1] = 0.0f;
	for (int64_t j = p.lane * V; j < l.c; j += RD_LN_WARP * V) {
		rd_load_rows<T, V, R>(v, x + j, l.c, p.lo + p.warp, RD_LN_WARPS, p.hi);
		RD_UNROLL
		for (int u = 0; u < R; u++)
			for (int i = 0; i < V; i++) {
				float d = v[u][i] - k[u];

				sum[u][0] += d;
				sum[u][1] += d * d;
			}
	}
	for (int u = 0; u < R; u++) {
		sum[u][0] = rd_warp_sum(sum[u][0]);
		sum[u][1] = rd_warp_sum(sum[u][1]);
	}
}

template <class T, class P> struct rd_ln_fwd_job {
	rd_ln l;
	P p;
	const T *x;
	T *y;
	float *stats;
};

/* The warp's rows: statistics, and coef [chunk][RD_LN_FWD]. */
template <class T, int V, int R, class P>
static __device__ __forceinline__ void rd_ln_fwd_coefs(const rd_ln_fwd_job<T, P> &j, const rd_ln_place &p, float *coef)
{
	float n = (float)j.l.c, k[R], sum[R][2];

	for (int u = 0; u < R; u++)
		k[u] = 0.0f;
	if (P::centred) {
		rd_ln_moments<T, V, R>(j.l, j.x, p, k, sum);
		for (int u = 0; u < R; u++)
			k[u] = sum[u][0] / n;
	}
	rd_ln_moments<T, V, R>(j.l, j.x, p, k, sum);
	for (int u = 0; u < R; u++) {
		int64_t r = p.lo + p.warp + u * RD_LN_WARPS;
		float rest = P::centred ? sum[u][0] / n : 0.0f, var = sum[u][1] / n - rest * rest, rstd, *out = coef + (r - p.lo) * RD_LN_FWD;

		if (p.lane || r >= p.hi)
			continue;
		rstd = 1.0f / sqrtf((var < 0.0f ? 0.0f : var) + j.l.eps);
		out[RD_LN_K] = k[u];
		out[RD_LN_REST] = rest;
		out[RD_LN_RSTD] = rstd;
		j.stats[2 * r] = k[u] + rest;
		j.stats[2 * r + 1] = rstd;
	}
}

template <class T, int V, int R, class P> static __global__ void rd_ln_fwd_kernel(rd_ln_fwd_job<T, P> j)
{
	RD_SHARED(float, coef);
	const rd_ln_place p = rd_ln_place_of(j.l);
	float v[R][V], g[V], b[V];
	int64_t c = j.l.c, step = blockDim.y;

	if (p.lo + p.warp < p.hi)
		rd_ln_fwd_coefs<T, V, R>(j, p, coef);
	__syncthreads();
	for (int64_t at = threadIdx.x * V; at < c; at += blockDim.x * V) {
		j.p.template gamma<T, V>(g, p.set, at);
		j.p.template beta<T, V>(b, p.set, at);
		for (int64_t r = p.lo + threadIdx.y; r < p.hi; r += R * step) {
			rd_load_rows<T, V, R>(v, j.x + at, c, r, step, p.hi);
			RD_UNROLL
			for (int u = 0; u < R && r + u * step < p.hi; u++) {
				const float *k = coef + (r + u * step - p.lo) * RD_LN_FWD;

				for (int i = 0; i < V; i++)
					v[u][i] = ((v[u][i] - k[RD_LN_K]) - k[RD_LN_REST]) * k[RD_LN_RSTD] * g[i] + b[i];
				rd_store<T, V>(j.y + (r + u * step) * c + at, v[u]);
			}
		}
	}
}

template <class T, class P> struct rd_ln_bwd_job {
	rd_ln l;
	P p;
	const T *x, *dy;
	const float *stats;
	T *dx;
	int acc_dx;
	float *part; /* [sets][chunks][2][c], dbeta's and dgamma's; NULL: neither is wanted */
};

/* The warp's rows: coef [chunk][RD_LN_BWD]. */
template <class T, int V, int R, class P>
static __device__ __forceinline__ void rd_ln_bwd_coefs(const rd_ln_bwd_job<T, P> &j, const rd_ln_place &p, float *coef)
{
	const rd_ln &l = j.l;
	int64_t first = p.lo + p.warp;
	float x[R][V], dy[R][V], g[V], d[R] = {}, w[R] = {}, wd[R] = {}, n = (float)l.c;

	for (int64_t at = p.lane * V; at < l.c; at += RD_LN_WARP * V) {
		rd_load_rows<T, V, R>(x, j.x + at, l.c, first, RD_LN_WARPS, p.hi);
		rd_load_rows<T, V, R>(dy, j.dy + at, l.c, first, RD_LN_WARPS, p.hi);
		j.p.template gamma<T, V>(g, p.set, at);
		RD_UNROLL
		for (int u = 0; u < R; u++) {
			int64_t r = first + u * RD_LN_WARPS < p.hi ? first + u * RD_LN_WARPS : first;
			float k = j.stats[2 * r];

			for (int i = 0; i < V; i++) {
				float di = x[u][i] - k, wi = g[i] * dy[u][i];

				d[u] += di;
				w[u] += wi;
				wd[u] += wi * di;
			}
		}
	}
	for (int u = 0; u < R; u++) {
		int64_t r = first + u * RD_LN_WARPS;
		float rest = P::centred ? rd_warp_sum(d[u]) / n : 0.0f, mean_w = P::centred ? rd_warp_sum(w[u]) / n : 0.0f;
		float mean_wd = rd_warp_sum(wd[u]) / n;
		float rstd, c2, *out = coef + (r - p.lo) * RD_LN_BWD;

		if (p.lane || r >= p.hi)
			continue;
		rstd = j.stats[2 * r + 1];
		c2 = -rstd * rstd * rstd * (mean_wd - rest * mean_w);
		out[RD_LN_K] = j.stats[2 * r];
		out[RD_LN_REST] = rest;
		out[RD_LN_RSTD] = rstd;
		out[RD_LN_C2] = c2;
		out[RD_LN_C3] = -rstd * mean_w - c2 * rest;
	}
}

/* V channels from `at` on, down the chunk's rows: dx, and the sums that this thread has of them. dx may be dy: a thread has read
 * what it writes over, and no other thread of this pass reads it. */
template <class T, int V, int R, class P>
static __device__ __forceinline__ void rd_ln_bwd_apply(const rd_ln_bwd_job<T, P> &j, const rd_ln_place &p, const float *coef,
                                                       int64_t at, float *sum)
{
	int64_t c = j.l.c, step = blockDim.y;
	bool add = j.dx && j.acc_dx;
	float x[R][V], dy[R][V], dx[R][V], g[V];

	j.p.template gamma<T, V>(g, p.set, at);
	for (int64_t r = p.lo + threadIdx.y; r < p.hi; r += R * step) {
		rd_load_rows<T, V, R>(x, j.x + at, c, r, step, p.hi);
		rd_load_rows<T, V, R>(dy, j.dy + at, c, r, step, p.hi);
		if (add)
			rd_load_rows<T, V, R>(dx, j.dx + at, c, r, step, p.hi);
		RD_UNROLL
		for (int u = 0; u < R && r + u * step < p.hi; u++) {
			const float *k = coef + (r + u * step - p.lo) * RD_LN_BWD;

			for (int i = 0; i < V; i++) {
				float d = x[u][i] - k[RD_LN_K], xn = (d - k[RD_LN_REST]) * k[RD_LN_RSTD];
				float v = k[RD_LN_RSTD] * (g[i] * dy[u][i]) + (k[RD_LN_C2] * d + k[RD_LN_C3]);

				sum[i] += dy[u][i];
				sum[V + i] += dy[u][i] * xn;
				dx[u][i] = add ? dx[u][i] + v : v;
			}
			if (j.dx)
				rd_store<T, V>(j.dx + (r + u * step) * c + at, dx[u]);
		}
	}
}

template <class T, int V, int R, class P> static __global__ void rd_ln_bwd_kernel(rd_ln_bwd_job<T, P> j)
{
	RD_SHARED(float, coef);
	const rd_ln_place p = rd_ln_place_of(j.l);
	float *rest = coef + j.l.chunk * RD_LN_BWD, sum[2 * V];
	int64_t c = j.l.c;

	if (p.lo + p.warp < p.hi)
		rd_ln_bwd_coefs<T, V, R>(j, p, coef);
	__syncthreads();
	for (int64_t first = 0; first < c; first += blockDim.x * V) {
		for (int i = 0; i < 2 * V; i++)
			sum[i] = 0.0f;
		if (first + threadIdx.x * V < c)
			rd_ln_bwd_apply<T, V, R>(j, p, coef, first + threadIdx.x * V, sum);
		if (j.part)
			rd_rows_sum<V, 2>(sum, rest, j.part + blockIdx.x * 2 * c + first, c, c - first);
	}
}

/* Threads x along packs of channels, y along rows. */
static inline dim3 rd_ln_block(const rd_ln &l, int V)
{
	unsigned x = rd_side_by_side(l.c / V);

	return dim3(x, RD_THREADS / x);
}

/* f<T, V, R> for the chunk's rows. */
#define RD_LN_BY_ROWS(l, f, ...) ((l).chunk == RD_LN_WARPS ? f<T, V, 1>(__VA_ARGS__) : f<T, V, 4>(__VA_ARGS__))

template <class T, int V, int R, class P>
static int rd_ln_fwd_r(struct rd_dev *dev, const rd_ln_fwd_job<T, P> &j, struct rd_err *e)
{
	return RD_LAUNCH(dev, e, (rd_ln_fwd_kernel<T, V, R, P>), dim3((unsigned)(j.l.sets * j.l.chunks)), rd_ln_block(j.l, V),
	                 (size_t)j.l.chunk * RD_LN_FWD * sizeof(float), j);
}

template <class T, int V, class P> static int rd_ln_fwd_v(struct rd_dev *dev, const rd_ln_fwd_job<T, P> &j, struct rd_err *e)
{
	return RD_LN_BY_ROWS(j.l, rd_ln_fwd_r, dev, j, e);
}

template <class T, class P> static int rd_ln_fwd(struct rd_dev *dev, const rd_ln_fwd_job<void, P> &a, struct rd_err *e)
{
	const rd_ln_fwd_job<T, P> j = { a.l, a.p, (const T *)a.x, (T *)a.y, a.stats };

	return RD_BY_WIDTH(T, j.l.c, rd_ln_fwd_v, dev, j, e);
}

template <class T, int V, int R, class P>
static int rd_ln_bwd_r(struct rd_dev *dev, const rd_ln_bwd_job<T, P> &j, struct rd_err *e)
{
	dim3 block = rd_ln_block(j.l, V);
	size_t shared = (size_t)j.l.chunk * RD_LN_BWD * sizeof(float) + rd_rows_bytes(block.x, V, 2);

	return RD_LAUNCH(dev, e, (rd_ln_bwd_kernel<T, V, R, P>), dim3((unsigned)(j.l.sets * j.l.chunks)), block, shared, j);
}

template <class T, int V, class P> static int rd_ln_bwd_v(struct rd_dev *dev, const rd_ln_bwd_job<T, P> &j, struct rd_err *e)
{
	return RD_LN_BY_ROWS(j.l, rd_ln_bwd_r, dev, j, e);
}

template <class T, class P> static int rd_ln_bwd(struct rd_dev *dev, const rd_ln_bwd_job<void, P> &a, struct rd_err *e)
{
	const rd_ln_bwd_job<T, P> j = { a.l, a.p, (const T *)a.x, (const T *)a.dy, a.stats, (T *)a.dx, a.acc_dx, a.part };

	return RD_BY_WIDTH(T, j.l.c, rd_ln_bwd_v, dev, j, e);
}

#endif
