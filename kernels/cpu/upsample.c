/* Nearest upsampling by two: every pixel becomes four. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

int RD_SYM(upsample2_fwd)(struct rd_dev *dev, struct rd_dims d, const void *x, void *y, struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t rows = d.n * d.h, c = d.c, w = d.w;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * w * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			const float *in = fx + i * w * c;
			float *out = fy + 2 * i * 2 * w * c;

			for (int64_t j = 0; j < w; j++) {
				RD_SYM(put)(out + 2 * j * c, in + j * c, c, 0);
				RD_SYM(put)(out + (2 * j + 1) * c, in + j * c, c, 0);
			}
			RD_SYM(put)(out + 2 * w * c, out, 2 * w * c, 0);
		}
	}
	return RD_OK;
}

/* One row of dx from the two rows of dy above it. */
RD_INLINE void bwd_row(const float *dy, float *dx, int64_t w, int64_t c, int acc)
{
	const float *lower = dy + 2 * w * c;

	for (int64_t j = 0; j < w; j++) {
		const float *p = dy + 2 * j * c, *q = lower + 2 * j * c;
		float *out = dx + j * c;

		RD_SIMD
		for (int64_t k = 0; k < c; k++)
			out[k] = (acc ? out[k] : 0.0f) + ((p[k] + p[k + c]) + (q[k] + q[k + c]));
	}
}

int RD_SYM(upsample2_bwd)(struct rd_dev *dev, struct rd_dims d, const void *dy, void *dx, int acc, struct rd_err *e)
{
	const float *fy = dy;
	float *fx = dx;
	int64_t rows = d.n * d.h, c = d.c, w = d.w;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * w * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			if (acc)
				bwd_row(fy + 4 * i * w * c, fx + i * w * c, w, c, 1);
			else
				bwd_row(fy + 4 * i * w * c, fx + i * w * c, w, c, 0);
		}
	}
	return RD_OK;
}
