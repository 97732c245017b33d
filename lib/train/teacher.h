/* What training needs beyond the network that learns: the teacher, that network as it was at the beginning, which walks along its
 * ODE; and for consistency the averaged network, which says where the walk leads. They turn a batch's samples x0 and epsilon into
 * what the objective's A and B are (lib/train/objective.h). */
#ifndef RD_LIB_TRAIN_TEACHER_H
#define RD_LIB_TRAIN_TEACHER_H

#include "lib/train/objective.h"

struct rd_teacher;

/* For batches of exactly that many images. The model's weights are the teacher's. b is borrowed. */
int rd_teacher_new(struct rd_teacher **out, const struct rd_objective *b, const struct rd_backend *be, struct rd_dev *dev,
                   int64_t batch, struct rd_err *e) RD_MUST;
void rd_teacher_free(struct rd_teacher *t);
size_t rd_teacher_bytes(const struct rd_teacher *t); /* device memory */

/* x0 and eps: device samples, replaced. ema (device): the averaged parameters, for consistency.
 * Phases: x_s = alpha_s x0 + sigma_s eps at the noisy end of each image's phase is walked to the other end by DDIM steps.
 * Consistency: x_t likewise by one step to the next node. */
int rd_teacher_prepare(struct rd_teacher *t, const struct rd_train_batch *b, const float *ema, void *x0, void *eps,
                       struct rd_err *e) RD_MUST;

#endif
