/* y = a act(b), da = act(b) dy, db = a act'(b) dy: at every pixel of x a's run of channels, then b's. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/vecmath.h"

RD_INLINE void fwd_loop(enum rd_act act, const float *x, float *y, int64_t rows, int64_t c)
{
	for (int64_t i = 0; i < rows; i++, x += 2 * c, y += c) {
		RD_SIMD
		for (int64_t l = 0; l < c; l++)
			y[l] = x[l] * rd_act_value(act, x[c + l]);
	}
}

RD_INLINE void bwd_loop(enum rd_act act, const float *x, const float *dy, float *dx, int64_t rows, int64_t c, int acc)
{
	for (int64_t i = 0; i < rows; i++, x += 2 * c, dy += c, dx += 2 * c) {
		RD_SIMD
		for (int64_t l = 0; l < c; l++) {
			dx[l] = (acc ? dx[l] : 0.0f) + dy[l] * rd_act_value(act, x[c + l]);
			dx[c + l] = (acc ? dx[c + l] : 0.0f) + dy[l] * x[l] * rd_act_slope(act, x[c + l]);
		}
	}
}

static void fwd_rows(enum rd_act act, const float *x, float *y, int64_t rows, int64_t c)
{
	RD_BY_ACT(act, fwd_loop, x, y, rows, c);
}

RD_INLINE void bwd_rows(enum rd_act act, const float *x, const float *dy, float *dx, int64_t rows, int64_t c, int acc)
{
	RD_BY_ACT(act, bwd_loop, x, dy, dx, rows, c, acc);
}

int RD_SYM(gate_fwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, void *y, struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t rows = d.n * d.h * d.w, c = d.c;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		fwd_rows(act, fx + r.lo * 2 * c, fy + r.lo * c, r.hi - r.lo, c);
	}
	return RD_OK;
}

int RD_SYM(gate_bwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, const void *dy, void *dx,
                     int acc_dx, struct rd_err *e)
{
	const float *fx = x, *fdy = dy;
	float *fdx = dx;
	int64_t rows = d.n * d.h * d.w, c = d.c;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);
		const float *rx = fx + r.lo * 2 * c, *rdy = fdy + r.lo * c;
		float *rdx = fdx + r.lo * 2 * c;

		if (acc_dx)
			bwd_rows(act, rx, rdy, rdx, r.hi - r.lo, c, 1);
		else
			bwd_rows(act, rx, rdy, rdx, r.hi - r.lo, c, 0);
	}
	return RD_OK;
}
