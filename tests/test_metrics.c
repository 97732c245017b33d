/* The metrics against closed forms, their errors against repeated draws, and what must not change them. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/measure/metrics.h"
#include "tests/check.h"

static const struct rd_metrics_opts all = {
	.want = {true, true, true, true}, .projections = 64, .bootstrap = 60, .seed = 5,
};

/* n points of N(mean, sd^2 I) in d dimensions. */
static struct rd_points gauss(uint64_t seed, int64_t n, size_t d, double mean, double sd)
{
	struct rd_points p = {.n = n, .d = d, .sample = {1, {(int64_t)d}}};

	p.x = malloc((size_t)n * d * sizeof *p.x);
	rd_rng_normal_batch(seed, RD_RNG_DATA, 0, p.x, (size_t)n, d);
	for (size_t i = 0; i < (size_t)n * d; i++)
		p.x[i] = (float)(mean + sd * (double)p.x[i]);
	return p;
}

static struct rd_metrics measure(const struct rd_points *a, const struct rd_points *b, const struct rd_metrics_opts *o)
{
	struct rd_metrics m;
	struct rd_err e;

	CHECK_OK(rd_metrics_compute(a, b, o, &m, &e), &e);
	return m;
}

/* E|x - y| of x ~ N(0,1), y ~ N(u,1): the mean of a folded normal of variance 2. */
static double mean_gap(double u)
{
	return 2 / sqrt(M_PI) * exp(-u * u / 4) + u * erf(u / 2);
}

/* In one dimension everything is known. */
static void test_line(void)
{
	const double u = 1.5;
	struct rd_points a = gauss(1, 2000, 1, 0, 1), b = gauss(2, 1700, 1, u, 1);
	struct rd_metrics m = measure(&a, &b, &all);
	const struct rd_metric_value *v = m.m;
	double k = m.bandwidth * m.bandwidth, mmd = 2 * sqrt(k / (k + 2)) * (1 - exp(-u * u / (2 * (k + 2))));

	CHECK(v[RD_METRIC_SLICED].there && v[RD_METRIC_ENERGY].there && v[RD_METRIC_MMD].there);
	CHECK(!v[RD_METRIC_PAIRED].there);
	CHECK(v[RD_METRIC_SLICED].n_a == 2000 && v[RD_METRIC_SLICED].n_b == 1700);
	CHECK_NEAR(v[RD_METRIC_SLICED].value, u, 4 * sqrt(1 / 2000. + 1 / 1700.));
	CHECK_NEAR(v[RD_METRIC_SLICED].se, sqrt(1 / 2000. + 1 / 1700.), 0.01);
	CHECK_NEAR(v[RD_METRIC_ENERGY].value, 2 * mean_gap(u) - 2 * mean_gap(0), 4 * v[RD_METRIC_ENERGY].se);
	CHECK(v[RD_METRIC_ENERGY].se > 0.02 && v[RD_METRIC_ENERGY].se < 0.1);
	CHECK_NEAR(v[RD_METRIC_MMD].value, mmd, 4 * v[RD_METRIC_MMD].se);
	CHECK(v[RD_METRIC_MMD].se > 0.001 && v[RD_METRIC_MMD].se < 0.02);
	CHECK(m.bandwidth > 1 && m.bandwidth < 2);
	free(a.x);
	free(b.x);
}

/* For isotropic Gaussians a projection's W2 squared is (mean . direction)^2 + (difference of deviations)^2, so its mean
 * over directions is |mean|^2 / d + (..)^2. */
static void test_sliced(void)
{
	enum { D = 24 };
	struct rd_points a = gauss(3, 4000, D, 0, 1), b = gauss(4, 3000, D, 0.7, 1.4);
	struct rd_metrics_opts o = all;
	struct rd_metric_value v;

	o.want[RD_METRIC_ENERGY] = o.want[RD_METRIC_MMD] = false;
	o.projections = 256;
	v = measure(&a, &b, &o).m[RD_METRIC_SLICED];
	CHECK_NEAR(v.value, sqrt(0.7 * 0.7 + 0.4 * 0.4), 0.06); /* the directions are a sample too: 0.03 */
	CHECK(v.se > 0.002 && v.se < 0.03);
	free(a.x);
	free(b.x);
}

/* W2 between unequal counts: {0, 3} and {0, 1, 2} on a line, by hand: the sixth of mass that each part is moves
 * 0, (0-1), (3-1), 3-2: (2*0 + 1*1 + 1*4 + 2*1) / 6. */
static void test_unequal_counts(void)
{
	float x[] = {3, 0}, y[] = {2, 0, 1};
	struct rd_points a = {x, 2, 1, {1, {1}}}, b = {y, 3, 1, {1, {1}}};

	CHECK_NEAR(measure(&a, &b, &all).m[RD_METRIC_SLICED].value, sqrt(7. / 6), 1e-6);
}

/* Energy and MMD of {0, 3} and {0, 1, 2} by hand, over ordered pairs of different samples. */
static void test_by_hand(void)
{
	float x[] = {0, 3}, y[] = {0, 1, 2};
	struct rd_points a = {x, 2, 1, {1, {1}}}, b = {y, 3, 1, {1, {1}}};
	struct rd_metrics m = measure(&a, &b, &all);
	double s = m.bandwidth, ab = 0, bb = 0, aa = exp(-9 / (2 * s * s));

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			ab += exp(-(double)((x[i] - y[j]) * (x[i] - y[j])) / (2 * s * s)) / 6;
	bb = (4 * exp(-1 / (2 * s * s)) + 2 * exp(-4 / (2 * s * s))) / 6;
	CHECK_NEAR(s, 2, 0); /* of 3; 1, 1, 2; 0, 1, 2, 3, 2, 1 the sixth of ten from 0 */
	CHECK_NEAR(m.m[RD_METRIC_ENERGY].value, 2 * 9 / 6. - 3 - 4 / 3., 1e-6);
	CHECK_NEAR(m.m[RD_METRIC_MMD].value, aa + bb - 2 * ab, 1e-6);
}

static void test_paired(void)
{
	struct rd_points a = gauss(6, 500, 20, 0, 1), b = gauss(6, 500, 20, 0, 1), c = gauss(7, 500, 20, 0, 1);
	struct rd_metric_value v;

	for (size_t i = 0; i < 500 * 20; i++)
		b.x[i] += 0.5f;
	v = measure(&a, &b, &all).m[RD_METRIC_PAIRED];
	CHECK_NEAR(v.value, 0.25, 1e-6);
	CHECK_NEAR(v.se, 0, 1e-5);
	v = measure(&a, &c, &all).m[RD_METRIC_PAIRED]; /* 2 chi^2/20 of 20 degrees: mean 2, variance 0.4 */
	CHECK_NEAR(v.value, 2, 4 * sqrt(0.4 / 500));
	CHECK_NEAR(v.se, sqrt(0.4 / 500), 0.01);
	v = measure(&a, &a, &all).m[RD_METRIC_PAIRED];
	CHECK(v.there && v.value == 0 && v.se == 0);
	free(a.x);
	free(b.x);
	free(c.x);
}

/* The same distribution twice: the unbiased metrics are about 0, within their errors; and 30 repeats of two different
 * ones spread as the bootstrap says. */
static void test_errors(void)
{
	enum { REPEATS = 30 };
	double sum[RD_N_METRICS] = {0}, sq[RD_N_METRICS] = {0}, se[RD_N_METRICS] = {0};

	for (uint64_t r = 0; r < REPEATS; r++) {
		struct rd_points a = gauss(100 + r, 300, 3, 0, 1), b = gauss(200 + r, 200, 3, 0.8, 1);
		struct rd_metrics m = measure(&a, &b, &all);

		for (int k = 0; k < RD_METRIC_PAIRED; k++) {
			sum[k] += m.m[k].value / REPEATS;
			sq[k] += m.m[k].value * m.m[k].value / REPEATS;
			se[k] += m.m[k].se / REPEATS;
		}
		free(a.x);
		free(b.x);
	}
	for (int k = 0; k < RD_METRIC_PAIRED; k++) {
		double ratio = se[k] / sqrt(sq[k] - sum[k] * sum[k]);

		CHECK(ratio > 0.6 && ratio < 1.7);
		if (!(ratio > 0.6 && ratio < 1.7))
			fprintf(stderr, "  %s: the bootstrap's error is %.2f of the spread\n", rd_metric_names[k], ratio);
	}
}

static void test_null(void)
{
	struct rd_points a = gauss(11, 1500, 50, 0, 1), b = gauss(12, 1500, 50, 0, 1);
	struct rd_metrics m = measure(&a, &b, &all);

	CHECK_NEAR(m.m[RD_METRIC_ENERGY].value, 0, 0.01);
	CHECK_NEAR(m.m[RD_METRIC_MMD].value, 0, 0.001);
	CHECK(m.m[RD_METRIC_SLICED].value < 0.08);
	free(a.x);
	free(b.x);
}

static void test_deterministic(void)
{
	struct rd_points a = gauss(21, 700, 33, 0, 1), b = gauss(22, 600, 33, 0.1, 1);
	struct rd_metrics_opts o = all;
	struct rd_metrics one, two, other;
	const int threads = omp_get_max_threads();

	o.max = 250; /* subsets are drawn too */
	omp_set_num_threads(1);
	one = measure(&a, &b, &o);
	omp_set_num_threads(3);
	two = measure(&a, &b, &o);
	omp_set_num_threads(threads);
	CHECK(!memcmp(&one, &two, sizeof one));
	CHECK(one.m[RD_METRIC_SLICED].n_a == 250 && one.m[RD_METRIC_MMD].n_b == 250);
	o.seed++;
	other = measure(&a, &b, &o);
	for (int k = 0; k < RD_METRIC_PAIRED; k++)
		CHECK(other.m[k].value != one.m[k].value && other.m[k].se != one.m[k].se);
	free(a.x);
	free(b.x);
}

static void test_refused(void)
{
	float x[4] = {0};
	struct rd_points two = {x, 2, 2, {1, {2}}}, one = {x, 1, 2, {1, {2}}}, other = {x, 2, 1, {1, {1}}};
	struct rd_metrics_opts o = all;
	struct rd_metrics m;
	struct rd_err e;

	CHECK(rd_metrics_compute(&two, &one, &o, &m, &e) == RD_EINPUT);
	CHECK(rd_metrics_compute(&two, &other, &o, &m, &e) == RD_ESHAPE);
	o.bootstrap = 1;
	CHECK(rd_metrics_compute(&two, &two, &o, &m, &e) == RD_EUSAGE);
	/* all samples the same: distances 0, and no division by the bandwidth */
	m = measure(&two, &two, &all);
	for (int k = 0; k < RD_N_METRICS; k++)
		CHECK(m.m[k].there && m.m[k].value == 0 && m.m[k].se == 0);
}

int main(void)
{
	test_line();
	test_sliced();
	test_unequal_counts();
	test_by_hand();
	test_paired();
	test_errors();
	test_null();
	test_deterministic();
	test_refused();
	return check_report("metrics");
}
