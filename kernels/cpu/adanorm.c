/* Adaptive layer normalisation: every image has its own gain and offset. Their gradients are added up in units of an image's rows,
 * and the units' sums in their order; units follow from the shape alone, and threads divide them. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/layernorm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

enum { MOST_UNITS = 32 };

struct units {
	int64_t rows, each; /* of a unit; units of an image */
};

static struct units units_of(const struct rd_layernorm_desc *p)
{
	int64_t pixels = p->d.h * p->d.w, blocks = (pixels + RD_LN_BLOCK - 1) / RD_LN_BLOCK;
	int64_t want = (MOST_UNITS + p->d.n - 1) / p->d.n;
	struct units u = { .rows = (blocks + want - 1) / want * RD_LN_BLOCK };

	u.each = (pixels + u.rows - 1) / u.rows;
	return u;
}

size_t RD_SYM(adanorm_ws_bytes)(struct rd_dev *dev, const struct rd_layernorm_desc *p)
{
	return (size_t)(2 * p->d.c) * ((size_t)(p->d.n * units_of(p).each) * sizeof(double) + (size_t)dev->threads * sizeof(float));
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

			rd_ln_fwd(fx + i * c, shift + c, RD_LN_ADAPTIVE, shift, p->eps, fy + i * c, stats + 2 * i, c);
		}
	}
	return RD_OK;
}

int RD_SYM(adanorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const void *shift_scale,
                        const float *stats, const void *dy, void *dx, int acc_dx, void *dshift_scale, int acc_dss, void *ws,
                        struct rd_err *e)
{
	const struct units u = units_of(p);
	const struct rd_range all = { 0, p->d.c };
	const float *fx = x, *fdy = dy, *ss = shift_scale;
	float *fdx = dx, *fdss = dshift_scale, *sums; /* [threads, 2 c] */
	double *totals = ws; /* [n, units, 2 c] */
	int64_t pixels = p->d.h * p->d.w, c = p->d.c;

	(void)e;
	sums = (float *)(void *)(totals + p->d.n * u.each * 2 * c);
#pragma omp parallel num_threads(dev->threads) if (p->d.n * pixels * c >= RD_PARALLEL_MIN)
	{
		struct rd_range units = rd_share(p->d.n * u.each, 1), images = rd_share(p->d.n, 1);

		for (int64_t k = units.lo; k < units.hi; k++) {
			int64_t image = k / u.each, first = k % u.each * u.rows, lo = image * pixels + first;
			int64_t rows = pixels - first < u.rows ? pixels - first : u.rows;
			const struct rd_ln_rows j = { fx + lo * c, fdy + lo * c, fdx ? fdx + lo * c : NULL, stats + 2 * lo,
			                              ss + (2 * image + 1) * c, rows, c, acc_dx };

			rd_ln_bwd(&j, RD_LN_ADAPTIVE, sums + omp_get_thread_num() * 2 * c, fdss ? totals + k * 2 * c : NULL);
		}
#pragma omp barrier
		for (int64_t i = images.lo; fdss && i < images.hi; i++) {
			const double *total = totals + i * u.each * 2 * c;
			float *shift = fdss + 2 * i * c;

			rd_ln_put_total(total + c, u.each, c, all, shift, acc_dss);
			rd_ln_put_total(total, u.each, c, all, shift + c, acc_dss);
		}
	}
	return RD_OK;
}
