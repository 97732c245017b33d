/* Moments and their scores, and every finding of the audit of pairs: each is provoked, and nothing else is found. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/data/audit.h"
#include "tests/check.h"

enum { N = 400, DIM = 12 };

static float noise[N * DIM], sample[N * DIM];
static int32_t label[N];
static float knots[N * 2 * DIM], error[N];
static int named = 4; /* knots, by meta; 0: none */
static struct rd_audit_report report;

/* --- moments ------------------------------------------------------------------------------------------------------ */

static void test_moments(void)
{
	static const float x[] = {1, 2, 3, 4, NAN, 10, INFINITY, -INFINITY};
	static const int32_t i[] = {-5, 7};
	struct rd_moments m = {0}, k = {0};

	rd_moments_add(&m, x, 3);
	rd_moments_add(&m, x + 3, 5);
	CHECK(m.n == 5 && m.bad == 3 && m.min == 1 && m.max == 10);
	CHECK_NEAR(rd_moments_mean(&m), 4, 1e-12);
	CHECK_NEAR(rd_moments_std(&m), sqrt(10), 1e-12);
	CHECK_NEAR(rd_moments_kurtosis(&m), (81 + 16 + 1 + 0 + 1296) / 5.0 / 100, 1e-9);
	rd_moments_add_any(&k, RD_I32, i, 2);
	CHECK(k.min == -5 && k.max == 7 && rd_moments_mean(&k) == 1);
}

/* Skewed numbers that drift, far from 0, in pieces of every size: to the digits of two passes over all of them. */
static void test_moments_far(void)
{
	enum { ALL = 20000 };
	float *x = malloc(ALL * sizeof *x);
	double mean = 0, m2 = 0, m4 = 0;
	struct rd_moments m = {0};

	rd_rng_normal(6, RD_RNG_NOISE, 0, x, ALL);
	for (int i = 0; i < ALL; i++) {
		x[i] = 1000 + 0.01f * (expf(x[i]) + (float)i / ALL * (float)i / ALL);
		mean += (double)x[i] / ALL;
	}
	for (int i = 0; i < ALL; i++) {
		const double v = (double)x[i] - mean;

		m2 += v * v / ALL;
		m4 += v * v * v * v / ALL;
	}
	for (int at = 0, n = 1; at < ALL; at += n, n = n * 3 / 2 + 1)
		rd_moments_add(&m, x + at, (size_t)(at + n < ALL ? n : ALL - at));
	CHECK(m.n == ALL);
	CHECK_NEAR(rd_moments_mean(&m), mean, 1e-9);
	CHECK_NEAR(rd_moments_std(&m) / sqrt(m2), 1, 1e-9);
	CHECK_NEAR(rd_moments_kurtosis(&m) / (m4 / (m2 * m2)), 1, 1e-9);
	for (int i = 0; i < ALL; i++)
		x[i] = 0.1f;
	m = (struct rd_moments){0};
	rd_moments_add(&m, x, ALL);
	CHECK(rd_moments_std(&m) == 0 && rd_moments_mean(&m) == (double)0.1f);
	free(x);
}

/* Over many small sets of true normals the scores themselves are nearly standard normal. */
static void test_scores(void)
{
	enum { SETS = 4000, EACH = 60 };
	struct rd_moments of[3] = {{0}, {0}, {0}};
	float x[EACH], f[3];

	for (uint64_t s = 0; s < SETS; s++) {
		struct rd_moments m = {0};
		double z[3];

		rd_rng_normal(5, RD_RNG_NOISE, s, x, EACH);
		rd_moments_add(&m, x, EACH);
		rd_moments_scores(&m, z);
		for (int i = 0; i < 3; i++) {
			f[i] = (float)z[i];
			rd_moments_add(&of[i], &f[i], 1);
		}
	}
	for (int i = 0; i < 3; i++) {
		CHECK_NEAR(rd_moments_mean(&of[i]), 0, 0.06);
		CHECK_NEAR(rd_moments_std(&of[i]), 1, 0.05);
		CHECK(of[i].max < RD_AUDIT_LIMIT && of[i].min > -RD_AUDIT_LIMIT);
	}
}

/* --- the audit ---------------------------------------------------------------------------------------------------- */

/* Good pairs: fresh noise, samples of two values, labels below 10. */
static void make_good(void)
{
	for (uint64_t i = 0; i < N; i++) {
		rd_rng_normal(9, RD_RNG_NOISE, i, noise + i * DIM, DIM);
		label[i] = (int32_t)(i % 10);
		error[i] = (float)(i * 7 % N); /* each of 0 .. 399 once */
	}
	memset(knots, 0, sizeof knots);
	for (int i = 0; i < N * DIM; i++)
		sample[i] = noise[i] > 0 ? 0.8f : -0.9f;
}

/* Audits the pairs in two batches of one stream; the number of findings. */
static int audit(int64_t classes)
{
	struct rd_stream s = {"pairs", 5, {"noise", "label", "sample", "knots", "error"},
	                      json_pack("{s:I}", "classes", (json_int_t)classes)};
	json_t *t = json_array();
	struct rd_audit *a;
	struct rd_err e;

	for (int i = 0; i < named; i++)
		json_array_append_new(t, json_real(named - i));
	json_object_set_new(s.meta, "knots", json_pack("{s:o}", "t", t));
	CHECK_OK(rd_audit_new(&a, &e), &e);
	for (int half = 0; half < 2; half++) {
		int64_t n = N / 2;
		struct rd_batch b = {.first = 1000 + (uint64_t)(half * n), .n = n};

		b.f[0] = (struct rd_array){RD_F32, {2, {n, DIM}}, noise + half * n * DIM};
		b.f[1] = (struct rd_array){RD_I32, {1, {n}}, label + half * n};
		b.f[2] = (struct rd_array){RD_F32, {2, {n, DIM}}, sample + half * n * DIM};
		b.f[3] = (struct rd_array){RD_F32, {3, {n, 2, DIM}}, knots + half * n * 2 * DIM};
		b.f[4] = (struct rd_array){RD_F32, {1, {n}}, error + half * n};
		CHECK_OK(rd_audit_add(a, &s, &b, &e), &e);
	}
	rd_audit_finish(a, &report);
	rd_audit_free(a);
	json_decref(s.meta);
	return report.n_findings;
}

static int found(const char *text)
{
	int n = 0;

	for (int i = 0; i < report.n_findings; i++)
		n += strstr(report.finding[i], text) != NULL;
	return n;
}

static void test_good(void)
{
	make_good();
	CHECK(audit(10) == 0);
	CHECK(audit(0) == 0);
	CHECK(report.pairs == N && report.noise.n == N * DIM && report.label_n == N);
	CHECK(report.label_min == 0 && report.label_max == 9);
	CHECK(report.error_n == N && report.error_max == 399 && report.error_mean == 199.5);
	CHECK(report.error_quantile[0] == 20 && report.error_quantile[1] == 200 && report.error_quantile[2] == 379);
}

static void test_twice(void)
{
	make_good();
	memcpy(noise + 350 * DIM, noise + 20 * DIM, DIM * sizeof *noise);
	CHECK(audit(10) == 1 && found("1 noise vectors are there more than once, the first is 1350, a copy of 1020"));
	make_good();
	for (int i = 100; i < N; i++)
		memcpy(noise + i * DIM, noise + i % 100 * DIM, DIM * sizeof *noise);
	CHECK(audit(10) >= 1 && found("300 noise vectors are there more than once, the first is 1100, a copy of 1000"));
}

static void test_not_finite(void)
{
	make_good();
	noise[7 * DIM + 3] = NAN;
	noise[9 * DIM] = INFINITY;
	CHECK(audit(10) == 1 && found("2 noise vectors hold NaN or infinities, the first is 1007"));
	make_good();
	sample[399 * DIM] = -INFINITY;
	CHECK(audit(10) == 1 && found("1 samples hold NaN or infinities, the first is 1399"));
	make_good();
	knots[3 * 2 * DIM - 1] = knots[3 * 2 * DIM - 2] = NAN;
	CHECK(audit(10) == 1 && found("1 pairs hold NaN or infinities at their knots, the first is 1002"));
	make_good();
	error[300] = NAN;
	error[0] = INFINITY;
	CHECK(audit(10) == 1 && found("2 errors are NaN or infinite, the first is 1000") && report.error_n == N - 2);
}

static void test_knots(void)
{
	make_good();
	for (named = 0; named < 6; named++)
		CHECK(audit(10) == (named != 4) &&
		      found("from sample 1000 on the states at knots are not as many as meta's inner knots") == (named != 4));
	named = 4;
}

static void test_not_normal(void)
{
	make_good();
	for (int i = 0; i < N * DIM; i++)
		noise[i] += 0.1f;
	CHECK(audit(10) == 1 && found("noise: mean"));
	make_good();
	for (int i = 0; i < N * DIM; i++)
		noise[i] *= 0.93f;
	CHECK(audit(10) == 1 && found("noise: variance"));
	make_good();
	for (int i = 0; i < N * DIM; i++) /* uniform of variance 1 */
		noise[i] = (float)(sqrt(12) * (rd_rng_uniform(3, RD_RNG_NOISE, (uint64_t)i) - 0.5));
	CHECK(audit(10) == 1 && found("noise: kurtosis 1."));
}

static void test_swapped(void)
{
	make_good();
	for (int i = 0; i < N * DIM; i++) {
		float t = noise[i];

		noise[i] = sample[i];
		sample[i] = t;
	}
	CHECK(audit(10) > 1 && found("look swapped") == 1);
}

static void test_equal(void)
{
	make_good();
	memcpy(sample + 5 * DIM, noise + 5 * DIM, DIM * sizeof *noise);
	CHECK(audit(10) == 1 && found("1 samples equal their noise, the first is 1005"));
}

static void test_labels(void)
{
	make_good();
	label[3] = -1;
	CHECK(audit(10) == 1 && found("1 labels are negative, the first is 1003"));
	make_good();
	CHECK(audit(9) == 1 && found("40 labels are beyond the model's 9 classes, the first is 1009"));
}

static void test_nothing(void)
{
	struct rd_audit *a;
	struct rd_err e;

	CHECK_OK(rd_audit_new(&a, &e), &e);
	rd_audit_finish(a, &report);
	rd_audit_free(a);
	CHECK(report.n_findings == 1 && found("no pairs") == 1);
}

/* The report names every finding and the verdict. */
static void test_print(void)
{
	char *text;
	size_t n;
	struct rd_out *o;
	struct rd_err e;

	make_good();
	label[3] = -1;
	CHECK(audit(10) == 1);
	CHECK_OK(rd_out_open(&o, "/tmp/test_audit.txt", 0, &e), &e);
	CHECK_OK(rd_audit_print(&report, o, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	CHECK_OK(rd_in_file("/tmp/test_audit.txt", 1 << 16, &text, &n, &e), &e);
	CHECK(strstr(text, "noise   mean") && strstr(text, "label   -1 to 9\n"));
	CHECK(strstr(text, "error   mean 199.5  5% 20  50% 200  95% 379  max 399\n"));
	CHECK(strstr(text, "audit: 1 labels are negative") && strstr(text, "audit: FAILED, 1 finding in 400 pairs\n"));
	free(text);
	remove("/tmp/test_audit.txt");
}

int main(void)
{
	test_moments();
	test_moments_far();
	test_scores();
	test_good();
	test_twice();
	test_not_finite();
	test_knots();
	test_not_normal();
	test_swapped();
	test_equal();
	test_labels();
	test_nothing();
	test_print();
	return check_report("test_audit");
}
