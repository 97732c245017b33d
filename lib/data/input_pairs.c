/* A pairs archive as an input: fields noise, sample and what else the first chunk has. */
#include <string.h>

#include "formats/pairs.h"
#include "lib/data/source_impl.h"

struct pairs {
	struct rd_input in;
	struct rd_pairs_reader *r;
	bool pending; /* the first chunk, read to learn of shapes and labels, is in in.batch */
	bool has[RD_PAIRS_EXTRAS]; /* every chunk, as the first */
};

/* The chunk's arrays become the batch's. */
static int take_chunk(struct pairs *s, struct rd_pairs_chunk *c, struct rd_err *e)
{
	struct rd_batch *b = &s->in.batch;

	rd_batch_free(b);
	b->first = c->first;
	b->n = c->n;
	b->f[1] = c->sample;
	for (int k = 0, f = 2; k < RD_PAIRS_EXTRAS; k++)
		if (c->has[k]) {
			s->has[k] = true;
			b->f[f++] = c->extra[k];
		}
	if (!c->noise_ref) {
		b->f[0] = c->noise;
		return RD_OK;
	}
	if (rd_array_init(&b->f[0], RD_F32, &c->noise.shape, 0, e))
		return rd_context(e, "%s: noise", s->in.name);
	rd_input_noise(&s->in, 0, c->noise_seed);
	return RD_OK;
}

static int read_chunk(struct pairs *s, struct rd_err *e)
{
	struct rd_pairs_chunk c;
	int rc;

	rc = rd_pairs_next(s->r, &c, e);
	if (!rc)
		s->in.counts_rejected = rd_pairs_reader_rejected(s->r, &s->in.rejected);
	if (rc <= 0)
		return rc;
	return take_chunk(s, &c, e) ? e->code : 1;
}

static int next(struct rd_input *in, struct rd_err *e)
{
	struct pairs *s = (struct pairs *)in;

	if (s->pending) {
		s->pending = false;
		return 1;
	}
	return read_chunk(s, e);
}

static void release(struct rd_input *in)
{
	struct pairs *s = (struct pairs *)in;

	rd_pairs_reader_close(s->r);
}

static int describe(struct pairs *s, struct rd_err *e)
{
	const struct rd_batch *b = &s->in.batch;
	int rc;

	rd_stream_init(&s->in.stream, "pairs", json_incref((json_t *)rd_pairs_reader_meta(s->r)));
	rc = rd_stream_add(&s->in.stream, "noise", e);
	if (!rc)
		rc = rd_stream_add(&s->in.stream, "sample", e);
	for (int k = 0; k < RD_PAIRS_EXTRAS && !rc; k++)
		if (s->has[k])
			rc = rd_stream_add(&s->in.stream, rd_pairs_extra_names[k], e);
	for (int k = 0; s->pending && k < s->in.stream.n_fields; k++)
		s->in.sample[k] = rd_shape_make(b->f[k].shape.nd - 1, b->f[k].shape.d + 1);
	return rc;
}

int rd_input_pairs(struct rd_input **out, struct rd_in *file, struct rd_err *e)
{
	static const struct rd_input_ops ops = {.next = next, .release = release};
	struct pairs *s;
	void *p;
	int rc;

	*out = NULL;
	rc = rd_input_new(&p, sizeof *s, &ops, rd_in_name(file), e);
	if (rc) {
		rd_in_close(file);
		return rc;
	}
	s = p;
	rc = rd_pairs_reader_open(&s->r, file, e);
	if (!rc)
		rc = read_chunk(s, e);
	if (rc >= 0) {
		s->pending = rc > 0;
		s->in.empty = !s->pending;
		rc = describe(s, e);
	}
	if (rc)
		rd_input_close(&s->in);
	else
		*out = &s->in;
	return rc;
}
