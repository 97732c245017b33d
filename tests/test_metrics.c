/* The metrics against closed forms, their errors against repeated draws, and what must not change them. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/measure/metrics.h"
#include "tests/check.h"

static const struct rd_metrics_opts all = {
	.want = {true, true, true, true, true, true, true, true, true, true}, .projections = 64, .bootstrap = 60,
	.components = 64, .neighbours = 1, .seed = 5,
};
static const struct rd_metrics_opts first_four = {
	.want = {true, true, true, true}, .projections = 64, .bootstrap = 60, .components = 1, .neighbours = 1, .seed = 5,
};

/* Those that are not a mean over one set's samples. */
static const enum rd_metric between[] = {
	RD_METRIC_SLICED, RD_METRIC_ENERGY, RD_METRIC_MMD, RD_METRIC_FRECHET, RD_METRIC_KID,
};
#define N_BETWEEN (sizeof between / sizeof *between)

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
	struct rd_metrics m = measure(&a, &b, &first_four);
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
	struct rd_metrics_opts o = first_four;
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
	struct rd_points a = {.x = x, .n = 2, .d = 1, .sample = {1, {1}}}, b = {.x = y, .n = 3, .d = 1, .sample = {1, {1}}};

	CHECK_NEAR(measure(&a, &b, &all).m[RD_METRIC_SLICED].value, sqrt(7. / 6), 1e-6);
}

/* Energy and MMD of {0, 3} and {0, 1, 2} by hand, over ordered pairs of different samples. */
static void test_by_hand(void)
{
	float x[] = {0, 3}, y[] = {0, 1, 2};
	struct rd_points a = {.x = x, .n = 2, .d = 1, .sample = {1, {1}}}, b = {.x = y, .n = 3, .d = 1, .sample = {1, {1}}};
	struct rd_metrics m = measure(&a, &b, &all);
	double s = m.bandwidth, ab = 0, bb = 0, aa = exp(-9 / (2 * s * s));

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			ab += exp(-(double)((x[i] - y[j]) * (x[i] - y[j])) / (2 * s * s)) / 6;
	bb = (4 * exp(-1 / (2 * s * s)) + 2 * exp(-4 / (2 * s * s))) / 6;
	CHECK_NEAR(s, 1.5, 0); /* of 3; 1, 1, 2; 0, 1, 2, 3, 2, 1 amid the fifth and the sixth */
	CHECK_NEAR(m.m[RD_METRIC_ENERGY].value, 2 * 9 / 6. - 3 - 4 / 3., 1e-6);
	CHECK_NEAR(m.m[RD_METRIC_MMD].value, aa + bb - 2 * ab, 1e-6);
}

static void test_paired(void)
{
	struct rd_points a = gauss(6, 500, 20, 0, 1), b = gauss(6, 500, 20, 0, 1), c = gauss(7, 500, 20, 0, 1);
	struct rd_metric_value v;

	for (size_t i = 0; i < 500 * 20; i++)
		b.x[i] += 0.5f;
	v = measure(&a, &b, &first_four).m[RD_METRIC_PAIRED];
	CHECK_NEAR(v.value, 0.25, 1e-6);
	CHECK_NEAR(v.se, 0, 1e-5);
	v = measure(&a, &c, &first_four).m[RD_METRIC_PAIRED]; /* 2 chi^2/20 of 20 degrees: mean 2, variance 0.4 */
	CHECK_NEAR(v.value, 2, 4 * sqrt(0.4 / 500));
	CHECK_NEAR(v.se, sqrt(0.4 / 500), 0.01);
	v = measure(&a, &a, &first_four).m[RD_METRIC_PAIRED];
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

		for (size_t i = 0; i < N_BETWEEN; i++) {
			const enum rd_metric k = between[i];

			sum[k] += m.m[k].value / REPEATS;
			sq[k] += m.m[k].value * m.m[k].value / REPEATS;
			se[k] += m.m[k].se / REPEATS;
		}
		free(a.x);
		free(b.x);
	}
	for (size_t i = 0; i < N_BETWEEN; i++) {
		const enum rd_metric k = between[i];
		const double ratio = se[k] / sqrt(sq[k] - sum[k] * sum[k]);

		CHECK(ratio > 0.6 && ratio < 1.7);
		if (!(ratio > 0.6 && ratio < 1.7))
			fprintf(stderr, "  %s: the bootstrap's error is %.2f of the spread\n", rd_metric_names[k], ratio);
	}
}

static void test_null(void)
{
	struct rd_points a = gauss(11, 1500, 50, 0, 1), b = gauss(12, 1500, 50, 0, 1);
	struct rd_metrics m = measure(&a, &b, &first_four);

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

	o.max = 250;      /* subsets are drawn too */
	o.components = 5; /* and principal components iterated */
	omp_set_num_threads(1);
	one = measure(&a, &b, &o);
	omp_set_num_threads(3);
	two = measure(&a, &b, &o);
	omp_set_num_threads(threads);
	CHECK(!memcmp(&one, &two, sizeof one));
	CHECK(one.m[RD_METRIC_SLICED].n_a == 250 && one.m[RD_METRIC_MMD].n_b == 250);
	o.seed++;
	other = measure(&a, &b, &o);
	CHECK(one.m[RD_METRIC_FRECHET].n_a == 250 && one.m[RD_METRIC_COVERAGE].n_b == 250 && one.dimensions == 5);
	for (size_t i = 0; i < N_BETWEEN; i++)
		CHECK(other.m[between[i]].value != one.m[between[i]].value && other.m[between[i]].se != one.m[between[i]].se);
	CHECK(other.m[RD_METRIC_PRECISION].se != one.m[RD_METRIC_PRECISION].se);
	free(a.x);
	free(b.x);
}

static void test_refused(void)
{
	float x[4] = {0};
	struct rd_points two = {.x = x, .n = 2, .d = 2, .sample = {1, {2}}}, one = {.x = x, .n = 1, .d = 2, .sample = {1, {2}}},
	                 other = {.x = x, .n = 2, .d = 1, .sample = {1, {1}}};
	struct rd_metrics_opts o = all;
	struct rd_metrics m;
	struct rd_err e;

	CHECK(rd_metrics_compute(&two, &one, &o, &m, &e) == RD_EINPUT);
	CHECK(rd_metrics_compute(&two, &other, &o, &m, &e) == RD_ESHAPE);
	o.bootstrap = 1;
	CHECK(rd_metrics_compute(&two, &two, &o, &m, &e) == RD_EUSAGE);
	o = all;
	o.components = 0;
	CHECK(rd_metrics_compute(&two, &two, &o, &m, &e) == RD_EUSAGE);
	o = all;
	o.neighbours = 2;
	CHECK(rd_metrics_compute(&two, &two, &o, &m, &e) == RD_EINPUT);
	/* all samples the same: distances 0, no division by the bandwidth, and each lies where the others do */
	m = measure(&two, &two, &all);
	for (int k = 0; k < RD_METRIC_PRECISION; k++)
		CHECK(m.m[k].there && m.m[k].value == 0 && m.m[k].se == 0);
	CHECK(m.m[RD_METRIC_PRECISION].value == 1 && m.m[RD_METRIC_RECALL].value == 1);
	CHECK(m.m[RD_METRIC_COVERAGE].value == 1);
}

/* 2 d points mean +- c_i e_i, whose covariance is diagonal, of deviations sd_i, exactly. */
static struct rd_points cross(size_t d, const double *mean, const double *sd)
{
	struct rd_points p = {.n = (int64_t)(2 * d), .d = d, .sample = {1, {(int64_t)d}}};

	p.x = malloc(2 * d * d * sizeof *p.x);
	for (size_t i = 0; i < 2 * d; i++)
		for (size_t j = 0; j < d; j++) {
			const double c = i / 2 == j ? sd[j] * sqrt((double)(2 * d - 1) / 2) : 0;

			p.x[i * d + j] = (float)(mean[j] + (i % 2 ? -c : c));
		}
	return p;
}

/* x - 2 v v'x of all points, v a fixed unit vector with no zeros: all axes mix. */
static void reflect(struct rd_points *p)
{
	double norm = 0;

	for (size_t j = 0; j < p->d; j++)
		norm += (double)((j + 1) * (j + 1));
	for (int64_t i = 0; i < p->n; i++) {
		float *x = p->x + (size_t)i * p->d;
		double along = 0;

		for (size_t j = 0; j < p->d; j++)
			along += (double)(j + 1) * (double)x[j] / norm;
		for (size_t j = 0; j < p->d; j++)
			x[j] = (float)((double)x[j] - 2 * along * (double)(j + 1));
	}
}

static struct rd_metrics frechet(const struct rd_points *a, const struct rd_points *b, int components)
{
	struct rd_metrics_opts o = {.projections = 1, .bootstrap = 20, .neighbours = 1, .components = components};

	o.want[RD_METRIC_FRECHET] = true;
	return measure(a, b, &o);
}

/* Covariances that commute: |shift|^2 + sum (s - t)^2, on the axes and off them, one of them singular. */
static void test_frechet_diagonal(void)
{
	enum { D = 5 };
	const double m[D] = {1, 2, 3, 0, 0}, u[D] = {1.5, 2, 3, 0, -1}, s[D] = {1, 2, 0.5, 3, 0}, t[D] = {2, 2, 1, 0.1, 1};
	struct rd_points a = cross(D, m, s), b = cross(D, u, t);
	double want = 0.25 + 1, got;

	for (int i = 0; i < D; i++)
		want += (s[i] - t[i]) * (s[i] - t[i]);
	CHECK_NEAR(frechet(&a, &b, 64).m[RD_METRIC_FRECHET].value, want, 1e-5);
	CHECK_NEAR(frechet(&b, &a, 64).m[RD_METRIC_FRECHET].value, want, 1e-5);
	reflect(&a);
	reflect(&b);
	got = frechet(&a, &b, 64).m[RD_METRIC_FRECHET].value;
	CHECK_NEAR(got, want, 1e-5);
	CHECK(frechet(&a, &b, 64).dimensions == D && frechet(&a, &b, 64).variance == 1);
	CHECK(frechet(&a, &a, 64).m[RD_METRIC_FRECHET].value < 1e-12);
	CHECK(frechet(&a, &a, 64).m[RD_METRIC_FRECHET].se > 0);
	free(a.x);
	free(b.x);
}

/* Two ellipses at an angle do not commute: in two dimensions tr (S T)^1/2 = (tr S T + 2 (det S det T)^1/2)^1/2. */
static void test_frechet_rotated(void)
{
	const double o[2] = {0, 0}, s[2] = {3, 1}, t[2] = {0.5, 2}, angle = 0.6, c = cos(angle), n = sin(angle);
	struct rd_points a = cross(2, o, s), b = cross(2, o, t);
	const double t00 = c * c * 0.25 + n * n * 4, t11 = n * n * 0.25 + c * c * 4;
	const double want = 10 + 4.25 - 2 * sqrt(9 * t00 + t11 + 2 * 3 * 1);

	for (int i = 0; i < 4; i++) {
		const double x = (double)b.x[2 * i], y = (double)b.x[2 * i + 1];

		b.x[2 * i] = (float)(c * x - n * y);
		b.x[2 * i + 1] = (float)(n * x + c * y);
	}
	CHECK_NEAR(frechet(&a, &b, 2).m[RD_METRIC_FRECHET].value, want, 1e-5);
	free(a.x);
	free(b.x);
}

/* More numbers than components: what counts is along the axes where b varies most, wherever they lie. */
static void test_frechet_components(void)
{
	enum { D = 150, K = 3 };
	double m[D] = {0}, u[D] = {0.5, 0, 0, 7}, s[D], t[D], want = 0.25, all_of_b = 0;
	struct rd_points a, b;
	struct rd_metrics got;

	for (int i = 0; i < D; i++) {
		s[i] = 1;
		t[i] = 4. / (1 + i);
		want += i < K ? (s[i] - t[i]) * (s[i] - t[i]) : 0;
		all_of_b += t[i] * t[i];
	}
	a = cross(D, m, s);
	b = cross(D, u, t);
	reflect(&a);
	reflect(&b);
	got = frechet(&a, &b, K);
	CHECK_NEAR(got.m[RD_METRIC_FRECHET].value, want, 1e-4);
	CHECK_NEAR(got.variance, (16 + 4 + 16. / 9) / all_of_b, 1e-6);
	CHECK(got.dimensions == K);
	free(a.x);
	free(b.x);
}

/* Fewer samples than dimensions, whose deviations fall to the last digits: a set and itself elsewhere are as far apart as their means,
 * and so, about, are their resamples. */
static void test_frechet_few(void)
{
	enum { D = 64 };

	for (int64_t n = 20; n <= D + 1; n += 15) {
		struct rd_points a = gauss(7, n, D, 0, 1), b = gauss(7, n, D, 0, 1);
		struct rd_metric_value v;

		for (int64_t i = 0; i < n * D; i++)
			a.x[i] = b.x[i] *= (float)pow(10, -(double)(i % D) / 8);
		reflect(&a);
		reflect(&b);
		for (int64_t i = 0; i < n * D; i++)
			b.x[i] += 1;
		v = frechet(&a, &b, D).m[RD_METRIC_FRECHET];
		CHECK_NEAR(v.value, D, 1e-3);
		CHECK(v.se > 0 && v.se < 8);
		free(a.x);
		free(b.x);
	}
}

/* Components that b has not do not count, and are not counted; with none there is no distance. */
static void test_frechet_missing_components(void)
{
	enum { D = 70, FEW = 3 };
	struct rd_points a = gauss(41, 300, D, 0, 3), b = gauss(42, FEW, D, 0, 1);
	struct rd_metrics_opts o = {.projections = 1, .bootstrap = 2, .neighbours = 1, .components = 64};
	struct rd_metrics two = frechet(&a, &b, FEW - 1), got = frechet(&a, &b, 64);
	struct rd_err e;

	CHECK(got.dimensions == FEW - 1 && got.variance > 1 - 1e-9 && two.dimensions == FEW - 1);
	CHECK_NEAR(got.m[RD_METRIC_FRECHET].value, two.m[RD_METRIC_FRECHET].value, 1e-6);
	for (int i = 0; i < FEW * D; i++)
		b.x[i] = b.x[i % D];
	o.want[RD_METRIC_FRECHET] = true;
	CHECK(rd_metrics_compute(&a, &b, &o, &got, &e) == RD_EDOMAIN && strstr(e.msg, "--components 70"));
	CHECK(frechet(&a, &b, D).dimensions == D);
	free(a.x);
	free(b.x);
}

static void multiply(struct rd_points *p, float by)
{
	for (size_t i = 0; i < (size_t)p->n * p->d; i++)
		p->x[i] *= by;
}

/* All metrics of scaled samples are those of the samples, scaled; where distances have no squares, samples are refused. */
static void test_scales(void)
{
	static const double power[RD_N_METRICS] = {[RD_METRIC_SLICED] = 1, [RD_METRIC_ENERGY] = 1, [RD_METRIC_PAIRED] = 2,
	                                           [RD_METRIC_FRECHET] = 2};
	struct rd_metrics_opts o = {.projections = 16, .bootstrap = 4, .neighbours = 3, .components = 64};
	struct rd_points a = gauss(51, 40, 3, 0, 1), b = gauss(52, 40, 3, 0.5, 1);
	struct rd_metrics one, got;
	struct rd_err e;

	for (int k = 0; k < RD_N_METRICS; k++)
		o.want[k] = k != RD_METRIC_KID; /* whose kernel has a scale */
	CHECK_OK(rd_metrics_compute(&a, &b, &o, &one, &e), &e);
	for (int by = -60; by <= 60; by += 10) {
		const double scale = ldexp(1, by);

		multiply(&a, (float)scale);
		multiply(&b, (float)scale);
		if (by <= -60 || by >= 50) {
			CHECK(rd_metrics_compute(&a, &b, &o, &got, &e) == RD_EDOMAIN && strstr(e.msg, "1e-15 to 1e15"));
		} else {
			CHECK_OK(rd_metrics_compute(&a, &b, &o, &got, &e), &e);
			for (int k = 0; k < RD_N_METRICS; k++)
				CHECK_NEAR(got.m[k].value / pow(scale, power[k]), one.m[k].value, 1e-5 * (1 + one.m[k].value));
		}
		multiply(&a, (float)(1 / scale));
		multiply(&b, (float)(1 / scale));
	}
	free(a.x);
	free(b.x);
}

/* Far from 0 the samples are as far from one another. */
static void test_far_from_0(void)
{
	struct rd_metrics_opts o = {.projections = 64, .bootstrap = 2, .neighbours = 3, .components = 64};
	struct rd_points a = gauss(61, 200, 5, 0, 0.01), b = gauss(62, 200, 5, 0.01, 0.01);
	struct rd_metrics near, far;
	struct rd_err e;

	for (size_t i = 0; i < (size_t)a.n * a.d; i++) { /* digits that stay 4096 away */
		a.x[i] = ldexpf(rintf(ldexpf(a.x[i], 11)), -11);
		b.x[i] = ldexpf(rintf(ldexpf(b.x[i], 11)), -11);
	}
	for (int k = 0; k < RD_N_METRICS; k++)
		o.want[k] = k != RD_METRIC_KID;
	CHECK_OK(rd_metrics_compute(&a, &b, &o, &near, &e), &e);
	for (size_t i = 0; i < (size_t)a.n * a.d; i++) {
		a.x[i] += 4096;
		b.x[i] += 4096;
	}
	CHECK_OK(rd_metrics_compute(&a, &b, &o, &far, &e), &e);
	for (int k = 0; k < RD_N_METRICS; k++)
		CHECK_NEAR(far.m[k].value, near.m[k].value, 1e-5 * (1e-3 + fabs(near.m[k].value)));
	free(a.x);
	free(b.x);
}

/* Samples of Gaussians: what is expected but for their errors. */
static void test_frechet_samples(void)
{
	struct rd_points a = gauss(31, 6000, 4, 0, 1), b = gauss(32, 5000, 4, 0.5, 2);
	struct rd_metric_value v = frechet(&a, &b, 4).m[RD_METRIC_FRECHET];

	CHECK_NEAR(v.value, 4 * 0.25 + 4 * 1, 4 * v.se);
	CHECK(v.se > 0.02 && v.se < 0.2);
	free(a.x);
	free(b.x);
}

/* Two samples a set, 0 and 2: the Gaussian of a resample is that of both (mean 1, variance 2) as often as it is one or
 * the other, of no variance. All of it by enumeration. */
static void test_frechet_error(void)
{
	static const double mean[3] = {0, 1, 2}, sd[3] = {0, M_SQRT2, 0}, p[3] = {0.25, 0.5, 0.25};
	struct rd_metrics_opts o = {.projections = 1, .bootstrap = 5000, .neighbours = 1, .components = 1};
	float x[] = {0, 2};
	struct rd_points a = {.x = x, .n = 2, .d = 1, .sample = {1, {1}}};
	double sum = 0, sq = 0;

	for (int i = 0; i < 9; i++) {
		const int s = i / 3, t = i % 3;
		const double f = (mean[s] - mean[t]) * (mean[s] - mean[t]) + (sd[s] - sd[t]) * (sd[s] - sd[t]);

		sum += p[s] * p[t] * f;
		sq += p[s] * p[t] * f * f;
	}
	o.want[RD_METRIC_FRECHET] = true;
	CHECK_NEAR(measure(&a, &a, &o).m[RD_METRIC_FRECHET].se, sqrt(sq - sum * sum), 0.05);
}

static double kernel_sum(const struct rd_points *a, const struct rd_points *b)
{
	double sum = 0;

	for (int64_t i = 0; i < a->n; i++)
		for (int64_t j = 0; j < b->n; j++) {
			double t = 0;

			for (size_t k = 0; k < a->d; k++)
				t += (double)a->x[(size_t)i * a->d + k] * (double)b->x[(size_t)j * b->d + k];
			sum += a == b && i == j ? 0 : pow(t / (double)a->d + 1, 3);
		}
	return sum;
}

/* By the definition; and on a line, by the moments of N(0,1) and N(u,1). */
static void test_kid(void)
{
	const double u = 0.5, m2 = 1 + u * u, m3 = u * u * u + 3 * u;
	const double want = 4 + (1 + 3 * u * u + 3 * m2 * m2 + m3 * m3) - 2 * (1 + 3 * m2);
	struct rd_points a = gauss(41, 90, 7, 0.3, 1), b = gauss(42, 60, 7, 1, 2), far_a = gauss(41, 90, 7, 100.3, 1),
	                 far_b = gauss(42, 60, 7, 100, 2), x = gauss(43, 2000, 1, 0, 1),
	                 y = gauss(44, 2000, 1, u, 1);
	struct rd_metrics_opts o = all;
	struct rd_metric_value v;
	double by_hand, by_far;

	memset(o.want, 0, sizeof o.want);
	o.want[RD_METRIC_KID] = true;
	by_hand = kernel_sum(&a, &a) / (90 * 89) + kernel_sum(&b, &b) / (60 * 59) - 2 * kernel_sum(&a, &b) / (90 * 60);
	CHECK_NEAR(measure(&a, &b, &o).m[RD_METRIC_KID].value, by_hand, 1e-6 * by_hand);
	by_far = kernel_sum(&far_a, &far_a) / (90 * 89) + kernel_sum(&far_b, &far_b) / (60 * 59) - 2 * kernel_sum(&far_a, &far_b) / (90 * 60);
	CHECK_NEAR(measure(&far_a, &far_b, &o).m[RD_METRIC_KID].value, by_far, 1e-6 * fabs(by_far));
	v = measure(&x, &y, &o).m[RD_METRIC_KID];
	CHECK_NEAR(v.value, want, 4 * v.se);
	CHECK(v.se > 0.1 && v.se < 1);
	CHECK_NEAR(measure(&a, &b, &all).m[RD_METRIC_KID].value, by_hand, 1e-6 * by_hand); /* after the others */
	free(a.x);
	free(b.x);
	free(far_a.x);
	free(far_b.x);
	free(x.x);
	free(y.x);
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
	test_frechet_diagonal();
	test_frechet_rotated();
	test_frechet_components();
	test_frechet_few();
	test_frechet_missing_components();
	test_scales();
	test_far_from_0();
	test_frechet_samples();
	test_frechet_error();
	test_kid();
	return check_report("metrics");
}
