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

enum rd_dnn_way { RD_DNN_FWD, RD_DNN_BWD_DATA, RD_DNN_BWD_WEIGHTS };

/* NULL where there is nothing to be had. Convolutions of the same description share their plans. */
struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, int training);
void rd_dnn_conv_free(struct rd_dnn_conv *c);
/* c may be NULL. acc: adding to the result; weights' gradients are only written. */
bool rd_dnn_conv_has(const struct rd_dnn_conv *c, enum rd_dnn_way way, int acc);
size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *c);

/* The first call with a bias and without acc makes one more plan: RD_EDEVICE while recording.
 * w: (out_c, kernel, kernel, in_c) of the activations' type. y = conv(x, w) + bias, or y +=; bias [out_c] f32 or NULL. */
int rd_dnn_conv_fwd(struct rd_dev *dev, struct rd_dnn_conv *c, const void *w, const float *bias, const void *x, void *y,
                    int acc, void *ws, struct rd_err *e);
int rd_dnn_conv_bwd_data(struct rd_dev *dev, struct rd_dnn_conv *c, const void *w, const void *dy, void *dx, int acc,
                         void *ws, struct rd_err *e);
/* dw, of w's layout and type, is written. */
int rd_dnn_conv_bwd_weights(struct rd_dev *dev, struct rd_dnn_conv *c, const void *x, const void *dy, void *dw, void *ws,
                            struct rd_err *e);
}

#endif
