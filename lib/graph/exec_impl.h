/* Shared by exec.c (running), plan.c (memory) and ops.c (what each operation is). */
#ifndef RD_LIB_GRAPH_EXEC_IMPL_H
#define RD_LIB_GRAPH_EXEC_IMPL_H

#include "lib/graph/exec.h"

/* How a node's backward delivers the gradient of an operand. */
enum rd_grad_mode {
	RD_GRAD_NONE,  /* nobody wants it */
	RD_GRAD_WRITE,
	RD_GRAD_ACC,
	RD_GRAD_ALIAS  /* the operand's gradient is the output's, in the same buffer: nothing to do */
};

struct rd_exec {
	const struct rd_graph *g;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_exec_opts opts;
	const float *w;
	float *dw;              /* during backward */
	void **val, **grad;     /* [n_values] */
	enum rd_grad_mode (*mode)[3]; /* [n_nodes] */
	bool *in_place;         /* [n_nodes]: the output's buffer is that of the residual or operand */
	void **aux;             /* [n_nodes] */
	struct rd_conv2d **conv; /* [n_nodes] */
	void **packed;          /* [n_nodes] */
	void *arena, *ws;
	void *x_sample, *y_sample, *dx_sample, *dy_sample; /* where the device's samples are no activations */
	size_t bytes;
};

/* One entry per operation. */
struct rd_op_impl {
	const char *name;
	bool keeps[3];   /* operands that backward reads */
	int shares;      /* the operand whose buffer the output may take over when that operand dies here; -1: none */
	int passes;      /* the operand whose gradient is the output's unchanged; -1: none */
	size_t (*aux_bytes)(const struct rd_exec *x, const struct rd_node_op *n); /* NULL: none; kept for backward */
	size_t (*ws_bytes)(const struct rd_exec *x, int i);                       /* NULL: none */
	int (*fwd)(struct rd_exec *x, int i, struct rd_err *e);
	int (*bwd)(struct rd_exec *x, int i, struct rd_err *e);                   /* NULL: no gradient flows through */
};
extern const struct rd_op_impl rd_ops[RD_N_OPS];

/* Fills val, grad, mode, in_place, aux with addresses relative to NULL + 64 and returns the arena's size; exec.c adds the base. */
int rd_plan_memory(struct rd_exec *x, size_t *arena_bytes, struct rd_err *e) RD_MUST;

#endif
