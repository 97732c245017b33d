#include "lib/measure/pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/measure/linalg.h"

#define ROUNDS 20
/* What stays in the cache while the vectors pass: a part of the directions' elements, and of the directions. */
#define COLUMNS 128
#define ACROSS 32
#define ROWS 64

struct vectors {
	const float *const *row;
	size_t n, dim;
	const double *centre;
};

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

/* Elements first .. first + len - 1 of vector i, less the centre. */
static void centred(double *to, const struct vectors *v, size_t i, size_t first, size_t len)
{
	for (size_t j = 0; j < len; j++)
		to[j] = (double)v->row[i][first + j] - v->centre[first + j];
}

/* Adds what the elements from `first` give of vectors i0 .. i1 - 1 along directions q0 .. q0 + many - 1. */
static void project_part(double *to, const double *dir, size_t k, size_t q0, size_t many, const struct vectors *v,
                         size_t i0, size_t i1, size_t first)
{
	const size_t len = width(first, v->dim);
	double part[COLUMNS] = {0}, turned[COLUMNS][ACROSS];

	memset(turned, 0, sizeof turned);
	for (size_t q = 0; q < many; q++)
		for (size_t j = 0; j < len; j++)
			turned[j][q] = dir[(q0 + q) * v->dim + first + j];
	for (size_t i = i0; i < i1; i++) {
		centred(part, v, i, first, len);
		for (size_t j = 0; j < len; j += 4) {
			const double *const x[4] = {turned[j], turned[j + 1], turned[j + 2], turned[j + 3]};

			rd_la_add4(to + i * k + q0, x, part + j, many);
		}
	}
}

static void project_rows(double *to, const double *dir, size_t k, const struct vectors *v, size_t i0, size_t i1)
{
	memset(to + i0 * k, 0, (i1 - i0) * k * sizeof *to);
	for (size_t q = 0; q < k; q += ACROSS)
		for (size_t first = 0; first < v->dim; first += COLUMNS)
			project_part(to, dir, k, q, k - q < ACROSS ? k - q : ACROSS, v, i0, i1, first);
}

void rd_pca_project(double *to, const double *dir, size_t k, const float *const *row, size_t n, size_t dim,
                    const double *centre)
{
	const struct vectors v = {row, n, dim, centre};

#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i += ROWS) {
		const size_t end = n - i < ROWS ? n : i + ROWS;

		if (dir) {
			project_rows(to, dir, k, &v, i, end);
			continue;
		}
		for (size_t r = i; r < end; r++)
			centred(to + r * dim, &v, r, 0, dim);
	}
}

/* Elements `first` and on of dir [k, dim] = along [n, k]' times the centred vectors. */
static void gather_part(double *dir, const double *along, size_t k, const struct vectors *v, size_t first)
{
	const size_t len = width(first, v->dim);
	double part[4][COLUMNS];
	const double *const x[4] = {part[0], part[1], part[2], part[3]};

	memset(part, 0, sizeof part);
	for (size_t q = 0; q < k; q++)
		memset(dir + q * v->dim + first, 0, len * sizeof *dir);
	for (size_t i = 0; i < v->n; i += 4) {
		const size_t rows = v->n - i < 4 ? v->n - i : 4;

		for (size_t r = 0; r < rows; r++)
			centred(part[r], v, i + r, first, len);
		for (size_t q = 0; q < k; q++) {
			double w[4] = {0};

			for (size_t r = 0; r < rows; r++)
				w[r] = along[(i + r) * k + q];
			rd_la_add4(dir + q * v->dim + first, x, w, len);
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
static void iterate(double *dir, double *along, double *length, size_t k, const struct vectors *v)
{
	rd_pca_project(along, dir, k, v->row, v->n, v->dim, v->centre);
#pragma omp parallel for schedule(dynamic)
	for (size_t first = 0; first < v->dim; first += COLUMNS)
		gather_part(dir, along, k, v, first);
	rd_la_orthogonal_rows(dir, k, v->dim, length);
	normalise(dir, length, k, v->dim);
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
		iterate(work, along, length, block, &(struct vectors){row, n, dim, mean});
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
