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

/* Where a pass finds values: forward, or backward with what it recomputes. Without recomputation the two are the same. */
struct rd_pass {
	void **val;     /* [n_values] */
	void **aux;     /* [n_nodes] */
	bool *in_place; /* [n_nodes]: the output's buffer is that of the residual or operand */
};

struct rd_exec {
	const struct rd_graph *g;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_exec_opts opts;
	const float *w;
	float *dw;              /* during backward */
	struct rd_pass fwd, bwd;
	void **val, **aux;      /* of the pass under way */
	bool *in_place;
	void **grad;            /* [n_values] */
	enum rd_grad_mode (*mode)[3]; /* [n_nodes] */
	int *segment;           /* [n_nodes]: rising; a segment is recomputed, then run backward */
	bool *again;            /* [n_nodes]: to be recomputed */
	struct rd_conv2d **conv; /* [n_nodes]; NULL: the node is none */
	struct rd_conv2d **trained; /* [n_nodes]: conv, but NULL where its parameters are frozen */
	struct rd_conv2d_params *conv_par; /* [n_nodes] */
	void *arena, *ws;
	void *x_sample, *y_sample, *dx_sample, *dy_sample; /* where the device's samples are no activations */
	uint64_t *draw;          /* device: the number of the batch's first image, for dropout; NULL where there is none */
	uint32_t *words;         /* host: [batch], a raw input on its way */
	float *rows, *token, *vector; /* host: a context input on its way, a token of it, vectors; NULL where there is none */
	size_t bytes;
};

/* Whether there is a backward pass. */
static inline bool rd_exec_goes_back(const struct rd_exec *x)
{
	return x->opts.training || x->opts.vjp;
}

/* One entry per operation. */
struct rd_op_impl {
	const char *name;
	bool keeps[3];   /* operands that backward reads, */
	bool for_params; /* all of them for the gradients of parameters alone */
	bool keeps_out;  /* backward reads the output */
	int shares;      /* the operand whose buffer the output may take over when that operand dies here; -1: none */
	int passes;      /* the operand whose gradient is the output's unchanged; -1: none */
	size_t (*aux_bytes)(const struct rd_exec *x, const struct rd_node_op *n); /* NULL: none; kept for backward */
	size_t (*ws_bytes)(const struct rd_exec *x, int i);                       /* NULL: none */
	int (*fwd)(struct rd_exec *x, int i, struct rd_err *e);
	int (*bwd)(struct rd_exec *x, int i, struct rd_err *e);                   /* NULL: no gradient flows through */
};
extern const struct rd_op_impl rd_ops[RD_N_OPS];

/* Whether a node has parameters whose gradients are wanted. */
bool rd_exec_learns(const struct rd_exec *x, const struct rd_node_op *n);

/* Fills fwd, bwd, grad, mode, segment and again, with addresses relative to NULL + 64, and returns the arena's size; exec.c adds
 * the base. */
int rd_plan_memory(struct rd_exec *x, size_t *arena_bytes, struct rd_err *e) RD_MUST;

/* Bytes of a value's buffer. */
size_t rd_value_bytes(const struct rd_exec *x, rd_ref v);

/* Cuts the nodes into about k segments of like size, where few bytes cross the cut. cross: [n_nodes] for its own use. */
void rd_cut_segments(struct rd_exec *x, int k, size_t *cross);

#endif
