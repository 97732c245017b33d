/* Sums and multiples of activations. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

void RD_SYM(put)(float *dst, const float *src, int64_t n, int acc)
{
	if (acc) {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			dst[i] += src[i];
	} else {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			dst[i] = src[i];
	}
}

void RD_SYM(put_all)(struct rd_dev *dev, float *dst, const float *src, int64_t n, int acc)
{
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		RD_SYM(put)(dst + r.lo, src + r.lo, r.hi - r.lo, acc);
	}
}

int RD_SYM(add)(struct rd_dev *dev, struct rd_dims d, const void *a, const void *b, void *y, struct rd_err *e)
{
	const float *fa = a, *fb = b;
	float *fy = y;
	int64_t n = rd_dims_elems(d);

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		RD_SIMD
		for (int64_t i = r.lo; i < r.hi; i++)
			fy[i] = fa[i] + fb[i];
	}
	return RD_OK;
}

static void affine_range(float s, float shift, const float *x, float *y, int64_t n, int acc)
{
	if (acc) {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			y[i] += s * x[i] + shift;
	} else {
		RD_SIMD
		for (int64_t i = 0; i < n; i++)
			y[i] = s * x[i] + shift;
	}
}

int RD_SYM(affine)(struct rd_dev *dev, struct rd_dims d, float s, float shift, const void *x, void *y, int acc,
                   struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t n = rd_dims_elems(d);

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		affine_range(s, shift, fx + r.lo, fy + r.lo, r.hi - r.lo, acc);
	}
	return RD_OK;
}
