#include "lib/graph/routine.h"

static int record(struct rd_routine *r, int (*f)(void *ctx, struct rd_err *e), void *ctx, struct rd_err *e)
{
	int rc = r->be->record_begin(r->dev, e);

	if (!rc)
		rc = f(ctx, e);
	return rc ? rc : r->be->record_end(r->dev, &r->replay, e);
}

static void drop_replay(struct rd_routine *r)
{
	if (r->replay)
		r->be->replay_free(r->dev, r->replay);
	r->replay = NULL;
}

int rd_routine_run(struct rd_routine *r, int (*f)(void *ctx, struct rd_err *e), void *ctx, struct rd_err *e)
{
	if (r->warm && !r->plain && r->be->record_begin) {
		if ((r->replay || !record(r, f, ctx, e)) && !r->be->replay(r->dev, r->replay, e))
			return RD_OK;
		r->be->record_drop(r->dev, e); /* an error of f's own, or of the device, comes again below */
		drop_replay(r);
		r->plain = true;
	}
	r->warm = true;
	return f(ctx, e);
}

void rd_routine_free(struct rd_routine *r)
{
	drop_replay(r);
	r->warm = r->plain = false;
}
