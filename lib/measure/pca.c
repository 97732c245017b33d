#include "lib/measure/pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/base/size.h"

static double dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t j = 0; j < n; j++)
		sum += a[j] * b[j];
	return sum;
}

/* v to length 1; to 0 where its length is not above `least`. */
static double normalise(double *v, size_t n, double least)
{
	const double length = sqrt(dot(v, v, n));

	for (size_t j = 0; j < n; j++)
		v[j] = length > least ? v[j] / length : 0;
	return length;
}

/* to = X'X v of the centred rows. */
static void covariance_times(double *to, const double *v, const float *const *row, size_t n, size_t dim,
                             const double *mean)
{
	const double offset = dot(mean, v, dim);

	memset(to, 0, dim * sizeof *to);
	for (size_t i = 0; i < n; i++) {
		double along = -offset;

		for (size_t j = 0; j < dim; j++)
			along += (double)row[i][j] * v[j];
		for (size_t j = 0; j < dim; j++)
			to[j] += along * ((double)row[i][j] - mean[j]);
	}
}

/* dir[1] without its part along dir[0]; both normalised. One whose variance is nothing beside the first's is 0. */
static void orthonormalise(double *dir, size_t dim)
{
	const double length = normalise(dir, dim, 0);
	const double along = dot(dir, dir + dim, dim);

	for (size_t j = 0; j < dim; j++)
		dir[dim + j] -= along * dir[j];
	normalise(dir + dim, dim, 1e-12 * length);
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

int rd_pca2(double *dir, const float *const *row, size_t n, size_t dim, struct rd_err *e)
{
	double *mean, *next;
	void *p;
	int rc = rd_alloc0(&p, 4 * dim, sizeof *mean, "principal components", e);

	if (rc)
		return rc;
	mean = p;
	next = mean + dim;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < dim; j++)
			mean[j] += (double)row[i][j] / (double)n;
	for (int q = 0; q < 2; q++) {
		float *start = (float *)(mean + 3 * dim);

		rd_rng_normal(0, RD_RNG_METRIC, (uint64_t)q, start, dim);
		for (size_t j = 0; j < dim; j++)
			dir[(size_t)q * dim + j] = (double)start[j];
	}
	for (int round = 0; round < 100; round++) {
		covariance_times(next, dir, row, n, dim, mean);
		covariance_times(next + dim, dir + dim, row, n, dim, mean);
		memcpy(dir, next, 2 * dim * sizeof *dir);
		orthonormalise(dir, dim);
	}
	fix_sign(dir, dim);
	fix_sign(dir + dim, dim);
	free(p);
	return RD_OK;
}
