/* A training run from start or from its checkpoint to a model folder: what rectrain does once its options are read.
 *
 * Beside OUT lie, while a run is under way, OUT.ckpt (lib/train/checkpoint.h) and OUT.lock (held by the running process). A run that
 * was cut anywhere goes on from OUT.ckpt and ends with the bits of an undisturbed one. */
#ifndef RD_LIB_TRAIN_RUN_H
#define RD_LIB_TRAIN_RUN_H

#include "lib/train/train.h"

struct rd_run_opts {
	const char *out;           /* the folder to be made */
	const char *log;           /* JSON lines; NULL: none */
	int64_t checkpoint_every, log_every;
	int64_t snapshot_every;    /* steps between folders OUT.STEP, of the average so far; 0: none */
	int64_t held_out_every;    /* steps between measurements on what is held out */
	bool keep_best;            /* OUT gets the average that did best there, not the last */
	bool replace;              /* an OUT or OUT.STEP of another run, or an OUT that is not what is asked for, may be replaced */
	bool any_machine;          /* go on from a checkpoint of another device, CPU or thread count */
	bool restart;              /* begin anew although a checkpoint is there */
	const char *command;       /* for the model card */
	enum rd_dtype save_as;     /* the weights of OUT and OUT.STEP: RD_F32, RD_F16 or RD_BF16 */
	bool no_raw;               /* without those that are not averaged */
};

/* Called after every step; true asks to stop: the run checkpoints and returns with *stopped. */
typedef bool (*rd_run_tick_fn)(void *ctx, int64_t step, const struct rd_step_report *r);

struct rd_run_result {
	bool already, stopped; /* OUT was there, of this very run; asked to stop before the end */
	int64_t step;
	int64_t best_step;     /* keep_best: whose average OUT has; 0: none was measured */
	double best_loss;
};

struct rd_run; /* opened, not yet under way */

/* Takes the lock, removes what a killed run left, looks for OUT and its checkpoint, makes the trainer. m (with weights), d
 * and held (NULL: nothing is held out) are borrowed. */
int rd_run_open(struct rd_run **out, const struct rd_model *m, const struct rd_dataset *d, const struct rd_dataset *held,
                const struct rd_backend *be, struct rd_dev *dev, const struct rd_train_opts *t, const struct rd_run_opts *o, struct rd_err *e) RD_MUST;
void rd_run_close(struct rd_run *r);

/* Whether the weights of m are read from now on; else they may be released. */
bool rd_run_reads_model(const struct rd_run *r);

/* What it is going to do: already complete or not, the step it goes on from, bytes of device memory and of each file. */
struct rd_run_plan {
	bool already;
	int64_t adapter_params; /* that are trained in place of the model's own; 0: these are */
	bool unlocked; /* the file system of OUT has no locks: that another process works on it would not be noticed */
	int64_t from_step;
	size_t device_bytes, model_bytes, checkpoint_bytes;
	size_t contexts_bytes; /* which OUT has beside model_bytes, and all snapshots together once more */
	double step_seconds; /* of some rehearsals; 0 where there are no more steps */
	double held_seconds; /* of all measurements that are to come, of which a batch takes about a third of a step */
};
/* Rehearses some steps within about a second, to measure well 20; a long one is done once. */
int rd_run_plan(struct rd_run *r, bool measure_well, struct rd_run_plan *p, struct rd_err *e) RD_MUST;

int rd_run_go(struct rd_run *r, rd_run_tick_fn tick, void *ctx, struct rd_run_result *res, struct rd_err *e) RD_MUST;

#endif
