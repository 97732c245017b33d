#include "lib/base/moments.h"

#include <math.h>
#include <stdio.h>

void rd_moments_add(struct rd_moments *m, const float *x, size_t n)
{
	double s1 = 0, s2 = 0, s3 = 0, s4 = 0; /* of this run alone: long sums lose less this way */

	for (size_t i = 0; i < n; i++) {
		double v = x[i], q = v * v;

		if (!isfinite(x[i])) {
			m->bad++;
			continue;
		}
		if (!m->n || v < m->min)
			m->min = v;
		if (!m->n || v > m->max)
			m->max = v;
		m->n++;
		s1 += v;
		s2 += q;
		s3 += q * v;
		s4 += q * q;
	}
	m->s1 += s1;
	m->s2 += s2;
	m->s3 += s3;
	m->s4 += s4;
}

void rd_moments_add_any(struct rd_moments *m, enum rd_dtype t, const void *x, size_t n)
{
	float block[1024];
	const uint8_t *p = x;

	while (n) {
		size_t k = n < 1024 ? n : 1024;

		rd_to_f32(block, p, t, k);
		rd_moments_add(m, block, k);
		p += k * rd_dtype_bytes(t);
		n -= k;
	}
}

double rd_moments_mean(const struct rd_moments *m)
{
	return m->n ? m->s1 / (double)m->n : 0;
}

static double variance(const struct rd_moments *m)
{
	double mu = rd_moments_mean(m), v = m->n ? m->s2 / (double)m->n - mu * mu : 0;

	return v > 0 ? v : 0; /* equal numbers may come out a little below */
}

double rd_moments_std(const struct rd_moments *m)
{
	return sqrt(variance(m));
}

double rd_moments_kurtosis(const struct rd_moments *m)
{
	double n = (double)m->n, mu = rd_moments_mean(m), v = variance(m), m4;

	if (v <= 0)
		return 0;
	m4 = (m->s4 - 4 * mu * m->s3 + 6 * mu * mu * m->s2) / n - 3 * mu * mu * mu * mu;
	return m4 / (v * v);
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
