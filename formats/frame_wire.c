#include "formats/frame_wire.h"

#include <string.h>

#include "lib/base/size.h"

/* --- tokens ------------------------------------------------------------------------------------------------------- */

enum kind { SCALAR, STRING, BINARY, ARRAY, MAP, REFUSED };

struct scan {
	struct rd_in *in;
	const uint8_t *p; /* the first `pos` bytes of the input have been walked over */
	size_t pos;
	int depth;
	uint32_t left[RD_WIRE_DEPTH]; /* elements still to come, per level */
};

/* Makes n bytes behind pos visible. */
static int need(struct scan *s, size_t n, struct rd_err *e)
{
	size_t got;
	int rc;

	if (n > RD_WIRE_MAP_MAX - s->pos)
		return rd_fail(e, RD_EINPUT, "a map of more than %zu bytes", RD_WIRE_MAP_MAX);
	rc = rd_in_peek(s->in, s->pos + n, &s->p, &got, e);
	if (!rc && got < s->pos + n)
		return rd_fail(e, RD_EINPUT, "truncated at byte %llu", (unsigned long long)(rd_in_offset(s->in) + got));
	return rc;
}

/* Kind of the token that starts with tag; *extra bytes follow the tag: a number's, or (big-endian) a length. *n is the
 * length where the tag holds it. */
static enum kind classify(uint8_t tag, size_t *extra, uint32_t *n)
{
	static const struct { uint8_t kind, extra; } wide[32] = {
		[0x00] = {SCALAR, 0}, [0x01] = {REFUSED, 0}, [0x02] = {SCALAR, 0}, [0x03] = {SCALAR, 0},
		[0x04] = {BINARY, 1}, [0x05] = {BINARY, 2},  [0x06] = {BINARY, 4},
		[0x07] = {REFUSED, 0}, [0x08] = {REFUSED, 0}, [0x09] = {REFUSED, 0}, /* ext */
		[0x0a] = {SCALAR, 4}, [0x0b] = {SCALAR, 8},
		[0x0c] = {SCALAR, 1}, [0x0d] = {SCALAR, 2}, [0x0e] = {SCALAR, 4}, [0x0f] = {SCALAR, 8},
		[0x10] = {SCALAR, 1}, [0x11] = {SCALAR, 2}, [0x12] = {SCALAR, 4}, [0x13] = {SCALAR, 8},
		[0x14] = {REFUSED, 0}, [0x15] = {REFUSED, 0}, [0x16] = {REFUSED, 0}, [0x17] = {REFUSED, 0},
		[0x18] = {REFUSED, 0}, /* fixext */
		[0x19] = {STRING, 1}, [0x1a] = {STRING, 2}, [0x1b] = {STRING, 4},
		[0x1c] = {ARRAY, 2},  [0x1d] = {ARRAY, 4},  [0x1e] = {MAP, 2},  [0x1f] = {MAP, 4},
	};

	*extra = 0;
	*n = 0;
	if (tag < 0x80 || tag >= 0xe0)
		return SCALAR;
	if (tag >= 0xc0) {
		*extra = wide[tag - 0xc0].extra;
		return (enum kind)wide[tag - 0xc0].kind;
	}
	*n = tag < 0xa0 ? tag & 0x0f : tag & 0x1f;
	return tag < 0x90 ? MAP : tag < 0xa0 ? ARRAY : STRING;
}

static int push(struct scan *s, enum kind k, uint32_t n, struct rd_err *e)
{
	if (n > RD_WIRE_MAP_MAX) /* every element takes a byte at least */
		return rd_fail(e, RD_EINPUT, "%u elements declared in a map of at most %zu bytes", n, RD_WIRE_MAP_MAX);
	if (s->depth == RD_WIRE_DEPTH)
		return rd_fail(e, RD_EINPUT, "more than %d maps and arrays within one another", RD_WIRE_DEPTH);
	s->left[s->depth++] = k == MAP ? 2 * n : n;
	return RD_OK;
}

/* One token; closes the levels that it completes. */
static int token(struct scan *s, struct rd_wire_map *m, struct rd_err *e)
{
	size_t extra;
	uint32_t n;
	enum kind k;
	int rc = need(s, 1, e);

	if (rc)
		return rc;
	k = classify(s->p[s->pos], &extra, &n);
	if (k == REFUSED || (!s->depth && k != MAP))
		return rd_fail(e, RD_EINPUT, "byte 0x%02x at %llu, a map expected", s->p[s->pos],
		               (unsigned long long)(rd_in_offset(s->in) + s->pos));
	rc = need(s, 1 + extra, e);
	if (rc)
		return rc;
	for (size_t i = 0; k != SCALAR && i < extra; i++)
		n = n << 8 | s->p[s->pos + 1 + i];
	if (k == BINARY) {
		if (s->depth != 1 || s->left[0] != 1)
			return rd_fail(e, RD_EINPUT, "binary data that is not the last value of its map");
		m->has_bin = true;
		m->bin_at = s->pos;
		m->bin_bytes = n;
	}
	s->pos += 1 + extra;
	if (k == STRING) {
		rc = need(s, n, e);
		s->pos += n;
	}
	if (s->depth)
		s->left[s->depth - 1]--;
	if (!rc && (k == MAP || k == ARRAY))
		rc = push(s, k, n, e);
	while (s->depth && !s->left[s->depth - 1])
		s->depth--;
	return rc;
}

int rd_wire_scan(struct rd_in *in, struct rd_wire_map *m, struct rd_err *e)
{
	struct scan s = {.in = in};
	int rc;

	memset(m, 0, sizeof *m);
	do
		rc = token(&s, m, e);
	while (!rc && s.depth);
	m->bytes = s.pos;
	return rc;
}

/* --- the rules on streams and frames ------------------------------------------------------------------------------ */

static bool good_name(const char *s)
{
	size_t n = strlen(s);

	return n && n < RD_FRAME_NAME &&
	       n == strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
}

int rd_wire_check_stream(const struct rd_stream *s, enum rd_code code, struct rd_err *e)
{
	static const char *const roles[] = {"noise", "pairs", "samples", "trajectory", "data"};
	size_t known = 0;

	while (known < sizeof roles / sizeof *roles && strcmp(s->role, roles[known]))
		known++;
	if (known == sizeof roles / sizeof *roles)
		return rd_fail(e, code, "role '%s' is not one of noise, pairs, samples, trajectory, data", s->role);
	if (s->n_fields < 1 || s->n_fields > RD_FRAME_MAX_FIELDS)
		return rd_fail(e, code, "%d fields: 1 to %d are allowed", s->n_fields, RD_FRAME_MAX_FIELDS);
	for (int i = 0; i < s->n_fields; i++) {
		if (!good_name(s->field[i]))
			return rd_fail(e, code, "field %d: a name of 1 to %d letters, digits, _ and - expected", i,
			               RD_FRAME_NAME - 1);
		for (int j = 0; j < i; j++)
			if (!strcmp(s->field[i], s->field[j]))
				return rd_fail(e, code, "field '%s' is declared twice", s->field[i]);
	}
	return RD_OK;
}

/* Shape, type and size of a frame taken alone; sets f->bytes. */
static int check_alone(enum rd_code code, struct rd_frame *f, struct rd_err *e)
{
	size_t elems;
	uint64_t end;

	if (f->shape.nd < 1 || f->shape.nd > RD_MAX_DIMS)
		return rd_fail(e, code, "%d dimensions: 1 to %d are allowed", f->shape.nd, RD_MAX_DIMS);
	for (int i = 0; i < f->shape.nd; i++)
		if (f->shape.d[i] < 1)
			return rd_fail(e, code, "dimension %d of its shape is %lld", i, (long long)f->shape.d[i]);
	if ((uint64_t)f->shape.d[0] != f->n)
		return rd_fail(e, code, "%llu samples declared, the shape has %lld", (unsigned long long)f->n,
		               (long long)f->shape.d[0]);
	if (__builtin_add_overflow(f->i, f->n, &end))
		return rd_fail(e, code, "sample indices pass 2^64");
	if (rd_shape_elems(&f->shape, &elems, e) || !rd_mul(elems, rd_dtype_bytes(f->dtype), &f->bytes) ||
	    f->bytes > RD_FRAME_MAX_BYTES)
		return rd_fail(e, code, "larger than the limit of %zu bytes", RD_FRAME_MAX_BYTES);
	if (f->ref && f->dtype != RD_F32)
		return rd_fail(e, code, "noise by reference is <f4, not %s", rd_dtype_name(f->dtype));
	if (f->ref)
		f->bytes = 0;
	return RD_OK;
}

static int check_sample_shape(const struct rd_wire_order *o, int k, const struct rd_frame *f, struct rd_err *e)
{
	struct rd_shape was = o->shape[k];
	char a[128], b[128];

	if (!was.nd)
		return RD_OK;
	was.d[0] = f->shape.d[0];
	if (o->dtype[k] == f->dtype && rd_shape_eq(&was, &f->shape))
		return RD_OK;
	return rd_fail(e, o->code, "%s %s, but %s %s before", rd_dtype_name(f->dtype), rd_shape_str(&f->shape, a, sizeof a),
	               rd_dtype_name(o->dtype[k]), rd_shape_str(&was, b, sizeof b));
}

int rd_wire_check_frame(struct rd_wire_order *o, const struct rd_stream *s, struct rd_frame *f, struct rd_err *e)
{
	int k = o->next_field, rc;

	if (strcmp(f->name, s->field[k]))
		return rd_fail(e, o->code, "field '%s', but '%s' is next", f->name, s->field[k]);
	rc = check_alone(o->code, f, e);
	if (!rc)
		rc = check_sample_shape(o, k, f, e);
	if (rc)
		return rc;
	if (k && (f->i != o->i || f->n != o->n))
		return rd_fail(e, o->code, "samples %llu+%llu, but %llu+%llu in '%s' of the same batch",
		               (unsigned long long)f->i, (unsigned long long)f->n, (unsigned long long)o->i,
		               (unsigned long long)o->n, s->field[0]);
	o->i = f->i;
	o->n = f->n;
	o->dtype[k] = f->dtype;
	o->shape[k] = f->shape;
	o->frames++;
	o->next_field = k + 1 < s->n_fields ? k + 1 : 0;
	if (!o->next_field)
		o->samples += f->n;
	return RD_OK;
}
