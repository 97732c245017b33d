/* Sliced Wasserstein: project, sort once, and walk the two sorted lines, for the samples and for every resample. */
#include <math.h>
#include <stdlib.h>

#include "kernels/rng.h"
#include "lib/base/lanes.h"
#include "lib/base/size.h"
#include "lib/measure/metrics_impl.h"

/* A sample on a line. */
struct mark {
	float v;
	uint32_t i; /* its number, which finds its weight in a resample */
};

struct sliced {
	int lines;          /* directions */
	size_t d;
	float *direction;   /* [lines, d], of length 1 */
	struct mark *a, *b; /* [lines, n] */
	struct rd_boot draw_a, draw_b;
	double *w2;         /* [lines, 1 + replicates]: squared distance of the samples themselves, then of the resamples */
};

static int by_value(const void *p, const void *q)
{
	const struct mark *x = p, *y = q;

	return x->v != y->v ? (x->v > y->v) - (x->v < y->v) : (x->i > y->i) - (x->i < y->i);
}

static uint64_t weight(const uint32_t *count, const struct mark *m)
{
	return count ? count[m->i] : 1;
}

/* The squared W2 between n and m sorted marks, each as often as its count says (NULL: once; they sum up to n and m).
 * Mass is in units of 1 / (n m), so that the coupling is exact. */
static double w2_squared(const struct mark *a, const uint32_t *count_a, uint64_t n, const struct mark *b,
                         const uint32_t *count_b, uint64_t m)
{
	uint64_t mass_a = weight(count_a, a) * m, mass_b = weight(count_b, b) * n, step;
	double sum = 0, gap;

	for (uint64_t left = n * m; left; left -= step) {
		while (!mass_a)
			mass_a = weight(count_a, ++a) * m;
		while (!mass_b)
			mass_b = weight(count_b, ++b) * n;
		step = mass_a < mass_b ? mass_a : mass_b;
		gap = (double)a->v - (double)b->v;
		sum += (double)step * gap * gap;
		mass_a -= step;
		mass_b -= step;
	}
	return sum / ((double)n * (double)m);
}

static void draw_directions(struct sliced *s, uint64_t seed)
{
	rd_rng_normal_batch(seed, RD_RNG_METRIC, rd_draw_index(RD_DRAW_DIRECTION, 0, 0), s->direction, (size_t)s->lines,
	                    s->d);
	for (int p = 0; p < s->lines; p++) {
		float *t = s->direction + (size_t)p * s->d;
		const double norm = sqrt(rd_dot(t, t, s->d));

		for (size_t k = 0; k < s->d; k++)
			t[k] = (float)((double)t[k] / norm);
	}
}

/* Seen from a sample amid the others: where they are far from 0, their products would have few digits left for their distances. */
static void project(const struct sliced *s, const struct rd_rows *r, const float *from, struct mark *out)
{
#pragma omp parallel for schedule(static)
	for (int64_t i = 0; i < r->n; i++)
		for (int p = 0; p < s->lines; p++)
			out[(int64_t)p * r->n + i] = (struct mark){
				(float)rd_dot_from(from, r->at[i], s->direction + (size_t)p * s->d, s->d), (uint32_t)i,
			};
}

/* Line p: all its squared distances. */
static void measure(const struct sliced *s, int p)
{
	const int64_t n = s->draw_a.n, m = s->draw_b.n;
	const int replicates = s->draw_a.replicates;
	struct mark *a = s->a + (int64_t)p * n, *b = s->b + (int64_t)p * m;
	double *w2 = s->w2 + (size_t)p * (size_t)(1 + replicates);

	qsort(a, (size_t)n, sizeof *a, by_value);
	qsort(b, (size_t)m, sizeof *b, by_value);
	w2[0] = w2_squared(a, NULL, (uint64_t)n, b, NULL, (uint64_t)m);
	for (int r = 0; r < replicates; r++)
		w2[1 + r] = w2_squared(a, s->draw_a.count + (int64_t)r * n, (uint64_t)n, b,
		                       s->draw_b.count + (int64_t)r * m, (uint64_t)m);
}

/* Root of the mean over the lines, for the samples (0) or a resample. */
static double sliced_of(const struct sliced *s, int r)
{
	double sum = 0;

	for (int p = 0; p < s->lines; p++)
		sum += s->w2[(size_t)p * (size_t)(1 + s->draw_a.replicates) + (size_t)r];
	return sqrt(sum / s->lines);
}

static int sliced_new(struct sliced *s, const struct rd_rows *a, const struct rd_rows *b,
                      const struct rd_metrics_opts *o, struct rd_err *e)
{
	void *p;
	int rc;

	*s = (struct sliced){.lines = a->d == 1 ? 1 : o->projections, .d = a->d}; /* a line has one direction */
	rc = rd_alloc(&p, (size_t)s->lines * s->d, sizeof *s->direction, "projections", e);
	s->direction = p;
	if (!rc)
		rc = rd_alloc(&p, (size_t)s->lines * (size_t)a->n, sizeof *s->a, "projections", e);
	s->a = rc ? NULL : p;
	if (!rc)
		rc = rd_alloc(&p, (size_t)s->lines * (size_t)b->n, sizeof *s->b, "projections", e);
	s->b = rc ? NULL : p;
	if (!rc)
		rc = rd_alloc(&p, (size_t)s->lines * (size_t)(1 + o->bootstrap), sizeof *s->w2, "projections", e);
	s->w2 = rc ? NULL : p;
	if (!rc)
		rc = rd_boot_new(&s->draw_a, a->n, 0, o, e);
	return rc ? rc : rd_boot_new(&s->draw_b, b->n, 1, o, e);
}

static void sliced_free(struct sliced *s)
{
	free(s->direction);
	free(s->a);
	free(s->b);
	free(s->w2);
	free(s->draw_a.count);
	free(s->draw_b.count);
}

int rd_metrics_sliced(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                      struct rd_metrics *out, struct rd_err *e)
{
	struct sliced s;
	double *boot;
	void *p = NULL;
	int rc;

	rc = sliced_new(&s, a, b, o, e);
	if (!rc)
		rc = rd_alloc(&p, (size_t)o->bootstrap, sizeof *boot, "resamples", e);
	if (rc)
		goto out;
	boot = p;
	draw_directions(&s, o->seed);
	project(&s, a, b->at[0], s.a);
	project(&s, b, b->at[0], s.b);
#pragma omp parallel for schedule(dynamic)
	for (int line = 0; line < s.lines; line++)
		measure(&s, line);
	for (int r = 0; r < o->bootstrap; r++)
		boot[r] = sliced_of(&s, 1 + r);
	out->m[RD_METRIC_SLICED] =
		(struct rd_metric_value){true, sliced_of(&s, 0), rd_boot_se(boot, o->bootstrap), a->n, b->n};
out:
	free(p);
	sliced_free(&s);
	return rc;
}
