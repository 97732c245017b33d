/* y = act(x), dx = act'(x) dy, element by element. */
#include "kernels/cuda/actmath.h"
#include "kernels/cuda/map.h"

struct fwd_op {
	enum rd_act a;

	__device__ float operator()(int64_t, int64_t, float x, float) const
	{
		return rd_act_value(a, x);
	}
};

struct bwd_op {
	enum rd_act a;

	__device__ float operator()(int64_t, int64_t, float x, float dy) const
	{
		return dy * rd_act_slope(a, x);
	}
};

int rd_cuda_act_fwd(struct rd_dev *dev, struct rd_dims d, enum rd_act a, const void *x, void *y, struct rd_err *e)
{
	return rd_map_acts(dev, fwd_op{ a }, 1, rd_dims_elems(d), x, NULL, y, 0, e);
}

int rd_cuda_act_bwd(struct rd_dev *dev, struct rd_dims d, enum rd_act a, const void *x, const void *dy, void *dx,
                    int acc_dx, struct rd_err *e)
{
	return rd_map_acts(dev, bwd_op{ a }, 1, rd_dims_elems(d), x, dy, dx, acc_dx, e);
}
