/* The first two principal directions of a set of vectors. */
#ifndef RD_LIB_MEASURE_PCA_H
#define RD_LIB_MEASURE_PCA_H

#include <stddef.h>

#include "lib/base/err.h"

/* dir[0..dim-1] and dir[dim..2dim-1]: orthonormal, the centred vectors' directions of most variance, found by 100
 * rounds of subspace iteration. Vector i is row[i] [dim]. Each direction's element of largest size is positive. A
 * direction along which nothing varies is all 0. */
int rd_pca2(double *dir, const float *const *row, size_t n, size_t dim, struct rd_err *e) RD_MUST;

#endif
