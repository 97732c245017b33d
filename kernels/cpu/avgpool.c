/* Mean over 2x2 pixels; an odd last row or column is left out. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

int RD_SYM(avgpool2_fwd)(struct rd_dev *dev, struct rd_dims d, const void *x, void *y, struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t c = d.c, w = d.w, oh = d.h / 2, ow = d.w / 2, rows = d.n * oh;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * w * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			const float *in = fx + (i / oh * d.h + i % oh * 2) * w * c;

			for (int64_t j = 0; j < ow; j++) {
				const float *p = in + 2 * j * c, *q = p + w * c;
				float *out = fy + (i * ow + j) * c;

				RD_SIMD
				for (int64_t k = 0; k < c; k++)
					out[k] = 0.25f * ((p[k] + p[k + c]) + (q[k] + q[k + c]));
			}
		}
	}
	return RD_OK;
}

/* Row y of dx; dy is the row of gradients over it, NULL where none reaches it. */
RD_INLINE void bwd_row(const float *dy, float *dx, int64_t w, int64_t c, int acc)
{
	for (int64_t j = 0; j < w; j++) {
		const float *g = dy + j / 2 * c;
		float *out = dx + j * c;

		if (dy && j / 2 < w / 2) {
			RD_SIMD
			for (int64_t k = 0; k < c; k++)
				out[k] = (acc ? out[k] : 0.0f) + 0.25f * g[k];
		} else if (!acc) {
			RD_SIMD
			for (int64_t k = 0; k < c; k++)
				out[k] = 0.0f;
		}
	}
}

int RD_SYM(avgpool2_bwd)(struct rd_dev *dev, struct rd_dims d, const void *dy, void *dx, int acc, struct rd_err *e)
{
	const float *fy = dy;
	float *fx = dx;
	int64_t c = d.c, w = d.w, oh = d.h / 2, ow = d.w / 2, rows = d.n * d.h;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * w * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			int64_t n = i / d.h, y = i % d.h / 2;
			const float *g = y < oh ? fy + (n * oh + y) * ow * c : NULL;

			if (acc)
				bwd_row(g, fx + i * w * c, w, c, 1);
			else
				bwd_row(g, fx + i * w * c, w, c, 0);
		}
	}
	return RD_OK;
}
