/* y = act(gn(x + chan) * gamma + beta), with scale and shift: sums, coefficients, and one multiply-add with the activation. */
#include "kernels/cuda/groupnorm.h"

enum { ROWS = 4 }; /* that a thread reads at once */

template <class T> struct fwd_job : rd_gn_in<T> {
	T *y;
	float *stats;
};

size_t rd_cuda_groupnorm_ws_bytes(const struct rd_groupnorm_desc *p)
{
	const rd_gn g = rd_gn_of(p, NULL);

	return (size_t)(g.n * g.c) * (RD_GN_SUMS * sizeof(double) +
	                              (size_t)(g.chunks * RD_GN_SUMS + RD_GN_COEFS + 2) * sizeof(float));
}

/* Sums of x - k and (x - k)^2 over the block's rows, to part [2][pitch]. The pivot k is the image's first pixel: near the
 * channel's mean, so that the variance does not cancel. */
template <class T, int V>
static __device__ __forceinline__ void sums_of(const fwd_job<T> &j, const rd_gn_share &b, int64_t image, float *shared,
                                               float *part, int64_t pitch)
{
	const T *x = j.x + image * j.g.rows * j.g.c + b.l;
	int64_t step = blockDim.y;
	float k[V] = {}, v[ROWS][V], sum[2 * V];

	for (int i = 0; i < 2 * V; i++)
		sum[i] = 0.0f;
	if (b.l < b.end)
		rd_load<T, V>(k, x);
	for (int64_t r = b.lo; r < b.hi; r += ROWS * step) {
		rd_load_rows<T, V, ROWS>(v, x, j.g.c, r, step, b.hi);
		RD_UNROLL
		for (int u = 0; u < ROWS; u++)
			for (int i = 0; i < V; i++) {
				float d = r + u * step < b.hi ? v[u][i] - k[i] : 0.0f;

				sum[i] += d;
				sum[V + i] += d * d;
			}
	}
	rd_rows_sum<V, 2>(sum, shared, part, pitch, b.end - b.first);
}

/* By a warp: mean and variance of a group's channels together, from those of each. */
template <class T, class S>
static __device__ __forceinline__ void stats_of(const fwd_job<T> &j, const rd_gn_at &at, const rd_gn_sums<S> &sum,
                                                int64_t image, int64_t group)
{
	const rd_gn &g = j.g;
	const T *k = j.x + image * g.rows * g.c;
	int64_t width = g.c / g.groups, hi = (group + 1) * width, lo = hi - width + rd_gn_thread() % RD_GN_WARP;
	double rows = (double)g.rows, m = 0.0, m2 = 0.0, rstd;

	for (int64_t l = lo; l < hi; l += RD_GN_WARP) {
		double s1 = sum(0, l), s2 = sum(1, l);

		m2 += s2 - s1 * s1 / rows;
		m += s1 / rows + (double)rd_to_float(k[l]) + (j.chan ? (double)rd_to_float(j.chan[image * g.c + l]) : 0.0);
	}
	m = rd_warp_sum(m) / (double)width;
	for (int64_t l = lo; l < hi; l += RD_GN_WARP) {
		double mean = sum(0, l) / rows + (double)rd_to_float(k[l]) - m;

		mean += j.chan ? (double)rd_to_float(j.chan[image * g.c + l]) : 0.0;
		m2 += rows * mean * mean;
	}
	m2 = rd_warp_sum(m2) / (rows * (double)width);
	rstd = m2 != m2 ? m2 : 1.0 / sqrt((m2 > 0.0 ? m2 : 0.0) + (double)g.eps);
	if (rd_gn_thread() % RD_GN_WARP == 0) {
		j.stats[(image * g.groups + group) * 2] = (float)m;
		j.stats[(image * g.groups + group) * 2 + 1] = (float)rstd;
	}
	for (int64_t l = lo; l < hi; l += RD_GN_WARP)
		rd_gn_affine(j, at, image, l, (double)(float)m, (double)(float)rstd);
}

/* V channels from l on, of rows r, r + step, ... */
template <class T, int V, int SILU>
static __device__ __forceinline__ void apply_to(const fwd_job<T> &j, const rd_gn_at &at, int64_t image, int64_t l, int64_t r,
                                                int64_t step)
{
	int64_t first = image * j.g.rows * j.g.c + l;
	float a[V], b[V], v[ROWS][V];

	rd_gn_load<V>(a, at, 0, l);
	rd_gn_load<V>(b, at, 1, l);
	for (; r < j.g.rows; r += ROWS * step) {
		rd_load_rows<T, V, ROWS>(v, j.x + first, j.g.c, r, step, j.g.rows);
		RD_UNROLL
		for (int u = 0; u < ROWS && r + u * step < j.g.rows; u++) {
			for (int i = 0; i < V; i++)
				v[u][i] = rd_act_value_of<T, SILU>(j.g.act, v[u][i] * a[i] + b[i]);
			rd_store<T, V>(j.y + first + (r + u * step) * j.g.c, v[u]);
		}
	}
}

template <class T, int V, int SILU> static __global__ void whole_kernel(fwd_job<T> j)
{
	RD_SHARED(float, shared);
	const rd_gn_share b = rd_gn_share_of(j.g, V);
	int64_t width = j.g.c / j.g.groups;
	float *rest;
	const rd_gn_at at = rd_gn_at_block(shared, b.first, V, &rest);

	for (int64_t image = blockIdx.z; image < j.g.n; image += gridDim.z) {
		sums_of<T, V>(j, b, image, rest, at.part, at.pitch);
		for (int64_t l = b.first + rd_gn_thread() / RD_GN_WARP * width; l < b.end; l += RD_THREADS / RD_GN_WARP * width)
			stats_of(j, at, rd_gn_sums<float>{ at.part, at.pitch, b.first }, image, l / width);
		__syncthreads();
		if (b.l < b.end)
			apply_to<T, V, SILU>(j, at, image, b.l, threadIdx.y, blockDim.y);
	}
}

template <class T, int V> static __global__ void sums_kernel(fwd_job<T> j)
{
	RD_SHARED(float, shared);
	const rd_gn_share b = rd_gn_share_of(j.g, V);

	for (int64_t image = blockIdx.z; image < j.g.n; image += gridDim.z)
		sums_of<T, V>(j, b, image, shared,
		              j.g.part + (image * j.g.chunks + blockIdx.x) * RD_GN_SUMS * j.g.c + b.first, j.g.c);
}

template <class T> static __global__ void stats_kernel(fwd_job<T> j)
{
	RD_SHARED(double, shared);

	for (int64_t image = blockIdx.y; image < j.g.n; image += gridDim.y) {
		const rd_gn_sums<double> sum = rd_gn_total<2>(j.g, image, blockIdx.x, shared);

		if (rd_gn_thread() < RD_GN_WARP)
			stats_of(j, rd_gn_at_image(j.g, image), sum, image, blockIdx.x);
	}
}

template <class T, int V, int SILU> static __global__ void apply_kernel(fwd_job<T> j)
{
	for (int64_t image = blockIdx.y; image < j.g.n; image += gridDim.y)
		for (int64_t l = threadIdx.x * V; l < j.g.c; l += blockDim.x * V)
			apply_to<T, V, SILU>(j, rd_gn_at_image(j.g, image), image, l, rd_row_first(), rd_row_step());
}

template <class T, int V, int SILU> static int passes(struct rd_dev *dev, const fwd_job<T> &j, struct rd_err *e)
{
	const rd_gn &g = j.g;
	rd_gn_launch s = rd_gn_launch_of(g, V, 2);
	rd_tiles t = rd_tile_images(g.n, g.rows, g.c / V, 4);
	int rc;

	if (g.whole)
		return RD_LAUNCH(dev, e, (whole_kernel<T, V, SILU>), s.grid, s.block, s.shared, j);
	rc = RD_LAUNCH(dev, e, (sums_kernel<T, V>), s.grid, s.block, s.shared, j);
	if (!rc)
		rc = RD_LAUNCH(dev, e, stats_kernel<T>, dim3((unsigned)g.groups, rd_blocks_y(g.n)), rd_gn_group_block(g),
		               RD_GN_GROUP_BYTES, j);
	return rc ? rc : RD_LAUNCH(dev, e, (apply_kernel<T, V, SILU>), t.grid, t.block, 0, j);
}

template <class T, int V> static int run(struct rd_dev *dev, fwd_job<T> j, struct rd_err *e)
{
	rd_gn_divide(&j.g, V);
	return j.g.act == RD_ACT_SILU ? passes<T, V, 1>(dev, j, e) : passes<T, V, 0>(dev, j, e);
}

template <class T> static int forward(struct rd_dev *dev, const fwd_job<void> &a, struct rd_err *e)
{
	fwd_job<T> j = { { a.g, (const T *)a.x, (const T *)a.chan, (const T *)a.ss, a.gamma, a.beta }, (T *)a.y, a.stats };

	return RD_BY_WIDTH(T, j.g.c, run, dev, j, e);
}

int rd_cuda_groupnorm_fwd(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
                          const float *gamma, const float *beta, const void *scale_shift, void *y, float *stats, void *ws,
                          struct rd_err *e)
{
	const fwd_job<void> j = { { rd_gn_of(p, ws), x, chan, scale_shift, gamma, beta }, y, stats };

	return RD_BY_TYPE(dev, forward, dev, j, e);
}
