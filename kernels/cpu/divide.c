/* Each image over a number of its own. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

static void divide_range(float t, const float *x, float *y, int64_t n, int acc)
{
	if (acc) {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			y[i] += x[i] / t;
	} else {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			y[i] = x[i] / t;
	}
}

int RD_SYM(divide)(struct rd_dev *dev, struct rd_dims d, const float *t, const void *x, void *y, int acc,
                   struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t n = rd_dims_elems(d), image = d.c * d.h * d.w;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		for (int64_t lo = r.lo, hi; lo < r.hi; lo = hi) {
			int64_t i = lo / image;

			hi = (i + 1) * image < r.hi ? (i + 1) * image : r.hi;
			divide_range(t[i], fx + lo, fy + lo, hi - lo, acc);
		}
	}
	return RD_OK;
}
