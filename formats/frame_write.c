#include "formats/frame_wire.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct rd_frame_writer {
	struct rd_out *o;
	struct rd_stream s; /* meta: not kept */
	struct rd_wire_order order;
	msgpack_sbuffer buf; /* the map being made */
	msgpack_packer pk;
};

static int pack_text(msgpack_packer *pk, const char *s)
{
	int bad = msgpack_pack_str(pk, strlen(s));

	return bad | msgpack_pack_str_body(pk, s, strlen(s));
}

static int pack_u64(msgpack_packer *pk, const char *key, uint64_t v)
{
	int bad = pack_text(pk, key);

	return bad | msgpack_pack_uint64(pk, v);
}

static int pack_pair(msgpack_packer *pk, const char *key, const char *value)
{
	int bad = pack_text(pk, key);

	return bad | pack_text(pk, value);
}

static int no_memory(struct rd_err *e)
{
	return rd_fail(e, RD_ENOMEM, "no memory for the header of a frame");
}

static int put_map(struct rd_frame_writer *w, struct rd_err *e)
{
	if (w->buf.size > RD_WIRE_MAP_MAX)
		return rd_fail(e, RD_EFAIL, "the stream's meta takes %zu bytes, at most %zu are allowed", w->buf.size,
		               RD_WIRE_MAP_MAX);
	return rd_out_write(w->o, w->buf.data, w->buf.size, e);
}

static int write_header(struct rd_frame_writer *w, const json_t *meta, struct rd_err *e)
{
	msgpack_packer *pk = &w->pk;
	int bad, rc = RD_OK;

	bad = msgpack_pack_map(pk, 5) | pack_pair(pk, "magic", RD_WIRE_MAGIC) | pack_u64(pk, "v", RD_WIRE_VERSION) |
	      pack_pair(pk, "role", w->s.role) | pack_text(pk, "fields") |
	      msgpack_pack_array(pk, (size_t)w->s.n_fields);
	for (int i = 0; i < w->s.n_fields; i++)
		bad |= pack_text(pk, w->s.field[i]);
	bad |= pack_text(pk, "meta");
	if (!meta)
		bad |= msgpack_pack_map(pk, 0);
	else
		rc = rd_wire_pack_json(pk, meta, e);
	if (bad)
		return no_memory(e);
	return rc ? rc : put_map(w, e);
}

int rd_frame_writer_open(struct rd_frame_writer **out, struct rd_out *o, const struct rd_stream *s, struct rd_err *e)
{
	struct rd_frame_writer *w;
	int rc;

	*out = NULL;
	rc = rd_wire_check_stream(s, RD_EFAIL, e);
	if (!rc && s->meta && !json_is_object(s->meta))
		rc = rd_fail(e, RD_EFAIL, "meta: an object expected");
	if (rc)
		return rc;
	w = calloc(1, sizeof *w);
	if (!w)
		return rd_fail(e, RD_ENOMEM, "no memory for a frame writer");
	w->o = o;
	w->s = *s;
	w->s.meta = NULL;
	w->order.code = RD_EFAIL;
	msgpack_sbuffer_init(&w->buf);
	msgpack_packer_init(&w->pk, &w->buf, msgpack_sbuffer_write);
	rc = write_header(w, s->meta, e);
	if (rc)
		rd_frame_writer_abort(w);
	else
		*out = w;
	return rc;
}

/* The map of a frame up to its payload. A dimension checked as > 0 goes out as unsigned. */
static int pack_frame(msgpack_packer *pk, const struct rd_frame *f, const void *data)
{
	int bad;

	bad = msgpack_pack_map(pk, f->ref ? 7 : 8);
	bad |= pack_u64(pk, "i", f->i);
	bad |= pack_u64(pk, "n", f->n);
	bad |= pack_pair(pk, "name", f->name);
	bad |= pack_text(pk, "nd") | msgpack_pack_true(pk); /* msgpack-numpy's mark of an array */
	bad |= pack_pair(pk, "type", rd_dtype_name(f->dtype));
	bad |= pack_text(pk, "shape") | msgpack_pack_array(pk, (size_t)f->shape.nd);
	for (int i = 0; i < f->shape.nd; i++)
		bad |= msgpack_pack_uint64(pk, (uint64_t)f->shape.d[i]);
	if (f->ref)
		return bad | pack_text(pk, "ref") | msgpack_pack_map(pk, 1) | pack_u64(pk, "seed", f->ref_seed);
	bad |= pack_u64(pk, "xxh3", XXH3_64bits(data, f->bytes));
	return bad | pack_text(pk, "data") | msgpack_pack_bin(pk, f->bytes);
}

int rd_frame_write(struct rd_frame_writer *w, const struct rd_frame *f, const void *data, struct rd_err *e)
{
	struct rd_frame g = *f;
	int rc;

	rc = rd_wire_check_frame(&w->order, &w->s, &g, e);
	if (rc)
		return rd_context(e, "frame %llu", (unsigned long long)w->order.frames);
	msgpack_sbuffer_clear(&w->buf);
	if (pack_frame(&w->pk, &g, data))
		return no_memory(e);
	rc = put_map(w, e);
	if (!rc && !g.ref)
		rc = rd_out_write(w->o, data, g.bytes, e);
	return rc;
}

static int write_end(struct rd_frame_writer *w, const json_t *end_meta, struct rd_err *e)
{
	msgpack_packer *pk = &w->pk;
	int rc;

	if (w->order.next_field)
		return rd_fail(e, RD_EFAIL, "the last batch lacks field '%s'", w->s.field[w->order.next_field]);
	msgpack_sbuffer_clear(&w->buf);
	if (msgpack_pack_map(pk, end_meta ? 3 : 2) | pack_u64(pk, "end", w->order.frames) |
	    pack_u64(pk, "samples", w->order.samples))
		return no_memory(e);
	if (end_meta) {
		if (pack_text(pk, "meta"))
			return no_memory(e);
		rc = rd_wire_pack_json(pk, end_meta, e);
		if (rc)
			return rc;
	}
	return put_map(w, e);
}

int rd_frame_writer_finish(struct rd_frame_writer *w, const json_t *end_meta, struct rd_err *e)
{
	int rc = write_end(w, end_meta, e);

	rd_frame_writer_abort(w);
	return rc;
}

void rd_frame_writer_abort(struct rd_frame_writer *w)
{
	if (!w)
		return;
	msgpack_sbuffer_destroy(&w->buf);
	free(w);
}
