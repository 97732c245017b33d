#include "lib/train/timedist.h"

#include <math.h>

#define N RD_TIMEDIST_CELLS

const struct rd_spec_kind rd_times_kinds[] = {
	{.name = "uniform"},
	{.name = "importance"},
	{"logit-normal", {{"mean", 0, -20, 20}, {"deviation", 1, 1e-3, 100}}},
	{"lognormal", {{"mean", -1.2, -50, 50}, {"deviation", 1.2, 1e-3, 100}}},
	{"u-shaped", {{"exponent", 4, 1e-3, 100}}},
	{.name = "last"},
	{.name = NULL},
};

/* P(Z <= (x - mean)/deviation) for a standard normal Z. */
static double normal_cdf(double x, const double *a)
{
	return 0.5 * erfc((a[0] - x) / a[1] * M_SQRT1_2);
}

/* The distribution function of u-shaped at u. */
static double u_cdf(double u, double a)
{
	return (expm1(a * u) + exp(a) - exp(a * (1 - u))) / (2 * expm1(a));
}

static void by_factor(double *mass, const struct rd_times_on *on)
{
	double k[N], sum = 0;

	for (int i = 0; i < N; i++) {
		k[i] = on->factor(on->ctx, (i + 0.5) / N);
		sum += k[i];
	}
	for (int i = 0; i < N; i++)
		mass[i] = 0.5 / N + 0.5 * k[i] / sum;
}

static void by_noise(double *mass, const double *a, const struct rd_times_on *on)
{
	for (int i = 0; i < N; i++)
		mass[i] = normal_cdf(log(on->n(on->ctx, (i + 1.0) / N)), a) - normal_cdf(log(on->n(on->ctx, (double)i / N)), a);
}

/* Cells reach half of the way, in ln n, to the middles of their neighbours: whole times may be many in a cell or none. */
static void by_steps_of_noise(double *mass, const double *a, const struct rd_times_on *on)
{
	double l[N], lo, hi;

	for (int i = 0; i < N; i++)
		l[i] = log(on->n(on->ctx, (i + 0.5) / N));
	for (int i = 0; i < N; i++) {
		lo = i ? (l[i - 1] + l[i]) / 2 : l[0] - (l[1] - l[0]) / 2;
		hi = i < N - 1 ? (l[i] + l[i + 1]) / 2 : l[i] + (l[i] - l[i - 1]) / 2;
		mass[i] = lo < hi ? normal_cdf(hi, a) - normal_cdf(lo, a) : 0;
	}
}

static double cdf_at(const struct rd_spec *times, double u)
{
	switch (times->kind) {
	case RD_TIMES_LOGIT_NORMAL: return u <= 0 ? 0 : u >= 1 ? 1 : normal_cdf(log(u / (1 - u)), times->a);
	case RD_TIMES_U_SHAPED: return u_cdf(u, times->a[0]);
	default: return u;
	}
}

int rd_timedist_init(struct rd_timedist *d, const struct rd_spec *times, const struct rd_times_on *on, struct rd_err *e)
{
	double mass[N], sum = 0, at = 0;

	*d = (struct rd_timedist){.kind = times->kind, .exact = times->kind == RD_TIMES_LOGNORMAL && !on->whole, .on = *on,
	                          .a = {times->a[0], times->a[1]}};
	if (times->kind == RD_TIMES_IMPORTANCE)
		by_factor(mass, on);
	else if (times->kind == RD_TIMES_LOGNORMAL)
		(d->exact ? by_noise : by_steps_of_noise)(mass, times->a, on);
	else
		for (int i = 0; i < N; i++)
			mass[i] = cdf_at(times, (i + 1.0) / N) - cdf_at(times, (double)i / N);
	for (int i = 0; i < N; i++)
		sum += mass[i];
	if (!(sum > 1e-6))
		return rd_fail(e, RD_EUSAGE, "lognormal times of mean %g and deviation %g: the schedule's sigma/alpha has none of them",
		               times->a[0], times->a[1]);
	if (d->exact) {
		d->below = normal_cdf(log(on->n(on->ctx, 0)), d->a);
		d->all = sum;
	}
	for (int i = 0; i < N; i++) {
		d->cdf[i] = at;
		at += mass[i] / sum;
	}
	d->cdf[N] = 1;
	return RD_OK;
}

/* By bisection: at the ends of a schedule a single cell may hold most of a distribution, and n all values to infinity. */
static double within_cell(const struct rd_timedist *d, int cell, double v)
{
	double lo = (double)cell / N, hi = (cell + 1.0) / N, want = d->below + v * d->all;

	for (int i = 0; i < 40; i++) {
		double mid = (lo + hi) / 2;

		if (normal_cdf(log(d->on.n(d->on.ctx, mid)), d->a) <= want)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

double rd_timedist_draw(const struct rd_timedist *d, double v, double *weight)
{
	int lo = 0, hi = N;
	double mass;

	*weight = 1;
	if (d->kind == RD_TIMES_LAST)
		return 1 - 0x1p-53;
	while (hi - lo > 1) {
		int mid = (lo + hi) / 2;

		if (d->cdf[mid] <= v)
			lo = mid;
		else
			hi = mid;
	}
	if (d->exact)
		return within_cell(d, lo, v);
	mass = d->cdf[lo + 1] - d->cdf[lo];
	if (d->kind == RD_TIMES_IMPORTANCE)
		*weight = 1 / (N * mass);
	return mass > 0 ? (lo + (v - d->cdf[lo]) / mass) / N : (lo + 0.5) / N;
}
