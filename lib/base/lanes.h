/* Sums over the coordinates of vectors of d floats. In 16 lanes that the compiler can keep in vector registers: a fixed order, so that
 * the bits depend on no instruction set. */
#ifndef RD_BASE_LANES_H
#define RD_BASE_LANES_H

#include <stddef.h>

/* x.y and |x - y|^2, each lane in single precision; x.y, each lane in double. */
double rd_dot(const float *x, const float *y, size_t d);
double rd_sqdist(const float *x, const float *y, size_t d);
double rd_dot_wide(const float *x, const float *y, size_t d);

/* (x - from).y, each lane in single precision. */
double rd_dot_from(const float *from, const float *x, const float *y, size_t d);

#endif
