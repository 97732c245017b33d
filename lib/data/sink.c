/* A stream of frames being written. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/data/batch.h"

struct rd_sink {
	struct rd_out *out;
	struct rd_frame_writer *w;
	struct rd_stream stream; /* meta: not kept */
};

int rd_sink_open(struct rd_sink **out, const char *path, unsigned flags, const struct rd_stream *s, struct rd_err *e)
{
	struct rd_sink *k;
	int rc;

	*out = NULL;
	k = calloc(1, sizeof *k);
	if (!k)
		return rd_fail(e, RD_ENOMEM, "no memory for a stream");
	k->stream = *s;
	k->stream.meta = NULL;
	rc = rd_out_open(&k->out, path, flags | RD_OUT_BINARY, e);
	if (!rc)
		rc = rd_frame_writer_open(&k->w, k->out, s, e);
	if (rc)
		rd_sink_abort(k);
	else
		*out = k;
	return rc;
}

static size_t sample_bytes(const struct rd_array *a)
{
	return rd_shape_sample_elems(&a->shape) * rd_dtype_bytes(a->dtype);
}

/* The most samples that fit a frame of every field. */
static int fit(const struct rd_sink *k, const struct rd_batch *b, int64_t *step, struct rd_err *e)
{
	*step = b->n;
	for (int i = 0; i < k->stream.n_fields; i++) {
		const size_t one = sample_bytes(&b->f[i]);

		if (one > RD_FRAME_MAX_BYTES)
			return rd_fail(e, RD_ESHAPE, "field '%s': a sample of %zu bytes does not fit a frame of %zu",
			               k->stream.field[i], one, RD_FRAME_MAX_BYTES);
		if (one && *step > (int64_t)(RD_FRAME_MAX_BYTES / one))
			*step = (int64_t)(RD_FRAME_MAX_BYTES / one);
	}
	return RD_OK;
}

/* Samples at .. at+n-1 of the batch. */
static int write_part(struct rd_sink *k, const struct rd_batch *b, int64_t at, int64_t n, struct rd_err *e)
{
	int rc = RD_OK;

	for (int i = 0; !rc && i < k->stream.n_fields; i++) {
		const struct rd_array *a = &b->f[i];
		struct rd_frame f = {
			.i = b->first + (uint64_t)at, .n = (uint64_t)n, .dtype = a->dtype, .shape = a->shape,
			.ref = b->ref[i], .ref_seed = b->ref_seed[i],
		};

		memcpy(f.name, k->stream.field[i], sizeof f.name);
		f.shape.d[0] = n;
		rc = rd_frame_write(k->w, &f, a->data ? (const char *)a->data + (size_t)at * sample_bytes(a) : NULL, e);
	}
	return rc;
}

int rd_sink_write(struct rd_sink *k, const struct rd_batch *b, struct rd_err *e)
{
	int64_t step = 0, n;
	int rc;

	for (int i = 0; i < k->stream.n_fields; i++)
		if (b->n && (b->f[i].shape.nd < 1 || b->f[i].shape.d[0] < b->n || (!b->f[i].data && !b->ref[i])))
			return rd_fail(e, RD_EFAIL, "field '%s' of the batch at %" PRIu64 " is not there", k->stream.field[i],
			               b->first);
	rc = fit(k, b, &step, e);
	for (int64_t at = 0; !rc && at < b->n; at += n) {
		n = b->n - at < step ? b->n - at : step;
		rc = write_part(k, b, at, n, e);
	}
	return rc;
}

int rd_sink_finish(struct rd_sink *k, const json_t *end_meta, struct rd_err *e)
{
	int rc = rd_frame_writer_finish(k->w, end_meta, e);

	k->w = NULL;
	if (!rc) {
		rc = rd_out_finish(k->out, e);
		k->out = NULL;
	}
	rd_sink_abort(k);
	return rc;
}

void rd_sink_abort(struct rd_sink *k)
{
	if (!k)
		return;
	rd_frame_writer_abort(k->w);
	rd_out_abort(k->out);
	free(k);
}
