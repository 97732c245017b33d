/* A stream of frames as an input. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/data/source_impl.h"

struct frames {
	struct rd_input in;
	struct rd_frame_reader *r;
	void *raw; /* a payload of another type than ours */
	size_t raw_room;
};

static int read_raw(struct frames *s, int k, const struct rd_frame *f, struct rd_err *e)
{
	int rc = RD_OK;

	if (f->bytes > s->raw_room) {
		free(s->raw);
		s->raw_room = 0;
		rc = rd_alloc(&s->raw, f->bytes, 1, s->in.name, e);
		s->raw_room = rc ? 0 : f->bytes;
	}
	if (!rc)
		rc = rd_frame_payload(s->r, s->raw, e);
	return rc ? rc : rd_input_convert(&s->in, k, s->raw, f->dtype, e);
}

static int read_field(struct frames *s, int k, const struct rd_frame *f, struct rd_err *e)
{
	struct rd_batch *b = &s->in.batch;
	int rc;

	rc = rd_input_room(&s->in, k, &f->shape, e);
	if (rc)
		return rc;
	b->ref[k] = false;
	if (f->ref && b->f[k].dtype != RD_F32)
		return rd_fail(e, RD_EINPUT, "%s: field '%s' cannot be noise by reference", s->in.name, f->name);
	if (f->ref)
		rd_input_noise(&s->in, k, f->ref_seed);
	else if (f->dtype == b->f[k].dtype)
		rc = rd_frame_payload(s->r, b->f[k].data, e);
	else
		rc = read_raw(s, k, f, e);
	return rc;
}

static int next(struct rd_input *in, struct rd_err *e)
{
	struct frames *s = (struct frames *)in;
	struct rd_frame f;
	int rc;

	for (int k = 0; k < in->stream.n_fields; k++) {
		rc = rd_frame_next(s->r, &f, e);
		if (!rc)
			in->end_meta = json_deep_copy(rd_frame_reader_end_meta(s->r));
		if (rc <= 0)
			return rc;
		in->batch.first = f.i;
		in->batch.n = (int64_t)f.n;
		rc = read_field(s, k, &f, e);
		if (rc)
			return rc;
	}
	return 1;
}

static void release(struct rd_input *in)
{
	struct frames *s = (struct frames *)in;

	rd_frame_reader_close(s->r);
	free(s->raw);
}

int rd_input_frames(struct rd_input **out, struct rd_in *file, struct rd_err *e)
{
	static const struct rd_input_ops ops = {.next = next, .release = release};
	struct frames *s;
	void *p;
	int rc;

	*out = NULL;
	rc = rd_input_new(&p, sizeof *s, &ops, rd_in_name(file), e);
	if (rc) {
		rd_in_close(file);
		return rc;
	}
	s = p;
	rc = rd_frame_reader_open(&s->r, file, e);
	if (rc) {
		rd_input_close(&s->in);
		return rc;
	}
	s->in.stream = *rd_frame_reader_stream(s->r);
	json_incref(s->in.stream.meta);
	*out = &s->in;
	return RD_OK;
}
