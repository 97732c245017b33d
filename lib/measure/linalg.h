/* A little linear algebra on small matrices of doubles, row by row. Serial, so the same bits whatever the threads. */
#ifndef RD_LIB_MEASURE_LINALG_H
#define RD_LIB_MEASURE_LINALG_H

#include <stddef.h>

#include "lib/base/err.h"

/* n * m doubles, uninitialised; free() releases them. `what` names them where there is no memory. */
int rd_la_new(double **out, size_t n, size_t m, const char *what, struct rd_err *e) RD_MUST;

/* x . y */
double rd_la_dot(const double *x, const double *y, size_t n);

/* to += w[0] x[0] + .. + w[3] x[3], vectors of n. */
void rd_la_add4(double *to, const double *const x[4], const double w[4], size_t n);

/* Turns the rows of m [n, d] among themselves until all are orthogonal, in order of falling length: one-sided Jacobi.
 * The lengths are m's singular values and the rows, at length 1, its right singular vectors: for m symmetric and
 * positive, the eigenvalues and eigenvectors. */
void rd_la_orthogonal_rows(double *m, size_t n, size_t d, double *length);

/* s = L L'. Reads the lower triangle of s [n, n], which may be singular, and leaves L there, 0 above it. */
void rd_la_cholesky(double *s, size_t n);

#endif
