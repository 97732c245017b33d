/* One process at a time works on an output folder. */
#ifndef RD_LIB_TRAIN_OUTLOCK_H
#define RD_LIB_TRAIN_OUTLOCK_H

#include "lib/base/err.h"

struct rd_outlock {
	char *path;
	int fd; /* -1: not held */
};
#define RD_OUTLOCK_NONE ((struct rd_outlock){.fd = -1})

/* Takes OUT.lock; RD_EFAIL where another process has it. Where the file system has no locks, RD_OK and nothing is held. */
int rd_outlock_take(struct rd_outlock *l, const char *out, struct rd_err *e) RD_MUST;
void rd_outlock_drop(struct rd_outlock *l);

#endif
