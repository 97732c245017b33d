/* Orthogonal rows, triangular factors and principal components, against what they must give back. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/measure/linalg.h"
#include "lib/measure/pca.h"
#include "tests/check.h"

static void normals(double *to, size_t n, uint64_t index)
{
	float *f = malloc(n * sizeof *f);

	rd_rng_normal(1, RD_RNG_DATA, index, f, n);
	for (size_t i = 0; i < n; i++)
		to[i] = (double)f[i];
	free(f);
}

/* The rows keep m'm, are orthogonal and fall in length; row `lost` was a combination of others, so one ends at 0. */
static void test_orthogonal_rows(void)
{
	enum { N = 13, D = 37 };
	double m[N * D], was[N * D], length[N], worst = 0;

	normals(m, N * D, 0);
	for (size_t j = 0; j < D; j++) {
		m[5 * D + j] = m[2 * D + j] - 3 * m[9 * D + j];
		m[7 * D + j] *= 1e-9;
	}
	memcpy(was, m, sizeof m);
	rd_la_orthogonal_rows(m, N, D, length);
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < i; j++)
			worst = fmax(worst, fabs(rd_la_dot(m + i * D, m + j * D, D)) / (length[0] * length[0]));
	CHECK(worst < 1e-13);
	for (size_t i = 1; i < N; i++)
		CHECK(length[i] <= length[i - 1]);
	CHECK(length[N - 3] > 1 && length[N - 1] < 1e-14 * length[0]);
	CHECK(length[N - 2] > 1e-9 && length[N - 2] < 2e-8);
	worst = 0;
	for (size_t p = 0; p < D; p++)
		for (size_t q = 0; q < D; q++) {
			double before = 0, after = 0;

			for (size_t i = 0; i < N; i++) {
				before += was[i * D + p] * was[i * D + q];
				after += m[i * D + p] * m[i * D + q];
			}
			worst = fmax(worst, fabs(before - after));
		}
	CHECK(worst < 1e-12);
}

/* Of a symmetric matrix: its eigenvalues. That of second differences has 2 - 2 cos(pi i / (n + 1)). */
static void test_eigenvalues(void)
{
	enum { N = 100 };
	static double m[N * N];
	double length[N];

	for (size_t i = 0; i < N; i++) {
		m[i * N + i] = 2;
		if (i)
			m[i * N + i - 1] = m[(i - 1) * N + i] = -1;
	}
	rd_la_orthogonal_rows(m, N, N, length);
	for (size_t i = 0; i < N; i++)
		CHECK_NEAR(length[i], 2 - 2 * cos(M_PI * (double)(N - i) / (N + 1)), 1e-13);
}

/* A covariance of rank 6 in 11 dimensions, one of them constant. */
static void test_cholesky(void)
{
	enum { N = 11, R = 6 };
	double x[R * N], s[N * N], l[N * N], worst = 0;
	int rank = 0;

	normals(x, R * N, 2);
	for (size_t r = 0; r < R; r++)
		x[r * N + 4] = 0;
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < N; j++) {
			s[i * N + j] = 0;
			for (size_t r = 0; r < R; r++)
				s[i * N + j] += x[r * N + i] * x[r * N + j];
		}
	memcpy(l, s, sizeof l);
	for (size_t i = 0; i < N; i++)
		for (size_t j = i + 1; j < N; j++)
			l[i * N + j] = NAN; /* not read */
	rd_la_cholesky(l, N);
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < N; j++)
			worst = fmax(worst, fabs(rd_la_dot(l + i * N, l + j * N, N) - s[i * N + j]));
	CHECK(worst < 1e-13);
	for (size_t i = 0; i < N; i++)
		rank += l[i * N + i] > 0;
	CHECK(rank == R);
	for (size_t i = 0; i < N; i++)
		for (size_t j = i + 1; j < N; j++)
			CHECK(l[i * N + j] == 0);
}

enum { DIM = 200, VECTORS = 301, K = 7 };

/* Independent normals of deviations sd, reflected so that the axes mix, about a mean of 5. */
static void make(float *x, const float **row, size_t n, const double *sd)
{
	double norm = 0;

	for (size_t j = 0; j < DIM; j++)
		norm += (double)((j % 9 + 1) * (j % 9 + 1));
	for (size_t i = 0; i < n; i++) {
		double z[DIM], along = 0;

		normals(z, DIM, 100 + i);
		for (size_t j = 0; j < DIM; j++)
			along += (z[j] *= sd[j]) * (double)(j % 9 + 1) / norm;
		for (size_t j = 0; j < DIM; j++)
			x[i * DIM + j] = (float)(5 + z[j] - 2 * along * (double)(j % 9 + 1));
		row[i] = x + i * DIM;
	}
}

/* covariance (times n) . v, plainly */
static void times(double *to, const double *v, const float *const *row, size_t n, const double *mean)
{
	memset(to, 0, DIM * sizeof *to);
	for (size_t i = 0; i < n; i++) {
		double along = 0;

		for (size_t j = 0; j < DIM; j++)
			along += ((double)row[i][j] - mean[j]) * v[j];
		for (size_t j = 0; j < DIM; j++)
			to[j] += along * ((double)row[i][j] - mean[j]);
	}
}

/* Directions of a set of points whose variances fall: eigenvectors of its covariance, the same for any thread count. */
static void test_pca(void)
{
	static float x[VECTORS * DIM];
	static double dir[K * DIM], again[K * DIM], along[VECTORS * K], to[DIM];
	const float *row[VECTORS];
	double sd[DIM], mean[DIM], last = HUGE_VAL;
	const int threads = omp_get_max_threads();
	struct rd_err e;

	for (size_t j = 0; j < DIM; j++)
		sd[j] = 3 / (double)(1 + j);
	make(x, row, VECTORS, sd);
	omp_set_num_threads(1);
	CHECK_OK(rd_pca(dir, K, row, VECTORS, DIM, &e), &e);
	omp_set_num_threads(3);
	CHECK_OK(rd_pca(again, K, row, VECTORS, DIM, &e), &e);
	CHECK(!memcmp(dir, again, sizeof dir));
	rd_pca_mean(mean, row, VECTORS, DIM);
	rd_pca_project(along, dir, K, row, VECTORS, DIM, mean);
	omp_set_num_threads(threads);
	for (size_t q = 0; q < K; q++) {
		double variance = 0, off = 0;

		for (size_t p = 0; p <= q; p++)
			CHECK_NEAR(rd_la_dot(dir + p * DIM, dir + q * DIM, DIM), p == q, 1e-12);
		for (size_t i = 0; i < VECTORS; i++)
			variance += along[i * K + q] * along[i * K + q];
		times(to, dir + q * DIM, row, VECTORS, mean);
		for (size_t j = 0; j < DIM; j++)
			off = fmax(off, fabs(to[j] - variance * dir[q * DIM + j]));
		CHECK_NEAR(off / variance, 0, 1e-6);
		CHECK(variance < last);
		last = variance;
	}
}

/* More directions than there is variance, and than there are dimensions. */
static void test_pca_degenerate(void)
{
	const float at[3][2] = {{1, 2}, {1, 4}, {1, 0}};
	const float *const row[3] = {at[0], at[1], at[2]};
	double dir[4 * 2] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
	const double want[4 * 2] = {0, 1};
	double plane[3 * DIM], sd[DIM];
	float x[3 * DIM];
	const float *few[3];
	struct rd_err e;

	for (int j = 0; j < DIM; j++)
		sd[j] = 1;
	CHECK_OK(rd_pca(dir, 4, row, 3, 2, &e), &e);
	for (int i = 0; i < 8; i++)
		CHECK_NEAR(dir[i], want[i], 1e-12);
	make(x, few, 3, sd); /* three points span a plane */
	CHECK_OK(rd_pca(plane, 3, few, 3, DIM, &e), &e);
	for (int q = 0; q < 3; q++)
		CHECK_NEAR(rd_la_dot(plane + q * DIM, plane + q * DIM, DIM), q < 2, 1e-12);
}

int main(void)
{
	test_orthogonal_rows();
	test_eigenvalues();
	test_cholesky();
	test_pca();
	test_pca_degenerate();
	return check_report("linalg");
}
