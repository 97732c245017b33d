#include "formats/idx.h"

#include <string.h>
#include <zlib.h>

#include "lib/base/size.h"

#define IDX_MAX ((size_t)1 << 30)
#define IDX_UBYTE 8

/* The bytes of an input as they are, or out of gzip. */
struct bytes {
	struct rd_in *in;
	bool gz, ended; /* ended: the gzip member is complete, its CRC verified */
	z_stream z;
	uint8_t buf[1 << 15];
};

static bool is_gzip(const uint8_t *p, size_t n)
{
	return n >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

bool rd_idx_sniff(const void *buf, size_t n)
{
	const uint8_t *p = buf;

	return is_gzip(p, n) || (n >= 4 && !p[0] && !p[1] && p[2] == IDX_UBYTE && p[3] >= 1 && p[3] <= RD_MAX_DIMS);
}

static int bytes_open(struct bytes *b, struct rd_in *in, struct rd_err *e)
{
	const uint8_t *view;
	size_t got;
	int rc;

	memset(b, 0, sizeof *b);
	b->in = in;
	rc = rd_in_peek(in, 2, &view, &got, e);
	if (rc)
		return rc;
	if (is_gzip(view, got)) {
		if (inflateInit2(&b->z, 16 + MAX_WBITS) != Z_OK)
			return rd_fail(e, RD_ENOMEM, "%s: no memory for zlib", rd_in_name(in));
		b->gz = true;
	}
	return RD_OK;
}

static void bytes_close(struct bytes *b)
{
	if (b->gz)
		inflateEnd(&b->z);
}

static int refill(struct bytes *b, struct rd_err *e)
{
	size_t got;
	int rc;

	rc = rd_in_read(b->in, b->buf, sizeof b->buf, &got, e);
	if (!rc && !got)
		rc = rd_fail(e, RD_EINPUT, "%s: gzip: truncated", rd_in_name(b->in));
	b->z.next_in = b->buf;
	b->z.avail_in = (uInt)got;
	return rc;
}

/* Up to n bytes (n < 4 GiB), fewer only at the end. */
static int gunzip(struct bytes *b, void *dst, size_t n, size_t *got, struct rd_err *e)
{
	int rc = RD_OK, z;

	b->z.next_out = dst;
	b->z.avail_out = (uInt)n;
	while (!rc && b->z.avail_out && !b->ended) {
		if (!b->z.avail_in)
			rc = refill(b, e);
		if (rc)
			break;
		z = inflate(&b->z, Z_NO_FLUSH);
		b->ended = z == Z_STREAM_END;
		if (z != Z_OK && z != Z_STREAM_END)
			rc = rd_fail(e, RD_EINPUT, "%s: gzip: %s", rd_in_name(b->in), b->z.msg ? b->z.msg : "corrupt");
	}
	*got = n - b->z.avail_out;
	return rc;
}

static int bytes_exact(struct bytes *b, void *dst, size_t n, struct rd_err *e)
{
	size_t got;
	int rc;

	if (!b->gz)
		return rd_in_exact(b->in, dst, n, e);
	rc = gunzip(b, dst, n, &got, e);
	if (!rc && got < n)
		rc = rd_fail(e, RD_EINPUT, "%s: idx: truncated", rd_in_name(b->in));
	return rc;
}

/* Nothing may be left. One more byte is asked of gzip even so, which makes it check its sum. */
static int bytes_at_end(struct bytes *b, struct rd_err *e)
{
	const uint8_t *view;
	size_t got = 0, more;
	uint8_t one;
	int rc = RD_OK;

	if (b->gz)
		rc = gunzip(b, &one, 1, &got, e);
	if (!rc && !got && !b->z.avail_in) {
		rc = rd_in_peek(b->in, 1, &view, &more, e);
		got = more;
	}
	if (!rc && (got || b->z.avail_in))
		rc = rd_fail(e, RD_EINPUT, "%s: idx: bytes behind the end", rd_in_name(b->in));
	return rc;
}

static int read_header(struct bytes *b, struct rd_shape *s, struct rd_err *e)
{
	uint8_t h[4], d[4];
	int rc;

	rc = bytes_exact(b, h, sizeof h, e);
	if (rc)
		return rc;
	if (h[0] || h[1])
		return rd_fail(e, RD_EINPUT, "%s: compressed by gzip, and no idx or .npy: only those are read compressed", rd_in_name(b->in));
	if (h[2] != IDX_UBYTE)
		return rd_fail(e, RD_EINPUT, "%s: idx: type 0x%02x: only unsigned bytes (0x08) are read", rd_in_name(b->in),
		               h[2]);
	if (h[3] < 1 || h[3] > RD_MAX_DIMS)
		return rd_fail(e, RD_EINPUT, "%s: idx: %d dimensions: 1 to %d are read", rd_in_name(b->in), h[3],
		               RD_MAX_DIMS);
	s->nd = h[3];
	for (int i = 0; !rc && i < s->nd; i++) {
		rc = bytes_exact(b, d, sizeof d, e);
		s->d[i] = (int64_t)d[0] << 24 | (int64_t)d[1] << 16 | (int64_t)d[2] << 8 | d[3];
	}
	return rc;
}

static int read_data(struct bytes *b, size_t n, void **data, struct rd_err *e)
{
	size_t room = 0, have = 0;
	int rc;

	if (!b->gz)
		return rd_in_new(b->in, n, data, e);
	do {
		rc = rd_grow(data, &room, n, rd_in_name(b->in), e);
		if (!rc)
			rc = bytes_exact(b, (uint8_t *)*data + have, room - have, e);
		have = room;
	} while (!rc && have < n);
	return rc;
}

int rd_idx_read(struct rd_in *in, struct rd_array *a, struct rd_err *e)
{
	struct bytes b;
	size_t n = 0;
	int rc;

	memset(a, 0, sizeof *a);
	rc = bytes_open(&b, in, e);
	if (rc)
		return rc;
	a->dtype = RD_U8;
	rc = read_header(&b, &a->shape, e);
	if (!rc && rd_shape_elems(&a->shape, &n, e))
		rc = rd_context(e, "%s: idx", rd_in_name(in));
	if (!rc && n > IDX_MAX)
		rc = rd_fail(e, RD_EINPUT, "%s: idx: %zu elements: at most %zu are read", rd_in_name(in), n, IDX_MAX);
	if (!rc)
		rc = read_data(&b, n, &a->data, e);
	if (!rc)
		rc = bytes_at_end(&b, e);
	bytes_close(&b);
	if (rc)
		rd_array_free(a);
	return rc;
}
