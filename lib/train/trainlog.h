/* The JSON-lines log of a training run: one object a line, appended; taken up again without lines of steps that will be
 * done anew. Each line says which run it is of. */
#ifndef RD_LIB_TRAIN_TRAINLOG_H
#define RD_LIB_TRAIN_TRAINLOG_H

#include <jansson.h>

#include "lib/train/state.h"
#include "lib/train/train.h"

/* Where a run logs. */
struct rd_trainlog_file {
	const char *path;
	bool replace;   /* a log of another run may be replaced; a file of anything else never is */
	char run[17];   /* 16 hex digits of what decides the result */
};
/* run: what decides the result. RD_EUSAGE where path is "-", which no run could go on with. */
int rd_trainlog_file(struct rd_trainlog_file *f, const char *path, bool replace, const json_t *run, struct rd_err *e) RD_MUST;

/* RD_EUSAGE where the log is the file or folder `output`, or lies in it: that is replaced as a whole. */
int rd_trainlog_apart(const struct rd_trainlog_file *f, const char *output, struct rd_err *e) RD_MUST;

/* Whether the log could be opened, whatever step the run goes on from: to be asked before long work. Changes nothing. */
int rd_trainlog_try(const struct rd_trainlog_file *f, struct rd_err *e) RD_MUST;

struct rd_trainlog; /* NULL does nothing */

/* Opens f for a run that goes on after `step` steps: lines of later steps, and a torn last line, are dropped. unlogged: of steps before
 * it, which the first line is of, too. */
int rd_trainlog_open(struct rd_trainlog **out, const struct rd_trainlog_file *f, int64_t step, struct rd_unlogged unlogged,
                     struct rd_err *e) RD_MUST;
struct rd_unlogged rd_trainlog_sum(const struct rd_trainlog *l); /* of the steps since the last line */

/* A step that was done. */
void rd_trainlog_add(struct rd_trainlog *l, const struct rd_step_report *r);
/* {"run":"..","step":..,"loss":..,"grad_norm":..,"lr":..,"seconds":..}, loss and norm averaged over the steps added since the last
 * line, seconds since the log was opened; and "held_out" where it is not NULL. */
int rd_trainlog_write(struct rd_trainlog *l, int64_t step, const double *held_out, struct rd_err *e) RD_MUST;
int rd_trainlog_close(struct rd_trainlog *l, struct rd_err *e) RD_MUST; /* frees */

#endif
