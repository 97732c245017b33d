/* Normalisations pixel by pixel whose gain and offset are parameters, the same for all. dgamma and dbeta are added block by block in
 * double (kernels/cpu/layernorm.h); a unit is some of these blocks, and the units' sums are added in their order. Units follow from
 * the shape alone, and threads divide them. */
#ifndef RD_KERNELS_CPU_LAYERNORM_PARAMS_H
#define RD_KERNELS_CPU_LAYERNORM_PARAMS_H

#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/layernorm.h"

enum { RD_LP_MOST_UNITS = 128 };

struct rd_lp {
	int64_t rows, c, unit, units; /* unit: rows of one */
};

static inline struct rd_lp rd_lp_of(const struct rd_layernorm_desc *p)
{
	struct rd_lp l = { .rows = p->d.n * p->d.h * p->d.w, .c = p->d.c };
	int64_t blocks = (l.rows + RD_LN_BLOCK - 1) / RD_LN_BLOCK;

	l.unit = (blocks + RD_LP_MOST_UNITS - 1) / RD_LP_MOST_UNITS * RD_LN_BLOCK;
	l.units = (l.rows + l.unit - 1) / l.unit;
	return l;
}

static inline size_t rd_lp_ws_bytes(const struct rd_dev *dev, const struct rd_layernorm_desc *p)
{
	const struct rd_lp l = rd_lp_of(p);

	return (size_t)(2 * l.c) * ((size_t)l.units * sizeof(double) + (size_t)dev->threads * sizeof(float));
}

static inline void rd_lp_fwd(const struct rd_dev *dev, const struct rd_layernorm_desc *p, enum rd_ln_kind kind, const float *x,
                             const float *gamma, const float *beta, float *y, float *stats)
{
	int64_t rows = p->d.n * p->d.h * p->d.w, c = p->d.c;

#pragma omp parallel num_threads(dev->threads) if (rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++)
			if (kind == RD_LN_RMS) /* kinds by their names, so that each loop over a row has its own code */
				rd_ln_fwd(x + i * c, gamma, RD_LN_RMS, NULL, p->eps, y + i * c, stats + 2 * i, c);
			else
				rd_ln_fwd(x + i * c, gamma, RD_LN_PLAIN, beta, p->eps, y + i * c, stats + 2 * i, c);
	}
}

static inline void rd_lp_bwd(const struct rd_dev *dev, const struct rd_lp *l, enum rd_ln_kind kind, const struct rd_ln_rows *all,
                             float *dgamma, float *dbeta, void *ws)
{
	float *sums = (float *)(void *)((double *)ws + l->units * 2 * l->c); /* [threads, 2 c] */
	double *total = dgamma || dbeta ? ws : NULL; /* [units, 2 c] */
	int64_t c = l->c;

#pragma omp parallel num_threads(dev->threads) if (l->rows * c >= RD_PARALLEL_MIN)
	{
		struct rd_range units = rd_share(l->units, 1), channels = rd_share(c, 64);
		float *sum = sums + omp_get_thread_num() * 2 * c;

		for (int64_t u = units.lo; u < units.hi; u++) {
			int64_t lo = u * l->unit;
			struct rd_ln_rows j = *all;

			j.x += lo * c;
			j.dy += lo * c;
			j.dx = j.dx ? j.dx + lo * c : NULL;
			j.stats += 2 * lo;
			j.rows = l->rows - lo < l->unit ? l->rows - lo : l->unit;
			if (kind == RD_LN_RMS)
				rd_ln_bwd(&j, RD_LN_RMS, sum, total ? total + u * 2 * c : NULL);
			else
				rd_ln_bwd(&j, RD_LN_PLAIN, sum, total ? total + u * 2 * c : NULL);
		}
#pragma omp barrier
		if (dgamma)
			rd_ln_put_total(total, l->units, c, channels, dgamma, 1);
		if (dbeta)
			rd_ln_put_total(total + c, l->units, c, channels, dbeta, 1);
	}
}

#endif
