/* Training: Algorithms 2 (independent coupling) and 4 (paired) of arXiv 2410.07303 for any form and prediction type, and what
 * lib/train/objective.h has beside them: mean over a batch of weight x loss(k (F - target)). */
#ifndef RD_LIB_TRAIN_TRAIN_H
#define RD_LIB_TRAIN_TRAIN_H

#include "lib/train/options.h"
#include "lib/train/state.h"

struct rd_trainer;

/* m (with weights), d and held are borrowed; held: what is measured with, NULL: nothing. */
int rd_trainer_new(struct rd_trainer **out, const struct rd_model *m, const struct rd_dataset *d, const struct rd_dataset *held,
                   const struct rd_backend *be, struct rd_dev *dev, const struct rd_train_opts *o, struct rd_err *e) RD_MUST;
void rd_trainer_free(struct rd_trainer *t);

struct rd_step_report {
	double loss, grad_norm, lr;
};
/* Whether the model's own weights are read while it trains: for a teacher. Else they may be released. */
bool rd_trainer_reads_model(const struct rd_trainer *t);

/* One optimiser step. RD_EFAIL where the loss or the gradient is not finite: where the gradient is not, nothing was updated. */
int rd_trainer_step(struct rd_trainer *t, struct rd_step_report *r, struct rd_err *e) RD_MUST;

/* The loss of the averaged weights over `held`, without dropout; the same samples, noise and times whenever it is asked. */
int rd_trainer_held_out(struct rd_trainer *t, double *loss, struct rd_err *e) RD_MUST;

/* Forward and backward of the coming step without an update, for measuring: the state is as before. */
int rd_trainer_rehearse(struct rd_trainer *t, struct rd_err *e) RD_MUST;

int64_t rd_trainer_done(const struct rd_trainer *t); /* steps done */
size_t rd_trainer_bytes(const struct rd_trainer *t); /* device memory of networks and optimiser */

/* Room for the state of t: where a device's memory is the host's, t's own arrays, of which get and set are no copies. To be freed before
 * t is. */
int rd_trainer_state(struct rd_trainer *t, struct rd_train_state *s, struct rd_err *e) RD_MUST;

/* The graph whose adapters are trained; NULL: the model's own weights are. */
const struct rd_graph *rd_trainer_adapters(const struct rd_trainer *t);
/* The model's weights with these adapters (n_adapters floats, as a state has them) taken into them; out: host, as many floats as the
 * model's flat array. */
int rd_trainer_merge(struct rd_trainer *t, const float *adapters, float *out, struct rd_err *e) RD_MUST;

/* get copies the state out, set copies it in. */
int rd_trainer_get(struct rd_trainer *t, struct rd_train_state *s, struct rd_err *e) RD_MUST;
int rd_trainer_set(struct rd_trainer *t, const struct rd_train_state *s, struct rd_err *e) RD_MUST;

#endif
