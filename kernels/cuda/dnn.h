/* Convolutions by cuDNN. Each of a convolution's three directions has plans, or none where cuDNN is not there or has no
 * engine for it; then the caller does it by matrix products. */
#ifndef RD_KERNELS_CUDA_DNN_H
#define RD_KERNELS_CUDA_DNN_H

#include "kernels/cuda/dev.h"

struct rd_dnn_conv;

extern "C" {
/* *out NULL: built without it. */
int rd_dnn_new(struct rd_dnn **out, struct rd_dev *dev, struct rd_err *e);
void rd_dnn_free(struct rd_dnn *d);
const char *rd_dnn_text(const struct rd_dnn *d); /* "cuDNN 9.13.0", "no cuDNN" */

/* A plan for each of the ways, of enum rd_conv2d_way, unless it is there; where there is none for a bias in the same kernel, one
 * without. Where cuDNN has none the device's note says why. NULL only where there is no memory. Convolutions of the same
 * description share their plans. */
struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, unsigned ways);
void rd_dnn_conv_free(struct rd_dnn_conv *c);
bool rd_dnn_conv_has(const struct rd_dnn_conv *c, enum rd_conv2d_way way); /* c may be NULL */
size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *c, unsigned ways);

/* By a way that it has: x, w and y, or dx, dw and dy in their places, of the activations' type; w: (out_c, kernel, kernel, in_c). dw is
 * written. bias [out_c] f32 with RD_CONV_Y_BIAS, else NULL. */
int rd_dnn_conv_run(struct rd_dev *dev, struct rd_dnn_conv *c, enum rd_conv2d_way way, const void *x, const void *w, const void *y,
                    const float *bias, void *ws, struct rd_err *e);
}

#endif
