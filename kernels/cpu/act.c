/* y = act(x), dx = act'(x) dy, element by element. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/vecmath.h"

RD_INLINE void fwd_loop(enum rd_act a, const float *x, float *y, int64_t n)
{
	RD_SIMD
	for (int64_t i = 0; i < n; i++)
		y[i] = rd_act_value(a, x[i]);
}

RD_INLINE void bwd_loop(enum rd_act a, const float *x, const float *dy, float *dx, int64_t n, int acc)
{
	RD_SIMD
	for (int64_t i = 0; i < n; i++)
		dx[i] = (acc ? dx[i] : 0.0f) + dy[i] * rd_act_slope(a, x[i]);
}

static void fwd_range(enum rd_act a, const float *x, float *y, int64_t n)
{
	RD_BY_ACT(a, fwd_loop, x, y, n);
}

RD_INLINE void bwd_range(enum rd_act a, const float *x, const float *dy, float *dx, int64_t n, int acc)
{
	RD_BY_ACT(a, bwd_loop, x, dy, dx, n, acc);
}

int RD_SYM(act_fwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act a, const void *x, void *y, struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t n = rd_dims_elems(d);

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		fwd_range(a, fx + r.lo, fy + r.lo, r.hi - r.lo);
	}
	return RD_OK;
}

int RD_SYM(act_bwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act a, const void *x, const void *dy, void *dx,
                    int acc_dx, struct rd_err *e)
{
	const float *fx = x, *fdy = dy;
	float *fdx = dx;
	int64_t n = rd_dims_elems(d);

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 64);

		if (acc_dx)
			bwd_range(a, fx + r.lo, fdy + r.lo, fdx + r.lo, r.hi - r.lo, 1);
		else
			bwd_range(a, fx + r.lo, fdy + r.lo, fdx + r.lo, r.hi - r.lo, 0);
	}
	return RD_OK;
}
