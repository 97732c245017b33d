/* Resampling by two with the filter [1 3 3 1] / 8 in each direction. */
#include "kernels/cuda/resample.h"

/* y[i] = gain sum_k f_k x[2i - 1 + k] */
struct fir_down {
	float gain;

	template <class T, int V>
	__device__ void at(float *sum, const T *x, int h, int w, int64_t c, int oy, int ox) const
	{
		const float f[4] = { 0.125f, 0.375f, 0.375f, 0.125f };

		for (int k = 0; k < 16; k++)
			rd_tap<T, V>(sum, x, h, w, c, 2 * oy - 1 + k / 4, 2 * ox - 1 + k % 4, gain * f[k / 4] * f[k % 4]);
	}
};

/* The transpose: pixel 2m takes 3/8 of m and 1/8 of m - 1, pixel 2m + 1 takes 3/8 of m and 1/8 of m + 1. */
struct fir_up {
	float gain;

	template <class T, int V>
	__device__ void at(float *sum, const T *x, int h, int w, int64_t c, int oy, int ox) const
	{
		const float f[2] = { 0.375f, 0.125f };
		int y = oy / 2, x0 = ox / 2, dy = oy % 2 ? 1 : -1, dx = ox % 2 ? 1 : -1;

		for (int k = 0; k < 4; k++)
			rd_tap<T, V>(sum, x, h, w, c, y + k / 2 * dy, x0 + k % 2 * dx, gain * f[k / 2] * f[k % 2]);
	}
};

int rd_cuda_fir2_down(struct rd_dev *dev, struct rd_dims d, float gain, const void *x, void *y, int acc, struct rd_err *e)
{
	return rd_resample(dev, fir_down{ gain }, d, d.h / 2, d.w / 2, x, y, acc, e);
}

int rd_cuda_fir2_up(struct rd_dev *dev, struct rd_dims d, float gain, const void *x, void *y, int acc, struct rd_err *e)
{
	return rd_resample(dev, fir_up{ 4.0f * gain }, d, 2 * d.h, 2 * d.w, x, y, acc, e);
}
