#include "lib/data/points.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

static int grow(struct rd_points *p, int64_t *room, int64_t n, struct rd_err *e)
{
	size_t bytes;
	void *more;

	if (n <= *room)
		return RD_OK;
	n = n < *room * 2 ? *room * 2 : n;
	if (!rd_mul((size_t)n, p->d, &bytes) || !rd_mul(bytes, sizeof *p->x, &bytes))
		return rd_fail(e, RD_ENOMEM, "%" PRId64 " samples of %zu numbers overflow a size", n, p->d);
	more = realloc(p->x, bytes);
	if (!more)
		return rd_fail(e, RD_ENOMEM, "no memory for %" PRId64 " samples of %zu numbers", n, p->d);
	p->x = more;
	*room = n;
	return RD_OK;
}

static int append(struct rd_points *p, int64_t *room, const struct rd_batch *b, int k, struct rd_err *e)
{
	const struct rd_array *a = &b->f[k];
	const size_t elems = (size_t)b->n * rd_shape_sample_elems(&a->shape);
	const float *x = a->data;

	if (a->dtype != RD_F32)
		return rd_fail(e, RD_EINPUT, "labels are no points of a space");
	if (!p->n) {
		p->sample = rd_shape_make(a->shape.nd - 1, a->shape.d + 1);
		p->d = rd_shape_sample_elems(&a->shape);
	}
	for (size_t i = 0; i < elems; i++)
		if (!isfinite(x[i]))
			return rd_fail(e, RD_EINPUT, "sample %" PRIu64 " is not finite", b->first + i / p->d);
	if (grow(p, room, p->n + b->n, e))
		return e->code;
	memcpy(p->x + (size_t)p->n * p->d, x, elems * sizeof *x);
	p->n += b->n;
	return RD_OK;
}

static int load(struct rd_points *p, struct rd_source *s, const char *field, struct rd_err *e)
{
	const int k = rd_stream_field(rd_source_stream(s), field);
	const struct rd_batch *b;
	int64_t room = 0;
	int rc;

	if (k < 0)
		return rd_fail(e, RD_EINPUT, "%s: has no field '%s' (role %s)", rd_source_name(s), field,
		               rd_source_stream(s)->role);
	while ((rc = rd_source_next(s, &b, e)) > 0) {
		rc = append(p, &room, b, k, e);
		if (rc)
			return rd_context(e, "%s", rd_source_name(s));
	}
	return rc;
}

int rd_points_load(struct rd_points *p, const char *path, const char *field, struct rd_err *e)
{
	struct rd_source *s;
	int rc;

	memset(p, 0, sizeof *p);
	rc = rd_source_open(&s, &path, 1, NULL, e);
	if (rc)
		return rc;
	rc = load(p, s, field, e);
	rd_source_close(s);
	if (rc)
		rd_points_free(p);
	return rc;
}

void rd_points_free(struct rd_points *p)
{
	if (!p)
		return;
	free(p->x);
	memset(p, 0, sizeof *p);
}
