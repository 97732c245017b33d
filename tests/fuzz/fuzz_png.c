/* .png: the pixels are written and read again. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/png.h"
#include "tests/fuzz/fuzz.h"

static void check_again(const struct rd_array *a)
{
	struct rd_out *o = fuzz_out_open();
	const int64_t *d = a->shape.d;
	struct rd_array b;
	struct rd_err e;
	size_t n;
	void *p;

	ENSURE_OK(rd_png_write(o, a->data, (uint32_t)d[1], (uint32_t)d[0], (int)d[2], &e), &e);
	p = fuzz_out_take(o, &n);
	ENSURE_OK(rd_png_read(fuzz_file(1, p, n), &b, &e), &e);
	ENSURE(b.dtype == RD_U8 && rd_shape_eq(&a->shape, &b.shape) && !memcmp(a->data, b.data, rd_array_bytes(a)));
	rd_array_free(&b);
	free(p);
}

static void run(const uint8_t *data, size_t n)
{
	struct rd_err e = {0};
	struct rd_array a;

	if (!fuzz_accepted(rd_png_read(fuzz_file(0, data, n), &a, &e), &e)) {
		ENSURE(!a.data);
		return;
	}
	ENSURE(a.dtype == RD_U8 && a.shape.nd == 3 && (a.shape.d[2] == 1 || a.shape.d[2] == 3));
	if (rd_array_bytes(&a) <= 1 << 16)
		check_again(&a);
	rd_array_free(&a);
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The sums of the chunks are put right most of the time: without that nothing behind a change is looked at. */
static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	enum { SIGNATURE = 8, AROUND = 12 }; /* length, type and sum of a chunk */
	uint32_t r = seed;

	n = fuzz_bytes(data, n, max);
	if (fuzz_random(&r) % 8 == 0)
		return n;
	for (size_t at = SIGNATURE, len; at + AROUND <= n; at += AROUND + len) {
		uint32_t sum;

		len = big_endian(data + at);
		if (len > n - at - AROUND)
			break;
		sum = (uint32_t)crc32(0, data + at + 4, (unsigned)len + 4);
		for (int i = 0; i < 4; i++)
			data[at + 8 + len + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
	}
	return n;
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const struct {
		uint32_t w, h;
		int channels;
	} sizes[] = {{1, 1, 1}, {3, 2, 1}, {2, 3, 3}, {16, 16, 1}, {9, 7, 3}};
	uint8_t pixels[256];

	for (size_t i = 0; i < sizeof pixels; i++)
		pixels[i] = (uint8_t)(i * i / 7);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct rd_out *o = fuzz_out_open();
		struct rd_err e;
		size_t n;
		void *p;

		ENSURE_OK(rd_png_write(o, pixels, sizes[i].w, sizes[i].h, sizes[i].channels, &e), &e);
		p = fuzz_out_take(o, &n);
		emit(arg, p, n);
		free(p);
	}
}

static const char *const words[] = {"IHDR", "IDAT", "IEND", "PLTE", "tRNS", "gAMA", "sRGB", "sBIT", "bKGD", "iCCP", "\x89PNG\r\n\x1a\n", NULL};

const struct fuzz_target fuzz_png = {"png", 1024, run, mutate, seeds, words};
