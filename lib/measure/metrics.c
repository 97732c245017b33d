#include "lib/measure/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/base/lanes.h"
#include "lib/base/size.h"
#include "lib/measure/metrics_impl.h"

const char *const rd_metric_names[RD_N_METRICS + 1] = {
	"sliced", "energy", "mmd", "paired", "frechet", "kid", "precision", "recall", "density", "coverage", NULL,
};

int rd_boot_new(struct rd_boot *b, int64_t n, int side, const struct rd_metrics_opts *o, struct rd_err *e)
{
	const size_t k = (size_t)n;
	uint32_t *words, *count;
	void *p, *q = NULL;
	size_t cells;
	int rc;

	*b = (struct rd_boot){.replicates = o->bootstrap, .n = n};
	if (!rd_mul(k, (size_t)o->bootstrap, &cells))
		return rd_fail(e, RD_ENOMEM, "%d resamples of %" PRId64 " samples overflow a size", o->bootstrap, n);
	rc = rd_alloc0(&p, cells, sizeof *b->count, "resamples", e);
	if (!rc)
		rc = rd_alloc(&q, cells, sizeof *words, "resamples", e);
	b->count = count = p;
	words = q;
	if (rc) {
		free(b->count);
		b->count = NULL;
		return rc;
	}
#pragma omp parallel for schedule(static)
	for (int r = 0; r < o->bootstrap; r++) {
		uint32_t *w = words + (size_t)r * k;

		rd_rng_words(o->seed, RD_RNG_METRIC, rd_draw_index(RD_DRAW_RESAMPLE, side, (uint64_t)r), w, k);
		for (size_t i = 0; i < k; i++)
			count[(size_t)r * k + ((uint64_t)w[i] * k >> 32)]++; /* uniform to within n / 2^32 */
	}
	free(words);
	return RD_OK;
}

double rd_boot_se(const double *v, int n)
{
	double mean = 0, sq = 0;

	for (int i = 0; i < n; i++)
		mean += v[i] / n;
	for (int i = 0; i < n; i++)
		sq += (v[i] - mean) * (v[i] - mean);
	return sqrt(sq / (n - 1));
}

int rd_boot_mean(const double *v, int64_t n, int side, const struct rd_metrics_opts *o, struct rd_metric_value *out,
                 struct rd_err *e)
{
	double *boot, mean = 0;
	struct rd_boot draw;
	void *p;
	int rc;

	rc = rd_boot_new(&draw, n, side, o, e);
	if (rc)
		return rc;
	rc = rd_alloc0(&p, (size_t)o->bootstrap, sizeof *boot, "resamples", e);
	if (rc)
		goto out;
	boot = p;
	for (int64_t i = 0; i < n; i++)
		mean += v[i];
	mean /= (double)n;
#pragma omp parallel for schedule(static)
	for (int r = 0; r < o->bootstrap; r++)
		for (int64_t i = 0; i < n; i++)
			boot[r] += draw.count[r * n + i] * (v[i] - mean) / (double)n;
	*out = (struct rd_metric_value){true, mean, rd_boot_se(boot, o->bootstrap), n, n};
	free(boot);
out:
	free(draw.count);
	return rc;
}

/* At most max of the points, drawn without replacement; all of them, in order, where they are not more. */
static int take_rows(struct rd_rows *r, const struct rd_points *p, int64_t max, int side, uint64_t seed,
                     struct rd_err *e)
{
	uint32_t *order;
	void *at, *q;

	*r = (struct rd_rows){.n = p->n < max ? p->n : max, .d = p->d};
	if (rd_alloc(&at, (size_t)r->n, sizeof *r->at, "subset", e))
		return e->code;
	r->at = at;
	if (p->n <= max) {
		for (int64_t i = 0; i < r->n; i++)
			r->at[i] = p->x + (size_t)i * p->d;
		return RD_OK;
	}
	if (rd_alloc(&q, (size_t)p->n, sizeof *order, "subset", e))
		return e->code;
	order = q;
	rd_rng_permutation(seed, RD_RNG_METRIC, rd_draw_index(RD_DRAW_SUBSET, side, 0), order, (size_t)p->n);
	for (int64_t i = 0; i < r->n; i++)
		r->at[i] = p->x + (size_t)order[i] * p->d;
	free(order);
	return RD_OK;
}

typedef int unpaired_fn(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                        struct rd_metrics *out, struct rd_err *e);

/* f over subsets of at most limit points (or of what the caller asked for). */
static int over_subsets(unpaired_fn *f, int64_t limit, const struct rd_points *a, const struct rd_points *b,
                        const struct rd_metrics_opts *o, struct rd_metrics *out, struct rd_err *e)
{
	struct rd_rows x = {0}, y = {0};
	int rc;

	limit = o->max ? o->max : limit;
	rc = take_rows(&x, a, limit, 0, o->seed, e);
	if (!rc)
		rc = take_rows(&y, b, limit, 1, o->seed, e);
	if (!rc)
		rc = f(&x, &y, o, out, e);
	free(x.at);
	free(y.at);
	return rc;
}

static int paired(const struct rd_points *a, const struct rd_points *b, const struct rd_metrics_opts *o,
                  struct rd_metric_value *m, struct rd_err *e)
{
	const size_t n = (size_t)a->n;
	double *dist;
	void *p;
	int rc;

	rc = rd_alloc(&p, n, sizeof *dist, "distances", e);
	if (rc)
		return rc;
	dist = p;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++)
		dist[i] = rd_sqdist(a->x + i * a->d, b->x + i * a->d, a->d) / (double)a->d;
	rc = rd_boot_mean(dist, a->n, 0, o, m, e);
	m->n_b = b->n;
	free(dist);
	return rc;
}

/* The largest of a set's numbers, by its size. */
static float largest(const struct rd_points *p)
{
	float most = 0;

	for (size_t i = 0; i < (size_t)p->n * p->d; i++)
		most = fmaxf(most, fabsf(p->x[i]));
	return most;
}

/* Distances are squared in single precision. */
static int check_range(const struct rd_points *a, const struct rd_points *b, struct rd_err *e)
{
	const float most = fmaxf(largest(a), largest(b));

	if (most <= 1e15f && (most >= 1e-15f || most == 0))
		return RD_OK;
	return rd_fail(e, RD_EDOMAIN, "the largest number is of size %g: samples are compared whose largest is from 1e-15 to 1e15 in size",
	               (double)most);
}

static int check(const struct rd_points *a, const struct rd_points *b, struct rd_err *e)
{
	char s[200], t[200];

	if (a->n < 2 || b->n < 2 || a->n > UINT32_MAX || b->n > UINT32_MAX)
		return rd_fail(e, RD_EINPUT, "%" PRId64 " and %" PRId64 " samples: each set must have 2 to 2^32 - 1", a->n,
		               b->n);
	if (a->d != b->d || !rd_shape_eq(&a->sample, &b->sample))
		return rd_fail(e, RD_ESHAPE, "a sample is %s in one set and %s in the other",
		               rd_shape_str(&a->sample, s, sizeof s), rd_shape_str(&b->sample, t, sizeof t));
	return RD_OK;
}

/* A power of what is within range may not be. */
static int check_finite(const struct rd_metrics *out, struct rd_err *e)
{
	for (int k = 0; k < RD_N_METRICS; k++)
		if (out->m[k].there && !(isfinite(out->m[k].value) && isfinite(out->m[k].se)))
			return rd_fail(e, RD_EDOMAIN, "%s is not finite: the numbers of the samples are too large", rd_metric_names[k]);
	return RD_OK;
}

int rd_metrics_compute(const struct rd_points *a, const struct rd_points *b, const struct rd_metrics_opts *o,
                       struct rd_metrics *out, struct rd_err *e)
{
	int rc;

	memset(out, 0, sizeof *out);
	if (o->bootstrap < 2 || o->projections < 1 || o->components < 1 || o->neighbours < 1 || (o->max && o->max < 2))
		return rd_fail(e, RD_EUSAGE, "metrics: at least 2 resamples, 2 samples and 1 projection, component and "
		               "neighbour are needed");
	rc = check(a, b, e);
	if (!rc)
		rc = check_range(a, b, e);
	if (!rc && o->want[RD_METRIC_SLICED])
		rc = over_subsets(rd_metrics_sliced, RD_METRICS_MAX_LINEAR, a, b, o, out, e);
	if (!rc && (o->want[RD_METRIC_ENERGY] || o->want[RD_METRIC_MMD] || o->want[RD_METRIC_KID]))
		rc = over_subsets(rd_metrics_pairwise, RD_METRICS_MAX_SQUARE, a, b, o, out, e);
	if (!rc && o->want[RD_METRIC_PAIRED] && a->n == b->n)
		rc = paired(a, b, o, &out->m[RD_METRIC_PAIRED], e);
	if (!rc && o->want[RD_METRIC_FRECHET])
		rc = over_subsets(rd_metrics_frechet, RD_METRICS_MAX_LINEAR, a, b, o, out, e);
	if (!rc && (o->want[RD_METRIC_PRECISION] || o->want[RD_METRIC_RECALL] || o->want[RD_METRIC_DENSITY] ||
	            o->want[RD_METRIC_COVERAGE]))
		rc = over_subsets(rd_metrics_manifold, RD_METRICS_MAX_SQUARE, a, b, o, out, e);
	return rc ? rc : check_finite(out, e);
}
