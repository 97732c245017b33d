/* Backward of the group normalisation. With k = mean - chan, xn = (x - k) rstd the normalised input, and g = act'(z) dy:
 *
 *   A = sum g,  B = sum g (x - k),  C = sum (x - k)   per channel, over pixels;  w = gamma (1 + scale),  X = rstd B
 *   dbeta = (1 + scale) A,  dgamma = (1 + scale) X,  dshift = A,  dscale = gamma X + beta A
 *   dx = rstd (w g - mean of w g - xn mean of w g xn), means over the group;  dchan = sum dx
 *
 * so dx = c1 g + c2 (x - k) + c3. g is computed twice: that is cheaper here than writing it and reading it again. */
#include "kernels/cuda/colsum.h"
#include "kernels/cuda/groupnorm.h"

enum { ROWS = 2 };               /* that a thread reads at once */
enum { A, B, C };                /* sums */
enum { CA, CB, CK, C1, C2, C3 }; /* coef: z = x CA + CB */

template <class T> struct bwd_job : rd_gn_in<T> {
	const float *stats;
	const T *dy;
	T *dx, *dchan, *dss;
	float *dgamma, *dbeta;
	int acc_dx, acc_dchan, acc_dss;
};

/* The coefficients that forward's statistics give, for channel l. */
template <class T>
static __device__ __forceinline__ void prepare(const bwd_job<T> &j, const rd_gn_at &at, int64_t image, int64_t l)
{
	const float *s = j.stats + (image * j.g.groups + l / (j.g.c / j.g.groups)) * 2;

	rd_gn_affine(j, at, image, l, (double)s[0], (double)s[1]);
	at.coef[CK * at.pitch + l - at.first] = s[0] - (j.chan ? rd_to_float(j.chan[image * j.g.c + l]) : 0.0f);
}

/* The block's coefficients so far, and with them its sums over its rows, to part [3][pitch]. */
template <class T, int V, int SILU>
static __device__ __forceinline__ void sums_of(const bwd_job<T> &j, const rd_gn_share &b, const rd_gn_at &at, int64_t image,
                                               float *shared, float *part, int64_t pitch)
{
	int64_t first = image * j.g.rows * j.g.c + b.l, step = blockDim.y;
	float x[ROWS][V], dy[ROWS][V], ca[V], cb[V], ck[V], sum[RD_GN_SUMS * V];

	for (int64_t l = b.first + rd_gn_thread(); l < b.end; l += RD_THREADS)
		prepare(j, at, image, l);
	__syncthreads();
	for (int i = 0; i < RD_GN_SUMS * V; i++)
		sum[i] = 0.0f;
	rd_gn_load<V>(ca, at, CA, b.l);
	rd_gn_load<V>(cb, at, CB, b.l);
	rd_gn_load<V>(ck, at, CK, b.l);
	for (int64_t r = b.lo; r < b.hi; r += ROWS * step) {
		rd_load_rows<T, V, ROWS>(x, j.x + first, j.g.c, r, step, b.hi);
		rd_load_rows<T, V, ROWS>(dy, j.dy + first, j.g.c, r, step, b.hi);
		RD_UNROLL
		for (int u = 0; u < ROWS; u++)
			for (int i = 0; i < V; i++) {
				float slope = rd_act_slope_of<T, SILU>(j.g.act, x[u][i] * ca[i] + cb[i]);
				float v = r + u * step < b.hi ? dy[u][i] * slope : 0.0f, d = x[u][i] - ck[i];

				sum[A * V + i] += v;
				sum[B * V + i] += v * d;
				sum[C * V + i] += r + u * step < b.hi ? d : 0.0f;
			}
	}
	rd_rows_sum<V, RD_GN_SUMS>(sum, shared, part, pitch, b.end - b.first);
}

/* The gradients that an image's sums give by themselves. */
template <class T>
static __device__ __forceinline__ void channel_grads(const bwd_job<T> &j, int64_t image, int64_t l, double a, double x, double c,
                                                     double c1, double c2, double c3)
{
	const rd_gn &g = j.g;
	double s1 = j.ss ? 1.0 + (double)rd_to_float(j.ss[image * 2 * g.c + l]) : 1.0;

	g.affine[image * 2 * g.c + l] = (float)(s1 * x);
	g.affine[image * 2 * g.c + g.c + l] = (float)(s1 * a);
	if (j.dchan) {
		T *p = j.dchan + image * g.c + l;

		rd_from_float(p, (j.acc_dchan ? rd_to_float(*p) : 0.0f) + (float)(c1 * a + c2 * c + c3 * (double)g.rows));
	}
	if (j.dss) {
		T *p = j.dss + image * 2 * g.c + l, *q = p + g.c;

		rd_from_float(p, (j.acc_dss ? rd_to_float(*p) : 0.0f) + (float)((double)j.gamma[l] * x + (double)j.beta[l] * a));
		rd_from_float(q, (j.acc_dss ? rd_to_float(*q) : 0.0f) + (float)a);
	}
}

/* By a warp: the other coefficients of a group's channels (in a kernel of its own, all of them), and their gradients. */
template <class T, class S>
static __device__ __forceinline__ void finish(const bwd_job<T> &j, const rd_gn_at &at, const rd_gn_sums<S> &sum, int64_t image,
                                              int64_t group)
{
	const rd_gn &g = j.g;
	int64_t width = g.c / g.groups, hi = (group + 1) * width, lo = hi - width + rd_gn_thread() % RD_GN_WARP;
	double rstd = (double)j.stats[(image * g.groups + group) * 2 + 1], n = (double)width * (double)g.rows;
	double m1 = 0.0, m2 = 0.0, c2, c3;

	for (int64_t l = lo; l < hi; l += RD_GN_WARP) {
		double w = (double)j.gamma[l] * (j.ss ? 1.0 + (double)rd_to_float(j.ss[image * 2 * g.c + l]) : 1.0);

		m1 += w * sum(A, l);
		m2 += w * sum(B, l) * rstd;
	}
	c2 = -rstd * rstd * rd_warp_sum(m2) / n;
	c3 = -rstd * rd_warp_sum(m1) / n;
	for (int64_t l = lo; l < hi; l += RD_GN_WARP) {
		double w = (double)j.gamma[l] * (j.ss ? 1.0 + (double)rd_to_float(j.ss[image * 2 * g.c + l]) : 1.0);
		float *coef = at.coef + l - at.first;

		if (!g.whole)
			prepare(j, at, image, l);
		coef[C1 * at.pitch] = (float)(w * rstd);
		coef[C2 * at.pitch] = (float)c2;
		coef[C3 * at.pitch] = (float)c3;
		channel_grads(j, image, l, sum(A, l), sum(B, l) * rstd, sum(C, l), w * rstd, c2, c3);
	}
}

/* V channels from l on, of rows r, r + step, ... dx may be dy: a thread has read what it writes over. */
template <class T, int V, int SILU>
static __device__ __forceinline__ void apply_to(const bwd_job<T> &j, const rd_gn_at &at, int64_t image, int64_t l, int64_t r,
                                                int64_t step)
{
	int64_t first = image * j.g.rows * j.g.c + l;
	float c[RD_GN_COEFS][V], x[ROWS][V], dy[ROWS][V], dx[ROWS][V];

	for (int k = 0; k < RD_GN_COEFS; k++)
		rd_gn_load<V>(c[k], at, k, l);
	for (; r < j.g.rows; r += ROWS * step) {
		rd_load_rows<T, V, ROWS>(x, j.x + first, j.g.c, r, step, j.g.rows);
		rd_load_rows<T, V, ROWS>(dy, j.dy + first, j.g.c, r, step, j.g.rows);
		if (j.acc_dx)
			rd_load_rows<T, V, ROWS>(dx, j.dx + first, j.g.c, r, step, j.g.rows);
		RD_UNROLL
		for (int u = 0; u < ROWS && r + u * step < j.g.rows; u++) {
			for (int i = 0; i < V; i++) {
				float v = dy[u][i] * rd_act_slope_of<T, SILU>(j.g.act, x[u][i] * c[CA][i] + c[CB][i]);

				v = c[C1][i] * v + (c[C2][i] * (x[u][i] - c[CK][i]) + c[C3][i]);
				dx[u][i] = j.acc_dx ? dx[u][i] + v : v;
			}
			rd_store<T, V>(j.dx + first + (r + u * step) * j.g.c, dx[u]);
		}
	}
}

template <class T, int V, int SILU> static __global__ void whole_kernel(bwd_job<T> j)
{
	RD_SHARED(float, shared);
	const rd_gn_share b = rd_gn_share_of(j.g, V);
	int64_t width = j.g.c / j.g.groups;
	float *rest;
	const rd_gn_at at = rd_gn_at_block(shared, b.first, V, &rest);

	for (int64_t image = blockIdx.z; image < j.g.n; image += gridDim.z) {
		sums_of<T, V, SILU>(j, b, at, image, rest, at.part, at.pitch);
		for (int64_t l = b.first + rd_gn_thread() / RD_GN_WARP * width; l < b.end; l += RD_THREADS / RD_GN_WARP * width)
			finish(j, at, rd_gn_sums<float>{ at.part, at.pitch, b.first }, image, l / width);
		__syncthreads();
		if (j.dx && b.l < b.end)
			apply_to<T, V, SILU>(j, at, image, b.l, threadIdx.y, blockDim.y);
		__syncthreads(); /* before the next image's coefficients */
	}
}

template <class T, int V, int SILU> static __global__ void sums_kernel(bwd_job<T> j)
{
	RD_SHARED(float, shared);
	const rd_gn_share b = rd_gn_share_of(j.g, V);
	float *rest;
	const rd_gn_at at = rd_gn_at_block(shared, b.first, V, &rest);

	for (int64_t image = blockIdx.z; image < j.g.n; image += gridDim.z)
		sums_of<T, V, SILU>(j, b, at, image, rest,
		                    j.g.part + (image * j.g.chunks + blockIdx.x) * RD_GN_SUMS * j.g.c + b.first, j.g.c);
}

template <class T> static __global__ void finish_kernel(bwd_job<T> j)
{
	RD_SHARED(double, shared);

	for (int64_t image = blockIdx.y; image < j.g.n; image += gridDim.y) {
		const rd_gn_sums<double> sum = rd_gn_total<RD_GN_SUMS>(j.g, image, blockIdx.x, shared);

		if (rd_gn_thread() < RD_GN_WARP)
			finish(j, rd_gn_at_image(j.g, image), sum, image, blockIdx.x);
	}
}

template <class T, int V, int SILU> static __global__ void apply_kernel(bwd_job<T> j)
{
	for (int64_t image = blockIdx.y; image < j.g.n; image += gridDim.y)
		for (int64_t l = threadIdx.x * V; l < j.g.c; l += blockDim.x * V)
			apply_to<T, V, SILU>(j, rd_gn_at_image(j.g, image), image, l, rd_row_first(), rd_row_step());
}

template <class T, int V, int SILU> static int passes(struct rd_dev *dev, const bwd_job<T> &j, struct rd_err *e)
{
	const rd_gn &g = j.g;
	rd_gn_launch s = rd_gn_launch_of(g, V, RD_GN_SUMS);
	rd_tiles t = rd_tile_images(g.n, g.rows, g.c / V, 4);
	int rc;

	if (g.whole) {
		rc = RD_LAUNCH(dev, e, (whole_kernel<T, V, SILU>), s.grid, s.block, s.shared, j);
	} else {
		rc = RD_LAUNCH(dev, e, (sums_kernel<T, V, SILU>), s.grid, s.block, s.shared, j);
		if (!rc)
			rc = RD_LAUNCH(dev, e, finish_kernel<T>, dim3((unsigned)g.groups, rd_blocks_y(g.n)), rd_gn_group_block(g),
			               RD_GN_GROUP_BYTES, j);
		if (!rc && j.dx)
			rc = RD_LAUNCH(dev, e, (apply_kernel<T, V, SILU>), t.grid, t.block, 0, j);
	}
	if (!rc && (j.dgamma || j.dbeta))
		rc = rd_cuda_total(dev, g.n, g.c, 2 * g.c, g.affine, j.dgamma, j.dbeta, e);
	return rc;
}

template <class T, int V> static int run(struct rd_dev *dev, bwd_job<T> j, struct rd_err *e)
{
	rd_gn_divide(&j.g, V);
	return j.g.act == RD_ACT_SILU ? passes<T, V, 1>(dev, j, e) : passes<T, V, 0>(dev, j, e);
}

template <class T> static int backward(struct rd_dev *dev, const bwd_job<void> &a, struct rd_err *e)
{
	bwd_job<T> j = { { a.g, (const T *)a.x, (const T *)a.chan, (const T *)a.ss, a.gamma, a.beta }, a.stats, (const T *)a.dy,
		         (T *)a.dx, (T *)a.dchan, (T *)a.dss, a.dgamma, a.dbeta, a.acc_dx, a.acc_dchan, a.acc_dss };

	return RD_BY_WIDTH(T, j.g.c, run, dev, j, e);
}

int rd_cuda_groupnorm_bwd(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
                          const float *gamma, const float *beta, const void *scale_shift, const float *stats,
                          const void *dy, void *dx, int acc_dx, void *dchan, int acc_dchan, float *dgamma, float *dbeta,
                          void *dscale_shift, int acc_dss, void *ws, struct rd_err *e)
{
	const bwd_job<void> j = { { rd_gn_of(p, ws), x, chan, scale_shift, gamma, beta }, stats, dy, dx, dchan, dscale_shift, dgamma,
		                  dbeta, acc_dx, acc_dchan, acc_dss };

	return RD_BY_TYPE(dev, backward, dev, j, e);
}
