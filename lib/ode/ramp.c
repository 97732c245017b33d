#include "lib/ode/ramp.h"

#include <math.h>

/* Coefficient j, from 1, of the continued fraction 1 + u_1/(1 + u_2/(1 + ...)) of DLMF 8.17.22. */
static double fraction(int j, double x, double a, double b)
{
	int m = j / 2;

	return j % 2 ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
	             : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
}

/* I_x(a, b), 0 < x <= 1/2, by Lentz's method. */
static double beta_lower(double x, double a, double b)
{
	double f = 1, c = 1, d = 0, step = 0;

	for (int j = 1; j < 500 && fabs(step - 1) > 1e-16; j++) {
		double u = fraction(j, x, a, b);

		d = 1 / (1 + u * d);
		c = 1 + u / c;
		step = c * d;
		f *= step;
	}
	return exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / (a * f);
}

double rd_beta_quantile(double p, double a)
{
	double lo = 0, hi = 0.5;

	if (p > 0.5) /* symmetric about 1/2 */
		return 1 - rd_beta_quantile(1 - p, a);
	if (!(p > 0))
		return 0;
	for (;;) {
		double x = (lo + hi) / 2;

		if (x <= lo || x >= hi) /* no double in between */
			return x;
		if (beta_lower(x, a, a) < p)
			lo = x;
		else
			hi = x;
	}
}

double rd_ramp(enum rd_spacing kind, double hi, double lo, int k, int n, double rho)
{
	double f = n > 1 ? (double)k / (n - 1) : 0, r = rho > 0 ? rho : 7, a;

	switch (kind) {
	case RD_SPACING_EXPONENTIAL:
		return exp(log(hi) + f * (log(lo) - log(hi)));
	case RD_SPACING_BETA:
		return lo + rd_beta_quantile(1 - f, 0.6) * (hi - lo);
	default:
		a = pow(hi, 1 / r);
		return pow(a + f * (pow(lo, 1 / r) - a), r);
	}
}
