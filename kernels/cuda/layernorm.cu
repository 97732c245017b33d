/* Layer normalisation, pixel by pixel; kernels/cpu/layernorm.c has the formulas. A row is one pixel's channels.
 *
 * A block has a chunk of rows. Its warps make each row's coefficients, R rows of a warp at once, into shared memory; then its
 * threads, side by side along the channels, go down the chunk's rows with what belongs to their channels in registers, and
 * find x in the cache. So dgamma and dbeta are sums down a chunk, which are added in the chunks' order. */
#include "kernels/cuda/colsum.h"
#include "kernels/cuda/reduce.h"

enum { WARP = 32, WARPS = RD_THREADS / WARP };
/* A row in shared memory: forward has the first three of these. */
enum { K, REST, RSTD, FWD_COEFS, C2 = FWD_COEFS, C3, BWD_COEFS };

struct layer {
	int64_t rows, c, chunk, chunks; /* chunk: rows of a block */
	float eps;
};

/* Few rows make small chunks, so that there are blocks for a large device. The shape alone decides. */
static layer layer_of(const struct rd_layernorm_desc *p)
{
	layer l = { p->d.n * p->d.h * p->d.w, p->d.c, 0, 0, p->eps };

	l.chunk = l.rows < 4096 ? WARPS : 4 * WARPS;
	l.chunks = (l.rows + l.chunk - 1) / l.chunk;
	return l;
}

/* This block's rows, and within its first pass this thread's warp and lane. */
struct place {
	int64_t lo, hi;
	int warp, lane;
};

static __device__ __forceinline__ place place_of(const layer &l)
{
	int64_t lo = blockIdx.x * l.chunk, hi = lo + l.chunk;
	int t = (int)(threadIdx.y * blockDim.x + threadIdx.x);

	return { lo, hi < l.rows ? hi : l.rows, t / WARP, t % WARP };
}

/* By a warp, for rows r, r + WARPS, ... of x: sum [R][2] of x - k[] and of its square. */
template <class T, int V, int R>
static __device__ __forceinline__ void moments(const layer &l, const T *x, const place &p, const float *k, float (*sum)[2])
{
	float v[R][V];

	for (int u = 0; u < R; u++)
		sum[u][0] = sum[u][1] = 0.0f;
	for (int64_t j = p.lane * V; j < l.c; j += WARP * V) {
		rd_load_rows<T, V, R>(v, x + j, l.c, p.lo + p.warp, WARPS, p.hi);
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

template <class T> struct fwd_job {
	layer l;
	const T *x;
	const float *gamma, *beta;
	T *y;
	float *stats;
};

/* The warp's rows: statistics, and coef [chunk][FWD_COEFS]. */
template <class T, int V, int R>
static __device__ __forceinline__ void fwd_coefs(const fwd_job<T> &j, const place &p, float *coef)
{
	float n = (float)j.l.c, k[R], sum[R][2];

	for (int u = 0; u < R; u++)
		k[u] = 0.0f;
	moments<T, V, R>(j.l, j.x, p, k, sum);
	for (int u = 0; u < R; u++)
		k[u] = sum[u][0] / n;
	moments<T, V, R>(j.l, j.x, p, k, sum);
	for (int u = 0; u < R; u++) {
		int64_t r = p.lo + p.warp + u * WARPS;
		float rest = sum[u][0] / n, var = sum[u][1] / n - rest * rest, rstd, *out = coef + (r - p.lo) * FWD_COEFS;

		if (p.lane || r >= p.hi)
			continue;
		rstd = 1.0f / sqrtf((var < 0.0f ? 0.0f : var) + j.l.eps);
		out[K] = k[u];
		out[REST] = rest;
		out[RSTD] = rstd;
		j.stats[2 * r] = k[u] + rest;
		j.stats[2 * r + 1] = rstd;
	}
}

template <class T, int V, int R> static __global__ void fwd_kernel(fwd_job<T> j)
{
	RD_SHARED(float, coef);
	const place p = place_of(j.l);
	float v[R][V], g[V], b[V];
	int64_t c = j.l.c, step = blockDim.y;

	if (p.lo + p.warp < p.hi)
		fwd_coefs<T, V, R>(j, p, coef);
	__syncthreads();
	for (int64_t at = threadIdx.x * V; at < c; at += blockDim.x * V) {
		for (int i = 0; i < V; i++) {
			g[i] = j.gamma[at + i];
			b[i] = j.beta[at + i];
		}
		for (int64_t r = p.lo + threadIdx.y; r < p.hi; r += R * step) {
			rd_load_rows<T, V, R>(v, j.x + at, c, r, step, p.hi);
			RD_UNROLL
			for (int u = 0; u < R && r + u * step < p.hi; u++) {
				const float *k = coef + (r + u * step - p.lo) * FWD_COEFS;

				for (int i = 0; i < V; i++)
					v[u][i] = ((v[u][i] - k[K]) - k[REST]) * k[RSTD] * g[i] + b[i];
				rd_store<T, V>(j.y + (r + u * step) * c + at, v[u]);
			}
		}
	}
}

template <class T> struct bwd_job {
	layer l;
	const T *x, *dy;
	const float *gamma, *stats;
	T *dx;
	int acc_dx;
	float *part; /* [chunks][2][c], dgamma's and dbeta's; NULL: neither is wanted */
};

/* The warp's rows: coef [chunk][BWD_COEFS]. */
template <class T, int V, int R>
static __device__ __forceinline__ void bwd_coefs(const bwd_job<T> &j, const place &p, float *coef)
{
	const layer &l = j.l;
	int64_t first = p.lo + p.warp;
	float x[R][V], dy[R][V], g[V], d[R] = {}, w[R] = {}, wd[R] = {}, n = (float)l.c;

	for (int64_t at = p.lane * V; at < l.c; at += WARP * V) {
		rd_load_rows<T, V, R>(x, j.x + at, l.c, first, WARPS, p.hi);
		rd_load_rows<T, V, R>(dy, j.dy + at, l.c, first, WARPS, p.hi);
		for (int i = 0; i < V; i++)
			g[i] = j.gamma[at + i];
		RD_UNROLL
		for (int u = 0; u < R; u++) {
			int64_t r = first + u * WARPS < p.hi ? first + u * WARPS : first;
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
		int64_t r = first + u * WARPS;
		float rest = rd_warp_sum(d[u]) / n, mean_w = rd_warp_sum(w[u]) / n, mean_wd = rd_warp_sum(wd[u]) / n;
		float rstd, c2, *out = coef + (r - p.lo) * BWD_COEFS;

		if (p.lane || r >= p.hi)
			continue;
		rstd = j.stats[2 * r + 1];
		c2 = -rstd * rstd * rstd * (mean_wd - rest * mean_w);
		out[K] = j.stats[2 * r];
		out[REST] = rest;
		out[RSTD] = rstd;
		out[C2] = c2;
		out[C3] = -rstd * mean_w - c2 * rest;
	}
}

/* V channels from `at` on, down the chunk's rows: dx, and the sums that this thread has of them. dx may be dy: a thread has read
 * what it writes over, and no other thread of this pass reads it. */
template <class T, int V, int R>
static __device__ __forceinline__ void bwd_apply(const bwd_job<T> &j, const place &p, const float *coef, int64_t at, float *sum)
{
	int64_t c = j.l.c, step = blockDim.y;
	bool add = j.dx && j.acc_dx;
	float x[R][V], dy[R][V], dx[R][V], g[V];

	for (int i = 0; i < V; i++)
		g[i] = j.gamma[at + i];
	for (int64_t r = p.lo + threadIdx.y; r < p.hi; r += R * step) {
		rd_load_rows<T, V, R>(x, j.x + at, c, r, step, p.hi);
		rd_load_rows<T, V, R>(dy, j.dy + at, c, r, step, p.hi);
		if (add)
			rd_load_rows<T, V, R>(dx, j.dx + at, c, r, step, p.hi);
		RD_UNROLL
		for (int u = 0; u < R && r + u * step < p.hi; u++) {
			const float *k = coef + (r + u * step - p.lo) * BWD_COEFS;

			for (int i = 0; i < V; i++) {
				float d = x[u][i] - k[K], v = k[RSTD] * (g[i] * dy[u][i]) + (k[C2] * d + k[C3]);

				sum[i] += dy[u][i] * ((d - k[REST]) * k[RSTD]);
				sum[V + i] += dy[u][i];
				dx[u][i] = add ? dx[u][i] + v : v;
			}
			if (j.dx)
				rd_store<T, V>(j.dx + (r + u * step) * c + at, dx[u]);
		}
	}
}

template <class T, int V, int R> static __global__ void bwd_kernel(bwd_job<T> j)
{
	RD_SHARED(float, coef);
	const place p = place_of(j.l);
	float *rest = coef + j.l.chunk * BWD_COEFS, sum[2 * V];
	int64_t c = j.l.c;

	if (p.lo + p.warp < p.hi)
		bwd_coefs<T, V, R>(j, p, coef);
	__syncthreads();
	for (int64_t first = 0; first < c; first += blockDim.x * V) {
		for (int i = 0; i < 2 * V; i++)
			sum[i] = 0.0f;
		if (first + threadIdx.x * V < c)
			bwd_apply<T, V, R>(j, p, coef, first + threadIdx.x * V, sum);
		if (j.part)
			rd_rows_sum<V, 2>(sum, rest, j.part + blockIdx.x * 2 * c + first, c, c - first);
	}
}

/* Threads x along packs of channels, y along rows. */
static dim3 block_of(const layer &l, int V)
{
	unsigned x = 1;

	while (x * V < l.c && x < WARP)
		x *= 2;
	return dim3(x, RD_THREADS / x);
}

/* f<T, V, R> for the chunk's rows. */
#define BY_ROWS(l, f, ...) ((l).chunk == WARPS ? f<T, V, 1>(__VA_ARGS__) : f<T, V, 4>(__VA_ARGS__))

template <class T, int V, int R> static int fwd_r(struct rd_dev *dev, const fwd_job<T> &j, struct rd_err *e)
{
	return RD_LAUNCH(dev, e, (fwd_kernel<T, V, R>), dim3((unsigned)j.l.chunks), block_of(j.l, V),
	                 (size_t)j.l.chunk * FWD_COEFS * sizeof(float), j);
}

template <class T, int V> static int fwd_v(struct rd_dev *dev, const fwd_job<T> &j, struct rd_err *e)
{
	return BY_ROWS(j.l, fwd_r, dev, j, e);
}

template <class T> static int forward(struct rd_dev *dev, const fwd_job<void> &a, struct rd_err *e)
{
	const fwd_job<T> j = { a.l, (const T *)a.x, a.gamma, a.beta, (T *)a.y, a.stats };

	return RD_BY_WIDTH(T, j.l.c, fwd_v, dev, j, e);
}

template <class T, int V, int R> static int bwd_r(struct rd_dev *dev, const bwd_job<T> &j, struct rd_err *e)
{
	dim3 block = block_of(j.l, V);
	size_t shared = (size_t)j.l.chunk * BWD_COEFS * sizeof(float) + rd_rows_bytes(block.x, V, 2);

	return RD_LAUNCH(dev, e, (bwd_kernel<T, V, R>), dim3((unsigned)j.l.chunks), block, shared, j);
}

template <class T, int V> static int bwd_v(struct rd_dev *dev, const bwd_job<T> &j, struct rd_err *e)
{
	return BY_ROWS(j.l, bwd_r, dev, j, e);
}

template <class T> static int backward(struct rd_dev *dev, const bwd_job<void> &a, struct rd_err *e)
{
	const bwd_job<T> j = { a.l, (const T *)a.x, (const T *)a.dy, a.gamma, a.stats, (T *)a.dx, a.acc_dx, a.part };

	return RD_BY_WIDTH(T, j.l.c, bwd_v, dev, j, e);
}

size_t rd_cuda_layernorm_ws_bytes(struct rd_dev *, const struct rd_layernorm_desc *p)
{
	const layer l = layer_of(p);

	return (size_t)(l.chunks * 2 * l.c) * sizeof(float);
}

int rd_cuda_layernorm_fwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *beta, void *y, float *stats, struct rd_err *e)
{
	const fwd_job<void> j = { layer_of(p), x, gamma, beta, y, stats };

	return RD_BY_TYPE(dev, forward, dev, j, e);
}

int rd_cuda_layernorm_bwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, float *dbeta, void *ws,
                          struct rd_err *e)
{
	const bwd_job<void> j = { layer_of(p), x, dy, gamma, stats, dx, acc_dx, dgamma || dbeta ? (float *)ws : NULL };
	int rc = RD_BY_TYPE(dev, backward, dev, j, e);

	return rc || !j.part ? rc : rd_cuda_total(dev, j.l.chunks, j.l.c, 2 * j.l.c, j.part, dgamma, dbeta, e);
}
