/* Layer normalisation, pixel by pixel, with one gain and offset for all. dgamma and dbeta are added block by block in double
 * (kernels/cpu/layernorm.h); a unit is some of these blocks, and the units' sums are added in their order. Units follow from the
 * shape alone, and threads divide them. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/layernorm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

enum { MOST_UNITS = 128 };

struct layer {
	int64_t rows, c, unit, units; /* unit: rows of one */
};

static struct layer layer(const struct rd_layernorm_desc *p)
{
	struct layer l = { .rows = p->d.n * p->d.h * p->d.w, .c = p->d.c };
	int64_t blocks = (l.rows + RD_LN_BLOCK - 1) / RD_LN_BLOCK;

	l.unit = (blocks + MOST_UNITS - 1) / MOST_UNITS * RD_LN_BLOCK;
	l.units = (l.rows + l.unit - 1) / l.unit;
	return l;
}

size_t RD_SYM(layernorm_ws_bytes)(struct rd_dev *dev, const struct rd_layernorm_desc *p)
{
	const struct layer l = layer(p);

	return (size_t)(2 * l.c) * ((size_t)l.units * sizeof(double) + (size_t)dev->threads * sizeof(float));
}

int RD_SYM(layernorm_fwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *beta, void *y, float *stats, struct rd_err *e)
{
	const float *fx = x;
	float *fy = y;
	int64_t rows = p->d.n * p->d.h * p->d.w, c = p->d.c;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++)
			rd_ln_fwd(fx + i * c, gamma, 0, beta, p->eps, fy + i * c, stats + 2 * i, c);
	}
	return RD_OK;
}

int RD_SYM(layernorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, float *dbeta, void *ws,
                          struct rd_err *e)
{
	const struct layer l = layer(p);
	const float *fx = x, *fdy = dy;
	float *fdx = dx, *sums = (float *)(void *)((double *)ws + l.units * 2 * l.c); /* [threads, 2 c] */
	double *total = dgamma || dbeta ? ws : NULL; /* [units, 2 c] */
	int64_t c = l.c;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (l.rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range units = rd_share(l.units, 1), channels = rd_share(c, 64);

		for (int64_t u = units.lo; u < units.hi; u++) {
			int64_t lo = u * l.unit, rows = l.rows - lo < l.unit ? l.rows - lo : l.unit;
			const struct rd_ln_rows j = { fx + lo * c, fdy + lo * c, fdx ? fdx + lo * c : NULL, stats + 2 * lo, gamma,
			                              rows, c, acc_dx };

			rd_ln_bwd(&j, 0, sums + omp_get_thread_num() * 2 * c, total ? total + u * 2 * c : NULL);
		}
#pragma omp barrier
		if (dgamma)
			rd_ln_put_total(total, l.units, c, channels, dgamma, 1);
		if (dbeta)
			rd_ln_put_total(total + c, l.units, c, channels, dbeta, 1);
	}
	return RD_OK;
}
