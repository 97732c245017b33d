#include "formats/frame_wire.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct rd_frame_reader {
	struct rd_in *in;
	struct rd_stream s;
	struct rd_wire_order order;
	struct rd_frame cur;
	uint64_t sum;    /* declared checksum of cur */
	bool owed;       /* cur's payload is next in the input */
	bool ended;      /* the end map was read */
	json_t *end_meta;
	msgpack_unpacked map;          /* the last map; its strings point into bytes */
	uint8_t bytes[RD_WIRE_MAP_MAX];
};

/* --- maps --------------------------------------------------------------------------------------------------------- */

/* Reads the next map into r->map. Bulk data at its end is left in the input, and stands in the map as nil. */
static int read_map(struct rd_frame_reader *r, struct rd_wire_map *m, struct rd_err *e)
{
	size_t used = 0, n;
	int rc;

	rc = rd_wire_scan(r->in, m, e);
	if (!rc)
		rc = rd_in_exact(r->in, r->bytes, m->bytes, e);
	if (rc)
		return rc;
	n = m->bytes;
	if (m->has_bin) {
		r->bytes[m->bin_at] = 0xc0;
		n = m->bin_at + 1;
	}
	if (msgpack_unpack_next(&r->map, (const char *)r->bytes, n, &used) != MSGPACK_UNPACK_SUCCESS || used != n ||
	    r->map.data.type != MSGPACK_OBJECT_MAP)
		return rd_fail(e, RD_EINPUT, "a map that does not unpack");
	return RD_OK;
}

static bool is_text(const msgpack_object *o, const char *s)
{
	return o->type == MSGPACK_OBJECT_STR && o->via.str.size == strlen(s) && !memcmp(o->via.str.ptr, s, strlen(s));
}

/* val[k] = the value of keys[k], NULL where it is absent. A key not listed, or twice, is an error. */
static int pick(const msgpack_object_map *m, const char *const *keys, const msgpack_object **val, int n,
                struct rd_err *e)
{
	memset(val, 0, (size_t)n * sizeof *val);
	for (uint32_t i = 0; i < m->size; i++) {
		const msgpack_object *key = &m->ptr[i].key;
		int k = 0;

		if (key->type != MSGPACK_OBJECT_STR)
			return rd_fail(e, RD_EINPUT, "a key that is not a string");
		while (k < n && !is_text(key, keys[k]))
			k++;
		if (k == n)
			return rd_fail(e, RD_EINPUT, "unknown key '%.*s'",
			               key->via.str.size < 64 ? (int)key->via.str.size : 64, key->via.str.ptr);
		if (val[k])
			return rd_fail(e, RD_EINPUT, "key '%s' is there twice", keys[k]);
		val[k] = &m->ptr[i].val;
	}
	return RD_OK;
}

static int get_u64(const msgpack_object *o, const char *key, uint64_t *out, struct rd_err *e)
{
	*out = 0;
	if (!o || o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return rd_fail(e, RD_EINPUT, "%s: %s", key, o ? "an integer >= 0 expected" : "missing");
	*out = o->via.u64;
	return RD_OK;
}

static int get_name(const msgpack_object *o, const char *key, char out[RD_FRAME_NAME], struct rd_err *e)
{
	if (!o || o->type != MSGPACK_OBJECT_STR || o->via.str.size >= RD_FRAME_NAME ||
	    memchr(o->via.str.ptr, '\0', o->via.str.size))
		return rd_fail(e, RD_EINPUT, "%s: a string of less than %d bytes expected", key, RD_FRAME_NAME);
	memcpy(out, o->via.str.ptr, o->via.str.size);
	out[o->via.str.size] = '\0';
	return RD_OK;
}

static int get_meta(const msgpack_object *o, json_t **out, struct rd_err *e)
{
	if (o->type != MSGPACK_OBJECT_MAP)
		return rd_fail(e, RD_EINPUT, "meta: a map expected");
	return rd_wire_to_json(o, out, e);
}

/* --- the header map ----------------------------------------------------------------------------------------------- */

static int get_fields(const msgpack_object *o, struct rd_stream *s, struct rd_err *e)
{
	int rc = RD_OK;

	if (!o || o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > RD_FRAME_MAX_FIELDS)
		return rd_fail(e, RD_EINPUT, "fields: an array of at most %d names expected", RD_FRAME_MAX_FIELDS);
	s->n_fields = (int)o->via.array.size;
	for (int i = 0; i < s->n_fields && !rc; i++)
		rc = get_name(&o->via.array.ptr[i], "fields", s->field[i], e);
	return rc;
}

static int read_header(struct rd_frame_reader *r, struct rd_err *e)
{
	enum { MAGIC, V, ROLE, FIELDS, META, N };
	static const char *const keys[N] = {"magic", "v", "role", "fields", "meta"};
	const msgpack_object *val[N];
	struct rd_wire_map m;
	uint64_t v;

	if (read_map(r, &m, e) || pick(&r->map.data.via.map, keys, val, N, e))
		return e->code;
	if (m.has_bin || !val[MAGIC] || !is_text(val[MAGIC], RD_WIRE_MAGIC))
		return rd_fail(e, RD_EINPUT, "the first map is not an rdframe header");
	if (get_u64(val[V], "v", &v, e))
		return e->code;
	if (v != RD_WIRE_VERSION)
		return rd_fail(e, RD_EINPUT, "rdframe version %llu, this program reads %d", (unsigned long long)v, RD_WIRE_VERSION);
	if (get_name(val[ROLE], "role", r->s.role, e) || get_fields(val[FIELDS], &r->s, e) ||
	    rd_wire_check_stream(&r->s, RD_EINPUT, e))
		return e->code;
	if (val[META])
		return get_meta(val[META], &r->s.meta, e);
	r->s.meta = json_object();
	return r->s.meta ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory for meta");
}

static int is_empty(struct rd_in *in, bool *empty, struct rd_err *e)
{
	const uint8_t *view;
	size_t got;
	int rc = rd_in_peek(in, 1, &view, &got, e);

	*empty = !rc && !got;
	return rc;
}

int rd_frame_reader_open(struct rd_frame_reader **out, struct rd_in *in, struct rd_err *e)
{
	struct rd_frame_reader *r;
	bool empty;
	int rc;

	*out = NULL;
	r = calloc(1, sizeof *r);
	if (!r) {
		rd_in_close(in);
		return rd_fail(e, RD_ENOMEM, "no memory for a frame reader");
	}
	r->in = in;
	r->order.code = RD_EINPUT;
	msgpack_unpacked_init(&r->map);
	rc = is_empty(in, &empty, e);
	if (!rc && empty)
		rc = rd_fail(e, RD_EINPUT, "%s: empty, an rdframe stream expected", rd_in_name(in));
	else if (!rc && read_header(r, e))
		rc = rd_context(e, "%s: not a good rdframe stream", rd_in_name(in));
	if (rc)
		rd_frame_reader_close(r);
	else
		*out = r;
	return rc;
}

void rd_frame_reader_close(struct rd_frame_reader *r)
{
	if (!r)
		return;
	rd_in_close(r->in);
	json_decref(r->s.meta);
	json_decref(r->end_meta);
	msgpack_unpacked_destroy(&r->map);
	free(r);
}

const struct rd_stream *rd_frame_reader_stream(const struct rd_frame_reader *r)
{
	return &r->s;
}

const json_t *rd_frame_reader_end_meta(const struct rd_frame_reader *r)
{
	return r->end_meta;
}

/* --- frames and the end map --------------------------------------------------------------------------------------- */

static int get_shape(const msgpack_object *o, struct rd_shape *s, struct rd_err *e)
{
	if (!o || o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > RD_MAX_DIMS)
		return rd_fail(e, RD_EINPUT, "shape: an array of at most %d sizes expected", RD_MAX_DIMS);
	s->nd = (int)o->via.array.size;
	for (int i = 0; i < s->nd; i++) {
		const msgpack_object *d = &o->via.array.ptr[i];

		if (d->type != MSGPACK_OBJECT_POSITIVE_INTEGER || d->via.u64 > INT64_MAX)
			return rd_fail(e, RD_EINPUT, "shape: dimension %d is not a size", i);
		s->d[i] = (int64_t)d->via.u64;
	}
	return RD_OK;
}

static int get_ref(const msgpack_object *o, struct rd_frame *f, struct rd_err *e)
{
	static const char *const keys[1] = {"seed"};
	const msgpack_object *seed;
	int rc;

	if (o->type != MSGPACK_OBJECT_MAP)
		return rd_fail(e, RD_EINPUT, "ref: a map expected");
	rc = pick(&o->via.map, keys, &seed, 1, e);
	if (rc)
		return rc;
	f->ref = true;
	return get_u64(seed, "ref: seed", &f->ref_seed, e);
}

static int parse_frame(struct rd_frame_reader *r, const struct rd_wire_map *m, struct rd_err *e)
{
	enum { I, N, NAME, ND, TYPE, SHAPE, REF, XXH3, DATA, N_KEYS };
	static const char *const keys[N_KEYS] = {"i", "n", "name", "nd", "type", "shape", "ref", "xxh3", "data"};
	const msgpack_object *val[N_KEYS];
	struct rd_frame *f = &r->cur;
	char type[RD_FRAME_NAME];

	memset(f, 0, sizeof *f);
	if (pick(&r->map.data.via.map, keys, val, N_KEYS, e) || get_name(val[NAME], "name", f->name, e) ||
	    get_u64(val[I], "i", &f->i, e) || get_u64(val[N], "n", &f->n, e) || get_shape(val[SHAPE], &f->shape, e) ||
	    get_name(val[TYPE], "type", type, e))
		return e->code;
	if (!rd_dtype_parse(type, &f->dtype))
		return rd_fail(e, RD_EINPUT, "type: '%s' is not read", type);
	if (val[ND] && (val[ND]->type != MSGPACK_OBJECT_BOOLEAN || !val[ND]->via.boolean))
		return rd_fail(e, RD_EINPUT, "nd: true expected");
	if (val[REF] && (val[DATA] || val[XXH3]))
		return rd_fail(e, RD_EINPUT, "both ref and data");
	if (!val[REF] && (!m->has_bin || !val[DATA]))
		return rd_fail(e, RD_EINPUT, "data: binary data expected, as the last key");
	return val[REF] ? get_ref(val[REF], f, e) : get_u64(val[XXH3], "xxh3", &r->sum, e);
}

static int parse_end(struct rd_frame_reader *r, struct rd_err *e)
{
	enum { END, SAMPLES, META, N };
	static const char *const keys[N] = {"end", "samples", "meta"};
	const msgpack_object *val[N];
	uint64_t frames, samples;
	bool empty;

	if (pick(&r->map.data.via.map, keys, val, N, e) || get_u64(val[END], "end", &frames, e) ||
	    get_u64(val[SAMPLES], "samples", &samples, e))
		return e->code;
	if (r->order.next_field)
		return rd_fail(e, RD_EINPUT, "the end map, but field '%s' is next", r->s.field[r->order.next_field]);
	if (frames != r->order.frames || samples != r->order.samples)
		return rd_fail(e, RD_EINPUT, "the end map counts %llu frames, %llu samples; %llu, %llu were read",
		               (unsigned long long)frames, (unsigned long long)samples,
		               (unsigned long long)r->order.frames, (unsigned long long)r->order.samples);
	if ((val[META] && get_meta(val[META], &r->end_meta, e)) || is_empty(r->in, &empty, e))
		return e->code;
	if (!empty)
		return rd_fail(e, RD_EINPUT, "bytes behind the end map, at %llu", (unsigned long long)rd_in_offset(r->in));
	r->ended = true;
	return RD_OK;
}

/* 1: a frame in r->cur; 0: the end. */
static int next(struct rd_frame_reader *r, struct rd_err *e)
{
	const msgpack_object_map *map = &r->map.data.via.map;
	struct rd_wire_map m;
	bool empty;

	if (is_empty(r->in, &empty, e))
		return e->code;
	if (empty)
		return rd_fail(e, RD_EINPUT, "truncated at byte %llu: no end map", (unsigned long long)rd_in_offset(r->in));
	if (read_map(r, &m, e))
		return e->code;
	if (map->size && is_text(&map->ptr[0].key, "end"))
		return parse_end(r, e);
	if (parse_frame(r, &m, e) || rd_wire_check_frame(&r->order, &r->s, &r->cur, e))
		return e->code;
	if (r->cur.bytes != m.bin_bytes)
		return rd_fail(e, RD_EINPUT, "%zu bytes of data, type and shape make it %zu", m.bin_bytes, r->cur.bytes);
	r->owed = m.has_bin;
	return 1;
}

int rd_frame_next(struct rd_frame_reader *r, struct rd_frame *f, struct rd_err *e)
{
	uint64_t frame = r->order.frames;
	int rc;

	if (r->ended)
		return 0;
	if (r->owed)
		return rd_fail(e, RD_EUSAGE, "%s: frame %llu: its payload was not read", rd_in_name(r->in),
		               (unsigned long long)frame - 1);
	rc = next(r, e);
	if (rc < 0)
		return rd_context(e, "%s: frame %llu", rd_in_name(r->in), (unsigned long long)frame);
	*f = r->cur;
	return rc;
}

int rd_frame_payload(struct rd_frame_reader *r, void *dst, struct rd_err *e)
{
	int rc;

	if (!r->owed)
		return rd_fail(e, RD_EUSAGE, "%s: no payload is next", rd_in_name(r->in));
	rc = rd_in_exact(r->in, dst, r->cur.bytes, e);
	if (rc)
		return rc;
	r->owed = false;
	if (XXH3_64bits(dst, r->cur.bytes) != r->sum)
		return rd_fail(e, RD_EINPUT, "%s: frame %llu ('%s', samples from %llu): the checksum does not fit the data",
		               rd_in_name(r->in), (unsigned long long)r->order.frames - 1, r->cur.name,
		               (unsigned long long)r->cur.i);
	return RD_OK;
}
