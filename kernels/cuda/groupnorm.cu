/* y = act(gn(x + chan) * gamma + beta), with scale and shift: sums, coefficients, and one multiply-add with the activation. */
#include "kernels/cuda/groupnorm.h"
#include "kernels/cuda/reduce.h"

size_t rd_cuda_groupnorm_ws_bytes(const struct rd_groupnorm_desc *p)
{
	const rd_gn g = rd_gn_of(p, NULL);

	return (size_t)(g.n * g.c * (g.chunks * RD_GN_SUMS + RD_GN_COEFS + 2)) * sizeof(float);
}

/* Sums of x - k and (x - k)^2 over a chunk's rows. The pivot k is the image's first pixel: near the channel's mean, so that
 * the variance does not cancel. */
template <class T, int V> static __global__ void sums_kernel(rd_gn g, const T *x)
{
	RD_SHARED(float, shared);
	int64_t first = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * V, lo = (int64_t)blockIdx.x * RD_GN_ROWS;
	int64_t hi = lo + RD_GN_ROWS < g.rows ? lo + RD_GN_ROWS : g.rows;
	bool inside = first < g.c;

	for (int64_t image = blockIdx.z; image < g.n; image += gridDim.z) {
		const T *in = x + image * g.rows * g.c + first;
		float k[V], v[V], sum[2 * V];

		for (int i = 0; i < 2 * V; i++)
			sum[i] = 0.0f;
		if (inside)
			rd_load<T, V>(k, in);
		for (int64_t r = lo + threadIdx.y; r < hi && inside; r += blockDim.y) {
			rd_load<T, V>(v, in + r * g.c);
			RD_UNROLL
			for (int i = 0; i < V; i++) {
				float d = v[i] - k[i];

				sum[i] += d;
				sum[V + i] += d * d;
			}
		}
		rd_gn_reduce<V, 2>(sum, shared, g.part + (image * g.chunks + blockIdx.x) * RD_GN_SUMS * g.c, g.c, first, inside);
	}
}

/* A warp for each group of an image: mean and variance of its channels together, from those of each. */
template <class T>
static __global__ void stats_kernel(rd_gn g, const T *x, const T *chan, const float *gamma, const float *beta, const T *ss,
                                    float *stats)
{
	int64_t group = blockIdx.x, image = blockIdx.y, width = g.c / g.groups, lo = group * width, hi = lo + width;

	for (; image < g.n; image += gridDim.y) {
		const T *k = x + image * g.rows * g.c;
		double rows = (double)g.rows, m = 0.0, m2 = 0.0, rstd;

		for (int64_t l = lo + threadIdx.x; l < hi; l += RD_GN_WARP) {
			double s1 = rd_gn_total(g, image, 0, l), s2 = rd_gn_total(g, image, 1, l);

			m2 += s2 - s1 * s1 / rows;
			m += s1 / rows + (double)rd_to_float(k[l]) + (chan ? (double)rd_to_float(chan[image * g.c + l]) : 0.0);
		}
		m = rd_warp_sum(m) / (double)width;
		for (int64_t l = lo + threadIdx.x; l < hi; l += RD_GN_WARP) {
			double mean = rd_gn_total(g, image, 0, l) / rows + (double)rd_to_float(k[l]) - m;

			mean += chan ? (double)rd_to_float(chan[image * g.c + l]) : 0.0;
			m2 += rows * mean * mean;
		}
		m2 = rd_warp_sum(m2) / (rows * (double)width);
		rstd = m2 != m2 ? m2 : 1.0 / sqrt((m2 > 0.0 ? m2 : 0.0) + (double)g.eps);
		if (threadIdx.x == 0) {
			stats[(image * g.groups + group) * 2] = (float)m;
			stats[(image * g.groups + group) * 2 + 1] = (float)rstd;
		}
		for (int64_t l = lo + threadIdx.x; l < hi; l += RD_GN_WARP)
			rd_gn_affine(g, image, l, (double)(float)m, (double)(float)rstd, chan, gamma, beta, ss);
	}
}

template <class T, int V, int SILU> static __global__ void apply_kernel(rd_gn g, const T *x, T *y)
{
	for (int64_t image = blockIdx.y; image < g.n; image += gridDim.y)
		for (int64_t l = threadIdx.x * V; l < g.c; l += blockDim.x * V) {
			const float *coef = g.coef + image * RD_GN_COEFS * g.c + l;
			int64_t at = image * g.rows * g.c + l;
			float a[V], b[V], v[V];

			for (int i = 0; i < V; i++) {
				a[i] = coef[i];
				b[i] = coef[g.c + i];
			}
			for (int64_t r = rd_row_first(); r < g.rows; r += rd_row_step()) {
				rd_load<T, V>(v, x + at + r * g.c);
				RD_UNROLL
				for (int i = 0; i < V; i++)
					v[i] = rd_act_value_of<T, SILU>(g.act, v[i] * a[i] + b[i]);
				rd_store<T, V>(y + at + r * g.c, v);
			}
		}
}

template <class T, int V>
static int run(struct rd_dev *dev, const rd_gn &g, const T *x, const T *chan, const float *gamma, const float *beta,
               const T *ss, T *y, float *stats, struct rd_err *e)
{
	rd_gn_launch s = rd_gn_sums(g, V, 2);
	rd_tiles t = rd_tile_images(g.n, g.rows, g.c / V, 4);
	dim3 groups((unsigned)g.groups, rd_blocks_y(g.n));
	int rc = RD_LAUNCH(dev, e, (sums_kernel<T, V>), s.grid, s.block, s.shared, g, x);

	if (!rc)
		rc = RD_LAUNCH(dev, e, stats_kernel<T>, groups, RD_GN_WARP, 0, g, x, chan, gamma, beta, ss, stats);
	if (rc)
		return rc;
	if (g.act == RD_ACT_SILU)
		return RD_LAUNCH(dev, e, (apply_kernel<T, V, 1>), t.grid, t.block, 0, g, x, y);
	return RD_LAUNCH(dev, e, (apply_kernel<T, V, 0>), t.grid, t.block, 0, g, x, y);
}

template <class T>
static int forward(struct rd_dev *dev, const rd_gn &g, const void *x, const void *chan, const float *gamma,
                   const float *beta, const void *ss, void *y, float *stats, struct rd_err *e)
{
	return RD_BY_WIDTH(T, g.c, run, dev, g, (const T *)x, (const T *)chan, gamma, beta, (const T *)ss, (T *)y, stats, e);
}

int rd_cuda_groupnorm_fwd(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
                          const float *gamma, const float *beta, const void *scale_shift, void *y, float *stats, void *ws,
                          struct rd_err *e)
{
	const rd_gn g = rd_gn_of(p, ws);

	return RD_BY_TYPE(dev, forward, dev, g, x, chan, gamma, beta, scale_shift, y, stats, e);
}
