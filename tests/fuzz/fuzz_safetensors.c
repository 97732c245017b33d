/* safetensors: every tensor is where it may be, and the file written from them reads the same. */
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"
#include "tests/fuzz/fuzz.h"

enum { MAX = 4096, SPACE = 16384 /* of a file within another target's input */ };

static const char *const words[] = {
	"__metadata__", "dtype", "shape", "data_offsets", "F32", "F64", "F16", "BF16", "U8", "I32", "I64", "I16",
	"BOOL", "F8_E4M3", "format", "pt", "weight", "a", "b", NULL};

/* Some types can be listed alone. */
static bool is_read(const struct rd_st_view *v)
{
	return v->dtype < RD_N_DTYPES;
}

static void check_views(const struct rd_safetensors *s, size_t file_bytes)
{
	const uint8_t *at = NULL;
	size_t total = 0;

	for (size_t i = 0; i < rd_safetensors_count(s); i++) {
		const struct rd_st_view *v = rd_safetensors_at(s, i);
		size_t elems;
		struct rd_err e;
		float *f;

		ENSURE(rd_safetensors_find(s, v->name) == v);
		ENSURE_OK(rd_shape_elems(&v->shape, &elems, &e), &e);
		ENSURE(!at || v->data == at);
		at = (const uint8_t *)v->data + v->bytes;
		total += v->bytes;
		ENSURE(total <= file_bytes);
		if (!is_read(v))
			continue;
		ENSURE(elems * rd_dtype_bytes(v->dtype) == v->bytes);
		f = malloc(elems * sizeof *f + 1);
		ENSURE(f);
		rd_to_f32(f, v->data, v->dtype, elems);
		free(f);
	}
	ENSURE(!rd_safetensors_find(s, "no such tensor"));
}

static void check_same(const struct rd_safetensors *a, const struct rd_safetensors *b)
{
	ENSURE(rd_safetensors_count(a) == rd_safetensors_count(b));
	ENSURE(json_equal(rd_safetensors_metadata(a), rd_safetensors_metadata(b)));
	for (size_t i = 0; i < rd_safetensors_count(a); i++) {
		const struct rd_st_view *v = rd_safetensors_at(a, i), *w = rd_safetensors_find(b, v->name);

		ENSURE(w && v->dtype == w->dtype && rd_shape_eq(&v->shape, &w->shape) && v->bytes == w->bytes);
		ENSURE(!memcmp(v->data, w->data, v->bytes));
	}
}

static void check_again(const struct rd_safetensors *s)
{
	struct rd_safetensors *again;
	struct rd_out *o;
	struct rd_err e;
	size_t n;
	void *p;

	for (size_t i = 0; i < rd_safetensors_count(s); i++)
		if (!is_read(rd_safetensors_at(s, i)))
			return;
	o = fuzz_out_open();
	ENSURE_OK(rd_safetensors_write(o, rd_safetensors_count(s) ? rd_safetensors_at(s, 0) : NULL, rd_safetensors_count(s),
	                               rd_safetensors_metadata(s), &e), &e);
	p = fuzz_out_take(o, &n);
	ENSURE_OK(rd_safetensors_open(&again, fuzz_file(1, p, n), &e), &e);
	check_same(s, again);
	rd_safetensors_close(again);
	free(p);
}

static void run(const uint8_t *data, size_t n)
{
	struct rd_safetensors *s;
	struct rd_err e = {0};

	if (!fuzz_accepted(rd_safetensors_open(&s, fuzz_file(0, data, n), &e), &e)) {
		ENSURE(!s);
		return;
	}
	check_views(s, n);
	check_again(s);
	rd_safetensors_close(s);
}

/* Bytes of JSON at the front of p; 0 where there is none. */
static size_t json_bytes(const uint8_t *p, size_t n)
{
	json_error_t je;
	json_t *o = json_loadb((const char *)p, n, JSON_DISABLE_EOF_CHECK, &je);

	json_decref(o);
	return o ? (size_t)je.position : 0;
}

/* The header is changed as JSON, or any bytes; its length is put right most of the time. */
static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	static uint8_t header[SPACE], rest[SPACE];
	uint32_t r = seed;
	size_t h = n > 8 ? json_bytes(data + 8, n - 8) : 0, tail;

	if (h && n <= SPACE && fuzz_random(&r) % 2) {
		memcpy(header, data + 8, h);
		tail = n - 8 - h;
		memcpy(rest, data + 8 + h, tail);
		h = fuzz_mutate_json(header, h, (max < SPACE ? max : SPACE) - 8 - tail, fuzz_random(&r), words);
		memcpy(data + 8, header, h);
		memcpy(data + 8 + h, rest, tail);
		n = 8 + h + tail;
	} else {
		n = fuzz_bytes(data, n, max);
		h = n > 8 ? json_bytes(data + 8, n - 8) : 0;
	}
	if (h && fuzz_random(&r) % 8)
		for (int i = 0; i < 8; i++)
			data[i] = (uint8_t)(h >> 8 * i);
	return n;
}

static void emit_file(fuzz_emit *emit, void *arg, const struct rd_st_view *t, size_t k, const json_t *meta)
{
	struct rd_out *o = fuzz_out_open();
	struct rd_err e;
	size_t n;
	void *p;

	ENSURE_OK(rd_safetensors_write(o, t, k, meta, &e), &e);
	p = fuzz_out_take(o, &n);
	emit(arg, p, n);
	free(p);
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const float w[6] = {1, 2, 3, 4, 5, 6};
	static const struct rd_st_view all[] = {
		{.name = "zed", .dtype = RD_F32, .shape = {2, {2, 3}}, .data = w, .bytes = 24},
		{.name = "a.scalar", .dtype = RD_F64, .shape = {0}, .data = w, .bytes = 8},
		{.name = "empty", .dtype = RD_F16, .shape = {2, {0, 3}}, .data = w, .bytes = 0},
		{.name = "half", .dtype = RD_F16, .shape = {1, {3}}, .data = w, .bytes = 6},
		{.name = "brain", .dtype = RD_BF16, .shape = {4, {1, 1, 1, 1}}, .data = w, .bytes = 2},
		{.name = "bytes", .dtype = RD_U8, .shape = {1, {3}}, .data = "abc", .bytes = 3},
		{.name = "\xc3\xa9\"\\", .dtype = RD_I32, .shape = {1, {1}}, .data = w, .bytes = 4},
		{.name = "long", .dtype = RD_I64, .shape = {1, {2}}, .data = w, .bytes = 16},
	};
	json_t *meta = json_pack("{s:s, s:s}", "format", "pt", "note", "two\nlines");

	for (size_t k = 0; k <= sizeof all / sizeof *all; k++)
		emit_file(emit, arg, all, k, k % 2 ? meta : NULL);
	json_decref(meta);
}

const struct fuzz_target fuzz_safetensors = {"safetensors", MAX, run, mutate, seeds, words};
