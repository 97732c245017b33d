/* Convolution as a matrix product: images unfolded, gradients folded back. */
#ifndef RD_KERNELS_CUDA_UNFOLD_H
#define RD_KERNELS_CUDA_UNFOLD_H

#include "kernels/cuda/dev.h"

/* n images of the convolution d from number `from` on; their output is oh x ow. */
struct rd_unfold {
	struct rd_conv2d_desc d;
	int64_t from, n, oh, ow;
};

/* cols [n oh ow, kernel^2 c]: what each tap of an output pixel finds in x (all images), 0 outside. */
int rd_unfold_images(struct rd_dev *dev, const struct rd_unfold *u, const void *x, void *cols, struct rd_err *e);
/* dx (all images) = or += the sum over the taps that meet at an input pixel. */
int rd_fold_images(struct rd_dev *dev, const struct rd_unfold *u, const void *cols, void *dx, int acc, struct rd_err *e);

#endif
