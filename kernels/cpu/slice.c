/* Some of the channels of an activation: a run of each pixel's. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

#include <string.h>

int RD_SYM(slice_fwd)(struct rd_dev *dev, struct rd_dims d, int64_t xc, int64_t first, const void *x, void *y, struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t rows = d.n * d.h * d.w;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * d.c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++)
			RD_SYM(put)(fy + i * d.c, fx + i * xc + first, d.c, 0);
	}
	return RD_OK;
}

int RD_SYM(slice_bwd)(struct rd_dev *dev, struct rd_dims d, int64_t xc, int64_t first, const void *dy, void *dx, int acc,
                      struct rd_err *e)
{
	const float *fdy = dy;
	float *fdx = dx;
	int64_t rows = d.n * d.h * d.w;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * xc >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		if (!acc)
			memset(fdx + r.lo * xc, 0, (size_t)((r.hi - r.lo) * xc) * sizeof *fdx);
		for (int64_t i = r.lo; i < r.hi; i++)
			RD_SYM(put)(fdx + i * xc + first, fdy + i * d.c, d.c, acc);
	}
	return RD_OK;
}
