/* safetensors: round trips, and a header that lies in every way we know of. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "tests/check.h"

static char path[64];

static int load(const char *header, size_t data_bytes, struct rd_safetensors **s, struct rd_err *e)
{
	char buf[4096] = {0};
	size_t len = strlen(header);

	for (int i = 0; i < 8; i++)
		buf[i] = (char)(len >> 8 * i);
	memcpy(buf + 8, header, len);
	CHECK_OK(rd_out_file(path, buf, 8 + len + data_bytes, e), e);
	return rd_safetensors_open(s, path, e);
}

static size_t slurp(char *buf, size_t cap)
{
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(buf, 1, cap, f) : 0;

	if (f)
		fclose(f);
	return n;
}

static const float w[6] = {1, 2, 3, 4, 5, 6}, scalar = 7;
static const struct rd_st_view tensors[] = {
	{.name = "zed", .dtype = RD_F32, .shape = {2, {2, 3}}, .data = w, .bytes = 24},
	{.name = "a.scalar", .dtype = RD_F32, .shape = {0}, .data = &scalar, .bytes = 4},
	{.name = "empty", .dtype = RD_F32, .shape = {2, {0, 3}}, .data = w, .bytes = 0},
	{.name = "bytes", .dtype = RD_U8, .shape = {1, {3}}, .data = "abc", .bytes = 3},
	{.name = "\xc3\xa9\"\\", .dtype = RD_F32, .shape = {1, {1}}, .data = w + 5, .bytes = 4},
};
enum { N = sizeof tensors / sizeof *tensors };

static void test_round_trip(void)
{
	json_t *meta = json_pack("{s:s, s:s}", "format", "pt", "note", "two\nlines");
	struct rd_safetensors *s;
	const struct rd_st_view *v;
	char first[2048], again[2048];
	struct rd_err e;
	size_t n;

	CHECK_OK(rd_safetensors_save(path, tensors, N, meta, &e), &e);
	n = slurp(first, sizeof first);
	CHECK(n > 8 && !memcmp(first + 8, "{\"__metadata__\":{\"format\":\"pt\"", 30));
	CHECK((unsigned char)first[0] % 8 == 0);
	CHECK_OK(rd_safetensors_save(path, tensors, N, meta, &e), &e);
	CHECK(slurp(again, sizeof again) == n && !memcmp(first, again, n));
	CHECK_OK(rd_safetensors_open(&s, path, &e), &e);
	CHECK(rd_safetensors_count(s) == N);
	CHECK(json_equal((json_t *)rd_safetensors_metadata(s), meta));
	for (size_t i = 0; i < N; i++) {
		v = rd_safetensors_find(s, tensors[i].name);
		CHECK(v && v->dtype == tensors[i].dtype && rd_shape_eq(&v->shape, &tensors[i].shape));
		CHECK(v && v->bytes == tensors[i].bytes && !memcmp(v->data, tensors[i].data, v->bytes));
	}
	CHECK(rd_safetensors_at(s, 0)->data != NULL && !strcmp(rd_safetensors_at(s, 0)->name, "zed"));
	CHECK(!strcmp(rd_safetensors_at(s, N - 1)->name, tensors[N - 1].name));
	CHECK(!rd_safetensors_find(s, "ze") && !rd_safetensors_find(s, "__metadata__") && !rd_safetensors_find(s, ""));
	rd_safetensors_close(s);
	json_decref(meta);
}

/* Types that are listed only, down to half a byte; what they do not fill is refused. */
static void test_listed(void)
{
	static const struct { const char *type; size_t n, bytes; } of[] = {
		{"BOOL", 3, 3}, {"I8", 3, 3}, {"I16", 3, 6}, {"U16", 3, 6}, {"U32", 3, 12}, {"U64", 3, 24}, {"C64", 3, 24},
		{"F8_E4M3", 3, 3}, {"F8_E5M2", 3, 3}, {"F8_E8M0", 3, 3}, {"F6_E2M3", 4, 3}, {"F6_E3M2", 4, 3}, {"F4", 4, 2}};
	const struct rd_st_view *v;
	struct rd_safetensors *s;
	struct rd_err e;
	char header[200];

	for (size_t i = 0; i < sizeof of / sizeof *of; i++)
		for (size_t more = 0; more < 2; more++) {
			snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}",
			         of[i].type, of[i].n, of[i].bytes + more);
			if (more) {
				CHECK(load(header, of[i].bytes + 1, &s, &e) == RD_EINPUT && strstr(e.msg, "does not fill"));
				continue;
			}
			CHECK_OK(load(header, of[i].bytes, &s, &e), &e);
			v = s ? rd_safetensors_at(s, 0) : NULL;
			CHECK(v && v->dtype == RD_N_DTYPES && !strcmp(v->type, of[i].type) && v->elems == of[i].n);
			rd_safetensors_close(s);
		}
	CHECK(load("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, &s, &e) == RD_EINPUT);
}

static void test_truncated(void)
{
	char buf[2048];
	struct rd_safetensors *s;
	struct rd_err e;
	size_t n;

	CHECK_OK(rd_safetensors_save(path, tensors, N, NULL, &e), &e);
	n = slurp(buf, sizeof buf - 1);
	for (size_t k = 0; k <= n + 1; k++) {
		CHECK_OK(rd_out_file(path, buf, k, &e), &e);
		CHECK((rd_safetensors_open(&s, path, &e) == RD_EINPUT) == (k != n));
		rd_safetensors_close(s);
	}
}

static void test_accepted(void)
{
	static const struct { const char *header; size_t bytes; } ok[] = {
		{"{}", 0},
		{"{}      ", 0},
		{"{\"__metadata__\":{}}", 0},
		/* not in the order of offsets, and a key that a later version may add */
		{"{\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8],\"x\":1},"
		 "\"a\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[0,4]}}", 8},
		/* empty tensors where another starts, between two, and at the end */
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		 "\"b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
		 "\"c\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[4,4]}}", 4},
	};
	struct rd_safetensors *s;
	struct rd_err e;

	for (size_t i = 0; i < sizeof ok / sizeof *ok; i++) {
		CHECK_OK(load(ok[i].header, ok[i].bytes, &s, &e), &e);
		CHECK(s && json_is_object(rd_safetensors_metadata(s)));
		if (s && rd_safetensors_count(s))
			CHECK(!strcmp(rd_safetensors_at(s, i == 4 ? 1 : 0)->name, "a"));
		rd_safetensors_close(s);
	}
}

#define T(name, dtype, shape, lo, hi) \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #lo "," #hi "]}"

static void test_refused(void)
{
	static const struct { const char *why, *header; } bad[] = {
		{"empty header", ""},
		{"not an object", "[]"},
		{"leading space", " {}"},
		{"not JSON", "{"},
		{"text behind", "{} x"},
		{"hole at the start", "{" T("a", "F32", "[1]", 4, 8) "}"},
		{"trailing bytes", "{" T("a", "F32", "[1]", 0, 4) "}"},
		{"hole between", "{" T("a", "U8", "[3]", 0, 3) "," T("b", "F32", "[1]", 4, 8) "}"},
		{"overlap", "{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}"},
		{"the same twice", "{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 0, 8) "}"},
		{"an overlap as large as a hole", "{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}"},
		{"a hole as large as an overlap", "{" T("a", "F32", "[1]", 4, 8) "," T("b", "F32", "[1]", 4, 8) "}"},
		{"duplicate name", "{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}"},
		{"duplicate metadata", "{\"__metadata__\":{},\"__metadata__\":{}," T("a", "F32", "[2]", 0, 8) "}"},
		{"duplicate key inside", "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"},
		{"metadata not an object", "{\"__metadata__\":[]," T("a", "F32", "[2]", 0, 8) "}"},
		{"metadata not strings", "{\"__metadata__\":{\"x\":1}," T("a", "F32", "[2]", 0, 8) "}"},
		{"past the end", "{" T("a", "F32", "[3]", 0, 12) "}"},
		{"offsets backwards", "{" T("a", "F32", "[2]", 8, 0) "}"},
		{"negative offset", "{" T("a", "F32", "[2]", -8, 0) "}"},
		{"offsets beyond 64 bits", "{" T("a", "F32", "[2]", 0, 99999999999999999999) "}"},
		{"shape too small", "{" T("a", "F32", "[1]", 0, 8) "}"},
		{"shape too large", "{" T("a", "F32", "[3]", 0, 8) "}"},
		{"dtype does not fit", "{" T("a", "F64", "[2]", 0, 8) "}"},
		{"negative dimension", "{" T("a", "F32", "[-1,-2]", 0, 8) "}"},
		{"fractional dimension", "{" T("a", "F32", "[2.0]", 0, 8) "}"},
		{"product overflows", "{" T("a", "F32", "[4294967296,4294967296,2]", 0, 8) "}"},
		{"product times size overflows", "{" T("a", "F32", "[4611686018427387906]", 0, 8) "}"},
		{"too many dimensions", "{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}"},
		{"unknown dtype", "{" T("a", "F9_E4M4", "[8]", 0, 8) "}"},
		{"shape missing", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}"},
		{"dtype missing", "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}"},
		{"offsets missing", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}"},
		{"three offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}"},
		{"offsets not integers", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8.0]}}"},
		{"tensor not an object", "{\"a\":[]}"},
		{"name with a NUL", "{" T("a\\u0000", "F32", "[2]", 0, 8) "}"},
	};
	struct rd_safetensors *s;
	struct rd_err e;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int rc = load(bad[i].header, 8, &s, &e);

		CHECK(rc == RD_EINPUT && !s && strstr(e.msg, path));
		if (rc != RD_EINPUT)
			fprintf(stderr, "  %s: %s\n", bad[i].why, bad[i].header);
	}
}

static void test_header_length(void)
{
	static const unsigned char huge[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
	static const unsigned char over[10] = {0, 0, 0, 7, 0, 0, 0, 0, '{', '}'}; /* 112 MiB */
	struct rd_safetensors *s;
	struct rd_err e;

	CHECK_OK(rd_out_file(path, huge, sizeof huge, &e), &e);
	CHECK(rd_safetensors_open(&s, path, &e) == RD_EINPUT);
	CHECK_OK(rd_out_file(path, over, sizeof over, &e), &e);
	CHECK(rd_safetensors_open(&s, path, &e) == RD_EINPUT && strstr(e.msg, "at most"));
	CHECK(rd_safetensors_open(&s, "/tmp", &e) == RD_EINPUT && !s);
	CHECK(rd_safetensors_open(&s, "/nowhere/x", &e) == RD_EIO && !s);
}

static void test_write_refused(void)
{
	struct rd_st_view t[2] = {tensors[0], tensors[0]};
	json_t *meta = json_pack("{s:i}", "n", 1);
	struct rd_err e;

	CHECK(rd_safetensors_save(path, t, 2, NULL, &e) == RD_EFAIL); /* one name twice */
	t[1] = (struct rd_st_view){.name = "short", .dtype = RD_F32, .shape = {1, {3}}, .data = w, .bytes = 8};
	CHECK(rd_safetensors_save(path, t, 2, NULL, &e) == RD_ESHAPE);
	t[1] = (struct rd_st_view){.name = "__metadata__", .dtype = RD_F32, .shape = {1, {2}}, .data = w, .bytes = 8};
	CHECK(rd_safetensors_save(path, t, 2, NULL, &e) == RD_EFAIL);
	CHECK(rd_safetensors_save(path, t, 1, meta, &e) == RD_EFAIL);
	json_decref(meta);
}

int main(void)
{
	snprintf(path, sizeof path, "/tmp/test_safetensors.%ld", (long)getpid());
	test_round_trip();
	test_listed();
	test_truncated();
	test_accepted();
	test_refused();
	test_header_length();
	test_write_refused();
	unlink(path);
	return check_report("safetensors");
}
