/* Principal components of a set of vectors: vector i is row[i] [dim]. The same bits whatever the threads. */
#ifndef RD_LIB_MEASURE_PCA_H
#define RD_LIB_MEASURE_PCA_H

#include <stddef.h>

#include "lib/base/err.h"

void rd_pca_mean(double *mean, const float *const *row, size_t n, size_t dim);

/* dir [k, dim]: orthonormal, the centred vectors' directions of most variance in falling order, found by subspace
 * iteration from a fixed start. Each one's element of largest size is positive. A direction along which nothing varies
 * is all 0, and so are those past dim. */
int rd_pca(double *dir, size_t k, const float *const *row, size_t n, size_t dim, struct rd_err *e) RD_MUST;

/* to[i, q] = (row[i] - centre) . dir[q], for k directions; a NULL dir is that of the axes (k = dim). */
void rd_pca_project(double *to, const double *dir, size_t k, const float *const *row, size_t n, size_t dim,
                    const double *centre);

#endif
