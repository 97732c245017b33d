#include "lib/train/epochs.h"

#include <stdlib.h>

#include "kernels/rng.h"
#include "lib/base/size.h"

int rd_epochs_init(struct rd_epochs *s, uint64_t seed, int64_t n, struct rd_err *e)
{
	void *p;
	int rc;

	*s = (struct rd_epochs){.seed = seed, .n = (uint64_t)n, .epoch = -1};
	if (n > UINT32_MAX)
		return rd_fail(e, RD_EUSAGE, "training data: more than 2^32 samples");
	rc = rd_alloc(&p, (size_t)n, sizeof *s->order, "order of samples", e);
	s->order = rc ? NULL : p;
	return rc;
}

void rd_epochs_free(struct rd_epochs *s)
{
	free(s->order);
	s->order = NULL;
}

size_t rd_epochs_pick(struct rd_epochs *s, uint64_t i)
{
	int64_t epoch = (int64_t)(i / s->n);

	if (epoch != s->epoch) {
		rd_rng_permutation(s->seed, RD_RNG_SHUFFLE, (uint64_t)epoch, s->order, s->n);
		s->epoch = epoch;
	}
	return s->order[i % s->n];
}
