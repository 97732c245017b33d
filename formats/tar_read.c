#include "formats/tar_read.h"

#include <stdbool.h>
#include <string.h>

/* Offsets and lengths in a ustar header. */
enum {
	NAME = 0, NAME_LEN = 100, SIZE = 124, SIZE_LEN = 12, SUM = 148, SUM_LEN = 8, TYPE = 156, MAGIC = 257, PREFIX = 345
};

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n && !*p)
		p++, n--;
	return !n;
}

/* digits octal digits, and nothing but NUL and space behind them. */
static bool octal(const uint8_t *p, int digits, int len, uint64_t *out)
{
	uint64_t v = 0;

	for (int i = 0; i < len; i++) {
		if (i < digits && p[i] >= '0' && p[i] <= '7')
			v = v * 8 + p[i] - '0';
		else if (i < digits || (p[i] != 0 && p[i] != ' '))
			return false;
	}
	*out = v;
	return true;
}

static unsigned checksum(const uint8_t *h)
{
	unsigned sum = 0;

	for (int i = 0; i < RD_TAR_BLOCK; i++)
		sum += i >= SUM && i < SUM + SUM_LEN ? (unsigned)' ' : h[i];
	return sum;
}

int rd_tar_header(const uint8_t *h, struct rd_tar_member *m, struct rd_err *e)
{
	uint64_t sum, size;

	/* The sum's own field is spelt one way only, or a flipped bit in it could pass. */
	if (!octal(h + SUM, 6, 6, &sum) || h[SUM + 6] != 0 || h[SUM + 7] != ' ' || sum != checksum(h))
		return rd_fail(e, RD_EINPUT, "tar: a header's checksum is wrong");
	if (memcmp(h + MAGIC, "ustar", 5))
		return rd_fail(e, RD_EINPUT, "tar: a header is not of ustar");
	memcpy(m->name, h + NAME, NAME_LEN);
	m->name[NAME_LEN] = '\0';
	if ((h[TYPE] != '0' && h[TYPE] != 0) || h[PREFIX])
		return rd_fail(e, RD_EINPUT, "tar: %s: not a regular file with a short name", m->name);
	if (!octal(h + SIZE, SIZE_LEN - 1, SIZE_LEN, &size))
		return rd_fail(e, RD_EINPUT, "tar: %s: the size is not eleven octal digits", m->name);
	m->size = (size_t)size;
	return RD_OK;
}

/* A block of zeros has been read: there must be a second, then only zeros (some programs pad to 10240 bytes). */
static int read_end(struct rd_in *in, struct rd_err *e)
{
	uint8_t block[RD_TAR_BLOCK];
	size_t got;
	int rc;

	rc = rd_in_exact(in, block, sizeof block, e);
	for (got = sizeof block; !rc && got; ) {
		if (!all_zero(block, got))
			return rd_fail(e, RD_EINPUT, "%s: tar: bytes behind the end of the archive", rd_in_name(in));
		rc = rd_in_read(in, block, sizeof block, &got, e);
		if (!rc && got && got < sizeof block)
			return rd_fail(e, RD_EINPUT, "%s: tar: half a block at the end", rd_in_name(in));
	}
	return rc;
}

int rd_tar_next(struct rd_in *in, struct rd_tar_member *m, struct rd_err *e)
{
	uint8_t h[RD_TAR_BLOCK];
	uint64_t at = rd_in_offset(in);
	int rc;

	rc = rd_in_exact(in, h, sizeof h, e);
	if (rc)
		return rc;
	if (all_zero(h, sizeof h))
		return read_end(in, e);
	if (rd_tar_header(h, m, e))
		return rd_context(e, "%s: byte %llu", rd_in_name(in), (unsigned long long)at);
	return 1;
}

int rd_tar_pad(struct rd_in *in, const struct rd_tar_member *m, struct rd_err *e)
{
	size_t n = (RD_TAR_BLOCK - m->size % RD_TAR_BLOCK) % RD_TAR_BLOCK;
	uint8_t pad[RD_TAR_BLOCK];
	int rc;

	rc = rd_in_exact(in, pad, n, e);
	if (!rc && !all_zero(pad, n))
		rc = rd_fail(e, RD_EINPUT, "%s: tar: %s: the padding is not zeros", rd_in_name(in), m->name);
	return rc;
}
