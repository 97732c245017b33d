#include "lib/measure/linalg.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <stdbool.h>

#include "lib/base/size.h"

int rd_la_new(double **out, size_t n, size_t m, const char *what, struct rd_err *e)
{
	size_t cells;
	void *p;
	int rc;

	*out = NULL;
	if (!rd_mul(n, m, &cells))
		return rd_fail(e, RD_ENOMEM, "%s: %zu times %zu numbers overflow a size", what, n, m);
	rc = rd_alloc(&p, cells, sizeof **out, what, e);
	*out = p;
	return rc;
}

/* Over lanes that the compiler can keep in vector registers: a fixed order of summation. */
#define LANES 8

double rd_la_dot(const double *x, const double *y, size_t n)
{
	double acc[LANES] = {0}, sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			acc[l] += x[i + l] * y[i + l];
	for (size_t l = 0; l < LANES; l++)
		sum += acc[l];
	for (; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

void rd_la_add4(double *restrict to, const double *const x[4], const double w[4], size_t n)
{
	const double *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];

#pragma omp simd
	for (size_t i = 0; i < n; i++)
		to[i] += (w[0] * x0[i] + w[1] * x1[i]) + (w[2] * x2[i] + w[3] * x3[i]);
}

/* x, y = c x - s y, s x + c y */
static void turn(double *restrict x, double *restrict y, size_t n, double c, double s)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		const double t = x[i];

		x[i] = c * t - s * y[i];
		y[i] = s * t + c * y[i];
	}
}

/* Makes two rows of squared lengths *xx and *yy orthogonal, the first the longer. False where they were. */
static bool pair(double *x, double *y, size_t n, double *xx, double *yy)
{
	const double xy = rd_la_dot(x, y, n);
	const bool right = fabs(xy) <= 1e-13 * sqrt(*xx) * sqrt(*yy);
	double t = 0, c, longer;

	if (right && *xx >= *yy)
		return false;
	if (!right) { /* the tangent of the smaller angle that does it */
		const double z = (*yy - *xx) / (2 * xy);

		t = copysign(1 / (fabs(z) + hypot(1, z)), z);
	}
	c = 1 / hypot(1, t);
	longer = fmax(*yy + t * xy, 0);
	*xx = fmax(*xx - t * xy, 0); /* what rounding leaves of a row that was hardly there is no length below 0 */
	if (*xx >= longer) {
		turn(x, y, n, c, c * t);
		*yy = longer;
	} else { /* a right angle more exchanges them */
		turn(x, y, n, c * t, -c);
		*yy = *xx;
		*xx = longer;
	}
	return !right;
}

void rd_la_orthogonal_rows(double *m, size_t n, size_t d, double *length)
{
	bool turned = true;

	for (int sweep = 0; turned && sweep < 50; sweep++) { /* about 8 are needed */
		turned = false;
		for (size_t i = 0; i < n; i++)
			length[i] = rd_la_dot(m + i * d, m + i * d, d);
		for (size_t i = 0; i < n; i++)
			for (size_t j = i + 1; j < n; j++)
				turned |= pair(m + i * d, m + j * d, d, length + i, length + j);
	}
	for (size_t i = 0; i < n; i++)
		length[i] = sqrt(rd_la_dot(m + i * d, m + i * d, d));
}

/* The largest of n numbers. */
static size_t largest(const double *x, size_t n)
{
	size_t at = 0;

	for (size_t i = 1; i < n; i++)
		if (x[i] > x[at])
			at = i;
	return at;
}

/* Cholesky's factor, a column at a time, each of the row that the columns before leave the most of (Higham, Accuracy and Stability of
 * Numerical Algorithms, 10.3): with another order rounding errors of a singular s would be divided by small pivots. */
void rd_la_factor(double *s, size_t n, double *f, double *left)
{
	double least = 0;

	memset(f, 0, n * n * sizeof *f);
	for (size_t i = 0; i < n; i++)
		left[i] = s[i * n + i];
	for (size_t j = 0; j < n; j++) {
		const size_t p = largest(left, n);
		double *top = f + p * n;

		if (!j)
			least = (double)n * DBL_EPSILON * left[p];
		if (!(left[p] > least))
			break; /* what remains are rounding errors, which are not a direction */
		top[j] = sqrt(left[p]);
		left[p] = -1;
		for (size_t i = 0; i < n; i++) {
			double *row = f + i * n;

			if (left[i] < 0 || i == p)
				continue;
			row[j] = ((i > p ? s[i * n + p] : s[p * n + i]) - rd_la_dot(row, top, j)) / top[j];
			left[i] -= row[j] * row[j];
			if (left[i] < 0)
				left[i] = 0;
		}
	}
	memcpy(s, f, n * n * sizeof *s);
}
