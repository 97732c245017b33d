/* Sums over rows (pixels) of a matrix with channels innermost: the gradient of a bias. */
#ifndef RD_KERNELS_CUDA_COLSUM_H
#define RD_KERNELS_CUDA_COLSUM_H

#include "kernels/cuda/types.h"

/* out[j] += sum over rows of x[row, j]; x of the activations' type. Uses scratch for more than 512 rows. */
int rd_cuda_colsum(struct rd_dev *dev, int64_t rows, int64_t cols, const void *x, float *out, struct rd_err *e);

/* a[j] += sum over rows of part[row, j] and b[j] += that of part[row, cols + j], in double; rows lie pitch apart. Either may be
 * NULL. */
int rd_cuda_total(struct rd_dev *dev, int64_t rows, int64_t cols, int64_t pitch, const float *part, float *a, float *b,
                  struct rd_err *e);

/* out[image, j] = or += sum over the image's rows of part[image, row, j], in double; out of the activations' type. */
int rd_cuda_image_totals(struct rd_dev *dev, int64_t images, int64_t rows, int64_t cols, const float *part, void *out, int acc,
                         struct rd_err *e);

#endif
