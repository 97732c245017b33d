/* Layer normalisation, pixel by pixel. A row is one pixel's channels; it stays in the first cache from its sums to its
 * result.
 *
 * A mean of f32 is off by as much as its last digit, which where it is large is much beside the spread of x. So x is taken
 * about that mean k, and `rest`, the mean of x - k, comes off too:
 *
 *   xn = (x - k - rest) rstd,  y = gamma xn + beta
 *   w = gamma dy,  dx = rstd (w - mean of w - xn mean of w xn) = rstd w + c2 (x - k) + c3
 *   dgamma = sum of dy xn,  dbeta = sum of dy   over the pixels */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

#include <math.h>

/* Rows whose dgamma and dbeta are added in f32; a unit is some of these blocks, added in double, and the units' sums are added
 * in their order. Units follow from the shape alone, and threads divide them. */
enum { BLOCK = 32, MOST_UNITS = 128, LANES = 32 };

struct layer {
	int64_t rows, c, unit, units; /* unit: rows of one */
};

static struct layer layer(const struct rd_layernorm_desc *p)
{
	struct layer l = { .rows = p->d.n * p->d.h * p->d.w, .c = p->d.c };
	int64_t blocks = (l.rows + BLOCK - 1) / BLOCK;

	l.unit = (blocks + MOST_UNITS - 1) / MOST_UNITS * BLOCK;
	l.units = (l.rows + l.unit - 1) / l.unit;
	return l;
}

/* Sums of x - k and of its square. In lanes, the rest of the row apart: the same order with every instruction set. */
static void moments(const float *x, float k, int64_t c, double sum[2])
{
	float s1[LANES] = { 0.0f }, s2[LANES] = { 0.0f };
	int64_t full = c / LANES * LANES;

	for (int64_t j = 0; j < full; j += LANES) {
		RD_SIMD
		for (int l = 0; l < LANES; l++) {
			float d = x[j + l] - k;

			s1[l] += d;
			s2[l] += d * d;
		}
	}
	sum[0] = sum[1] = 0.0;
	for (int l = 0; l < LANES; l++) {
		sum[0] += (double)s1[l];
		sum[1] += (double)s2[l];
	}
	for (int64_t j = full; j < c; j++) {
		float d = x[j] - k;

		sum[0] += (double)d;
		sum[1] += (double)(d * d);
	}
}

static void fwd_row(const float *x, const float *gamma, const float *beta, float eps, float *y, float *stats, int64_t c)
{
	double sum[2], n = (double)c, rest_of, var;
	float k, rest, rstd;

	moments(x, x[0], c, sum);
	k = (float)((double)x[0] + sum[0] / n);
	moments(x, k, c, sum);
	rest_of = sum[0] / n;
	var = sum[1] / n - rest_of * rest_of;
	if (var < 0.0)
		var = 0.0;
	rest = (float)rest_of;
	rstd = (float)(1.0 / sqrt(var + (double)eps));
	stats[0] = (float)((double)k + rest_of);
	stats[1] = rstd;
	RD_SIMD
	for (int64_t l = 0; l < c; l++)
		y[l] = ((x[l] - k) - rest) * rstd * gamma[l] + beta[l];
}

/* What backward makes of a row's sums. */
struct coef {
	float k, rest, rstd, c2, c3;
};

static struct coef coef(const float *x, const float *gamma, const float *dy, const float *stats, int64_t c)
{
	float s1[LANES] = { 0.0f }, s2[LANES] = { 0.0f }, s3[LANES] = { 0.0f }, k = stats[0];
	int64_t full = c / LANES * LANES;
	double d = 0.0, w = 0.0, wd = 0.0, n = (double)c, rstd = (double)stats[1], c2;

	for (int64_t j = 0; j < full; j += LANES) {
		RD_SIMD
		for (int l = 0; l < LANES; l++) {
			float dl = x[j + l] - k, wl = gamma[j + l] * dy[j + l];

			s1[l] += dl;
			s2[l] += wl;
			s3[l] += wl * dl;
		}
	}
	for (int l = 0; l < LANES; l++) {
		d += (double)s1[l];
		w += (double)s2[l];
		wd += (double)s3[l];
	}
	for (int64_t j = full; j < c; j++) {
		double dl = (double)x[j] - (double)k, wl = (double)gamma[j] * (double)dy[j];

		d += dl;
		w += wl;
		wd += wl * dl;
	}
	c2 = -rstd * rstd * rstd * (wd - d * w / n) / n;
	return (struct coef){ k, (float)(d / n), (float)rstd, (float)c2, (float)(-rstd * w / n - c2 * d / n) };
}

struct bwd_job {
	struct layer l;
	const float *x, *gamma, *stats, *dy;
	float *dx;
	int acc_dx;
	double *total; /* [units][2][c], dgamma's and dbeta's; NULL: neither is wanted */
	float *sums;   /* [threads][2][c] */
};

static void add_params(const struct coef *k, const float *x, const float *dy, float *sum, int64_t c)
{
	RD_SIMD
	for (int64_t l = 0; l < c; l++) {
		sum[l] += dy[l] * (((x[l] - k->k) - k->rest) * k->rstd);
		sum[c + l] += dy[l];
	}
}

RD_INLINE void apply(const struct coef *k, const float *x, const float *gamma, const float *dy, float *dx, int64_t c, int acc)
{
	RD_SIMD
	for (int64_t l = 0; l < c; l++)
		dx[l] = (acc ? dx[l] : 0.0f) + (k->rstd * (gamma[l] * dy[l]) + (k->c2 * (x[l] - k->k) + k->c3));
}

static void bwd_rows(const struct bwd_job *j, struct rd_range r, float *sum)
{
	int64_t c = j->l.c;

	for (int64_t i = r.lo; i < r.hi; i++) {
		const float *x = j->x + i * c, *dy = j->dy + i * c;
		const struct coef k = coef(x, j->gamma, dy, j->stats + 2 * i, c);

		if (sum)
			add_params(&k, x, dy, sum, c);
		if (j->dx && j->acc_dx)
			apply(&k, x, j->gamma, dy, j->dx + i * c, c, 1);
		else if (j->dx)
			apply(&k, x, j->gamma, dy, j->dx + i * c, c, 0);
	}
}

static void bwd_unit(const struct bwd_job *j, int64_t u, float *sum)
{
	int64_t n = 2 * j->l.c, hi = (u + 1) * j->l.unit < j->l.rows ? (u + 1) * j->l.unit : j->l.rows;
	double *total = j->total ? j->total + u * n : NULL;

	for (int64_t k = 0; total && k < n; k++)
		total[k] = 0.0;
	for (int64_t lo = u * j->l.unit; lo < hi; lo += BLOCK) {
		const struct rd_range r = { lo, lo + BLOCK < hi ? lo + BLOCK : hi };

		for (int64_t k = 0; total && k < n; k++)
			sum[k] = 0.0f;
		bwd_rows(j, r, total ? sum : NULL);
		for (int64_t k = 0; total && k < n; k++)
			total[k] += (double)sum[k];
	}
}

/* out[l] += the units' sums of channels r. */
static void add_total(const struct layer *l, const double *total, struct rd_range r, float *out)
{
	for (int64_t k = r.lo; out && k < r.hi; k++) {
		double sum = 0.0;

		for (int64_t u = 0; u < l->units; u++)
			sum += total[u * 2 * l->c + k];
		out[k] += (float)sum;
	}
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
			fwd_row(fx + i * c, gamma, beta, p->eps, fy + i * c, stats + 2 * i, c);
	}
	return RD_OK;
}

int RD_SYM(layernorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, float *dbeta, void *ws,
                          struct rd_err *e)
{
	struct bwd_job j = {
		.l = layer(p),
		.x = x,
		.gamma = gamma,
		.stats = stats,
		.dy = dy,
		.dx = dx,
		.acc_dx = acc_dx,
		.total = dgamma || dbeta ? ws : NULL,
	};

	(void)e;
	j.sums = (float *)(void *)((double *)ws + j.l.units * 2 * j.l.c);
#pragma omp parallel num_threads(dev->threads) if (j.l.rows * j.l.c >= RD_PARALLEL_MIN)
	{
		struct rd_range units = rd_share(j.l.units, 1), channels = rd_share(j.l.c, 64);

		for (int64_t u = units.lo; u < units.hi; u++)
			bwd_unit(&j, u, j.sums + omp_get_thread_num() * 2 * j.l.c);
#pragma omp barrier
		if (j.total) {
			add_total(&j.l, j.total, channels, dgamma);
			add_total(&j.l, j.total + j.l.c, channels, dbeta);
		}
	}
	return RD_OK;
}
