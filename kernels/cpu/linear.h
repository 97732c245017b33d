/* A matrix product at every pixel: a convolution with a kernel of 1, without stride or padding. */
#ifndef RD_KERNELS_CPU_LINEAR_H
#define RD_KERNELS_CPU_LINEAR_H

#include "kernels/cpu/isa.h"

/* x (d), w [out_c, d.c], b [out_c] or NULL, y (d.n, out_c, d.h, d.w), as for conv2d_fwd and conv2d_bwd. */
int RD_SYM(linear_fwd)(struct rd_dev *dev, struct rd_dims d, int64_t out_c, const float *x, const float *w, const float *b,
                       float *y, int accumulate, struct rd_err *e);
int RD_SYM(linear_bwd)(struct rd_dev *dev, struct rd_dims d, int64_t out_c, const float *x, const float *w, const float *dy,
                       float *dx, int acc_dx, float *dw, float *db, struct rd_err *e);

#endif
