/* Training: Algorithms 2 (independent coupling) and 4 (paired) of arXiv 2410.07303 for any form and prediction type.
 *
 * Step s uses images s B .. s B + B - 1 of an endless sequence of shuffled epochs. Everything drawn (order, time, label
 * dropout, noise of an independent coupling) is a function of the seed and of that number, so a run can be cut and taken up anywhere.
 *
 * The loss is on r = k_t (F - F*), where F is the network's output, F* the output that is exact for (x0, eps), and k_t turns an
 * error of F into one of x0, of epsilon, or of what the model's own prediction type is (lib/model/query.h): mean r^2, or mean sqrt(r^2 + c^2) - c. */
#ifndef RD_LIB_TRAIN_TRAIN_H
#define RD_LIB_TRAIN_TRAIN_H

#include "lib/train/dataset.h"
#include "lib/train/timedist.h"

enum rd_loss_space { RD_SPACE_EPS, RD_SPACE_X0, RD_SPACE_OUTPUT };
extern const char *const rd_loss_names[], *const rd_loss_space_names[], *const rd_rate_names[];

enum rd_rate { RD_RATE_CONSTANT, RD_RATE_COSINE };

struct rd_train_opts {
	int64_t steps, batch, warmup;
	double lr, beta1, beta2, adam_eps, weight_decay, clip /* of the global norm; 0: none */, ema;
	enum rd_rate rate;
	enum rd_loss loss;
	enum rd_loss_space space;
	enum rd_time_sampling times;
	double huber_c;
	double label_drop;   /* probability of the null class in place of a label */
	int64_t null_class;  /* -1: none */
	uint64_t seed;
	bool recompute;      /* less memory, more time, the same result */
};

struct rd_trainer;

/* m (with weights) and d are borrowed. */
int rd_trainer_new(struct rd_trainer **out, const struct rd_model *m, const struct rd_dataset *d,
                   const struct rd_backend *be, struct rd_dev *dev, const struct rd_train_opts *o, struct rd_err *e) RD_MUST;
void rd_trainer_free(struct rd_trainer *t);

struct rd_step_report {
	double loss, grad_norm, lr;
};
/* One optimiser step. RD_EFAIL where the loss or the gradient is not finite: where the gradient is not, nothing was updated. */
int rd_trainer_step(struct rd_trainer *t, struct rd_step_report *r, struct rd_err *e) RD_MUST;

/* Forward and backward of the coming step without an update, for measuring: the state is as before. */
int rd_trainer_rehearse(struct rd_trainer *t, struct rd_err *e) RD_MUST;

int64_t rd_trainer_done(const struct rd_trainer *t); /* steps done */
size_t rd_trainer_bytes(const struct rd_trainer *t); /* device memory of network and optimiser */

/* The state that a checkpoint keeps: four flat host arrays of n floats. get copies out, set copies in. */
struct rd_train_state {
	int64_t step;
	size_t n;
	float *w, *m, *v, *ema;
};
int rd_train_state_init(struct rd_train_state *s, size_t n, struct rd_err *e) RD_MUST;
void rd_train_state_free(struct rd_train_state *s);
int rd_trainer_get(struct rd_trainer *t, struct rd_train_state *s, struct rd_err *e) RD_MUST;
int rd_trainer_set(struct rd_trainer *t, const struct rd_train_state *s, struct rd_err *e) RD_MUST;

/* Everything that decides the result, as an object: options, data, weights started from. */
json_t *rd_train_describe(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o);

#endif
