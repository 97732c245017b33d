#include "lib/measure/pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/measure/linalg.h"

#define ROUNDS 20
#define COLUMNS 128 /* of the directions: a part of them that stays in the cache while the vectors pass */
#define ROWS 32

/* A direction's error falls in each round by the ratio of the first variance that the iteration leaves out to its own,
 * so it carries more directions than were asked for. */
static size_t carried(size_t k, size_t dim)
{
	const size_t more = k + k / 4 + 8;

	return more < dim ? more : dim;
}

static size_t width(size_t first, size_t dim)
{
	return dim - first < COLUMNS ? dim - first : COLUMNS;
}

void rd_pca_mean(double *mean, const float *const *row, size_t n, size_t dim)
{
#pragma omp parallel for schedule(static)
	for (size_t first = 0; first < dim; first += COLUMNS) {
		const size_t len = width(first, dim);

		memset(mean + first, 0, len * sizeof *mean);
		for (size_t i = 0; i < n; i++)
			for (size_t j = first; j < first + len; j++)
				mean[j] += (double)row[i][j];
		for (size_t j = first; j < first + len; j++)
			mean[j] /= (double)n;
	}
}

/* Elements first .. first + len - 1 of a row, less the centre. */
static void centred(double *to, const float *row, const double *centre, size_t first, size_t len)
{
	for (size_t j = 0; j < len; j++)
		to[j] = (double)row[first + j] - centre[first + j];
}

/* Rows i0 .. i1 - 1 of the projection. */
static void project_rows(double *to, const double *dir, size_t k, const float *const *row, size_t i0, size_t i1,
                         size_t dim, const double *centre)
{
	double part[COLUMNS];

	memset(to + i0 * k, 0, (i1 - i0) * k * sizeof *to);
	for (size_t first = 0; first < dim; first += COLUMNS) {
		const size_t len = width(first, dim);

		for (size_t i = i0; i < i1; i++) {
			centred(part, row[i], centre, first, len);
			for (size_t q = 0; q < k; q++)
				to[i * k + q] += rd_la_dot(part, dir + q * dim + first, len);
		}
	}
}

void rd_pca_project(double *to, const double *dir, size_t k, const float *const *row, size_t n, size_t dim,
                    const double *centre)
{
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i += ROWS) {
		const size_t end = n - i < ROWS ? n : i + ROWS;

		if (dir) {
			project_rows(to, dir, k, row, i, end, dim, centre);
			continue;
		}
		for (size_t r = i; r < end; r++)
			centred(to + r * dim, row[r], centre, 0, dim);
	}
}

/* Columns first .. first + len - 1 of dir [k, dim] = along [n, k]' times the centred rows. */
static void gather_columns(double *dir, const double *along, size_t k, const float *const *row, size_t n, size_t dim,
                           const double *mean, size_t first)
{
	const size_t len = width(first, dim);
	double part[4][COLUMNS];
	const double *const x[4] = {part[0], part[1], part[2], part[3]};

	memset(part, 0, sizeof part);
	for (size_t q = 0; q < k; q++)
		memset(dir + q * dim + first, 0, len * sizeof *dir);
	for (size_t i = 0; i < n; i += 4) {
		const size_t rows = n - i < 4 ? n - i : 4;

		for (size_t r = 0; r < rows; r++)
			centred(part[r], row[i + r], mean, first, len);
		for (size_t q = 0; q < k; q++) {
			double w[4] = {0};

			for (size_t r = 0; r < rows; r++)
				w[r] = along[(i + r) * k + q];
			rd_la_add4(dir + q * dim + first, x, w, len);
		}
	}
}

/* Each direction to length 1; to 0 where its variance is nothing beside the first one's. */
static void normalise(double *dir, const double *length, size_t k, size_t dim)
{
	for (size_t q = 0; q < k; q++)
		for (size_t j = 0; j < dim; j++)
			dir[q * dim + j] = length[q] > 1e-12 * length[0] ? dir[q * dim + j] / length[q] : 0;
}

static void fix_sign(double *v, size_t dim)
{
	size_t largest = 0;

	for (size_t j = 1; j < dim; j++)
		if (fabs(v[j]) > fabs(v[largest]))
			largest = j;
	for (size_t j = 0; v[largest] < 0 && j < dim; j++)
		if (j != largest)
			v[j] = -v[j];
	v[largest] = fabs(v[largest]);
}

static void start(double *dir, float *normal, size_t k, size_t dim)
{
	for (size_t q = 0; q < k; q++) {
		rd_rng_normal(0, RD_RNG_METRIC, q, normal, dim);
		for (size_t j = 0; j < dim; j++)
			dir[q * dim + j] = (double)normal[j];
	}
}

/* One round: the covariance times the k directions (but for a factor), orthogonal again. */
static void iterate(double *dir, double *along, double *length, size_t k, const float *const *row, size_t n,
                    size_t dim, const double *mean)
{
	rd_pca_project(along, dir, k, row, n, dim, mean);
#pragma omp parallel for schedule(dynamic)
	for (size_t first = 0; first < dim; first += COLUMNS)
		gather_columns(dir, along, k, row, n, dim, mean, first);
	rd_la_orthogonal_rows(dir, k, dim, length);
	normalise(dir, length, k, dim);
}

int rd_pca(double *dir, size_t k, const float *const *row, size_t n, size_t dim, struct rd_err *e)
{
	const size_t block = carried(k, dim), there = k < block ? k : block;
	double *mean = NULL, *work = NULL, *along = NULL, *length = NULL;
	int rc = rd_la_new(&mean, 2, dim, "principal components", e);

	if (!rc)
		rc = rd_la_new(&work, block, dim, "principal components", e);
	if (!rc)
		rc = rd_la_new(&along, n, block, "principal components", e);
	if (!rc)
		rc = rd_la_new(&length, block, 1, "principal components", e);
	if (rc)
		goto out;
	rd_pca_mean(mean, row, n, dim);
	start(work, (float *)(mean + dim), block, dim);
	for (int round = 0; round < ROUNDS; round++)
		iterate(work, along, length, block, row, n, dim, mean);
	memset(dir, 0, k * dim * sizeof *dir);
	memcpy(dir, work, there * dim * sizeof *dir);
	for (size_t q = 0; q < there; q++)
		fix_sign(dir + q * dim, dim);
out:
	free(mean);
	free(work);
	free(along);
	free(length);
	return rc;
}
