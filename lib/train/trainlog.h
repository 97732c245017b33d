/* The JSON-lines log of a training run: one object a line, appended; taken up again without lines of steps that will be
 * done anew. */
#ifndef RD_LIB_TRAIN_TRAINLOG_H
#define RD_LIB_TRAIN_TRAINLOG_H

#include "lib/train/train.h"

struct rd_trainlog; /* NULL does nothing */

/* Opens path for a run that goes on after `step` steps: lines of later steps, and a torn last line, are dropped. */
int rd_trainlog_open(struct rd_trainlog **out, const char *path, int64_t step, struct rd_err *e) RD_MUST;

/* A step that was done. */
void rd_trainlog_add(struct rd_trainlog *l, const struct rd_step_report *r);
/* {"step":..,"loss":..,"grad_norm":..,"lr":..,"seconds":..}, loss and norm averaged over the steps added since the last line,
 * seconds since the log was opened; and "held_out" where it is not NULL. */
int rd_trainlog_write(struct rd_trainlog *l, int64_t step, const double *held_out, struct rd_err *e) RD_MUST;
int rd_trainlog_close(struct rd_trainlog *l, struct rd_err *e) RD_MUST; /* frees */

#endif
