#include "lib/graph/routine.h"

static int record(struct rd_routine *r, int (*f)(void *ctx, struct rd_err *e), void *ctx, struct rd_err *e)
{
	int rc = r->be->record_begin(r->dev, e);

	if (rc)
		return rc;
	rc = f(ctx, e);
	if (rc)
		r->be->replay_free(r->dev, NULL); /* nothing stays half recorded */
	return rc ? rc : r->be->record_end(r->dev, &r->replay, e);
}

int rd_routine_run(struct rd_routine *r, int (*f)(void *ctx, struct rd_err *e), void *ctx, struct rd_err *e)
{
	int rc = 0;

	if (!r->warm || !r->be->record_begin) {
		r->warm = true;
		return f(ctx, e);
	}
	if (!r->replay)
		rc = record(r, f, ctx, e);
	return rc ? rc : r->be->replay(r->dev, r->replay, e);
}

void rd_routine_free(struct rd_routine *r)
{
	if (r->replay)
		r->be->replay_free(r->dev, r->replay);
	r->replay = NULL;
	r->warm = false;
}
