/* Training of a classifier by cross-entropy: AdamW with a warm-up and a cosine rate, and a moving average of the weights.
 *
 * Step s uses images s B .. s B + B - 1 of an endless sequence of shuffled epochs. Order and augmentation are functions of the
 * seed and of that number. */
#ifndef RD_LIB_TRAIN_CLASSIFY_H
#define RD_LIB_TRAIN_CLASSIFY_H

#include "lib/classify/classifier.h"
#include "lib/data/points.h"
#include "lib/train/trainlog.h"

struct rd_classify_opts {
	int64_t steps, batch, warmup;
	double lr, weight_decay, ema;
	int64_t shift; /* an image is moved by up to this many pixels in each direction, its edge repeated */
	bool flip;     /* and mirrored, left to right, every other time */
	uint64_t seed;
};

struct rd_classify;

/* Starts from c's weights. c and data, whose samples and labels must fit it, are borrowed. */
int rd_classify_new(struct rd_classify **out, const struct rd_classifier *c, const struct rd_points *data,
                    const struct rd_backend *be, struct rd_dev *dev, const struct rd_classify_opts *o, struct rd_err *e) RD_MUST;
void rd_classify_free(struct rd_classify *t); /* NULL-safe */

/* One optimiser step. RD_EFAIL where the loss or its gradient is not finite. */
int rd_classify_step(struct rd_classify *t, struct rd_step_report *r, struct rd_err *e) RD_MUST;

/* The loss of a batch [batch, c, h, w] with its labels, mean of -ln softmax(logits)[label], at the weights as they are; its
 * gradient by them stays on the device, and is copied to grad [n_flat] where that is not NULL. */
int rd_classify_loss(struct rd_classify *t, const float *x, const int32_t *label, double *loss, float *grad,
                     struct rd_err *e) RD_MUST;

/* All steps, with a log (lib/train/trainlog.h) where it is not NULL; tick is called after each. */
typedef void (*rd_classify_tick_fn)(int64_t step, const struct rd_step_report *r);
int rd_classify_go(struct rd_classify *t, const struct rd_trainlog_file *log, int64_t log_every, rd_classify_tick_fn tick,
                   struct rd_err *e) RD_MUST;

/* The averaged weights. */
int rd_classify_average(struct rd_classify *t, float *w /* [n_flat] */, struct rd_err *e) RD_MUST;

/* Everything that decides the result, as an object; NULL without memory. */
json_t *rd_classify_describe(const struct rd_classifier *c, const struct rd_points *data, const struct rd_classify_opts *o);

#endif
