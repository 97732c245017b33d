/* npy: round trips, headers as numpy writes them, and what must be refused. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/npy.h"
#include "tests/check.h"

static char path[64];

static void save(const void *data, size_t n)
{
	struct rd_err e;

	CHECK_OK(rd_out_file(path, data, n, &e), &e);
}

static size_t slurp(char *buf, size_t cap)
{
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(buf, 1, cap, f) : 0;

	if (f)
		fclose(f);
	return n;
}

static void write_array(enum rd_dtype t, const struct rd_shape *s, const void *data)
{
	struct rd_out *o;
	struct rd_err e;

	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_npy_write(o, t, s, data, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
}

static void test_round_trip(void)
{
	static const struct rd_shape shapes[] = {
		{0}, {1, {5}}, {2, {2, 3}}, {4, {2, 1, 3, 2}}, {2, {0, 3}}, {8, {1, 1, 1, 1, 1, 1, 2, 2}}, {1, {100000}},
	};
	unsigned char *data = malloc(800000);
	struct rd_array a;
	struct rd_err e;

	for (size_t i = 0; i < 800000; i++)
		data[i] = (unsigned char)(i * 7 + i / 251);
	for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
		for (int t = 0; t < RD_N_DTYPES; t++) {
			if (t == RD_BF16)
				continue;
			write_array((enum rd_dtype)t, &shapes[k], data);
			CHECK_OK(rd_npy_load(path, &a, &e), &e);
			CHECK((int)a.dtype == t && rd_shape_eq(&a.shape, &shapes[k]));
			CHECK(!memcmp(a.data, data, rd_array_bytes(&a)));
			rd_array_free(&a);
		}
	free(data);
}

static void test_header_bytes(void)
{
	static const char want[] = "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
	struct rd_shape s = rd_shape_make(2, (int64_t[]){3, 4}), big = {.nd = 8};
	char buf[256];
	struct rd_err e;
	size_t n;

	CHECK_OK(rd_npy_make_header(RD_F32, &s, buf, sizeof buf, &n, &e), &e);
	CHECK(n == 128 && !memcmp(buf, want, sizeof want - 1) && buf[127] == '\n' && buf[126] == ' ');
	for (int i = 0; i < 8; i++)
		big.d[i] = INT64_MAX;
	CHECK_OK(rd_npy_make_header(RD_F32, &big, buf, sizeof buf, &n, &e), &e);
	CHECK(n == 256);
	CHECK(rd_npy_make_header(RD_BF16, &s, buf, sizeof buf, &n, &e) == RD_EUSAGE);
}

/* A version 1.0 header of this text, then data_bytes of data. */
static int load_text(const char *dict, size_t data_bytes, struct rd_array *a, struct rd_err *e)
{
	char buf[4096] = "\x93NUMPY\x01";
	size_t len = strlen(dict);

	buf[8] = (char)(len & 0xff);
	buf[9] = (char)(len >> 8);
	memcpy(buf + 10, dict, len);
	save(buf, 10 + len + data_bytes);
	return rd_npy_load(path, a, e);
}

static void test_accepted(void)
{
	static const char *const ok[] = {
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
		"{\"shape\":(2,3,),\"descr\":\"<f4\",\"fortran_order\":False}\n",
		"{ 'fortran_order' : False , 'shape' : ( 2 , 3 ) , 'descr' : '<f4' , }",
	};
	struct rd_array a;
	struct rd_err e;

	for (size_t i = 0; i < sizeof ok / sizeof *ok; i++) {
		CHECK_OK(load_text(ok[i], 24, &a, &e), &e);
		CHECK(a.dtype == RD_F32 && a.shape.nd == 2 && a.shape.d[0] == 2 && a.shape.d[1] == 3);
		rd_array_free(&a);
		CHECK(load_text(ok[i], 23, &a, &e) == RD_EINPUT);
		CHECK(load_text(ok[i], 25, &a, &e) == RD_EINPUT && !a.data);
	}
}

static void test_refused(void)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{'descr': '<f4', 'fortran_order': False}",
		"{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}",
		"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
		"{'descr': 'bf16', 'fortran_order': False, 'shape': (2,)}",
		"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
		"{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
		"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 2)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
		"{'descr': '<f\\x34', 'fortran_order': False, 'shape': (2,)}",
		"{'descr': '<f4", "{'descr", "{'descr':", "{'descr': '<f4444444444444444444444', ",
	};
	struct rd_array a;
	struct rd_err e;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int rc = load_text(bad[i], 8, &a, &e);

		CHECK(rc == RD_EINPUT && !a.data && strstr(e.msg, path));
		if (rc != RD_EINPUT)
			fprintf(stderr, "  header %s\n", bad[i]);
	}
}

static void test_truncated_and_versions(void)
{
	float data[6] = {1, 2, 3, 4, 5, 6};
	struct rd_shape s = rd_shape_make(2, (int64_t[]){3, 2});
	char buf[512], v2[512];
	struct rd_array a;
	struct rd_err e;
	size_t n;

	write_array(RD_F32, &s, data);
	n = slurp(buf, sizeof buf);
	CHECK(n == 128 + 24);
	for (size_t k = 0; k < n; k++) {
		save(buf, k);
		CHECK(rd_npy_load(path, &a, &e) == RD_EINPUT);
	}
	memcpy(v2, buf, 8);
	memcpy(v2 + 8, "\x76\x00\x00\x00", 4);
	memcpy(v2 + 12, buf + 10, n - 10);
	for (char v = 0; v < 5; v++) {
		v2[6] = v;
		save(v2, n + 2);
		if (v == 2 || v == 3) {
			CHECK_OK(rd_npy_load(path, &a, &e), &e);
			CHECK(rd_shape_eq(&a.shape, &s) && !memcmp(a.data, data, sizeof data));
			rd_array_free(&a);
		} else {
			CHECK(rd_npy_load(path, &a, &e) == RD_EINPUT);
		}
	}
	v2[6] = 2;
	v2[11] = 1; /* 16 MiB of header */
	save(v2, n + 2);
	CHECK(rd_npy_load(path, &a, &e) == RD_EINPUT && strstr(e.msg, "longer"));
}

/* More than the first allocation, from a pipe: the array grows as it comes. */
static void test_growing(void)
{
	char command[200], fifo[80];
	struct rd_shape s = rd_shape_make(1, (int64_t[]){(64 << 18) + 12345});
	int32_t *data = malloc((size_t)s.d[0] * 4);
	struct rd_array a;
	struct rd_in *in;
	struct rd_err e;

	for (int64_t i = 0; i < s.d[0]; i++)
		data[i] = (int32_t)i;
	write_array(RD_I32, &s, data);
	snprintf(fifo, sizeof fifo, "%s.fifo", path);
	snprintf(command, sizeof command, "cat %s >%s &", path, fifo);
	CHECK(!mkfifo(fifo, 0600) && !system(command));
	CHECK_OK(rd_in_open(&in, fifo, &e), &e);
	CHECK_OK(rd_npy_read(in, &a, &e), &e);
	rd_in_close(in);
	unlink(fifo);
	CHECK(rd_shape_eq(&a.shape, &s) && !memcmp(a.data, data, rd_array_bytes(&a)));
	rd_array_free(&a);
	free(data);
}

int main(void)
{
	struct rd_array a;
	struct rd_err e;

	snprintf(path, sizeof path, "/tmp/test_npy.%ld", (long)getpid());
	test_round_trip();
	test_header_bytes();
	test_accepted();
	test_refused();
	test_truncated_and_versions();
	test_growing();
	unlink(path);
	CHECK(rd_npy_load(path, &a, &e) == RD_EIO && !a.data);
	return check_report("npy");
}
