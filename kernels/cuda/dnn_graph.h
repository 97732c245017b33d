/* A convolution as a graph of cuDNN's backend API, and its execution plan. */
#ifndef RD_KERNELS_CUDA_DNN_GRAPH_H
#define RD_KERNELS_CUDA_DNN_GRAPH_H

#ifdef RD_CUDNN
#include <cudnn.h>

#include "kernels/cuda/dnn.h"

/* The ways of a convolution, a kind for each bit of enum rd_conv2d_way. acc: the result is added to; bias: forward with a bias of f32
 * in the same kernel. */
enum rd_dnn_op { RD_DNN_FWD, RD_DNN_BWD_DATA, RD_DNN_BWD_WEIGHTS };
enum { RD_DNN_N_KINDS = 6 };
struct rd_dnn_kind {
	const char *name;
	enum rd_dnn_op op;
	int acc, bias;
};
extern const struct rd_dnn_kind rd_dnn_kinds[RD_DNN_N_KINDS];

/* Why configurations are passed over: the order of their sums, sums in less than f32, operands in less than their type or
 * transformed, plain arithmetic where the precision has tensor cores; or the library makes no plan of them, or one whose work space is
 * too large. */
enum rd_dnn_reason { RD_DNN_ORDER, RD_DNN_SUMS, RD_DNN_OPERANDS, RD_DNN_PLAIN, RD_DNN_NO_PLAN, RD_DNN_N_REASONS };

enum rd_dnn_refused { RD_DNN_NOTHING, RD_DNN_GRAPH, RD_DNN_HEURISTICS, RD_DNN_PLAN };

struct rd_dnn_plan {
	cudnnBackendDescriptor_t plan; /* NULL: cuDNN has no engine for it */
	cudnnBackendDescriptor_t config; /* which the plan was made of, and may point to */
	size_t ws_bytes;
	bool bias;
	/* how it was chosen */
	int64_t engine; /* cuDNN's number */
	char mode;      /* of the heuristics: A, B, or F, fallback */
	bool tensor_core, transforms;
	int passed_over[RD_DNN_N_REASONS];
	/* what the library refused first, of what came nearest to a plan */
	enum rd_dnn_refused refused;
	cudnnStatus_t status;
	char text[256]; /* its own words, without quotation marks; "" */
};

void rd_dnn_plan_make(struct rd_dnn_plan *p, cudnnHandle_t h, const struct rd_conv2d_desc *d, enum rd_precision precision,
                      const struct rd_dnn_kind *k);
void rd_dnn_plan_free(struct rd_dnn_plan *p);
/* x, w and y (or dx, dw and dy in their places). */
cudnnStatus_t rd_dnn_plan_run(const struct rd_dnn_plan *p, cudnnHandle_t h, const void *x, const void *w, const void *y,
                              const void *bias, void *ws);

/* For tests where there is no device: whether the library takes the operations of these graphs. */
extern "C" int rd_dnn_try(const struct rd_conv2d_desc *d, enum rd_precision precision, struct rd_err *e);
#endif

#endif
