#include "lib/train/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

int rd_train_state_init(struct rd_train_state *s, size_t n, struct rd_err *e)
{
	void *p;
	int rc;

	memset(s, 0, sizeof *s);
	rc = rd_alloc0(&p, 4 * n, sizeof *s->w, "training state", e);
	if (rc)
		return rc;
	s->n = n;
	s->own = s->w = p;
	s->m = s->w + n;
	s->v = s->m + n;
	s->ema = s->v + n;
	return RD_OK;
}

int rd_train_state_keep_best(struct rd_train_state *s, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc0(&p, s->n, sizeof *s->best, "best weights", e);

	if (rc)
		return rc;
	s->best = p;
	s->best_loss = INFINITY;
	return RD_OK;
}

void rd_train_state_free(struct rd_train_state *s)
{
	if (!s)
		return;
	free(s->own);
	free(s->best);
	memset(s, 0, sizeof *s);
}
