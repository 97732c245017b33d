/* What a checkpoint keeps of a training. */
#ifndef RD_LIB_TRAIN_STATE_H
#define RD_LIB_TRAIN_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Sums over steps that no line of the log tells of yet, for its means. */
struct rd_unlogged {
	int64_t steps;
	double loss, grad_norm;
};

/* Four flat host arrays of n floats. A run that keeps the best
 * average has a fifth, which is the run's own business. */
struct rd_train_state {
	int64_t step;
	struct rd_unlogged unlogged;
	size_t n;
	float *w, *m, *v, *ema;
	void *own;         /* what these are in; NULL: they are a trainer's */
	float *best;       /* NULL: not kept */
	double best_loss;  /* held out; INFINITY: not measured yet */
	int64_t best_step;
};
int rd_train_state_init(struct rd_train_state *s, size_t n, struct rd_err *e) RD_MUST;
int rd_train_state_keep_best(struct rd_train_state *s, struct rd_err *e) RD_MUST;
void rd_train_state_free(struct rd_train_state *s);

#endif
