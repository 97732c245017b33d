/* What cuDNN does: convolutions, and forward of attention in bf16. It has plans for them, or none where it is not there or has no
 * engine; then the caller does without. */
#ifndef RD_KERNELS_CUDA_DNN_H
#define RD_KERNELS_CUDA_DNN_H

#include "kernels/cuda/dev.h"

struct rd_dnn_conv;

/* What may be done to a convolution's operands. */
enum rd_dnn_kind {
	RD_DNN_Y,          /* y = conv(x, w) */
	RD_DNN_Y_ACC,      /* y += conv(x, w) */
	RD_DNN_Y_BIAS,     /* y = conv(x, w) + bias */
	RD_DNN_Y_ADD_BIAS, /* y = conv(x, w) + add + bias */
	RD_DNN_DX, RD_DNN_DX_ACC, RD_DNN_DW,
	RD_DNN_N_KINDS
};

/* x, w and y, or dx, dw and dy in their places; w: (out_c, kernel, kernel, in_c); bias [out_c]; add as y, another array; all of the
 * activations' type. */
struct rd_dnn_operands {
	const void *x, *w, *y, *bias, *add;
};

extern "C" {
/* *out NULL: built without it. */
int rd_dnn_new(struct rd_dnn **out, struct rd_dev *dev, struct rd_err *e);
void rd_dnn_free(struct rd_dnn *d);
const char *rd_dnn_text(const struct rd_dnn *d); /* "cuDNN 9.13.0", "no cuDNN" */

/* Plans for the ways, of enum rd_conv2d_way, unless they are there. Where cuDNN has none the device's note says why. NULL only where
 * there is no memory. Convolutions of the same description share their plans; they go with the device. */
struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, unsigned ways);
bool rd_dnn_conv_has(const struct rd_dnn_conv *c, enum rd_dnn_kind kind); /* c may be NULL */
size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *c); /* for any kind that it has */

/* By a kind that it has. */
int rd_dnn_conv_run(struct rd_dev *dev, struct rd_dnn_conv *c, enum rd_dnn_kind kind, const struct rd_dnn_operands *o, void *ws,
                    struct rd_err *e);

/* Makes a plan where one is expected to pay, unless it is there; stats: forward writes statistics. false: there is none. */
bool rd_dnn_attention_plan(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats);
bool rd_dnn_attention_has(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats); /* makes none */
size_t rd_dnn_attention_ws_bytes(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats);
/* As rd_cuda_attention_fwd, where rd_dnn_attention_has. */
int rd_dnn_attention_fwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v, void *o,
                         float *stats, void *ws, struct rd_err *e);
}

#endif
