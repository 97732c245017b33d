/* Draws batches: which samples, with which labels and noise, at which times. Step s uses images s B .. s B + B - 1 of an endless
 * sequence of shuffled epochs. Everything drawn is a function of the seed and of that number, so a run can be cut and taken up
 * anywhere. */
#ifndef RD_LIB_TRAIN_DRAW_H
#define RD_LIB_TRAIN_DRAW_H

#include "lib/train/objective.h"

struct rd_draw;

/* All borrowed. */
int rd_draw_new(struct rd_draw **out, const struct rd_dataset *d, const struct rd_objective *b, struct rd_err *e) RD_MUST;
void rd_draw_free(struct rd_draw *d);

/* The batch of a step. */
int rd_draw_step(struct rd_draw *d, int64_t step, struct rd_train_batch *b, struct rd_err *e) RD_MUST;

/* Samples first .. first + n - 1 of other data, the same noise and times whenever asked, coupled as in training; beyond its end it
 * begins anew. No label is dropped. */
int rd_draw_held(struct rd_draw *d, const struct rd_dataset *held, int64_t first, struct rd_train_batch *b, struct rd_err *e) RD_MUST;

#endif
