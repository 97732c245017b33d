/* y = gain x, one gain for each channel of an image: dx = gain dy, dgain = sum over pixels of dy x. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

RD_INLINE void scale_row(const float *x, const float *gain, float *y, int64_t c, int acc)
{
	RD_SIMD
	for (int64_t l = 0; l < c; l++)
		y[l] = (acc ? y[l] : 0.0f) + gain[l] * x[l];
}

int RD_SYM(gain_fwd)(struct rd_dev *dev, struct rd_dims d, const void *x, const void *gain, void *y, int acc, struct rd_err *e)
{
	const float *fx = x, *fg = gain;
	float *fy = y;
	int64_t pixels = d.h * d.w, rows = d.n * pixels, c = d.c;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			if (acc)
				scale_row(fx + i * c, fg + i / pixels * c, fy + i * c, c, 1);
			else
				scale_row(fx + i * c, fg + i / pixels * c, fy + i * c, c, 0);
		}
	}
	return RD_OK;
}

enum { COLS = 64, ROWS = 64 }; /* f32 sums are at most ROWS long, the rest is added in double */

/* Channels of one image; c <= COLS of `stride`. */
struct part {
	const float *x, *gain, *dy;
	float *dx, *dgain; /* NULL: not wanted */
	int64_t pixels, c, stride;
	int acc_dx, acc_dgain;
};

static void bwd_part(const struct part *p)
{
	double total[COLS] = { 0.0 };

	for (int64_t lo = 0; lo < p->pixels; lo += ROWS) {
		int64_t hi = lo + ROWS < p->pixels ? lo + ROWS : p->pixels;
		float sum[COLS] = { 0.0f };

		for (int64_t i = lo; i < hi; i++) {
			const float *x = p->x + i * p->stride, *dy = p->dy + i * p->stride;

			RD_SIMD
			for (int64_t l = 0; l < p->c; l++)
				sum[l] += dy[l] * x[l];
			if (p->dx && p->acc_dx)
				scale_row(dy, p->gain, p->dx + i * p->stride, p->c, 1);
			else if (p->dx)
				scale_row(dy, p->gain, p->dx + i * p->stride, p->c, 0);
		}
		for (int64_t l = 0; l < p->c; l++)
			total[l] += (double)sum[l];
	}
	for (int64_t l = 0; p->dgain && l < p->c; l++)
		p->dgain[l] = (p->acc_dgain ? p->dgain[l] : 0.0f) + (float)total[l];
}

size_t RD_SYM(gain_ws_bytes)(struct rd_dev *dev, struct rd_dims d)
{
	(void)dev;
	(void)d;
	return 0;
}

int RD_SYM(gain_bwd)(struct rd_dev *dev, struct rd_dims d, const void *x, const void *gain, const void *dy, void *dx, int acc_dx,
                     void *dgain, int acc_dgain, void *ws, struct rd_err *e)
{
	const float *fx = x, *fg = gain, *fdy = dy;
	float *fdx = dx, *fdg = dgain;
	int64_t pixels = d.h * d.w, parts = (d.c + COLS - 1) / COLS;

	(void)ws;
	(void)e;
#pragma omp parallel for schedule(static) num_threads(dev->threads) if (rd_dims_elems(d) >= RD_PARALLEL_MIN)
	for (int64_t i = 0; i < d.n * parts; i++) {
		int64_t image = i / parts, c0 = i % parts * COLS, at = image * pixels * d.c + c0, g = image * d.c + c0;
		const struct part p = { fx + at, fg + g, fdy + at, fdx ? fdx + at : NULL, fdg ? fdg + g : NULL, pixels,
		                        d.c - c0 < COLS ? d.c - c0 : COLS, d.c, acc_dx, acc_dgain };

		bwd_part(&p);
	}
	return RD_OK;
}
