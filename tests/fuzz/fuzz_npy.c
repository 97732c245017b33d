/* .npy: the array is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "formats/npy.h"
#include "tests/fuzz/fuzz.h"

static void check_again(const struct rd_array *a)
{
	struct rd_out *o = fuzz_out_open();
	struct rd_array b;
	struct rd_err e;
	size_t n;
	void *p;

	ENSURE_OK(rd_npy_write(o, a->dtype, &a->shape, a->data, &e), &e);
	p = fuzz_out_take(o, &n);
	ENSURE_OK(rd_npy_load(fuzz_file(1, p, n), &b, &e), &e);
	ENSURE(a->dtype == b.dtype && rd_shape_eq(&a->shape, &b.shape));
	ENSURE(rd_array_bytes(a) == rd_array_bytes(&b) && !memcmp(a->data, b.data, rd_array_bytes(a)));
	rd_array_free(&b);
	free(p);
}

static void run(const uint8_t *data, size_t n)
{
	struct rd_shape s = {0};
	struct rd_err e = {0};
	size_t header_bytes;
	struct rd_array a;
	enum rd_dtype t;

	/* straight from the exact buffer, so that a byte read behind it is seen */
	if (fuzz_accepted(rd_npy_header(data, n, &t, &s, &header_bytes, &e), &e))
		ENSURE(header_bytes <= n && t != RD_BF16);
	e = (struct rd_err){0};
	if (!fuzz_accepted(rd_npy_load(fuzz_file(0, data, n), &a, &e), &e)) {
		ENSURE(!a.data);
		return;
	}
	ENSURE(rd_array_bytes(&a) <= n);
	check_again(&a);
	rd_array_free(&a);
}

/* The header's length is put right most of the time: up to the first newline behind the dict. */
static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	uint32_t r = seed;
	const uint8_t *p;
	size_t at, len;

	n = fuzz_bytes(data, n, max);
	if (n < 12 || fuzz_random(&r) % 8 == 0)
		return n;
	at = data[6] == 1 ? 10 : 12;
	p = memchr(data + at, '}', n - at);
	p = p ? memchr(p, '\n', (size_t)(data + n - p)) : NULL;
	if (p) {
		len = (size_t)(p + 1 - data) - at;
		data[8] = (uint8_t)len;
		data[9] = (uint8_t)(len >> 8);
	}
	return n;
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const struct rd_shape shapes[] = {{0}, {1, {3}}, {2, {2, 3}}, {4, {1, 1, 2, 2}}, {2, {0, 5}},
	                                         {8, {1, 1, 1, 1, 1, 1, 1, 2}}};
	static const double values[6] = {1, 2, 3, 4, 5, 6};

	for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
		struct rd_out *o = fuzz_out_open();
		enum rd_dtype t = (enum rd_dtype)(i % RD_N_DTYPES);
		struct rd_err e;
		size_t n;
		void *p;

		if (t == RD_BF16)
			t = RD_F32;
		ENSURE_OK(rd_npy_write(o, t, &shapes[i / 2], values, &e), &e);
		p = fuzz_out_take(o, &n);
		emit(arg, p, n);
		free(p);
	}
	emit(arg, "\x93NUMPY\x02\0\x36\0\0\0{'descr': '<f4', 'fortran_order': False, 'shape': ()}\nabcd", 71);
}

static const char *const words[] = {
	"\x93NUMPY", "descr", "fortran_order", "shape", "False", "True", "'<f4'", "'<f8'", "'<f2'", "'|u1'", "'<i4'",
	"'<i8'", "'>f4'", "'|b1'", "(2, 3)", "(3,)", "()", "4294967296", "9223372036854775807", "}\n", NULL};

const struct fuzz_target fuzz_npy = {"npy", 1024, run, mutate, seeds, words};
