/* What the solvers do to samples. */
#include "kernels/cuda/map.h"

struct combine_op {
	const float *a, *b;

	__device__ float operator()(int64_t image, int64_t, float x, float y) const
	{
		return b ? a[image] * x + b[image] * y : a[image] * x;
	}
};

struct clamp_op {
	float lo, hi;

	__device__ float operator()(int64_t, int64_t, float x, float) const
	{
		float v = x < lo ? lo : x;

		return v > hi ? hi : v;
	}
};

int rd_cuda_combine(struct rd_dev *dev, struct rd_dims d, const float *a, const void *x, const float *b, const void *y,
                    void *out, struct rd_err *e)
{
	combine_op op = { a, y ? b : NULL };

	return rd_map<float, float>(dev, op, d.n, d.c * d.h * d.w, x, y, out, 0, e);
}

int rd_cuda_clamp(struct rd_dev *dev, struct rd_dims d, float lo, float hi, void *x, struct rd_err *e)
{
	return rd_map<float, float>(dev, clamp_op{ lo, hi }, 1, rd_dims_elems(d), x, NULL, x, 0, e);
}
