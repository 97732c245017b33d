#include "formats/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

/* What rd_in_peek can show at once, so the longest header we take; numpy's own limit is 10,000 bytes. */
#define HEADER_MAX ((size_t)64 << 10)

static const char magic[6] = "\x93NUMPY";

/* The header is a Python dict literal; of the language we know just what numpy writes. */
struct text {
	const char *p, *end;
};

static void skip_space(struct text *x)
{
	while (x->p < x->end && (*x->p == ' ' || *x->p == '\t' || *x->p == '\n' || *x->p == '\r'))
		x->p++;
}

/* The next character that is not space, if it is c: consumed. */
static bool take(struct text *x, char c)
{
	skip_space(x);
	if (x->p == x->end || *x->p != c)
		return false;
	x->p++;
	return true;
}

static bool take_word(struct text *x, const char *w)
{
	size_t n = strlen(w);

	skip_space(x);
	if ((size_t)(x->end - x->p) < n || memcmp(x->p, w, n))
		return false;
	x->p += n;
	return true;
}

/* A quoted string without escapes into buf. */
static bool take_string(struct text *x, char *buf, size_t cap)
{
	char quote;
	size_t n = 0;

	skip_space(x);
	if (x->p == x->end || (*x->p != '\'' && *x->p != '"'))
		return false;
	quote = *x->p++;
	while (x->p < x->end && *x->p != quote && *x->p != '\\' && n + 1 < cap)
		buf[n++] = *x->p++;
	buf[n] = '\0';
	return take(x, quote);
}

static bool take_int(struct text *x, int64_t *out)
{
	int64_t v = 0;
	const char *start;

	skip_space(x);
	for (start = x->p; x->p < x->end && *x->p >= '0' && *x->p <= '9'; x->p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *x->p - '0', &v))
			return false;
	*out = v;
	return x->p > start;
}

/* "()", "(3,)", "(3, 4)", "(3, 4,)". */
static int take_shape(struct text *x, struct rd_shape *s, struct rd_err *e)
{
	bool comma = true;
	int64_t v;

	s->nd = 0;
	if (!take(x, '('))
		return rd_fail(e, RD_EINPUT, "npy: shape is not a tuple");
	while (!take(x, ')')) {
		if (!comma || !take_int(x, &v))
			return rd_fail(e, RD_EINPUT, "npy: shape is not a tuple of integers");
		if (s->nd == RD_MAX_DIMS)
			return rd_fail(e, RD_EINPUT, "npy: more than %d dimensions", RD_MAX_DIMS);
		s->d[s->nd++] = v;
		comma = take(x, ',');
	}
	if (s->nd == 1 && !comma)
		return rd_fail(e, RD_EINPUT, "npy: shape is not a tuple");
	return RD_OK;
}

static int take_descr(struct text *x, enum rd_dtype *t, struct rd_err *e)
{
	char descr[16];

	if (!take_string(x, descr, sizeof descr))
		return rd_fail(e, RD_EINPUT, "npy: descr is not a plain type (records are not read)");
	if (!rd_dtype_parse(descr, t) || *t == RD_BF16)
		return rd_fail(e, RD_EINPUT, "npy: type '%s' is not read", descr);
	return RD_OK;
}

static int take_order(struct text *x, struct rd_err *e)
{
	if (take_word(x, "True"))
		return rd_fail(e, RD_EINPUT, "npy: Fortran order is not read: numpy.ascontiguousarray() changes it");
	if (!take_word(x, "False"))
		return rd_fail(e, RD_EINPUT, "npy: fortran_order is neither True nor False");
	return RD_OK;
}

/* The three keys, each once, in any order. */
static int parse_dict(struct text *x, enum rd_dtype *t, struct rd_shape *s, struct rd_err *e)
{
	static const char *const keys[] = {"descr", "fortran_order", "shape"};
	bool comma = true;
	unsigned seen = 0;
	char key[16];
	int k, rc;

	if (!take(x, '{'))
		return rd_fail(e, RD_EINPUT, "npy: the header is not a dict");
	while (!take(x, '}')) {
		if (!comma || !take_string(x, key, sizeof key) || !take(x, ':'))
			return rd_fail(e, RD_EINPUT, "npy: the header is not a dict of descr, fortran_order and shape");
		for (k = 0; k < 3 && strcmp(key, keys[k]); k++)
			;
		if (k == 3 || (seen & 1u << k))
			return rd_fail(e, RD_EINPUT, "npy: key '%s' is %s", key, k == 3 ? "unknown" : "there twice");
		seen |= 1u << k;
		rc = k == 0 ? take_descr(x, t, e) : k == 1 ? take_order(x, e) : take_shape(x, s, e);
		if (rc)
			return rc;
		comma = take(x, ',');
	}
	if (seen != 7)
		return rd_fail(e, RD_EINPUT, "npy: the header lacks one of descr, fortran_order and shape");
	skip_space(x);
	return x->p == x->end ? RD_OK : rd_fail(e, RD_EINPUT, "npy: text behind the header's dict");
}

int rd_npy_header(const void *buf, size_t n, enum rd_dtype *t, struct rd_shape *s, size_t *header_bytes,
                  struct rd_err *e)
{
	const uint8_t *b = buf;
	size_t at, len, elems;
	struct text x;
	int rc;

	if (n < 10)
		return rd_fail(e, RD_EINPUT, "npy: %zu bytes are too few for a header", n);
	if (memcmp(b, magic, sizeof magic))
		return rd_fail(e, RD_EINPUT, "npy: no \\x93NUMPY at the start");
	if (b[6] < 1 || b[6] > 3 || b[7] != 0)
		return rd_fail(e, RD_EINPUT, "npy: version %d.%d is not 1.0, 2.0 or 3.0", b[6], b[7]);
	at = b[6] == 1 ? 10 : 12;
	len = (size_t)b[8] | (size_t)b[9] << 8;
	if (at == 12 && n >= 12)
		len |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
	if (len > HEADER_MAX - at)
		return rd_fail(e, RD_EINPUT, "npy: a header of %zu bytes is longer than %zu", len, HEADER_MAX - at);
	if (n < at + len)
		return rd_fail(e, RD_EINPUT, "npy: truncated in the header");
	x = (struct text){.p = (const char *)b + at, .end = (const char *)b + at + len};
	rc = parse_dict(&x, t, s, e);
	if (!rc)
		rc = rd_shape_elems(s, &elems, e);
	*header_bytes = at + len;
	return rc;
}

int rd_npy_make_header(enum rd_dtype t, const struct rd_shape *s, char *buf, size_t cap, size_t *n, struct rd_err *e)
{
	size_t len, total;
	char dict[256];
	int k;

	if (t == RD_BF16)
		return rd_fail(e, RD_EUSAGE, "npy: bf16 has no type in numpy");
	k = snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", rd_dtype_name(t));
	for (int i = 0; i < s->nd; i++)
		k += snprintf(dict + k, sizeof dict - (size_t)k, "%s%" PRId64 "%s", i ? ", " : "", s->d[i],
		              s->nd == 1 ? "," : "");
	k += snprintf(dict + k, sizeof dict - (size_t)k, "), }");
	len = (size_t)k;
	total = (10 + len + 1 + 63) & ~(size_t)63; /* the data is aligned, and the last byte is a newline */
	if (total > cap)
		return rd_fail(e, RD_EFAIL, "npy: a header of %zu bytes needs more than %zu", total, cap);
	memcpy(buf, magic, sizeof magic);
	buf[6] = 1;
	buf[7] = 0;
	buf[8] = (char)((total - 10) & 0xff);
	buf[9] = (char)((total - 10) >> 8);
	memcpy(buf + 10, dict, len);
	memset(buf + 10 + len, ' ', total - 10 - len);
	buf[total - 1] = '\n';
	*n = total;
	return RD_OK;
}

static int read_header(struct rd_in *in, enum rd_dtype *t, struct rd_shape *s, struct rd_err *e)
{
	uint8_t skipped[256];
	const uint8_t *view;
	size_t got, bytes;
	int rc;

	rc = rd_in_peek(in, HEADER_MAX, &view, &got, e);
	if (rc)
		return rc;
	rc = rd_npy_header(view, got, t, s, &bytes, e);
	if (rc)
		return rd_context(e, "%s", rd_in_name(in));
	while (!rc && bytes) {
		got = bytes < sizeof skipped ? bytes : sizeof skipped;
		rc = rd_in_exact(in, skipped, got, e);
		bytes -= got;
	}
	return rc;
}

int rd_npy_read(struct rd_in *in, struct rd_array *a, struct rd_err *e)
{
	size_t n, bytes, got;
	const uint8_t *view;
	int rc;

	memset(a, 0, sizeof *a);
	rc = read_header(in, &a->dtype, &a->shape, e);
	if (rc)
		return rc;
	if (rd_shape_elems(&a->shape, &n, e))
		return rd_context(e, "%s", rd_in_name(in));
	if (!rd_mul(n, rd_dtype_bytes(a->dtype), &bytes))
		return rd_fail(e, RD_EINPUT, "%s: npy: the array's size overflows", rd_in_name(in));
	rc = rd_in_new(in, bytes, &a->data, e);
	if (!rc)
		rc = rd_in_peek(in, 1, &view, &got, e);
	if (!rc && got)
		rc = rd_fail(e, RD_EINPUT, "%s: npy: bytes behind the array's end", rd_in_name(in));
	if (rc)
		rd_array_free(a);
	return rc;
}

int rd_npy_load(const char *path, struct rd_array *a, struct rd_err *e)
{
	struct rd_in *in;
	int rc;

	memset(a, 0, sizeof *a);
	rc = rd_in_open(&in, path, e);
	if (rc)
		return rc;
	rc = rd_npy_read(in, a, e);
	rd_in_close(in);
	return rc;
}

int rd_npy_write(struct rd_out *o, enum rd_dtype t, const struct rd_shape *s, const void *data, struct rd_err *e)
{
	size_t n, bytes, elems;
	char header[256];
	int rc;

	rc = rd_shape_elems(s, &elems, e);
	if (rc)
		return rc;
	if (!rd_mul(elems, rd_dtype_bytes(t), &bytes))
		return rd_fail(e, RD_ESHAPE, "npy: the array's size overflows");
	rc = rd_npy_make_header(t, s, header, sizeof header, &n, e);
	if (!rc)
		rc = rd_out_write(o, header, n, e);
	return rc ? rc : rd_out_write(o, data, bytes, e);
}
