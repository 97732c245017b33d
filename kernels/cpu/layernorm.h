/* Layer normalisation of one row, a pixel's channels, and that by its root mean square; it stays in the first cache from its sums
 * to its result.
 *
 * A mean of f32 is off by as much as its last digit, which where it is large is much beside the spread of x. So x is taken
 * about that mean k, and `rest`, the mean of x - k, comes off too:
 *
 *   xn = (x - k - rest) rstd,  y = g xn + beta
 *   w = g dy,  dx = rstd (w - mean of w - xn mean of w xn) = rstd w + c2 (x - k) + c3
 *
 * The gain g is gamma, or in the adaptive form 1 + gamma. Of the root mean square nothing comes off: k, rest and c3 are 0, and
 * there is no beta. */
#ifndef RD_KERNELS_CPU_LAYERNORM_H
#define RD_KERNELS_CPU_LAYERNORM_H

#include <math.h>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/share.h"

enum { RD_LN_LANES = 32 };

enum rd_ln_kind { RD_LN_PLAIN, RD_LN_ADAPTIVE, RD_LN_RMS };

RD_INLINE float rd_ln_gain(const float *gamma, int64_t l, enum rd_ln_kind kind)
{
	return kind == RD_LN_ADAPTIVE ? 1.0f + gamma[l] : gamma[l];
}

/* Sums of x - k and of its square. In lanes, the rest of the row apart: the same order with every instruction set. */
static inline void rd_ln_moments(const float *x, float k, int64_t c, double sum[2])
{
	float s1[RD_LN_LANES] = { 0.0f }, s2[RD_LN_LANES] = { 0.0f };
	int64_t full = c / RD_LN_LANES * RD_LN_LANES;

	for (int64_t j = 0; j < full; j += RD_LN_LANES) {
		RD_SIMD
		for (int l = 0; l < RD_LN_LANES; l++) {
			float d = x[j + l] - k;

			s1[l] += d;
			s2[l] += d * d;
		}
	}
	sum[0] = sum[1] = 0.0;
	for (int l = 0; l < RD_LN_LANES; l++) {
		sum[0] += (double)s1[l];
		sum[1] += (double)s2[l];
	}
	for (int64_t j = full; j < c; j++) {
		float d = x[j] - k;

		sum[0] += (double)d;
		sum[1] += (double)(d * d);
	}
}

RD_INLINE void rd_ln_fwd(const float *x, const float *gamma, enum rd_ln_kind kind, const float *beta, float eps, float *y,
                         float *stats, int64_t c)
{
	double sum[2], n = (double)c, rest_of, var;
	float k = 0.0f, rest, rstd;

	if (kind != RD_LN_RMS) {
		rd_ln_moments(x, x[0], c, sum);
		k = (float)((double)x[0] + sum[0] / n);
	}
	rd_ln_moments(x, k, c, sum);
	rest_of = kind == RD_LN_RMS ? 0.0 : sum[0] / n;
	var = sum[1] / n - rest_of * rest_of;
	if (var < 0.0)
		var = 0.0;
	rest = (float)rest_of;
	rstd = (float)(1.0 / sqrt(var + (double)eps));
	stats[0] = (float)((double)k + rest_of);
	stats[1] = rstd;
	RD_SIMD
	for (int64_t l = 0; l < c; l++)
		y[l] = ((x[l] - k) - rest) * rstd * rd_ln_gain(gamma, l, kind) + (kind == RD_LN_RMS ? 0.0f : beta[l]);
}

/* What backward makes of a row's sums. */
struct rd_ln_coef {
	float k, rest, rstd, c2, c3;
};

RD_INLINE struct rd_ln_coef rd_ln_coef(const float *x, const float *gamma, enum rd_ln_kind kind, const float *dy, const float *stats,
                                       int64_t c)
{
	float s1[RD_LN_LANES] = { 0.0f }, s2[RD_LN_LANES] = { 0.0f }, s3[RD_LN_LANES] = { 0.0f };
	float k = stats[0];
	int64_t full = c / RD_LN_LANES * RD_LN_LANES;
	double d = 0.0, w = 0.0, wd = 0.0, n = (double)c, rstd = (double)stats[1], c2;

	for (int64_t j = 0; j < full; j += RD_LN_LANES) {
		RD_SIMD
		for (int l = 0; l < RD_LN_LANES; l++) {
			float dl = x[j + l] - k, wl = rd_ln_gain(gamma, j + l, kind) * dy[j + l];

			s1[l] += dl;
			s2[l] += wl;
			s3[l] += wl * dl;
		}
	}
	for (int l = 0; l < RD_LN_LANES; l++) {
		d += (double)s1[l];
		w += (double)s2[l];
		wd += (double)s3[l];
	}
	for (int64_t j = full; j < c; j++) {
		double dl = (double)x[j] - (double)k, wl = (double)rd_ln_gain(gamma, j, kind) * (double)dy[j];

		d += dl;
		w += wl;
		wd += wl * dl;
	}
	if (kind == RD_LN_RMS)
		d = w = 0.0;
	c2 = -rstd * rstd * rstd * (wd - d * w / n) / n;
	return (struct rd_ln_coef){ k, (float)(d / n), (float)rstd, (float)c2, (float)(-rstd * w / n - c2 * d / n) };
}

/* sum[0 .. c - 1] += dy xn, the gain's gradient; sum[c .. 2 c - 1] += dy, the offset's. */
static inline void rd_ln_add(const struct rd_ln_coef *k, const float *x, const float *dy, float *sum, int64_t c)
{
	RD_SIMD
	for (int64_t l = 0; l < c; l++) {
		sum[l] += dy[l] * (((x[l] - k->k) - k->rest) * k->rstd);
		sum[c + l] += dy[l];
	}
}

RD_INLINE void rd_ln_dx(const struct rd_ln_coef *k, const float *x, const float *gamma, enum rd_ln_kind kind, const float *dy,
                        float *dx, int64_t c, int acc)
{
	RD_SIMD
	for (int64_t l = 0; l < c; l++)
		dx[l] = (acc ? dx[l] : 0.0f) + (k->rstd * (rd_ln_gain(gamma, l, kind) * dy[l]) + (k->c2 * (x[l] - k->k) + k->c3));
}

/* Rows that have their gain and offset in common. */
struct rd_ln_rows {
	const float *x, *dy; /* [rows, c] */
	float *dx;           /* NULL: not wanted */
	const float *stats;  /* [rows, 2] */
	const float *gamma;
	int64_t rows, c;
	int acc;
};

/* Rows whose gradients of gain and offset are added in f32. */
enum { RD_LN_BLOCK = 32 };

/* dx, and where total [2 c] is wanted both gradients of the parameters in double. sum [2 c]: room for a block's. */
RD_INLINE void rd_ln_bwd(const struct rd_ln_rows *j, enum rd_ln_kind kind, float *sum, double *total)
{
	int64_t c = j->c;

	for (int64_t k = 0; total && k < 2 * c; k++)
		total[k] = 0.0;
	for (int64_t i = 0; i < j->rows; i++) {
		const float *x = j->x + i * c, *dy = j->dy + i * c;
		const struct rd_ln_coef k = rd_ln_coef(x, j->gamma, kind, dy, j->stats + 2 * i, c);

		if (total && i % RD_LN_BLOCK == 0)
			for (int64_t l = 0; l < 2 * c; l++)
				sum[l] = 0.0f;
		if (total)
			rd_ln_add(&k, x, dy, sum, c);
		if (j->dx && j->acc)
			rd_ln_dx(&k, x, j->gamma, kind, dy, j->dx + i * c, c, 1);
		else if (j->dx)
			rd_ln_dx(&k, x, j->gamma, kind, dy, j->dx + i * c, c, 0);
		if (total && (i % RD_LN_BLOCK == RD_LN_BLOCK - 1 || i == j->rows - 1))
			for (int64_t l = 0; l < 2 * c; l++)
				total[l] += (double)sum[l];
	}
}

/* out[l] (+)= what units of rows, total [units, 2 c], add up to at channel l of r, in their order. */
static inline void rd_ln_put_total(const double *total, int64_t units, int64_t c, struct rd_range r, float *out, int acc)
{
	for (int64_t l = r.lo; l < r.hi; l++) {
		double sum = 0.0;

		for (int64_t u = 0; u < units; u++)
			sum += total[u * 2 * c + l];
		out[l] = (acc ? out[l] : 0.0f) + (float)sum;
	}
}

#endif
