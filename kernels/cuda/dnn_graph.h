/* Graphs of cuDNN's backend API, and execution plans of them. Engines whose sums depend on the order of arrival or are less than f32
 * are passed over, in f32 those that round operands or transform them, and in tf32 and bf16 those without tensor cores. */
#ifndef RD_KERNELS_CUDA_DNN_GRAPH_H
#define RD_KERNELS_CUDA_DNN_GRAPH_H

#ifdef RD_CUDNN
#include <cudnn.h>
#include <stdio.h>

#include "kernels/cuda/dnn.h"

/* Heuristics name the fastest first; what sums in one order alone, or rounds nothing, may come late. */
enum { RD_DNN_MAX_CONFIGS = 48, RD_DNN_MAX_DESCS = RD_DNN_MAX_CONFIGS + 2, RD_DNN_MAX_OPS = 3 };

/* Descriptors that go together; after the first error nothing more is done. */
struct rd_dnn_graph {
	cudnnStatus_t status;
	cudnnBackendDescriptor_t d[RD_DNN_MAX_DESCS];
	int n;
	cudnnBackendDescriptor_t ops[RD_DNN_MAX_OPS];
	int n_ops;
};

cudnnBackendDescriptor_t rd_dnn_make(struct rd_dnn_graph *g, cudnnBackendDescriptorType_t type);
void rd_dnn_set(struct rd_dnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t n, const void *value);
void rd_dnn_set_desc(struct rd_dnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                     cudnnBackendDescriptor_t value);
void rd_dnn_finish(struct rd_dnn_graph *g, cudnnBackendDescriptor_t d);
/* An operation, finished. */
void rd_dnn_add_op(struct rd_dnn_graph *g, cudnnBackendDescriptor_t op);
void rd_dnn_drop(struct rd_dnn_graph *g);

/* In device memory; inside a kernel; a number of the host's, read when the plan is run. */
enum rd_dnn_where { RD_DNN_MEMORY, RD_DNN_INSIDE, RD_DNN_BY_VALUE };
/* uid: by which an execution finds its pointer. */
cudnnBackendDescriptor_t rd_dnn_tensor(struct rd_dnn_graph *g, int64_t uid, cudnnDataType_t type, const int64_t dims[4],
                                       const int64_t strides[4], enum rd_dnn_where where);

/* Why configurations are passed over: the order of their sums, sums in less than f32, operands in less than their type or
 * transformed, plain arithmetic where the precision has tensor cores; or the library makes no plan of them, or one whose work space is
 * too large. */
enum rd_dnn_reason { RD_DNN_ORDER, RD_DNN_SUMS, RD_DNN_OPERANDS, RD_DNN_PLAIN, RD_DNN_NO_PLAN, RD_DNN_N_REASONS };

enum rd_dnn_refused { RD_DNN_NOTHING, RD_DNN_GRAPH, RD_DNN_HEURISTICS, RD_DNN_PLAN };

struct rd_dnn_plan {
	cudnnBackendDescriptor_t plan; /* NULL: cuDNN has no engine for it */
	cudnnBackendDescriptor_t config; /* which the plan was made of, and may point to */
	size_t ws_bytes;
	/* how it was chosen */
	int64_t engine; /* cuDNN's number */
	char mode;      /* of the heuristics: A, B, or F, fallback */
	bool tensor_core, transforms;
	bool compiled; /* just now: that takes a second */
	int passed_over[RD_DNN_N_REASONS];
	/* what the library refused first, of what came nearest to a plan */
	enum rd_dnn_refused refused;
	cudnnStatus_t status;
	char text[256]; /* its own words, without quotation marks; "" */
};

/* Whom plans are for: a handle's device, or one that is not there, by its description (cuDNN 9.8 or later). */
struct rd_dnn_target {
	cudnnHandle_t handle;
	cudnnBackendDescriptor_t device; /* where handle is NULL */
};

/* g holds the operations, or why there are none; it is dropped. */
void rd_dnn_plan_make(struct rd_dnn_plan *p, const struct rd_dnn_target *t, struct rd_dnn_graph *g, enum rd_precision precision);
void rd_dnn_plan_free(struct rd_dnn_plan *p);
cudnnStatus_t rd_dnn_plan_run(const struct rd_dnn_plan *p, cudnnHandle_t h, int n, const int64_t *uids, const void *const *pointers,
                              void *ws);

/* A line: the engine, or why there is none. */
void rd_dnn_tell(FILE *f, const char *name, const struct rd_dnn_plan *p);

/* The operations of a convolution, of attention; they need no device. */
void rd_dnn_conv_graph(struct rd_dnn_graph *g, const struct rd_conv2d_desc *d, enum rd_precision precision, enum rd_dnn_kind kind);
void rd_dnn_attention_graph(struct rd_dnn_graph *g, const struct rd_attention_desc *p, bool stats);
/* What they are, for people. */
enum { RD_DNN_NAME = 160 };
void rd_dnn_conv_name(char *to, size_t n, const struct rd_conv2d_desc *d, enum rd_dnn_kind kind);
void rd_dnn_attention_name(char *to, size_t n, const struct rd_attention_desc *p, bool stats);

/* A plan that the device keeps. */
struct rd_dnn_entry {
	struct rd_dnn_entry *next;
	char name[RD_DNN_NAME];
	struct rd_dnn_plan plan;
};

struct rd_dnn {
	cudnnHandle_t handle;
	struct rd_dnn_entry *entries; /* in the order of their making */
	struct rd_dnn_conv *convs;
	struct rd_dnn_attention *attentions;
	char text[48];
	char *engines; /* as last told */
};

/* g's plan, which may have no engine; NULL where there is no memory. wanted: that is worth a note. g is dropped. */
struct rd_dnn_entry *rd_dnn_entry_new(struct rd_dev *dev, struct rd_dnn_graph *g, bool wanted, const char *name);
void rd_dnn_convs_free(struct rd_dnn_conv *c);
void rd_dnn_attentions_free(struct rd_dnn_attention *a);
#endif

#endif
