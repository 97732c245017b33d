/* A convolution as a graph of cuDNN's backend API, and its execution plan. */
#ifndef RD_KERNELS_CUDA_DNN_GRAPH_H
#define RD_KERNELS_CUDA_DNN_GRAPH_H

#ifdef RD_CUDNN
#include <cudnn.h>

#include "kernels/cuda/dnn.h"

struct rd_dnn_plan {
	cudnnBackendDescriptor_t plan; /* NULL: cuDNN has no engine for it */
	cudnnBackendDescriptor_t config; /* which the plan was made of, and may point to */
	size_t ws_bytes;
	bool bias;
};

/* acc: the result is added to; bias: forward with a bias of f32 in the same kernel. */
void rd_dnn_plan_make(struct rd_dnn_plan *p, cudnnHandle_t h, const struct rd_conv2d_desc *d, enum rd_precision precision,
                      enum rd_dnn_way way, int acc, int bias);
void rd_dnn_plan_free(struct rd_dnn_plan *p);
/* x, w and y (or dx, dw and dy in their places). */
cudnnStatus_t rd_dnn_plan_run(const struct rd_dnn_plan *p, cudnnHandle_t h, const void *x, const void *w, const void *y,
                              const void *bias, void *ws);

/* For tests where there is no device: whether the library takes the operations of these graphs. */
extern "C" int rd_dnn_try(const struct rd_conv2d_desc *d, enum rd_precision precision, struct rd_err *e);
#endif

#endif
