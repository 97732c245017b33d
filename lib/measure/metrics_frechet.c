/* Frechet distance between the Gaussians fitted to the two sets. With S = L L', the trace of
 * (S_a^1/2 S_b S_a^1/2)^1/2 is the sum of the singular values of L_a' L_b: no root of a matrix, and nothing squared. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/measure/linalg.h"
#include "lib/measure/metrics_impl.h"
#include "lib/measure/pca.h"

struct side {
	size_t n, k;
	double *x; /* [n, k], less the mean of the set */
	struct rd_boot draw;
};

struct frechet {
	size_t k;       /* dimensions */
	struct side a, b;
	double *shift;  /* [k]: mean of a - mean of b */
	double *values; /* [1 + replicates]: of the samples, then of the resamples */
	double *work;   /* [threads, work_cells(k)] */
};

/* A resample's mean, less that of the samples, and its covariance. */
struct fit {
	double *mean, *cov;
};

static size_t work_cells(size_t k)
{
	return 3 * k * k + 3 * k;
}

/* The lower half of cov += the weighted products of four vectors with themselves. */
static void add_products(double *cov, size_t k, const double *const x[4], const double weight[4])
{
	for (size_t i = 0; i < k; i++) {
		double w[4];

		for (int r = 0; r < 4; r++)
			w[r] = weight[r] * x[r][i];
		rd_la_add4(cov + i * k, x, w, i + 1);
	}
}

/* Of resample r (0: the samples themselves). The covariance is the unbiased one, over n - 1. */
static void fit(struct fit *f, const struct side *s, int r)
{
	const uint32_t *count = r ? s->draw.count + (size_t)(r - 1) * s->n : NULL;
	const size_t k = s->k;
	const double n = (double)s->n;

	memset(f->mean, 0, k * sizeof *f->mean);
	memset(f->cov, 0, k * k * sizeof *f->cov);
	for (size_t i = 0; i < s->n;) {
		const double *x[4] = {s->x, s->x, s->x, s->x};
		double weight[4] = {0};

		for (int q = 0; q < 4 && i < s->n; i++) {
			if (count && !count[i])
				continue;
			x[q] = s->x + i * k;
			weight[q++] = count ? count[i] : 1;
		}
		rd_la_add4(f->mean, x, weight, k);
		add_products(f->cov, k, x, weight);
	}
	for (size_t i = 0; i < k; i++)
		f->mean[i] /= n;
	for (size_t i = 0; i < k; i++)
		for (size_t j = 0; j <= i; j++)
			f->cov[i * k + j] = (f->cov[i * k + j] - n * f->mean[i] * f->mean[j]) / (n - 1);
}

static double trace(const double *m, size_t k)
{
	double sum = 0;

	for (size_t i = 0; i < k; i++)
		sum += m[i * k + i];
	return sum;
}

/* The sum of the singular values of a' b, of two lower triangles. */
static double nuclear(const double *a, const double *b, size_t k, double *product, double *length)
{
	double sum = 0;

	memset(product, 0, k * k * sizeof *product);
	for (size_t i = 0; i < k; i += 4) {
		const size_t rows = k - i < 4 ? k - i : 4;
		const double *x[4] = {b, b, b, b};

		for (size_t r = 0; r < rows; r++)
			x[r] = b + (i + r) * k;
		for (size_t p = 0; p < i + rows; p++) {
			double w[4] = {0};

			for (size_t r = 0; r < rows; r++)
				w[r] = a[(i + r) * k + p];
			rd_la_add4(product + p * k, x, w, i + rows);
		}
	}
	rd_la_orthogonal_rows(product, k, k, length);
	for (size_t i = 0; i < k; i++)
		sum += length[i];
	return sum;
}

static double distance(const struct frechet *f, int r, double *work)
{
	const size_t k = f->k;
	double *product = work + 2 * k * k, *rest = work + 3 * k * k;
	struct fit a = {rest, work}, b = {rest + k, work + k * k};
	double sum;

	fit(&a, &f->a, r);
	fit(&b, &f->b, r);
	sum = trace(a.cov, k) + trace(b.cov, k);
	for (size_t i = 0; i < k; i++) {
		const double gap = f->shift[i] + a.mean[i] - b.mean[i];

		sum += gap * gap;
	}
	rd_la_cholesky(a.cov, k);
	rd_la_cholesky(b.cov, k);
	sum -= 2 * nuclear(a.cov, b.cov, k, product, rest + 2 * k);
	return sum < 0 ? 0 : sum; /* two equal sets are a rounding error apart */
}

static int side_new(struct side *s, const struct rd_rows *r, size_t k, int which, const struct rd_metrics_opts *o,
                    struct rd_err *e)
{
	int rc;

	s->n = (size_t)r->n;
	s->k = k;
	rc = rd_la_new(&s->x, s->n, k, "projections", e);
	return rc ? rc : rd_boot_new(&s->draw, r->n, which, o, e);
}

static int frechet_new(struct frechet *f, const struct rd_rows *a, const struct rd_rows *b,
                       const struct rd_metrics_opts *o, struct rd_err *e)
{
	int rc;

	*f = (struct frechet){.k = a->d < (size_t)o->components ? a->d : (size_t)o->components};
	rc = side_new(&f->a, a, f->k, 0, o, e);
	if (!rc)
		rc = side_new(&f->b, b, f->k, 1, o, e);
	if (!rc)
		rc = rd_la_new(&f->shift, f->k, 1, "means", e);
	if (!rc)
		rc = rd_la_new(&f->values, 1 + (size_t)o->bootstrap, 1, "resamples", e);
	return rc ? rc : rd_la_new(&f->work, (size_t)omp_get_max_threads(), work_cells(f->k), "covariances", e);
}

static void frechet_free(struct frechet *f)
{
	free(f->a.x);
	free(f->b.x);
	free(f->a.draw.count);
	free(f->b.draw.count);
	free(f->shift);
	free(f->values);
	free(f->work);
}

/* The share of the variance of b that its k coordinates have. */
static double share(const struct frechet *f, const struct rd_rows *b, const double *mean)
{
	double all = 0;

	for (size_t i = 0; i < f->b.n; i++)
		for (size_t j = 0; j < b->d; j++)
			all += ((double)b->at[i][j] - mean[j]) * ((double)b->at[i][j] - mean[j]);
	return all > 0 ? rd_la_dot(f->b.x, f->b.x, f->b.n * f->k) / all : 1;
}

/* How many of the k directions there are: the others are 0. */
static size_t components(const double *dir, size_t k, size_t d)
{
	size_t n = 0;

	for (size_t q = 0; q < k; q++)
		n += rd_la_dot(dir + q * d, dir + q * d, d) > 0.5;
	return n;
}

/* Fills both sides and the shift between them, in the coordinates where they are compared. */
static int project(struct frechet *f, const struct rd_rows *a, const struct rd_rows *b, struct rd_metrics *out, struct rd_err *e)
{
	const size_t d = a->d;
	double *dir = NULL, *mean = NULL, *mean_b;
	int rc;

	rc = rd_la_new(&mean, 2, d, "means", e);
	if (!rc && f->k < d)
		rc = rd_la_new(&dir, f->k, d, "principal components", e);
	if (!rc && dir)
		rc = rd_pca(dir, f->k, b->at, f->b.n, d, e);
	out->dimensions = dir && !rc ? components(dir, f->k, d) : f->k;
	if (!rc && !out->dimensions)
		rc = rd_fail(e, RD_EDOMAIN, "frechet: the samples of the second set are all the same, and have no principal components "
		             "(--components %zu takes all numbers as they are)", d);
	if (rc)
		goto out;
	mean_b = mean + d;
	rd_pca_mean(mean, a->at, f->a.n, d);
	rd_pca_mean(mean_b, b->at, f->b.n, d);
	rd_pca_project(f->a.x, dir, f->k, a->at, f->a.n, d, mean);
	rd_pca_project(f->b.x, dir, f->k, b->at, f->b.n, d, mean_b);
	out->variance = dir ? share(f, b, mean_b) : 1;
	for (size_t j = 0; j < d; j++)
		mean[j] -= mean_b[j];
	for (size_t q = 0; q < f->k; q++)
		f->shift[q] = dir ? rd_la_dot(dir + q * d, mean, d) : mean[q];
out:
	free(dir);
	free(mean);
	return rc;
}

int rd_metrics_frechet(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                       struct rd_metrics *out, struct rd_err *e)
{
	struct frechet f;
	int rc;

	rc = frechet_new(&f, a, b, o, e);
	if (!rc)
		rc = project(&f, a, b, out, e);
	if (rc)
		goto out;
#pragma omp parallel for schedule(dynamic)
	for (int r = 0; r <= o->bootstrap; r++)
		f.values[r] = distance(&f, r, f.work + (size_t)omp_get_thread_num() * work_cells(f.k));
	out->m[RD_METRIC_FRECHET] =
		(struct rd_metric_value){true, f.values[0], rd_boot_se(f.values + 1, o->bootstrap), a->n, b->n};
out:
	frechet_free(&f);
	return rc;
}
