/* A training run's state in one file, written whole or not at all: a safetensors file with the flat arrays w, m, v, ema and,
 * where it is kept, best, and in its metadata the step and the run it belongs to. */
#ifndef RD_LIB_TRAIN_CHECKPOINT_H
#define RD_LIB_TRAIN_CHECKPOINT_H

#include <jansson.h>

#include "lib/train/train.h"

int rd_checkpoint_save(const char *path, const struct rd_train_state *s, const json_t *run, struct rd_err *e) RD_MUST;

/* Into s, which is made for the n of this run: another size is RD_EINPUT. *run, the caller's, is there where the file says which run
 * it is of, even if the rest is not as expected; else NULL. */
int rd_checkpoint_load(const char *path, struct rd_train_state *s, json_t **run, struct rd_err *e) RD_MUST;

/* RD_OK where `have` (recorded in the file called name) and `want` agree in every key but those of the NULL-terminated list
 * ignore; otherwise RD_EFAIL naming the first key that differs and both values. */
int rd_run_same(const json_t *have, const json_t *want, const char *const *ignore, const char *name, struct rd_err *e) RD_MUST;

#endif
