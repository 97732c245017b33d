#include "lib/measure/linalg.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "lib/base/clones.h"
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

RD_CLONES double rd_la_dot(const double *x, const double *y, size_t n)
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

RD_CLONES void rd_la_add4(double *restrict to, const double *const x[4], const double w[4], size_t n)
{
	const double *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];

#pragma omp simd
	for (size_t i = 0; i < n; i++)
		to[i] += (w[0] * x0[i] + w[1] * x1[i]) + (w[2] * x2[i] + w[3] * x3[i]);
}

/* x, y = c x - s y, s x + c y */
RD_CLONES static void turn(double *restrict x, double *restrict y, size_t n, double c, double s)
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

void rd_la_cholesky(double *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double *row = s + i * n, diagonal = row[i];

		for (size_t j = 0; j < i; j++) {
			const double *other = s + j * n;

			row[j] = other[j] > 0 ? (row[j] - rd_la_dot(row, other, j)) / other[j] : 0;
		}
		row[i] -= rd_la_dot(row, row, i);
		/* a variance that is all explained by those before it leaves rounding errors, which are not a direction */
		row[i] = row[i] > (double)n * DBL_EPSILON * diagonal ? sqrt(row[i]) : 0;
		for (size_t j = i + 1; j < n; j++)
			row[j] = 0;
	}
}
