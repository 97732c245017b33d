/* What a batch asks of the network: for every image a time, an input, a target and the loss's weights.
 *
 * The input is in_a A + in_b B and the target on_a A + on_b B for two samples A and B of the image; the loss is on
 * r = k (F - target), where F is the network's output and k turns its error into one of x0, of epsilon, or of what the model's own
 * prediction type is (lib/model/query.h).
 *
 *   plain        A = x0, B = epsilon: of a pair, or independent (Algorithms 4 and 2 of arXiv 2410.07303)
 *   phases       A, B: x0 and epsilon of the first-order path through the ends of the phase that the time is in; the loss in
 *                x0 space is on x at the phase's end
 *   consistency  A = the averaged network's x0 at the node after this one on the teacher's ODE, B = x_t: the target is the
 *                output that says A at x_t (arXiv 2303.01469) */
#ifndef RD_LIB_TRAIN_OBJECTIVE_H
#define RD_LIB_TRAIN_OBJECTIVE_H

#include "lib/train/options.h"
#include "lib/train/phases.h"

/* A batch on the host; all arrays [n] but those of samples. */
struct rd_train_batch {
	int64_t n;
	size_t dim;
	float *x0, *eps; /* [n, dim]; with phases from knots they are the phase's */
	int32_t *label;  /* as the network is to be given them */
	float *t;        /* the network's */
	float *in_a, *in_b, *on_a, *on_b, *k, *weight;
	struct rd_node *node;
	int *part;       /* which phase, or which step of the consistency grid, the node is of */
};
int rd_train_batch_new(struct rd_train_batch *b, int64_t n, size_t dim, struct rd_err *e) RD_MUST;
void rd_train_batch_free(struct rd_train_batch *b);
/* n images of it from number first on: in the same arrays, and not to be freed. */
struct rd_train_batch rd_train_micro_batch(const struct rd_train_batch *b, int64_t first, int64_t n);

struct rd_objective {
	const struct rd_model *m;
	const struct rd_train_opts *o;
	struct rd_timedist times;
	struct rd_phases phases;
	struct rd_grid grid;   /* consistency's; steps = 0: none */
	struct rd_grid within; /* the teacher's steps within phases, phase after phase; steps = 0: none */
};

/* m and o are borrowed; data_meta: of pairs, where their knots are. RD_EDOMAIN where the prediction type says nothing at the
 * schedule's noisy end. */
int rd_objective_init(struct rd_objective *b, const struct rd_model *m, const struct rd_train_opts *o, const json_t *data_meta,
                      struct rd_err *e) RD_MUST;
void rd_objective_free(struct rd_objective *b);

/* Image j of the batch gets the time that a uniform v stands for, and its coefficients. */
int rd_objective_set(const struct rd_objective *b, double v, struct rd_train_batch *batch, int64_t j, struct rd_err *e) RD_MUST;

#endif
