/* An endless sequence of shuffled epochs: every sample once in each, in an order of its own. */
#ifndef RD_LIB_TRAIN_EPOCHS_H
#define RD_LIB_TRAIN_EPOCHS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_epochs {
	uint64_t seed, n;
	uint32_t *order; /* [n] */
	int64_t epoch;   /* of order; -1: none */
};

/* 0 < n < 2^32 samples: RD_EUSAGE for more. */
int rd_epochs_init(struct rd_epochs *s, uint64_t seed, int64_t n, struct rd_err *e) RD_MUST;
void rd_epochs_free(struct rd_epochs *s);

/* The sample that is number i of the sequence: a function of seed, n and i. */
size_t rd_epochs_pick(struct rd_epochs *s, uint64_t i);

#endif
