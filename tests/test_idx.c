/* idx, plain and out of gzip: round trips, every cut, every flipped bit of the compressed file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/out.h"
#include "tests/check.h"
#include "tests/idx.h"

static char path[64];

/* [2, 3, 5], and its 30 bytes. */
static const char header[16] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5};
enum { PLAIN = sizeof header + 30 };
static char plain[PLAIN + 1];

static int load(const void *data, size_t n, struct rd_array *a, struct rd_err *e)
{
	FILE *f = fopen(path, "wb");

	CHECK(f && fwrite(data, 1, n, f) == n && !fclose(f));
	return idx_load(path, a, e);
}

static bool is_right(const struct rd_array *a)
{
	return a->dtype == RD_U8 && a->shape.nd == 3 && a->shape.d[0] == 2 && a->shape.d[1] == 3 && a->shape.d[2] == 5 &&
	       !memcmp(a->data, plain + sizeof header, 30);
}

static size_t gzip(char *out, size_t cap)
{
	z_stream z = {.next_in = (Bytef *)plain, .avail_in = PLAIN, .next_out = (Bytef *)out, .avail_out = (uInt)cap};

	CHECK(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&z);
	return cap - z.avail_out;
}

static void test_cuts(const char *buf, size_t n)
{
	struct rd_array a;
	struct rd_err e;
	char *more = calloc(1, n + 1);

	CHECK_OK(load(buf, n, &a, &e), &e);
	CHECK(is_right(&a));
	rd_array_free(&a);
	for (size_t k = 0; k < n; k++)
		CHECK(load(buf, k, &a, &e) == RD_EINPUT && !a.data);
	memcpy(more, buf, n);
	CHECK(load(more, n + 1, &a, &e) == RD_EINPUT && !a.data);
	free(more);
}

/* A flipped bit is an error, or changes nothing: times and flags in the header, and what fills the last byte before the
 * trailer up. */
static void test_gzip_bits(void)
{
	char buf[256];
	size_t n = gzip(buf, sizeof buf), bad = 0, passed = 0;
	struct rd_array a;
	struct rd_err e;

	for (size_t k = 0; k < n * 8; k++) {
		buf[k / 8] = (char)(buf[k / 8] ^ 1 << k % 8);
		if (!load(buf, n, &a, &e)) {
			passed++;
			bad += !is_right(&a) || (k / 8 >= 10 && k / 8 != n - 9);
		}
		rd_array_free(&a);
		buf[k / 8] = (char)(buf[k / 8] ^ 1 << k % 8);
	}
	CHECK(bad == 0 && passed < 80);
}

static void test_refused(void)
{
	static const struct { size_t at; uint8_t value; } bad[] = {
		{0, 1}, {1, 1}, {2, 9}, {2, 13}, {3, 0}, {3, 2}, {3, 4}, {3, 9}, {4, 127}, {4, 255}, {7, 1}, {7, 3}, {15, 6},
	};
	char buf[PLAIN];
	struct rd_array a;
	struct rd_err e;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		memcpy(buf, plain, PLAIN);
		buf[bad[i].at] = (char)bad[i].value;
		CHECK(load(buf, PLAIN, &a, &e) == RD_EINPUT && !a.data && strstr(e.msg, path));
	}
	CHECK(idx_load("/nowhere/x", &a, &e) == RD_EIO);
}

int main(void)
{
	char gz[256];

	snprintf(path, sizeof path, "/tmp/test_idx.%ld", (long)getpid());
	memcpy(plain, header, sizeof header);
	for (int i = 0; i < 30; i++)
		plain[(int)sizeof header + i] = (char)(i * i + 200);
	CHECK(rd_idx_sniff(plain, PLAIN) && !rd_idx_sniff(plain, 3) && !rd_idx_sniff("\x93NUMPY", 6));
	test_cuts(plain, PLAIN);
	test_cuts(gz, gzip(gz, sizeof gz));
	CHECK(rd_idx_sniff(gz, 2));
	test_gzip_bits();
	test_refused();
	unlink(path);
	return check_report("idx");
}
