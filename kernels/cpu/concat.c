/* Channels of two activations side by side: at every pixel a's run of channels, then b's. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

int RD_SYM(concat_fwd)(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *xa, const void *xb, void *y,
                       struct rd_err *e)
{
	const float *fa = xa, *fb = xb;
	float *fy = y;
	int64_t rows = a.n * a.h * a.w, ac = a.c, c = ac + bc;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			RD_SYM(put)(fy + i * c, fa + i * ac, ac, 0);
			RD_SYM(put)(fy + i * c + ac, fb + i * bc, bc, 0);
		}
	}
	return RD_OK;
}

int RD_SYM(concat_bwd)(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *dy, void *da, int acc_a,
                       void *db, int acc_b, struct rd_err *e)
{
	const float *fy = dy;
	float *fa = da, *fb = db;
	int64_t rows = a.n * a.h * a.w, ac = a.c, c = ac + bc;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			if (fa)
				RD_SYM(put)(fa + i * ac, fy + i * c, ac, acc_a);
			if (fb)
				RD_SYM(put)(fb + i * bc, fy + i * c + ac, bc, acc_b);
		}
	}
	return RD_OK;
}
