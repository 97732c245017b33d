/* What the solvers do to samples. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

/* Elements lo..hi-1 of image i. */
static void combine_range(float a, const float *x, float b, const float *y, float *out, int64_t n)
{
	if (y) {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			out[i] = a * x[i] + b * y[i];
	} else {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			out[i] = a * x[i];
	}
}

int RD_SYM(combine)(struct rd_dev *dev, struct rd_dims d, const float *a, const void *x, const float *b,
                    const void *y, void *out, struct rd_err *e)
{
	const float *fx = x, *fy = y;
	float *fo = out;
	int64_t n = rd_dims_elems(d), image = d.c * d.h * d.w;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		for (int64_t lo = r.lo, hi; lo < r.hi; lo = hi) {
			int64_t i = lo / image;

			hi = (i + 1) * image < r.hi ? (i + 1) * image : r.hi;
			combine_range(a[i], fx + lo, fy ? b[i] : 0.0f, fy ? fy + lo : NULL, fo + lo, hi - lo);
		}
	}
	return RD_OK;
}

int RD_SYM(clamp)(struct rd_dev *dev, struct rd_dims d, float lo, float hi, void *x, struct rd_err *e)
{
	float *fx = x;
	int64_t n = rd_dims_elems(d);

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		RD_SIMD
		for (int64_t i = r.lo; i < r.hi; i++) {
			float v = fx[i] < lo ? lo : fx[i];

			fx[i] = v > hi ? hi : v;
		}
	}
	return RD_OK;
}
