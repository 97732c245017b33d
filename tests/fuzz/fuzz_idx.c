/* idx, plain and out of gzip. What was read from one is read the same from the other. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/idx.h"

enum { MAX = 1024, GZIP_MAX = 2 * MAX };

static size_t deflate_all(const void *src, size_t n, uint8_t *dst, size_t cap, int level)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)src, .avail_in = (uInt)n, .next_out = dst, .avail_out = (uInt)cap};

	ENSURE(deflateInit2(&z, level, Z_DEFLATED, 16 + 9, 1, Z_DEFAULT_STRATEGY) == Z_OK);
	ENSURE(deflate(&z, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&z);
	return cap - z.avail_out;
}

static bool inflate_all(const uint8_t *src, size_t n, uint8_t *dst, size_t cap, size_t *got)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)src, .avail_in = (uInt)n, .next_out = dst, .avail_out = (uInt)cap};
	int rc;

	ENSURE(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK);
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	*got = cap - z.avail_out;
	return rc == Z_STREAM_END;
}

/* The header of an array, from its shape. */
static size_t make_header(const struct rd_shape *s, uint8_t *h)
{
	h[0] = h[1] = 0;
	h[2] = 8;
	h[3] = (uint8_t)s->nd;
	for (int i = 0; i < s->nd; i++)
		for (int k = 0; k < 4; k++)
			h[4 + 4 * i + k] = (uint8_t)(s->d[i] >> (24 - 8 * k));
	return 4 + 4 * (size_t)s->nd;
}

static void check_again(const struct rd_array *a)
{
	size_t bytes = rd_array_bytes(a), cap = 2 * bytes + 256, n;
	uint8_t *plain = malloc(bytes + 64), *gz = malloc(cap);
	struct rd_array b;
	struct rd_err e;

	ENSURE(plain && gz);
	n = make_header(&a->shape, plain);
	memcpy(plain + n, a->data, bytes);
	for (int k = 0; k < 2; k++) {
		size_t m = k ? deflate_all(plain, n + bytes, gz, cap, 1) : n + bytes;

		ENSURE_OK(idx_load(fuzz_file(1, k ? gz : plain, m), &b, &e), &e);
		ENSURE(b.dtype == RD_U8 && rd_shape_eq(&a->shape, &b.shape) && !memcmp(a->data, b.data, bytes));
		rd_array_free(&b);
	}
	free(plain);
	free(gz);
}

static void run(const uint8_t *data, size_t n)
{
	bool known = rd_idx_sniff(data, n);
	struct rd_err e = {0};
	struct rd_array a;

	if (!fuzz_accepted(idx_load(fuzz_file(0, data, n), &a, &e), &e)) {
		ENSURE(!a.data);
		return;
	}
	ENSURE(known && a.dtype == RD_U8 && a.shape.nd >= 1);
	if (rd_array_bytes(&a) < 1 << 16)
		check_again(&a);
	rd_array_free(&a);
}

/* Mostly what is inside the gzip is changed, and compressed again. */
static size_t mutate_gz(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	uint8_t plain[MAX], gz[GZIP_MAX];
	uint32_t r = seed;
	size_t m;

	if (fuzz_random(&r) % 4 == 0 || !inflate_all(data, n, plain, sizeof plain, &m))
		return fuzz_bytes(data, n, max);
	m = fuzz_bytes(plain, m, sizeof plain);
	m = deflate_all(plain, m, gz, sizeof gz, (int)(fuzz_random(&r) % 3));
	if (m > max)
		return fuzz_bytes(data, n, max);
	memcpy(data, gz, m);
	return m;
}

static void make_seeds(fuzz_emit *emit, void *arg, bool compress)
{
	static const struct rd_shape shapes[] = {{1, {5}}, {3, {2, 3, 5}}, {1, {0}}, {4, {1, 2, 0, 3}},
	                                         {8, {1, 1, 1, 1, 2, 1, 1, 2}}, {3, {4, 14, 14}}};
	uint8_t plain[MAX], gz[GZIP_MAX];

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct rd_err e;
		size_t n = make_header(&shapes[i], plain), elems;

		ENSURE_OK(rd_shape_elems(&shapes[i], &elems, &e), &e);
		for (size_t k = 0; k < elems; k++)
			plain[n + k] = (uint8_t)(k * k / 8);
		if (compress)
			emit(arg, gz, deflate_all(plain, n + elems, gz, sizeof gz, (int)i));
		else
			emit(arg, plain, n + elems);
	}
}

static void seeds(fuzz_emit *emit, void *arg)
{
	make_seeds(emit, arg, false);
}

static void seeds_gz(fuzz_emit *emit, void *arg)
{
	make_seeds(emit, arg, true);
}

const struct fuzz_target fuzz_idx = {"idx", MAX, run, NULL, seeds, NULL};
const struct fuzz_target fuzz_idxgz = {"idxgz", GZIP_MAX, run, mutate_gz, seeds_gz, NULL};
