/* Adaptive layer normalisation: every image has its own gain and offset, and one thread adds up their gradients. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/layernorm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

size_t RD_SYM(adanorm_ws_bytes)(struct rd_dev *dev, const struct rd_layernorm_desc *p)
{
	return (size_t)(2 * p->d.c) * (size_t)dev->threads * (sizeof(double) + sizeof(float));
}

int RD_SYM(adanorm_fwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const void *shift_scale, void *y,
                        float *stats, struct rd_err *e)
{
	const float *fx = x, *ss = shift_scale;
	float *fy = y;
	int64_t pixels = p->d.h * p->d.w, rows = p->d.n * pixels, c = p->d.c;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			const float *shift = ss + i / pixels * 2 * c;

			rd_ln_fwd(fx + i * c, shift + c, 1, shift, p->eps, fy + i * c, stats + 2 * i, c);
		}
	}
	return RD_OK;
}

static void put_total(const double *total, float *out, int64_t c, int acc)
{
	for (int64_t l = 0; l < c; l++)
		out[l] = (acc ? out[l] : 0.0f) + (float)total[l];
}

int RD_SYM(adanorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const void *shift_scale,
                        const float *stats, const void *dy, void *dx, int acc_dx, void *dshift_scale, int acc_dss, void *ws,
                        struct rd_err *e)
{
	const float *fx = x, *fdy = dy, *ss = shift_scale;
	float *fdx = dx, *fdss = dshift_scale, *sums = (float *)(void *)((double *)ws + dev->threads * 2 * p->d.c);
	double *totals = ws; /* [threads, 2 c], as sums */
	int64_t pixels = p->d.h * p->d.w, c = p->d.c;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (p->d.n * pixels * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(p->d.n, 1);
		int64_t own = omp_get_thread_num() * 2 * c;

		for (int64_t i = r.lo; i < r.hi; i++) {
			int64_t lo = i * pixels;
			const struct rd_ln_rows j = { fx + lo * c, fdy + lo * c, fdx ? fdx + lo * c : NULL, stats + 2 * lo,
			                              ss + (2 * i + 1) * c, pixels, c, acc_dx };

			rd_ln_bwd(&j, 1, sums + own, fdss ? totals + own : NULL);
			if (fdss) {
				put_total(totals + own + c, fdss + 2 * i * c, c, acc_dss);
				put_total(totals + own, fdss + (2 * i + 1) * c, c, acc_dss);
			}
		}
	}
	return RD_OK;
}
