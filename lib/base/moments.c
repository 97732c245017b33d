#include "lib/base/moments.h"

#include <math.h>
#include <stdio.h>

#define BLOCK 1024
#define LANES 8

/* Two sets' numbers as one's (Pebay 2008, SAND2008-6212): sums of powers about 0 would lose their digits where the mean is far from it. */
static void join(struct rd_moments *a, const struct rd_moments *b)
{
	const double na = (double)a->n, nb = (double)b->n, n = na + nb, d = b->mean - a->mean, d2 = d * d;

	if (!b->n)
		return;
	if (!a->n || b->min < a->min)
		a->min = b->min;
	if (!a->n || b->max > a->max)
		a->max = b->max;
	a->m4 += b->m4 + d2 * d2 * na * nb * (na * na - na * nb + nb * nb) / (n * n * n) +
	         6 * d2 * (na * na * b->m2 + nb * nb * a->m2) / (n * n) + 4 * d * (na * b->m3 - nb * a->m3) / n;
	a->m3 += b->m3 + d2 * d * na * nb * (na - nb) / (n * n) + 3 * d * (na * b->m2 - nb * a->m2) / n;
	a->m2 += b->m2 + d2 * na * nb / n;
	a->mean += d * nb / n;
	a->n += b->n;
}

/* The finite ones of n numbers, at most a block: x itself where all are, else `room` with these in it. */
static const float *finite_of(const float *x, size_t *n, float *room)
{
	size_t k = 0, all = 0;

	for (size_t i = 0; i < *n; i++)
		all += fabsf(x[i]) < INFINITY;
	if (all == *n)
		return x;
	for (size_t i = 0; i < *n; i++)
		if (isfinite(x[i]))
			room[k++] = x[i];
	*n = k;
	return room;
}

static double sum(const double lane[LANES])
{
	double s = 0;

	for (int l = 0; l < LANES; l++)
		s += lane[l];
	return s;
}

static inline void add_powers(double *p2, double *p3, double *p4, double v)
{
	const double q = v * v;

	*p2 += q;
	*p3 += q * v;
	*p4 += q * q;
}

/* Numbers that stay in the cache, in two passes; in lanes that the compiler can keep in vector registers. */
static struct rd_moments block(const float *x, size_t n)
{
	struct rd_moments b = {.n = n};
	double s[LANES] = {0}, p2[LANES] = {0}, p3[LANES] = {0}, p4[LANES] = {0};
	float least = INFINITY, most = -INFINITY;
	size_t i;

	for (i = 0; i < n; i++) {
		least = x[i] < least ? x[i] : least;
		most = x[i] > most ? x[i] : most;
	}
	for (i = 0; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			s[l] += (double)x[i + l];
	for (size_t l = 0; i < n; i++, l++)
		s[l] += (double)x[i];
	b.mean = n ? sum(s) / (double)n : 0;
	for (i = 0; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			add_powers(&p2[l], &p3[l], &p4[l], (double)x[i + l] - b.mean);
	for (size_t l = 0; i < n; i++, l++)
		add_powers(&p2[l], &p3[l], &p4[l], (double)x[i] - b.mean);
	b.m2 = sum(p2);
	b.m3 = sum(p3);
	b.m4 = sum(p4);
	b.min = (double)least;
	b.max = (double)most;
	return b;
}

void rd_moments_add(struct rd_moments *m, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += BLOCK) {
		const size_t all = n - i < BLOCK ? n - i : BLOCK;
		float room[BLOCK];
		size_t k = all;
		const float *good = finite_of(x + i, &k, room);
		const struct rd_moments b = block(good, k);

		m->bad += all - k;
		join(m, &b);
	}
}

void rd_moments_add_any(struct rd_moments *m, enum rd_dtype t, const void *x, size_t n)
{
	float as_f32[BLOCK];
	const uint8_t *p = x;

	while (n) {
		size_t k = n < BLOCK ? n : BLOCK;

		rd_to_f32(as_f32, p, t, k);
		rd_moments_add(m, as_f32, k);
		p += k * rd_dtype_bytes(t);
		n -= k;
	}
}

double rd_moments_mean(const struct rd_moments *m)
{
	return m->mean;
}

static double variance(const struct rd_moments *m)
{
	return m->n ? m->m2 / (double)m->n : 0;
}

double rd_moments_std(const struct rd_moments *m)
{
	return sqrt(variance(m));
}

double rd_moments_kurtosis(const struct rd_moments *m)
{
	const double v = variance(m);

	return v > 0 ? m->m4 / (double)m->n / (v * v) : 0;
}

const char *rd_moments_text(const struct rd_moments *m, char *buf, size_t cap)
{
	int n = 0;

	buf[0] = '\0';
	if (m->n)
		n = snprintf(buf, cap, "mean %.6g std %.6g min %.6g max %.6g", rd_moments_mean(m), rd_moments_std(m), m->min, m->max);
	if (m->bad && n < (int)cap)
		snprintf(buf + n, cap - (size_t)n, "%s%llu NaN or infinite", n ? "  " : "", (unsigned long long)m->bad);
	return buf;
}

/* n times the sample variance over the true one is chi-square with n - 1 degrees: Wilson and Hilferty's cube root. */
static double score_variance(double n, double v)
{
	double k = n - 1, c = 2 / (9 * k);

	return (cbrt(n * v / k) - (1 - c)) / sqrt(c);
}

/* Anscombe and Glynn's transformation: the kurtosis itself is far from normal until n is huge. */
static double score_kurtosis(double n, double b2)
{
	double mean = 3 * (n - 1) / (n + 1);
	double var = 24 * n * (n - 2) * (n - 3) / ((n + 1) * (n + 1) * (n + 3) * (n + 5));
	double skew = 6 * (n * n - 5 * n + 2) / ((n + 7) * (n + 9)) * sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)));
	double a = 6 + 8 / skew * (2 / skew + sqrt(1 + 4 / (skew * skew))), c = 2 / (9 * a);
	double d = 1 + (b2 - mean) / sqrt(var) * sqrt(2 / (a - 4));

	return (1 - c - cbrt((1 - 2 / a) / d)) / sqrt(c);
}

void rd_moments_scores(const struct rd_moments *m, double z[3])
{
	double n = (double)m->n;

	z[0] = m->n ? rd_moments_mean(m) * sqrt(n) : 0;
	z[1] = m->n > 1 ? score_variance(n, variance(m)) : 0;
	z[2] = m->n >= 20 ? score_kurtosis(n, rd_moments_kurtosis(m)) : 0;
}

int rd_by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}
