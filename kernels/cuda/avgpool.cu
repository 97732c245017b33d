/* Mean over 2x2 pixels; an odd last row or column is left out. */
#include "kernels/cuda/resample.h"

struct mean_of_four {
	template <class T, int V>
	__device__ void at(float *sum, const T *x, int h, int w, int64_t c, int oy, int ox) const
	{
		for (int k = 0; k < 4; k++)
			rd_tap<T, V>(sum, x, h, w, c, 2 * oy + k / 2, 2 * ox + k % 2, 0.25f);
	}
};

/* The odd last row and column find no gradient over them. */
struct quarter {
	template <class T, int V>
	__device__ void at(float *sum, const T *dy, int h, int w, int64_t c, int y, int x) const
	{
		rd_tap<T, V>(sum, dy, h, w, c, y / 2, x / 2, 0.25f);
	}
};

int rd_cuda_avgpool2_fwd(struct rd_dev *dev, struct rd_dims d, const void *x, void *y, struct rd_err *e)
{
	return rd_resample(dev, mean_of_four{}, d, d.h / 2, d.w / 2, x, y, 0, e);
}

int rd_cuda_avgpool2_bwd(struct rd_dev *dev, struct rd_dims d, const void *dy, void *dx, int acc, struct rd_err *e)
{
	struct rd_dims small = { d.n, d.c, d.h / 2, d.w / 2 };

	return rd_resample(dev, quarter{}, small, d.h, d.w, dy, dx, acc, e);
}
