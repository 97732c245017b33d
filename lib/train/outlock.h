/* One process at a time works on an output folder; and what a process that was killed left beside it is removed. */
#ifndef RD_LIB_TRAIN_OUTLOCK_H
#define RD_LIB_TRAIN_OUTLOCK_H

#include "lib/base/err.h"

struct rd_outlock {
	char *path;
	int fd; /* -1: not held */
};
#define RD_OUTLOCK_NONE ((struct rd_outlock){.fd = -1})

/* Takes OUT.lock; RD_EFAIL where another process has it. */
int rd_outlock_take(struct rd_outlock *l, const char *out, struct rd_err *e) RD_MUST;
void rd_outlock_drop(struct rd_outlock *l);

/* Temporary names of an output file (formats/out.c), and of a model folder (formats/out_dir.c). */
void rd_remove_unfinished_file(const char *target);
void rd_remove_unfinished_folder(const char *target);

#endif
