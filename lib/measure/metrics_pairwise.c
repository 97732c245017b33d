/* Energy distance, MMD and KID: sums over the pairs within and between the two sets. What each pair gives is kept, so
 * that a resample is three products of a matrix with vectors of counts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/lanes.h"
#include "lib/base/size.h"
#include "lib/measure/metrics_impl.h"

#define BLOCK 32 /* points whose coordinates are read while they are in the cache */

struct pairwise {
	int64_t n, m;
	float *aa, *bb, *ab;      /* [n, n], [m, m], [n, m]: distances, or values of a kernel */
	float *count_a, *count_b; /* [1 + replicates, n or m]; all ones, then the resamples */
};

typedef double of_pair(const float *x, const float *y, size_t d);

/* What is taken from a pair's value: at_x[i] + at_y[j]. NULL: nothing. */
struct less {
	const double *at_x, *at_y;
};

static double distance(const float *x, const float *y, size_t d)
{
	return sqrt(rd_sqdist(x, y, d));
}

/* The kernel of KID. From the product itself: |x|^2 + |y|^2 - |x - y|^2 would lose its digits, and so would a sum in single precision
 * of features that are far from 0. */
static double polynomial(const float *x, const float *y, size_t d)
{
	const double t = rd_dot_wide(x, y, d) / (double)d + 1;

	return t * t * t;
}

/* f of the pairs between blocks of rows; with mirror, the same set twice, of which the upper half is computed. */
static void fill_block(const struct rd_rows *x, const struct rd_rows *y, of_pair *f, struct less less, int64_t i0, int64_t j0,
                       bool mirror, float *out)
{
	for (int64_t i = i0; i < x->n && i < i0 + BLOCK; i++)
		for (int64_t j = j0; j < y->n && j < j0 + BLOCK; j++) {
			const float v = (float)(f(x->at[i], y->at[j], x->d) - (less.at_x ? less.at_x[i] + less.at_y[j] : 0));

			out[i * y->n + j] = v;
			if (mirror)
				out[j * y->n + i] = v;
		}
}

static void fill(const struct rd_rows *x, const struct rd_rows *y, of_pair *f, struct less less, float *out)
{
	const bool mirror = x == y;

#pragma omp parallel for schedule(dynamic)
	for (int64_t i = 0; i < x->n; i += BLOCK)
		for (int64_t j = mirror ? i : 0; j < y->n; j += BLOCK)
			fill_block(x, y, f, less, i, j, mirror, out);
}

/* The k-th smallest (from 0) of n values, which it moves about: quickselect with the middle as pivot. */
static float select_kth(float *v, int64_t n, int64_t k)
{
	int64_t lo = 0, hi = n - 1;

	while (lo < hi) {
		const float pivot = v[lo + (hi - lo) / 2];
		int64_t i = lo, j = hi;

		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i <= j) {
				const float t = v[i];

				v[i++] = v[j];
				v[j--] = t;
			}
		}
		if (k <= j)
			hi = j;
		else if (k >= i)
			lo = i;
		else
			return v[k];
	}
	return v[k];
}

static int64_t copy_upper(float *dst, const float *m, int64_t n)
{
	int64_t k = 0;

	for (int64_t i = 0; i < n; i++) {
		memcpy(dst + k, m + i * n + i + 1, (size_t)(n - i - 1) * sizeof *dst);
		k += n - i - 1;
	}
	return k;
}

/* Median distance between two different samples of the pooled sets; 1 where it is 0. */
static int median(const struct pairwise *w, double *out, struct rd_err *e)
{
	const int64_t all = w->n + w->m;
	int64_t k;
	float *v;
	void *p;
	int rc;

	rc = rd_alloc(&p, (size_t)(all * (all - 1) / 2), sizeof *v, "distances", e);
	if (rc)
		return rc;
	v = p;
	k = copy_upper(v, w->aa, w->n);
	k += copy_upper(v + k, w->bb, w->m);
	memcpy(v + k, w->ab, (size_t)(w->n * w->m) * sizeof *v);
	k += w->n * w->m;
	*out = (double)select_kth(v, k, k / 2); /* what is less now lies before it */
	if (k % 2 == 0)
		*out = (*out + (double)select_kth(v, k / 2, k / 2 - 1)) / 2;
	if (!(*out > 0))
		*out = 1;
	free(v);
	return RD_OK;
}

static void to_kernel(float *m, int64_t n, double s)
{
#pragma omp parallel for schedule(static)
	for (int64_t i = 0; i < n; i++)
		m[i] = (float)exp(-(double)m[i] * (double)m[i] / (2 * s * s));
}

/* sum over i, j of u_i m_ij v_j */
static double form(const float *m, const float *u, int64_t n, const float *v, int64_t k)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		if (u[i] > 0)
			sum += (double)u[i] * rd_dot(m + i * k, v, (size_t)k);
	return sum;
}

/* sum over the pairs of different draws of one set */
static double within(const float *m, const float *u, int64_t n)
{
	double same = 0;

	for (int64_t i = 0; i < n; i++)
		same += (double)u[i] * (double)m[i * n + i];
	return form(m, u, n, u, n) - same;
}

/* Means over pairs of resample r (0: the samples themselves): between the sets, less the two within. */
static double contrast(const struct pairwise *w, int r)
{
	const float *u = w->count_a + r * w->n, *v = w->count_b + r * w->m;
	const double n = (double)w->n, m = (double)w->m;

	return 2 * form(w->ab, u, w->n, v, w->m) / (n * m) - within(w->aa, u, w->n) / (n * (n - 1)) -
	       within(w->bb, v, w->m) / (m * (m - 1));
}

/* sign * contrast, and its error. */
static int evaluate(const struct pairwise *w, double sign, int replicates, struct rd_metric_value *out,
                    struct rd_err *e)
{
	double *v;
	void *p;
	int rc;

	rc = rd_alloc(&p, (size_t)(1 + replicates), sizeof *v, "resamples", e);
	if (rc)
		return rc;
	v = p;
#pragma omp parallel for schedule(dynamic)
	for (int r = 0; r <= replicates; r++)
		v[r] = sign * contrast(w, r) + 0.0; /* never -0 */
	*out = (struct rd_metric_value){true, v[0], rd_boot_se(v + 1, replicates), w->n, w->m};
	free(v);
	return RD_OK;
}

static int matrix(float **out, int64_t n, int64_t m, struct rd_err *e)
{
	size_t cells;
	void *p;
	int rc;

	if (!rd_mul((size_t)n, (size_t)m, &cells))
		return rd_fail(e, RD_ENOMEM, "the distances between %lld and %lld samples overflow a size", (long long)n,
		               (long long)m);
	rc = rd_alloc(&p, cells, sizeof **out, "distances", e);
	*out = p;
	return rc;
}

static int counts(float **out, int64_t n, int side, const struct rd_metrics_opts *o, struct rd_err *e)
{
	struct rd_boot b;
	int rc;

	rc = matrix(out, 1 + o->bootstrap, n, e);
	if (!rc)
		rc = rd_boot_new(&b, n, side, o, e);
	if (rc)
		return rc;
	for (int64_t i = 0; i < n; i++)
		(*out)[i] = 1;
	for (int64_t i = 0; i < o->bootstrap * n; i++)
		(*out)[n + i] = (float)b.count[i];
	free(b.count);
	return RD_OK;
}

static int pairwise_new(struct pairwise *w, const struct rd_metrics_opts *o, struct rd_err *e)
{
	int rc;

	rc = matrix(&w->aa, w->n, w->n, e);
	if (!rc)
		rc = matrix(&w->bb, w->m, w->m, e);
	if (!rc)
		rc = matrix(&w->ab, w->n, w->m, e);
	if (!rc)
		rc = counts(&w->count_a, w->n, 0, o, e);
	return rc ? rc : counts(&w->count_b, w->m, 1, o, e);
}

static void fill_all(struct pairwise *w, const struct rd_rows *a, const struct rd_rows *b, of_pair *f, const double *less_a,
                     const double *less_b)
{
	fill(a, a, f, (struct less){less_a, less_a}, w->aa);
	fill(b, b, f, (struct less){less_b, less_b}, w->bb);
	fill(a, b, f, (struct less){less_a, less_b}, w->ab);
}

/* What depends on one of a pair alone cancels in the contrast, of every resample too, but is most of the kernel where features are
 * far from 0: taken away before the values are rounded. k(x, m) - k(m, m)/2, with m a sample amid the others. */
static void at_one(const struct rd_rows *x, const float *m, double *out)
{
	const double half = polynomial(m, m, x->d) / 2;

#pragma omp parallel for schedule(static)
	for (int64_t i = 0; i < x->n; i++)
		out[i] = polynomial(x->at[i], m, x->d) - half;
}

static int kid(struct pairwise *w, const struct rd_rows *a, const struct rd_rows *b, int replicates, struct rd_metrics *out,
               struct rd_err *e)
{
	double *less;
	void *p;
	int rc = rd_alloc(&p, (size_t)(a->n + b->n), sizeof *less, "kernels", e);

	if (rc)
		return rc;
	less = p;
	at_one(a, b->at[0], less);
	at_one(b, b->at[0], less + a->n);
	fill_all(w, a, b, polynomial, less, less + a->n);
	free(less);
	return evaluate(w, -1, replicates, &out->m[RD_METRIC_KID], e);
}

/* From the distances, which it overwrites. */
static int mmd(struct pairwise *w, int replicates, struct rd_metrics *out, struct rd_err *e)
{
	int rc = median(w, &out->bandwidth, e);

	if (rc)
		return rc;
	to_kernel(w->aa, w->n * w->n, out->bandwidth);
	to_kernel(w->bb, w->m * w->m, out->bandwidth);
	to_kernel(w->ab, w->n * w->m, out->bandwidth);
	return evaluate(w, -1, replicates, &out->m[RD_METRIC_MMD], e);
}

int rd_metrics_pairwise(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                        struct rd_metrics *out, struct rd_err *e)
{
	struct pairwise w = {.n = a->n, .m = b->n};
	int rc;

	rc = pairwise_new(&w, o, e);
	if (rc)
		goto out;
	if (o->want[RD_METRIC_ENERGY] || o->want[RD_METRIC_MMD])
		fill_all(&w, a, b, distance, NULL, NULL);
	if (o->want[RD_METRIC_ENERGY])
		rc = evaluate(&w, 1, o->bootstrap, &out->m[RD_METRIC_ENERGY], e);
	if (!rc && o->want[RD_METRIC_MMD])
		rc = mmd(&w, o->bootstrap, out, e);
	if (!rc && o->want[RD_METRIC_KID])
		rc = kid(&w, a, b, o->bootstrap, out, e);
out:
	free(w.aa);
	free(w.bb);
	free(w.ab);
	free(w.count_a);
	free(w.count_b);
	return rc;
}
