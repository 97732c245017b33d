/* rdframe: a stream that was read to its end is written again; that copy reads with the same content, and its own copy is
 * equal to the byte. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/frame.h"
#include "tests/fuzz/fuzz.h"

enum { MAX = 4096 };

static uint8_t payload[RD_FRAME_MAX_BYTES];

static void add(XXH3_state_t *sum, const void *p, size_t n)
{
	ENSURE(XXH3_64bits_update(sum, p, n) == XXH_OK);
}

static void add_meta(XXH3_state_t *sum, const json_t *meta)
{
	char *text = json_dumps(meta, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));

	ENSURE(text);
	fuzz_check_json(meta);
	add(sum, text, strlen(text));
	free(text);
}

/* The frames from r to w, up to the end. */
static int copy_frames(struct rd_frame_reader *r, struct rd_frame_writer *w, size_t file_bytes, XXH3_state_t *sum,
                       struct rd_err *e)
{
	struct rd_frame f;
	int rc;

	while ((rc = rd_frame_next(r, &f, e)) > 0) {
		void *p = f.bytes <= file_bytes ? malloc(f.bytes) : payload; /* a lie: only what is there is written */

		ENSURE(p && f.bytes <= RD_FRAME_MAX_BYTES);
		rc = f.ref ? RD_OK : rd_frame_payload(r, p, e);
		if (!rc) {
			add(sum, &f.i, sizeof f.i);
			add(sum, f.name, strlen(f.name));
			add(sum, &f.dtype, sizeof f.dtype);
			add(sum, f.shape.d, (size_t)f.shape.nd * sizeof *f.shape.d);
			add(sum, &f.ref_seed, sizeof f.ref_seed);
			add(sum, p, f.bytes);
			ENSURE_OK(rd_frame_write(w, &f, p, e), e);
		}
		if (p != payload)
			free(p);
		if (rc)
			return rc;
	}
	if (!rc)
		ENSURE(rd_frame_next(r, &f, e) == 0);
	return rc;
}

/* A stream, read and written to o; *digest is of what it says. */
static int copy(const void *data, size_t n, struct rd_out *o, uint64_t *digest, struct rd_err *e)
{
	XXH3_state_t *sum = XXH3_createState();
	struct rd_frame_writer *w = NULL;
	struct rd_frame_reader *r;
	struct rd_in *in;
	int rc;

	ENSURE(sum && XXH3_64bits_reset(sum) == XXH_OK);
	ENSURE_OK(rd_in_open(&in, fuzz_file(0, data, n), e), e);
	rc = rd_frame_reader_open(&r, in, e);
	if (rc) {
		ENSURE(!r);
		goto out;
	}
	add_meta(sum, rd_frame_reader_stream(r)->meta);
	ENSURE_OK(rd_frame_writer_open(&w, o, rd_frame_reader_stream(r), e), e);
	rc = copy_frames(r, w, n, sum, e);
	if (rc) {
		rd_frame_writer_abort(w);
	} else {
		if (rd_frame_reader_end_meta(r))
			add_meta(sum, rd_frame_reader_end_meta(r));
		ENSURE_OK(rd_frame_writer_finish(w, rd_frame_reader_end_meta(r), e), e);
	}
	rd_frame_reader_close(r);
	*digest = XXH3_64bits_digest(sum);
out:
	XXH3_freeState(sum);
	return rc;
}

static void run(const uint8_t *data, size_t n)
{
	struct rd_out *o = fuzz_out_open();
	uint64_t first, second;
	struct rd_err e = {0};
	size_t n1, n2;
	void *p1, *p2;

	if (!fuzz_accepted(copy(data, n, o, &first, &e), &e)) {
		rd_out_abort(o);
		return;
	}
	p1 = fuzz_out_take(o, &n1);
	o = fuzz_out_open();
	ENSURE_OK(copy(p1, n1, o, &second, &e), &e);
	p2 = fuzz_out_take(o, &n2);
	ENSURE(first == second && n1 == n2 && !memcmp(p1, p2, n1));
	free(p1);
	free(p2);
}

/* The checksum of each payload is put right: the "xxh3" before each "data". */
static void repair(uint8_t *data, size_t n)
{
	static const uint8_t sum_key[] = "\xa4xxh3\xcf", data_key[] = "\xa4" "data";
	uint8_t *end = data + n, *at = data, *p;

	while ((at = memmem(at, (size_t)(end - at), sum_key, 6)) && end - at >= 14 &&
	       (p = memmem(at, (size_t)(end - at), data_key, 5)) && end - p > 10) {
		size_t width = p[5] == 0xc4 ? 1 : p[5] == 0xc5 ? 2 : 4, len = 0;
		uint64_t sum;

		for (size_t i = 0; i < width; i++)
			len = len << 8 | p[6 + i];
		p += 6 + width;
		if (len > (size_t)(end - p))
			return;
		sum = XXH3_64bits(p, len);
		for (int i = 0; i < 8; i++)
			at[6 + i] = (uint8_t)(sum >> (56 - 8 * i));
		at = p + len;
	}
}

static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	uint32_t r = seed;

	n = fuzz_bytes(data, n, max);
	if (fuzz_random(&r) % 8)
		repair(data, n);
	return n;
}

static void write_batch(struct rd_frame_writer *w, const struct rd_stream *s, uint64_t i, bool ref)
{
	static const float values[24] = {1, -2, 3, 4e-5f};
	struct rd_frame f = {.i = i, .n = 2, .dtype = RD_F32, .shape = {4, {2, 1, 2, 3}}};
	struct rd_err e;

	for (int k = 0; k < s->n_fields; k++) {
		memcpy(f.name, s->field[k], sizeof f.name);
		f.ref = ref && k == 0;
		f.ref_seed = f.ref ? UINT64_MAX - 3 : 0;
		f.bytes = 48;
		if (!strcmp(f.name, "label")) {
			f.dtype = RD_I32;
			f.shape = (struct rd_shape){1, {2}};
			f.bytes = 8;
		}
		ENSURE_OK(rd_frame_write(w, &f, values, &e), &e);
	}
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const struct rd_stream streams[] = {
		{"noise", 1, {"noise"}, NULL}, {"pairs", 3, {"noise", "sample", "label"}, NULL}, {"samples", 1, {"sample"}, NULL},
		{"trajectory", 4, {"noise", "x", "x0", "eps"}, NULL}, {"data", 2, {"sample", "label"}, NULL}};

	for (unsigned k = 0; k < 4 * sizeof streams / sizeof *streams; k++) {
		struct rd_stream s = streams[k / 4];
		struct rd_out *o = fuzz_out_open();
		struct rd_frame_writer *w;
		struct rd_err e;
		size_t n;
		void *p;

		s.meta = k & 1 ? json_pack("{s:s, s:I, s:f, s:b, s:[i, i], s:{s:n}}", "model", "0123", "seed", (json_int_t)1 << 40,
		                           "guidance", 1.5, "clip", 1, "sample_shape", 2, 3, "more", "null_class") : NULL;
		ENSURE_OK(rd_frame_writer_open(&w, o, &s, &e), &e);
		for (unsigned b = 0; b < k % 4; b++)
			write_batch(w, &s, b ? UINT64_MAX / 3 : 2, k & 2);
		ENSURE_OK(rd_frame_writer_finish(w, s.meta, &e), &e);
		p = fuzz_out_take(o, &n);
		emit(arg, p, n);
		free(p);
		json_decref(s.meta);
	}
}

static const char *const words[] = {
	"magic", "rdframe", "role", "fields", "meta", "noise", "pairs", "samples", "trajectory", "data", "name", "nd",
	"type", "shape", "ref", "seed", "xxh3", "end", "\xa3" "end", "\xa4meta\x80", "<f4", "<f8", "bf16", "|u1",
	"<i4", "label", "sample", NULL};

const struct fuzz_target fuzz_frame = {"frame", MAX, run, mutate, seeds, words};
