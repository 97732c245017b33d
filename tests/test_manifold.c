/* Precision, recall, density and coverage against a plain reading of their definitions, and where the answer is known. */
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/measure/metrics.h"
#include "tests/check.h"

enum { PRECISION, RECALL, DENSITY, COVERAGE, N_SCORES };

struct scores {
	double value[N_SCORES], se[N_SCORES];
};

static struct rd_points points(int64_t n, size_t d)
{
	struct rd_points p = {.n = n, .d = d, .sample = {1, {(int64_t)d}}};

	p.x = malloc((size_t)n * d * sizeof *p.x);
	return p;
}

/* N(mean, sd^2 I) from sample i0 on. */
static void fill(struct rd_points *p, int64_t i0, uint64_t seed, double mean, double sd)
{
	float *x = p->x + (size_t)i0 * p->d;
	const size_t n = (size_t)(p->n - i0);

	rd_rng_normal_batch(seed, RD_RNG_DATA, 0, x, n, p->d);
	for (size_t i = 0; i < n * p->d; i++)
		x[i] = (float)(mean + sd * (double)x[i]);
}

static struct rd_points gauss(uint64_t seed, int64_t n, size_t d, double mean, double sd)
{
	struct rd_points p = points(n, d);

	fill(&p, 0, seed, mean, sd);
	return p;
}

static struct scores measure(const struct rd_points *a, const struct rd_points *b, int k)
{
	struct rd_metrics_opts o = {.projections = 1, .components = 1, .bootstrap = 200, .neighbours = k, .seed = 3};
	struct rd_metrics m;
	struct scores s;
	struct rd_err e;

	for (int i = 0; i < N_SCORES; i++)
		o.want[RD_METRIC_PRECISION + i] = true;
	CHECK_OK(rd_metrics_compute(a, b, &o, &m, &e), &e);
	for (int i = 0; i < N_SCORES; i++) {
		const struct rd_metric_value *v = &m.m[RD_METRIC_PRECISION + i];

		CHECK(v->there && v->n_a == a->n && v->n_b == b->n);
		s.value[i] = v->value;
		s.se[i] = v->se;
	}
	return s;
}

static double gap(const struct rd_points *a, int64_t i, const struct rd_points *b, int64_t j)
{
	double sum = 0;

	for (size_t c = 0; c < a->d; c++) {
		const double t = (double)a->x[(size_t)i * a->d + c] - (double)b->x[(size_t)j * b->d + c];

		sum += t * t;
	}
	return sqrt(sum);
}

static int rising(const void *p, const void *q)
{
	const double x = *(const double *)p, y = *(const double *)q;

	return (x > y) - (x < y);
}

/* Distance of sample i to its k-th neighbour: it is itself the one of number 0. */
static double reach(const struct rd_points *p, int64_t i, int k)
{
	double all[500];

	for (int64_t j = 0; j < p->n; j++)
		all[j] = gap(p, i, p, j);
	qsort(all, (size_t)p->n, sizeof *all, rising);
	return all[k];
}

/* How many balls of b sample i of a is in. */
static int balls(const struct rd_points *a, int64_t i, const struct rd_points *b, int k)
{
	int n = 0;

	for (int64_t j = 0; j < b->n; j++)
		n += gap(a, i, b, j) < reach(b, j, k);
	return n;
}

static struct scores plainly(const struct rd_points *a, const struct rd_points *b, int k)
{
	const double n[N_SCORES] = {(double)a->n, (double)b->n, (double)a->n, (double)b->n};
	double sum[N_SCORES] = {0}, squares = 0;
	struct scores s;

	for (int64_t i = 0; i < a->n; i++) {
		const int in = balls(a, i, b, k);

		sum[PRECISION] += in > 0;
		sum[DENSITY] += (double)in / k;
		squares += (double)in / k * in / k;
	}
	for (int64_t j = 0; j < b->n; j++) {
		const double r = reach(b, j, k);
		bool near = false;

		for (int64_t i = 0; i < a->n; i++)
			near |= gap(a, i, b, j) < r;
		sum[RECALL] += balls(b, j, a, k) > 0;
		sum[COVERAGE] += near;
	}
	for (int i = 0; i < N_SCORES; i++) {
		const double p = s.value[i] = sum[i] / n[i];

		s.se[i] = sqrt(((i == DENSITY ? squares / n[i] : p) - p * p) / n[i]);
	}
	return s;
}

static void test_definition(void)
{
	static const struct {
		int64_t n, m;
		size_t d;
		double mean, sd;
		int k;
	} cases[] = {{90, 70, 2, 1, 1, 3}, {70, 90, 20, 0.2, 0.8, 5}, {33, 65, 1, 0.5, 2, 1}, {64, 40, 3, 0, 0.3, 39}};

	for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
		struct rd_points a = gauss(c, cases[c].n, cases[c].d, cases[c].mean, cases[c].sd);
		struct rd_points b = gauss(10 + c, cases[c].m, cases[c].d, 0, 1);
		const struct scores got = measure(&a, &b, cases[c].k);
		const struct scores want = plainly(&a, &b, cases[c].k);

		for (int i = 0; i < N_SCORES; i++) {
			CHECK_NEAR(got.value[i], want.value[i], 1e-12);
			CHECK_NEAR(got.se[i], want.se[i], 0.2 * want.se[i] + 1e-6);
		}
		free(a.x);
		free(b.x);
	}
}

/* A set and itself: each sample is the centre of a ball, and in those of which it is one of the k - 1 nearest. */
static void test_identical(void)
{
	struct rd_points a = gauss(21, 400, 8, 0, 1);
	const struct scores s = measure(&a, &a, 5);

	CHECK(s.value[PRECISION] == 1 && s.value[RECALL] == 1 && s.value[COVERAGE] == 1);
	CHECK(s.se[PRECISION] == 0 && s.se[RECALL] == 0 && s.se[COVERAGE] == 0);
	CHECK_NEAR(s.value[DENSITY], 1, 1e-12);
	free(a.x);
}

static void test_disjoint(void)
{
	struct rd_points a = gauss(22, 200, 4, 0, 1), b = gauss(23, 300, 4, 50, 1);
	const struct scores s = measure(&a, &b, 5);

	for (int i = 0; i < N_SCORES; i++)
		CHECK(s.value[i] == 0 && s.se[i] == 0);
	free(a.x);
	free(b.x);
}

/* The same distribution, in equal numbers: density 1; and coverage 1 - 2^-k, since the k nearest of all others to a
 * sample are of its own set, each as likely as not. */
static void test_same_distribution(void)
{
	enum { N = 1500, K = 3 };
	struct rd_points a = gauss(24, N, 2, 0, 1), b = gauss(25, N, 2, 0, 1);
	const struct scores s = measure(&a, &b, K);

	CHECK_NEAR(s.value[DENSITY], 1, 0.06);
	CHECK_NEAR(s.value[COVERAGE], 1 - 0.125, 0.035);
	CHECK_NEAR(s.value[PRECISION], s.value[RECALL], 0.03);
	free(a.x);
	free(b.x);
}

/* Half of b is a mode that a lacks: what a has is good, what it has not is half. */
static void test_dropped_mode(void)
{
	struct rd_points a = gauss(26, 400, 3, 0, 1), b = gauss(27, 400, 3, 0, 1);
	struct scores s;

	fill(&b, 200, 28, 30, 1);
	s = measure(&a, &b, 5);
	CHECK(s.value[PRECISION] > 0.85);
	CHECK_NEAR(s.value[RECALL], 0.5, 0.06);
	CHECK_NEAR(s.value[COVERAGE], 0.5, 0.06);
	free(a.x);
	free(b.x);
}

/* Strays added to a: precision and density fall by their share, coverage does not. Recall rises: a stray's ball is large.
 * That is what coverage was made against. */
static void test_strays(void)
{
	struct rd_points clean = gauss(29, 300, 3, 0, 1), a = points(400, 3), b = gauss(30, 400, 3, 0, 1);
	struct scores before, after;

	memcpy(a.x, clean.x, 300 * 3 * sizeof *a.x);
	fill(&a, 300, 31, 0, 40);
	before = measure(&clean, &b, 5);
	after = measure(&a, &b, 5);
	CHECK_NEAR(after.value[PRECISION], 0.75 * before.value[PRECISION], 0.01);
	CHECK_NEAR(after.value[DENSITY], 0.75 * before.value[DENSITY], 0.01);
	CHECK_NEAR(after.value[COVERAGE], before.value[COVERAGE], 0.01);
	CHECK(after.value[RECALL] > before.value[RECALL]);
	free(clean.x);
	free(a.x);
	free(b.x);
}

int main(void)
{
	test_definition();
	test_identical();
	test_disjoint();
	test_same_distribution();
	test_dropped_mode();
	test_strays();
	return check_report("manifold");
}
