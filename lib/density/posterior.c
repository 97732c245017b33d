#include "lib/density/posterior.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/density/density.h"

#define MAX_DIM 4096
#define SHORT 0.5      /* of an interval: its width in s, times how fast the density falls */
#define N_CENTRES 4000 /* of a density along curves: a multiple of every number of components */

/* A mixture of isotropic gaussians of one standard deviation, or (side > 0) uniform on equal squares. */
struct rd_posterior {
	int64_t dim;
	size_t n;
	double std, side;
	double *centre; /* [n][dim] */
	double *weight; /* [n], logarithms */
};

/* What is asked of a density at an x: NULL where it is not. */
struct wanted {
	float *x0;      /* the mean */
	const float *v; /* a direction of numbers 1 and -1; NULL: all together */
	double *form;   /* v^T (dx0/dx) v, or the trace */
};

static int alloc(struct rd_posterior *p, size_t n, struct rd_err *e)
{
	void *a, *b;
	int rc = rd_alloc0(&a, n * (size_t)p->dim, sizeof *p->centre, "density", e);

	if (rc)
		return rc;
	p->centre = a;
	rc = rd_alloc0(&b, n, sizeof *p->weight, "density", e);
	p->weight = rc ? NULL : b;
	p->n = n;
	return rc;
}

/* ",KEY=NUMBER" at *s; false at the end of the string. */
static bool next_option(const char **s, char key[8], double *value)
{
	size_t n;
	char *end;

	if (**s != ',')
		return false;
	n = strcspn(*s + 1, "=");
	if (n >= 8 || (*s)[1 + n] != '=')
		return false;
	memcpy(key, *s + 1, n);
	key[n] = 0;
	*value = strtod(*s + n + 2, &end);
	if (end == *s + n + 2)
		return false;
	*s = end;
	return true;
}

static int options(const char *spec, const char *rest, double *dim, double *mean, double *std, struct rd_err *e)
{
	char key[8];
	double v;

	while (next_option(&rest, key, &v))
		if (!strcmp(key, "dim") && v >= 1 && v <= MAX_DIM && v == floor(v))
			*dim = v;
		else if (!strcmp(key, "mean") && fabs(v) <= 1e3)
			*mean = v;
		else if (!strcmp(key, "std") && v > 0 && v <= 1e3)
			*std = v;
		else
			return rd_fail(e, RD_EUSAGE, "analytic:%s: %s=%g: dim (1 to %d), mean and std are understood", spec, key, v, MAX_DIM);
	return *rest ? rd_fail(e, RD_EUSAGE, "analytic:%s: '%s' is no ,KEY=NUMBER", spec, rest) : RD_OK;
}

static int gaussians(struct rd_posterior *p, const char *spec, const char *rest, bool two, struct rd_err *e)
{
	double dim = 2, mean = two ? 1 : 0.5;
	int rc;

	p->std = two ? 0.3 : 0.5;
	rc = options(spec, rest, &dim, &mean, &p->std, e);
	p->dim = (int64_t)dim;
	if (!rc)
		rc = alloc(p, two ? 2 : 1, e);
	for (size_t i = 0; i < p->n * (size_t)p->dim && !rc; i++)
		p->centre[i] = i < (size_t)p->dim ? mean : -mean;
	if (!rc && two) {
		p->weight[0] = log(1.0 / 3);
		p->weight[1] = log(2.0 / 3);
	}
	return rc;
}

static int from_density(struct rd_posterior *p, const char *spec, struct rd_err *e)
{
	const struct rd_density *d = rd_density_find(spec);
	bool few = !strcmp(spec, "8gaussians") || !strcmp(spec, "checkerboard");
	int rc;

	if (!d)
		return rd_fail(e, RD_EUSAGE, "analytic:%s: gauss, mixture, 8gaussians, checkerboard, moons, spiral or rings expected", spec);
	p->dim = 2;
	rc = alloc(p, few ? 8 : N_CENTRES, e);
	if (!rc)
		rd_density_centres(d, p->n, p->centre, &p->std, &p->side);
	return rc;
}

int rd_posterior_new(struct rd_posterior **out, const char *spec, struct rd_err *e)
{
	size_t name = strcspn(spec, ",");
	struct rd_posterior *p;
	void *mem;
	int rc = rd_alloc0(&mem, 1, sizeof *p, "density", e);

	*out = NULL;
	if (rc)
		return rc;
	p = mem;
	if (name == 5 && !memcmp(spec, "gauss", name))
		rc = gaussians(p, spec, spec + name, false, e);
	else if (name == 7 && !memcmp(spec, "mixture", name))
		rc = gaussians(p, spec, spec + name, true, e);
	else
		rc = from_density(p, spec, e);
	if (rc)
		rd_posterior_free(p);
	else
		*out = p;
	return rc;
}

void rd_posterior_free(struct rd_posterior *p)
{
	if (!p)
		return;
	free(p->centre);
	free(p->weight);
	free(p);
}

int64_t rd_posterior_dim(const struct rd_posterior *p)
{
	return p->dim;
}

/* The square of a vector's component along v, or (v NULL) its squared length. */
static double square_along(const double *c, const float *v, size_t dim)
{
	double sum = 0;

	for (size_t j = 0; j < dim; j++)
		sum += v ? (double)v[j] * c[j] : c[j] * c[j];
	return v ? sum * sum : sum;
}

/* Of a gaussian of variance v = alpha^2 s^2 + sigma^2 about alpha c: x0 is c + (alpha s^2/v)(x - alpha c); the parts of a mixture weigh
 * as their densities at x. */
static void mixture(const struct rd_posterior *p, double alpha, double sigma, const float *x, struct wanted *w)
{
	double v = alpha * alpha * p->std * p->std + sigma * sigma, k = alpha * p->std * p->std / v, top = -INFINITY, sum = 0;
	double acc[MAX_DIM] = {0}, square = 0;
	size_t dim = (size_t)p->dim;

	for (size_t i = 0; i < p->n; i++) {
		const double *c = p->centre + i * dim;
		double sq = 0, l, f;

		for (size_t j = 0; j < dim; j++)
			sq += ((double)x[j] - alpha * c[j]) * ((double)x[j] - alpha * c[j]);
		l = p->weight[i] - sq / (2 * v);
		if (l > top) { /* everything so far counts for exp(top - l) of what it did */
			f = exp(top - l);
			sum *= f;
			square *= f;
			for (size_t j = 0; j < dim; j++)
				acc[j] *= f;
			top = l;
		}
		f = exp(l - top);
		sum += f;
		if (w->form)
			square += f * square_along(c, w->v, dim);
		for (size_t j = 0; j < dim; j++)
			acc[j] += f * c[j];
	}
	for (size_t j = 0; j < dim; j++)
		acc[j] /= sum;
	for (size_t j = 0; j < dim && w->x0; j++)
		w->x0[j] = (float)(acc[j] * (1 - k * alpha) + k * (double)x[j]);
	if (w->form) /* the weights' derivative is alpha/v times the covariance of the centres */
		*w->form = k * (double)dim + (1 - k * alpha) * alpha / v * (square / sum - square_along(acc, w->v, dim));
}

/* interval() where the density hardly changes over [a, b], in which differences of its ends would be lost: by Gauss's
 * quadrature about the middle, to rounding at the widths it is called for. c, h: the middle, from the peak, and the width, in s. */
static double short_interval(double c, double h, double *mean, double *var)
{
	static const double at[3] = {0.2386191860831969, 0.6612093864662645, 0.9324695142031521};
	static const double weight[3] = {0.4679139345726910, 0.3607615730481386, 0.1713244923791704};
	double v[6], w[6], mass = 0, first = 0, second = 0;

	for (int i = 0; i < 6; i++) {
		v[i] = (i % 2 ? -1 : 1) * at[i / 2] * h / 2;
		w[i] = weight[i / 2] / 2 * exp(-v[i] * (c + v[i] / 2));
		mass += w[i];
		first += w[i] * v[i];
	}
	first /= mass;
	for (int i = 0; i < 6; i++)
		second += w[i] * (v[i] - first) * (v[i] - first);
	*mean = first; /* from the middle, in s */
	*var = second / mass;
	return -c * c / 2 + log(h * mass / sqrt(2 * M_PI));
}

/* The integral of N(u; m, s^2) over [a, b], as a logarithm, and the mean and variance of u under it. Far from the interval the
 * density falls off exponentially from the nearer end. */
static double interval(double m, double s, double a, double b, double *mean, double *var)
{
	double lo = (a - m) / s, hi = (b - m) / s, sign = 1, at_lo, at_hi, mass, log_mass, edge, fall;

	if (lo + hi < 0) { /* mirrored so that the interval lies to the right of the middle */
		double swap = -lo;

		lo = -hi;
		hi = swap;
		sign = -1;
	}
	if ((hi - lo) * (1 + hi) < SHORT) {
		log_mass = short_interval((lo + hi) / 2, (b - a) / s, mean, var);
		*mean = (a + b) / 2 + sign * s * *mean;
		*var *= s * s;
		return log_mass;
	}
	if (lo > 20) { /* exp(-lo^2/2)/lo, the rest of the interval hardly counts */
		log_mass = -lo * lo / 2 - log(lo * sqrt(2 * M_PI)) + log1p(-exp(-lo * (hi - lo)));
		fall = fmin(lo * (hi - lo), 700);
		edge = 1 / lo - (hi - lo) / expm1(fall);
		*mean = m + sign * s * (lo + edge);
		*var = s * s * (1 / (lo * lo) - (hi - lo) * (hi - lo) / (expm1(fall) * -expm1(-fall)));
		return log_mass;
	}
	mass = (erfc(lo / M_SQRT2) - erfc(hi / M_SQRT2)) / 2;
	at_lo = exp(-lo * lo / 2) / sqrt(2 * M_PI) / mass;
	at_hi = exp(-hi * hi / 2) / sqrt(2 * M_PI) / mass;
	edge = at_lo - at_hi;
	*mean = m + sign * s * edge;
	*var = s * s * (1 + lo * at_lo - hi * at_hi - edge * edge);
	return log(mass);
}

/* Uniform on squares: given the square, each coordinate is a normal about x/alpha of deviation sigma/alpha, cut off at its ends. */
static void board(const struct rd_posterior *p, double alpha, double sigma, const float *x, struct wanted *w)
{
	double top = -INFINITY, sum = 0, acc[2] = {0, 0}, square = 0, s = sigma / alpha;

	for (size_t i = 0; i < p->n; i++) {
		const double *corner = p->centre + 2 * i;
		double mean[2], var[2], l = 0, f;

		for (int j = 0; j < 2; j++)
			l += interval((double)x[j] / alpha, s, corner[j], corner[j] + p->side, &mean[j], &var[j]);
		if (l > top) {
			f = exp(top - l);
			sum *= f;
			square *= f;
			acc[0] *= f;
			acc[1] *= f;
			top = l;
		}
		f = exp(l - top);
		sum += f;
		square += f * (var[0] + var[1] + square_along(mean, w->v, 2)); /* v is +-1: its squares are no factor */
		acc[0] += f * mean[0];
		acc[1] += f * mean[1];
	}
	for (int j = 0; j < 2; j++)
		acc[j] /= sum;
	for (int j = 0; j < 2 && w->x0; j++)
		w->x0[j] = (float)acc[j];
	if (w->form)
		*w->form = alpha / (sigma * sigma) * (square / sum - square_along(acc, w->v, 2));
}

/* Without any signal x0 is the mean of the density, whatever x. */
static void prior(const struct rd_posterior *p, struct wanted *w)
{
	if (w->form)
		*w->form = 0;
	for (int64_t j = 0; j < p->dim && w->x0; j++) {
		double sum = 0, weights = 0;

		for (size_t i = 0; i < p->n; i++) {
			sum += exp(p->weight[i]) * (p->centre[i * (size_t)p->dim + (size_t)j] + p->side / 2);
			weights += exp(p->weight[i]);
		}
		w->x0[j] = (float)(sum / weights);
	}
}

/* Without any noise x0 is x/alpha. */
static void exactly(const struct rd_posterior *p, double alpha, const float *x, struct wanted *w)
{
	if (w->form)
		*w->form = (double)p->dim / alpha;
	for (int64_t j = 0; j < p->dim && w->x0; j++)
		w->x0[j] = (float)((double)x[j] / alpha);
}

static void evaluate(const struct rd_posterior *p, double alpha, double sigma, const float *x, struct wanted *w)
{
	if (!(sigma > 0))
		exactly(p, alpha, x, w);
	else if (!(alpha > 0))
		prior(p, w);
	else if (p->side > 0)
		board(p, alpha, sigma, x, w);
	else
		mixture(p, alpha, sigma, x, w);
}

void rd_posterior_mean_each(const struct rd_posterior *p, const double *alpha, const double *sigma, size_t n, const float *x, float *x0)
{
	size_t dim = (size_t)p->dim;

#pragma omp parallel for if (n * p->n > 10000)
	for (size_t i = 0; i < n; i++) {
		struct wanted w = {.x0 = x0 + i * dim};

		evaluate(p, alpha[i], sigma[i], x + i * dim, &w);
	}
}

void rd_posterior_jacobian_each(const struct rd_posterior *p, const double *alpha, const double *sigma, size_t n, const float *x,
                                const float *v, double *out)
{
	size_t dim = (size_t)p->dim;

#pragma omp parallel for if (n * p->n > 10000)
	for (size_t i = 0; i < n; i++) {
		struct wanted w = {.v = v ? v + i * dim : NULL, .form = &out[i]};

		evaluate(p, alpha[i], sigma[i], x + i * dim, &w);
	}
}
