/* Precision, recall, density and coverage: each sample has a ball that reaches to its k-th neighbour in its own set; a
 * set's balls are what stands for the region where its distribution lives. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/lanes.h"
#include "lib/base/size.h"
#include "lib/measure/metrics_impl.h"

#define BLOCK 32 /* samples whose coordinates are read while they are in the cache */

/* One set. Distances are squared. */
struct balls {
	const struct rd_rows *at;
	double *reach;   /* [n]: to the k-th neighbour in this set */
	double *nearest; /* [n]: to the nearest sample of the other set */
	double *balls;   /* [n]: how many of the other set's balls it is in */
};

/* The edge is outside, as in the published programs, where a set compared with itself has density 1; but a copy of the
 * centre is inside even where the ball has no size. */
static bool inside(double distance, double reach)
{
	return distance < reach || distance == 0;
}

/* The k smallest so far, in order: v finds its place among them. */
static void keep(double *smallest, int k, double v)
{
	int i = k - 1;

	if (!(v < smallest[i]))
		return;
	for (; i > 0 && v < smallest[i - 1]; i--)
		smallest[i] = smallest[i - 1];
	smallest[i] = v;
}

/* near [n, k]: for each sample, the distances to its k nearest others. */
static void find_neighbours(const struct rd_rows *r, double *near, int k)
{
#pragma omp parallel for schedule(dynamic)
	for (int64_t i0 = 0; i0 < r->n; i0 += BLOCK) {
		const int64_t end = r->n - i0 < BLOCK ? r->n : i0 + BLOCK;

		for (int64_t c = i0 * k; c < end * k; c++)
			near[c] = HUGE_VAL;
		for (int64_t j0 = 0; j0 < r->n; j0 += BLOCK)
			for (int64_t i = i0; i < end; i++)
				for (int64_t j = j0; j < r->n && j < j0 + BLOCK; j++)
					if (i != j)
						keep(near + i * k, k, rd_sqdist(r->at[i], r->at[j], r->d));
	}
}

static int set_reach(struct balls *s, int k, struct rd_err *e)
{
	double *near;
	size_t cells;
	void *p;
	int rc;

	if (s->at->n <= k)
		return rd_fail(e, RD_EINPUT, "%" PRId64 " samples: none has %d neighbours", s->at->n, k);
	if (!rd_mul((size_t)s->at->n, (size_t)k, &cells))
		return rd_fail(e, RD_ENOMEM, "%d neighbours of %" PRId64 " samples overflow a size", k, s->at->n);
	rc = rd_alloc(&p, cells, sizeof *near, "neighbours", e);
	if (rc)
		return rc;
	near = p;
	find_neighbours(s->at, near, k);
	for (int64_t i = 0; i < s->at->n; i++)
		s->reach[i] = near[i * k + k - 1];
	free(near);
	return RD_OK;
}

/* Where each sample of x is among those of y. */
static void place(struct balls *x, const struct balls *y)
{
	const struct rd_rows *r = x->at, *o = y->at;

#pragma omp parallel for schedule(dynamic)
	for (int64_t i0 = 0; i0 < r->n; i0 += BLOCK) {
		const int64_t end = r->n - i0 < BLOCK ? r->n : i0 + BLOCK;

		for (int64_t i = i0; i < end; i++) {
			x->nearest[i] = HUGE_VAL;
			x->balls[i] = 0;
		}
		for (int64_t j0 = 0; j0 < o->n; j0 += BLOCK)
			for (int64_t i = i0; i < end; i++)
				for (int64_t j = j0; j < o->n && j < j0 + BLOCK; j++) {
					const double d = rd_sqdist(r->at[i], o->at[j], r->d);

					x->nearest[i] = fmin(x->nearest[i], d);
					x->balls[i] += inside(d, y->reach[j]);
				}
	}
}

/* What a sample counts in a metric. */
static double score(enum rd_metric what, const struct balls *s, int64_t i, int k)
{
	switch (what) {
	case RD_METRIC_DENSITY: return s->balls[i] / k;
	case RD_METRIC_COVERAGE: return inside(s->nearest[i], s->reach[i]);
	default: return s->balls[i] > 0;
	}
}

/* The mean score of the evaluated set's samples. */
static int evaluate(enum rd_metric what, const struct balls *a, const struct balls *b, const struct rd_metrics_opts *o,
                    struct rd_metrics *out, struct rd_err *e)
{
	const bool of_a = what == RD_METRIC_PRECISION || what == RD_METRIC_DENSITY;
	const struct balls *s = of_a ? a : b;
	struct rd_metric_value *m = &out->m[what];
	double *v;
	void *p;
	int rc;

	if (!o->want[what])
		return RD_OK;
	rc = rd_alloc(&p, (size_t)s->at->n, sizeof *v, "scores", e);
	if (rc)
		return rc;
	v = p;
	for (int64_t i = 0; i < s->at->n; i++)
		v[i] = score(what, s, i, o->neighbours);
	rc = rd_boot_mean(v, s->at->n, of_a ? 0 : 1, o, m, e);
	m->n_a = a->at->n;
	m->n_b = b->at->n;
	free(v);
	return rc;
}

static int balls_new(struct balls *s, const struct rd_rows *r, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc(&p, (size_t)r->n, 3 * sizeof *s->reach, "neighbours", e);

	*s = (struct balls){.at = r, .reach = p};
	if (rc)
		return rc;
	s->nearest = s->reach + r->n;
	s->balls = s->nearest + r->n;
	return RD_OK;
}

int rd_metrics_manifold(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                        struct rd_metrics *out, struct rd_err *e)
{
	struct balls x = {0}, y = {0};
	int rc;

	rc = balls_new(&x, a, e);
	if (!rc)
		rc = balls_new(&y, b, e);
	if (!rc)
		rc = set_reach(&x, o->neighbours, e);
	if (!rc)
		rc = set_reach(&y, o->neighbours, e);
	if (rc)
		goto out;
	place(&x, &y);
	place(&y, &x);
	for (enum rd_metric m = RD_METRIC_PRECISION; !rc && m <= RD_METRIC_COVERAGE; m++)
		rc = evaluate(m, &x, &y, o, out, e);
out:
	free(x.reach);
	free(y.reach);
	return rc;
}
