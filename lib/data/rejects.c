#include "lib/data/rejects.h"

#include <stdlib.h>

#include "lib/data/joined.h"

struct rd_rejects {
	struct rd_sink *sink;
	int n_fields, from[2]; /* fields of the pairs */
};

/* What was said of all the pairs. */
static void drop_stale(json_t *meta, const void *ctx)
{
	static const char *const stale[] = {"first", "count", "max_error"};

	(void)ctx;
	for (size_t i = 0; i < sizeof stale / sizeof *stale; i++)
		json_object_del(meta, stale[i]);
}

static int describe(struct rd_rejects *r, struct rd_stream *out, const struct rd_stream *s, struct rd_err *e)
{
	enum rd_joined_true reverse = RD_JOINED_NONE;
	const char *fields[] = {"noise", "label"};
	json_t *meta;
	int rc = rd_joined_each(&meta, s->meta, drop_stale, NULL, e);

	if (!rc)
		rc = rd_joined_true(&reverse, s->meta, "reverse", e);
	rd_stream_init(out, reverse == RD_JOINED_ALL ? "data" : "noise", meta);
	if (!rc && reverse == RD_JOINED_SOME)
		rc = rd_fail(e, RD_EINPUT, "some pairs were made in reverse (reverse) and others not: what is left out of them (--rejects) "
		             "is no one stream; pack them one by one");
	if (reverse == RD_JOINED_ALL)
		fields[0] = "sample";
	for (int k = 0; k < 2 && !rc; k++) {
		r->from[r->n_fields] = rd_stream_field(s, fields[k]);
		if (r->from[r->n_fields] < 0)
			continue;
		rc = rd_stream_add(out, fields[k], e);
		r->n_fields++;
	}
	return rc;
}

int rd_rejects_open(struct rd_rejects **out, const char *path, unsigned flags, const struct rd_stream *s, struct rd_err *e)
{
	struct rd_rejects *r = calloc(1, sizeof *r);
	struct rd_stream stream;
	int rc;

	*out = NULL;
	if (!r)
		return rd_fail(e, RD_ENOMEM, "no memory for what is left out");
	rc = describe(r, &stream, s, e);
	if (!rc)
		rc = rd_sink_open(&r->sink, path, flags, &stream, e);
	rd_stream_free(&stream);
	if (rc)
		rd_rejects_abort(r);
	else
		*out = r;
	return rc;
}

int rd_rejects_add(struct rd_rejects *r, const struct rd_batch *b, int64_t at, int64_t n, struct rd_err *e)
{
	struct rd_batch v = {.first = b->first + (uint64_t)at, .n = n};

	for (int k = 0; k < r->n_fields; k++) {
		const struct rd_array *a = &b->f[r->from[k]];

		v.f[k] = *a;
		v.f[k].data = (char *)a->data + (size_t)at * rd_shape_sample_elems(&a->shape) * rd_dtype_bytes(a->dtype);
		v.f[k].shape.d[0] = n;
		v.ref[k] = b->ref[r->from[k]];
		v.ref_seed[k] = b->ref_seed[r->from[k]];
	}
	return rd_sink_write(r->sink, &v, e);
}

int rd_rejects_finish(struct rd_rejects *r, struct rd_err *e)
{
	int rc = rd_sink_finish(r->sink, NULL, e);

	r->sink = NULL;
	rd_rejects_abort(r);
	return rc;
}

void rd_rejects_abort(struct rd_rejects *r)
{
	if (!r)
		return;
	if (r->sink)
		rd_sink_abort(r->sink);
	free(r);
}
