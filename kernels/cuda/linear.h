/* Matrix products at every pixel, with weights that have the activations' type already. */
#ifndef RD_KERNELS_CUDA_LINEAR_H
#define RD_KERNELS_CUDA_LINEAR_H

#include "kernels/cuda/dev.h"

/* x [rows, c], w [out_c, c], y and add [rows, out_c], b [out_c] in the activations' type or NULL; add may be y. */
struct rd_linear {
	int64_t rows, c, out_c;
};

int rd_linear_apply(struct rd_dev *dev, rd_linear l, const void *x, const void *w, const void *b, const void *add, void *y,
                    struct rd_err *e);
/* dx and dw where they are not NULL; dw [out_c, c] f32 is added to. */
int rd_linear_back(struct rd_dev *dev, rd_linear l, const void *x, const void *w, const void *dy, void *dx, int acc_dx,
                   float *dw, struct rd_err *e);

#endif
