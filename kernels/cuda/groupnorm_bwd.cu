/* Backward of the group normalisation. With k = mean - chan, xn = (x - k) rstd the normalised input, and g = act'(z) dy:
 *
 * A = sum g,  B = sum g (x - k),  C = sum (x - k)   per channel, over pixels w = gamma (1 + scale),  X = rstd B
 * dbeta = (1 + scale) A,  dgamma = (1 + scale) X,  dshift = A,  dscale = gamma X + beta A dx = rstd (w g - mean of
 * w g - xn mean of w g xn), means over the group;  dchan = sum dx
 *
 * so dx = c1 g + c2 (x - k) + c3. g is computed twice: that is cheaper here than writing it and reading it again. */
#include "kernels/cuda/groupnorm.h"
#include "kernels/cuda/reduce.h"

enum { A, B, C };                /* sums */
enum { CA, CB, CK, C1, C2, C3 }; /* coef: z = x CA + CB */

template <class T> struct job {
	rd_gn g;
	const T *x, *chan, *ss, *dy;
	const float *gamma, *beta, *stats;
	T *dx, *dchan, *dss;
	float *dgamma, *dbeta;
	int acc_dx, acc_dchan, acc_dss;
};

template <class T> static __global__ void prepare_kernel(job<T> j)
{
	int64_t width = j.g.c / j.g.groups;

	for (int64_t i = rd_row_first(); i < j.g.n; i += rd_row_step())
		for (int64_t l = threadIdx.x; l < j.g.c; l += blockDim.x) {
			const float *s = j.stats + (i * j.g.groups + l / width) * 2;

			rd_gn_affine(j.g, i, l, (double)s[0], (double)s[1], j.chan, j.gamma, j.beta, j.ss);
			j.g.coef[(i * RD_GN_COEFS + CK) * j.g.c + l] = s[0] - (j.chan ? rd_to_float(j.chan[i * j.g.c + l]) : 0.0f);
		}
}

template <class T, int V, int SILU> static __global__ void sums_kernel(job<T> j)
{
	RD_SHARED(float, shared);
	const rd_gn &g = j.g;
	int64_t first = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * V, lo = (int64_t)blockIdx.x * RD_GN_ROWS;
	int64_t hi = lo + RD_GN_ROWS < g.rows ? lo + RD_GN_ROWS : g.rows;
	bool inside = first < g.c;

	for (int64_t image = blockIdx.z; image < g.n; image += gridDim.z) {
		const float *coef = g.coef + image * RD_GN_COEFS * g.c + first;
		int64_t at = image * g.rows * g.c + first;
		float x[V], dy[V], ca[V], cb[V], ck[V], sum[RD_GN_SUMS * V];

		for (int i = 0; i < RD_GN_SUMS * V; i++)
			sum[i] = 0.0f;
		for (int i = 0; i < V; i++) {
			ca[i] = inside ? coef[CA * g.c + i] : 0.0f;
			cb[i] = inside ? coef[CB * g.c + i] : 0.0f;
			ck[i] = inside ? coef[CK * g.c + i] : 0.0f;
		}
		for (int64_t r = lo + threadIdx.y; r < hi && inside; r += blockDim.y) {
			rd_load<T, V>(x, j.x + at + r * g.c);
			rd_load<T, V>(dy, j.dy + at + r * g.c);
			RD_UNROLL
			for (int i = 0; i < V; i++) {
				float v = dy[i] * rd_act_slope_of<T, SILU>(g.act, x[i] * ca[i] + cb[i]), d = x[i] - ck[i];

				sum[A * V + i] += v;
				sum[B * V + i] += v * d;
				sum[C * V + i] += d;
			}
		}
		rd_gn_reduce<V, RD_GN_SUMS>(sum, shared, g.part + (image * g.chunks + blockIdx.x) * RD_GN_SUMS * g.c, g.c, first,
		                            inside);
	}
}

/* The gradients that an image's sums give by themselves. */
template <class T>
static __device__ __forceinline__ void channel_grads(const job<T> &j, int64_t image, int64_t l, double a, double x, double c,
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

/* A warp for each group of an image. */
template <class T> static __global__ void finish_kernel(job<T> j)
{
	const rd_gn &g = j.g;
	int64_t group = blockIdx.x, width = g.c / g.groups, lo = group * width, hi = lo + width;

	for (int64_t image = blockIdx.y; image < g.n; image += gridDim.y) {
		double rstd = (double)j.stats[(image * g.groups + group) * 2 + 1], n = (double)width * (double)g.rows;
		double m1 = 0.0, m2 = 0.0, c2, c3;
		float *coef = g.coef + image * RD_GN_COEFS * g.c;

		for (int64_t l = lo + threadIdx.x; l < hi; l += RD_GN_WARP) {
			double w = (double)j.gamma[l] * (j.ss ? 1.0 + (double)rd_to_float(j.ss[image * 2 * g.c + l]) : 1.0);

			m1 += w * rd_gn_total(g, image, A, l);
			m2 += w * rd_gn_total(g, image, B, l) * rstd;
		}
		c2 = -rstd * rstd * rd_warp_sum(m2) / n;
		c3 = -rstd * rd_warp_sum(m1) / n;
		for (int64_t l = lo + threadIdx.x; l < hi; l += RD_GN_WARP) {
			double w = (double)j.gamma[l] * (j.ss ? 1.0 + (double)rd_to_float(j.ss[image * 2 * g.c + l]) : 1.0);

			coef[C1 * g.c + l] = (float)(w * rstd);
			coef[C2 * g.c + l] = (float)c2;
			coef[C3 * g.c + l] = (float)c3;
			channel_grads(j, image, l, rd_gn_total(g, image, A, l), rd_gn_total(g, image, B, l) * rstd,
			              rd_gn_total(g, image, C, l), w * rstd, c2, c3);
		}
	}
}

/* dx may be dy: a thread has read what it writes over. */
template <class T, int V, int SILU> static __global__ void apply_kernel(job<T> j)
{
	const rd_gn &g = j.g;

	for (int64_t image = blockIdx.y; image < g.n; image += gridDim.y)
		for (int64_t l = threadIdx.x * V; l < g.c; l += blockDim.x * V) {
			const float *coef = g.coef + image * RD_GN_COEFS * g.c + l;
			int64_t at = image * g.rows * g.c + l;
			float c[RD_GN_COEFS][V], x[V], dy[V], dx[V];

			for (int k = 0; k < RD_GN_COEFS; k++)
				for (int i = 0; i < V; i++)
					c[k][i] = coef[k * g.c + i];
			for (int64_t r = rd_row_first(); r < g.rows; r += rd_row_step()) {
				rd_load<T, V>(x, j.x + at + r * g.c);
				rd_load<T, V>(dy, j.dy + at + r * g.c);
				if (j.acc_dx)
					rd_load<T, V>(dx, j.dx + at + r * g.c);
				RD_UNROLL
				for (int i = 0; i < V; i++) {
					float v = dy[i] * rd_act_slope_of<T, SILU>(g.act, x[i] * c[CA][i] + c[CB][i]);

					v = c[C1][i] * v + (c[C2][i] * (x[i] - c[CK][i]) + c[C3][i]);
					dx[i] = j.acc_dx ? dx[i] + v : v;
				}
				rd_store<T, V>(j.dx + at + r * g.c, dx);
			}
		}
}

/* dgamma and dbeta += the images', in their order. */
template <class T> static __global__ void affine_kernel(job<T> j)
{
	for (int64_t l = blockIdx.x * blockDim.x + threadIdx.x; l < j.g.c; l += (int64_t)gridDim.x * blockDim.x) {
		double dgamma = 0.0, dbeta = 0.0;

		for (int64_t i = 0; i < j.g.n; i++) {
			dgamma += (double)j.g.affine[i * 2 * j.g.c + l];
			dbeta += (double)j.g.affine[i * 2 * j.g.c + j.g.c + l];
		}
		if (j.dgamma)
			j.dgamma[l] += (float)dgamma;
		if (j.dbeta)
			j.dbeta[l] += (float)dbeta;
	}
}

template <class T, int V, int SILU> static int passes(struct rd_dev *dev, const job<T> &j, struct rd_err *e)
{
	const rd_gn &g = j.g;
	rd_gn_launch s = rd_gn_sums(g, V, RD_GN_SUMS);
	rd_tiles images = rd_tile(g.n, g.c), t = rd_tile_images(g.n, g.rows, g.c / V, 4);
	dim3 groups((unsigned)g.groups, rd_blocks_y(g.n));
	int rc = RD_LAUNCH(dev, e, prepare_kernel<T>, images.grid, images.block, 0, j);

	if (!rc)
		rc = RD_LAUNCH(dev, e, (sums_kernel<T, V, SILU>), s.grid, s.block, s.shared, j);
	if (!rc)
		rc = RD_LAUNCH(dev, e, finish_kernel<T>, groups, RD_GN_WARP, 0, j);
	if (!rc && j.dx)
		rc = RD_LAUNCH(dev, e, (apply_kernel<T, V, SILU>), t.grid, t.block, 0, j);
	if (!rc && (j.dgamma || j.dbeta))
		rc = RD_LAUNCH(dev, e, affine_kernel<T>, dim3((unsigned)((g.c + 63) / 64)), 64, 0, j);
	return rc;
}

template <class T, int V> static int run(struct rd_dev *dev, const job<T> &j, struct rd_err *e)
{
	return j.g.act == RD_ACT_SILU ? passes<T, V, 1>(dev, j, e) : passes<T, V, 0>(dev, j, e);
}

template <class T>
static int backward(struct rd_dev *dev, const job<void> &a, struct rd_err *e)
{
	job<T> j = { a.g, (const T *)a.x, (const T *)a.chan, (const T *)a.ss, (const T *)a.dy, a.gamma, a.beta, a.stats,
		     (T *)a.dx, (T *)a.dchan, (T *)a.dss, a.dgamma, a.dbeta, a.acc_dx, a.acc_dchan, a.acc_dss };

	return RD_BY_WIDTH(T, j.g.c, run, dev, j, e);
}

int rd_cuda_groupnorm_bwd(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
                          const float *gamma, const float *beta, const void *scale_shift, const float *stats,
                          const void *dy, void *dx, int acc_dx, void *dchan, int acc_dchan, float *dgamma, float *dbeta,
                          void *dscale_shift, int acc_dss, void *ws, struct rd_err *e)
{
	job<void> j = { rd_gn_of(p, ws), x, chan, scale_shift, dy, gamma, beta, stats, dx, dchan, dscale_shift, dgamma, dbeta,
			acc_dx, acc_dchan, acc_dss };

	return RD_BY_TYPE(dev, backward, dev, j, e);
}
