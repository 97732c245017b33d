/* Runs a graph on a device: plans memory from lifetimes, owns activations, gradients of activations, and the packed
 * weights of convolutions; runs forward, and backward for training. No allocation after rd_exec_new. */
#ifndef RD_LIB_GRAPH_EXEC_H
#define RD_LIB_GRAPH_EXEC_H

#include "lib/graph/graph.h"

struct rd_exec;

struct rd_exec_opts {
	bool training;
	bool input_grad; /* training: the gradient by x as well */
	bool recompute;  /* training: hold the ends of blocks alone, and compute what lies between once more on the way back */
	uint64_t seed;   /* training: of dropout's masks */
	bool vjp;        /* not training, but the gradient by x alone: backward as often as one likes after a forward, no dropout */
};

/* g is borrowed and must outlive the executor. */
int rd_exec_new(struct rd_exec **out, const struct rd_graph *g, const struct rd_backend *be, struct rd_dev *dev,
                struct rd_exec_opts o, struct rd_err *e) RD_MUST;
void rd_exec_free(struct rd_exec *x);
size_t rd_exec_bytes(const struct rd_exec *x); /* device memory held */

/* Points the executor at the flat parameters (device, n_flat floats, borrowed) and packs them; to be called again
 * whenever their values have changed. */
int rd_exec_load(struct rd_exec *x, const float *params, struct rd_err *e) RD_MUST;
/* The same where none have changed since but those that are trained. */
int rd_exec_reload(struct rd_exec *x, struct rd_err *e) RD_MUST;

/* Device buffers: of an input (to be filled before every forward: inference may use its memory for something else once it
 * has been read) or the output; and the gradient by the output (filled before
 * backward) or by x (there after it). These are samples, see kernels.h; raw values are n 32-bit words. */
void *rd_exec_value(struct rd_exec *x, rd_ref v);
void *rd_exec_grad(struct rd_exec *x, rd_ref v);

/* The graph's times t, [batch] on the host, as its input wants them: numbers, numbers above 0, or whole numbers below a
 * bound. RD_EDOMAIN where a time is none of these. */
int rd_exec_put_times(struct rd_exec *x, const float *t, struct rd_err *e) RD_MUST;

/* What a conditional graph is given in `label`; nothing is done where a graph has none. Labels [batch] become an index
 * (RD_EINPUT beyond its rows), a number or the rows of the graph's contexts (RD_EINPUT beyond them); vectors [batch, c, h, w] are
 * for a graph whose label is no raw value. RD_EUSAGE for one where the other is wanted. */
int rd_exec_put_labels(struct rd_exec *x, const int32_t *label, struct rd_err *e) RD_MUST;
/* What put_labels would give the graph, into another buffer of the device of so many bytes; and from there to the graph, as often as
 * one likes. */
size_t rd_exec_condition_bytes(const struct rd_exec *x);
int rd_exec_condition(struct rd_exec *x, const int32_t *label, void *to, struct rd_err *e) RD_MUST;
int rd_exec_put_condition(struct rd_exec *x, const void *from, struct rd_err *e) RD_MUST;
int rd_exec_put_vectors(struct rd_exec *x, const float *v, struct rd_err *e) RD_MUST;

/* Dropout in training draws the masks of images number first, first + 1, ... until told otherwise; 0 at the beginning. */
int rd_exec_set_draw(struct rd_exec *x, uint64_t first, struct rd_err *e) RD_MUST;

int rd_exec_forward(struct rd_exec *x, struct rd_err *e) RD_MUST;

/* Adds the gradients of what is trained to grads (device, n_trained floats; NULL under vjp). */
int rd_exec_backward(struct rd_exec *x, float *grads, struct rd_err *e) RD_MUST;

#endif
