/* The linear assignment problem, exactly. */
#ifndef RD_LIB_TRAIN_ASSIGN_H
#define RD_LIB_TRAIN_ASSIGN_H

#include <stddef.h>

/* cost [n, n] finite. column[i] becomes the column of row i in an assignment of least total cost; of several, always the same.
 * work: rd_assign_doubles(n) numbers. Time goes with n^3 at worst. */
void rd_assign(size_t n, const double *cost, size_t *column, double *work);
size_t rd_assign_doubles(size_t n);

#endif
