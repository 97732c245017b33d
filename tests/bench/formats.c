/* Files: gigabytes a second of each format, written and read, beside write(2) and read(2) of as many bytes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/frame.h"
#include "formats/npy.h"
#include "formats/pairs.h"
#include "formats/safetensors.h"
#include "tests/bench/bench.h"

#define CHUNK 256             /* samples */
#define DIM (3 * 32 * 32)     /* floats of a sample */
#define PART ((size_t)CHUNK * DIM) /* floats of a chunk: 3 MiB */

struct files {
	char path[600];
	float *data, *back;  /* n_parts chunks each */
	size_t n_parts, bytes;
};

static const struct rd_shape part_shape = {4, {CHUNK, 3, 32, 32}};

static struct rd_out *begin(const struct files *f)
{
	struct rd_out *o;
	struct rd_err e;

	BENCH_OK(rd_out_open(&o, f->path, RD_OUT_BINARY, &e), &e);
	return o;
}

static struct rd_in *input(const struct files *f)
{
	struct rd_in *in;
	struct rd_err e;

	BENCH_OK(rd_in_open(&in, f->path, &e), &e);
	return in;
}

static void plain_write(void *ctx)
{
	const struct files *f = ctx;
	int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	ssize_t got = 1;

	for (size_t at = 0; at < f->bytes && got > 0; at += (size_t)got)
		got = write(fd, (const char *)f->data + at, f->bytes - at < 1 << 20 ? f->bytes - at : 1 << 20);
	if (got <= 0 || close(fd)) {
		perror(f->path);
		exit(1);
	}
}

static void plain_read(void *ctx)
{
	const struct files *f = ctx;
	int fd = open(f->path, O_RDONLY);
	size_t at = 0;
	ssize_t got;

	while ((got = read(fd, (char *)f->back + at, f->bytes - at < 1 << 20 ? f->bytes - at : 1 << 20)) > 0)
		at += (size_t)got;
	close(fd);
}

/* Into new memory: what reading a whole array comes to. */
static void plain_read_new(void *ctx)
{
	struct files f = *(const struct files *)ctx;

	f.back = malloc(f.bytes);
	plain_read(&f);
	free(f.back);
}

static void frames_write(void *ctx)
{
	const struct files *f = ctx;
	struct rd_stream s = {.role = "data", .n_fields = 1, .field = {"sample"}, .meta = json_object()};
	struct rd_frame h = {.n = CHUNK, .name = "sample", .shape = part_shape, .bytes = PART * sizeof(float)};
	struct rd_frame_writer *w;
	struct rd_out *o = begin(f);
	struct rd_err e;

	BENCH_OK(rd_frame_writer_open(&w, o, &s, &e), &e);
	for (size_t i = 0; i < f->n_parts; i++, h.i += CHUNK)
		BENCH_OK(rd_frame_write(w, &h, f->data + i * PART, &e), &e);
	BENCH_OK(rd_frame_writer_finish(w, NULL, &e), &e);
	BENCH_OK(rd_out_finish(o, &e), &e);
	json_decref(s.meta);
}

static void frames_read(void *ctx)
{
	const struct files *f = ctx;
	struct rd_frame_reader *r;
	struct rd_frame h;
	struct rd_err e;
	int st;

	BENCH_OK(rd_frame_reader_open(&r, input(f), &e), &e);
	for (size_t i = 0; (st = rd_frame_next(r, &h, &e)) > 0; i++)
		BENCH_OK(rd_frame_payload(r, f->back + i * PART, &e), &e);
	BENCH_OK(st, &e);
	rd_frame_reader_close(r);
}

/* Half of the chunks as noise, half as samples. */
static void pairs_write(void *ctx)
{
	const struct files *f = ctx;
	json_t *meta = json_object();
	struct rd_pairs_writer *w;
	struct rd_out *o = begin(f);
	struct rd_err e;

	BENCH_OK(rd_pairs_writer_open(&w, o, meta, &e), &e);
	for (size_t i = 0; i + 1 < f->n_parts; i += 2) {
		struct rd_pairs_chunk c = {.first = i / 2 * CHUNK, .n = CHUNK,
		                           .noise = {RD_F32, part_shape, f->data + i * PART},
		                           .sample = {RD_F32, part_shape, f->data + (i + 1) * PART}};

		BENCH_OK(rd_pairs_write(w, &c, &e), &e);
	}
	BENCH_OK(rd_pairs_writer_finish(w, &e), &e);
	BENCH_OK(rd_out_finish(o, &e), &e);
	json_decref(meta);
}

static void pairs_read(void *ctx)
{
	struct rd_pairs_reader *r;
	struct rd_pairs_chunk c;
	struct rd_err e;
	int st;

	BENCH_OK(rd_pairs_reader_open(&r, input(ctx), &e), &e);
	while ((st = rd_pairs_next(r, &c, &e)) > 0)
		rd_pairs_chunk_free(&c);
	BENCH_OK(st, &e);
	rd_pairs_reader_close(r);
}

static void npy_write(void *ctx)
{
	const struct files *f = ctx;
	struct rd_shape s = part_shape;
	struct rd_out *o = begin(f);
	struct rd_err e;

	s.d[0] *= (int64_t)f->n_parts;
	BENCH_OK(rd_npy_write(o, RD_F32, &s, f->data, &e), &e);
	BENCH_OK(rd_out_finish(o, &e), &e);
}

static void npy_read(void *ctx)
{
	const struct files *f = ctx;
	struct rd_array a;
	struct rd_err e;

	BENCH_OK(rd_npy_load(f->path, &a, &e), &e);
	rd_array_free(&a);
}

static void safetensors_write(void *ctx)
{
	const struct files *f = ctx;
	struct rd_st_view *v = calloc(f->n_parts, sizeof *v);
	char (*name)[24] = calloc(f->n_parts, sizeof *name);
	struct rd_out *o = begin(f);
	struct rd_err e;

	for (size_t i = 0; i < f->n_parts; i++) {
		snprintf(name[i], sizeof name[i], "t%zu", i);
		v[i] = (struct rd_st_view){.name = name[i], .dtype = RD_F32, .shape = part_shape, .data = f->data + i * PART,
		                           .bytes = PART * sizeof(float)};
	}
	BENCH_OK(rd_safetensors_write(o, v, f->n_parts, NULL, &e), &e);
	BENCH_OK(rd_out_finish(o, &e), &e);
	free(v);
	free(name);
}

/* As a model is loaded: mapped, and every tensor brought into an array. */
static void safetensors_read(void *ctx)
{
	const struct files *f = ctx;
	struct rd_safetensors *s;
	struct rd_err e;

	BENCH_OK(rd_safetensors_open(&s, f->path, &e), &e);
	for (size_t i = 0; i < rd_safetensors_count(s); i++)
		rd_to_f32(f->back + i * PART, rd_safetensors_at(s, i)->data, RD_F32, PART);
	rd_safetensors_close(s);
}

/* f and plain in turns; the median rate of f and its share of the median of plain. */
static void compare(const struct bench *b, struct files *f, void (*op)(void *), void (*plain)(void *), const char *what)
{
	double t[BENCH_MAX_RUNS], p[BENCH_MAX_RUNS], mt, mp;
	char own[600], other[600];

	snprintf(own, sizeof own, "%s/file", b->tmp);
	snprintf(other, sizeof other, "%s/plain", b->tmp);
	for (int i = -1; i < b->runs; i++) { /* the first run of each is not counted */
		int at = i < 0 ? 0 : i;

		memcpy(f->path, other, sizeof f->path);
		p[at] = bench_time(plain, f);
		memcpy(f->path, own, sizeof f->path);
		t[at] = bench_time(op, f);
	}
	mt = bench_median(t, b->runs);
	mp = bench_median(p, b->runs);
	bench_print(&BENCH_ROW(.rate = 1e-9 * (double)f->bytes / mt, .unit = "GB/s", .share = mp / mt), "%s", what);
}

void bench_formats(struct bench *b)
{
	static const struct {
		const char *what;
		void (*write)(void *), (*read)(void *), (*plain_read)(void *);
	} formats[] = {
		{"frames", frames_write, frames_read, plain_read},
		{"pairs archive", pairs_write, pairs_read, plain_read},
		{".npy", npy_write, npy_read, plain_read_new},
		{"safetensors", safetensors_write, safetensors_read, plain_read},
	};
	struct files f = {.n_parts = b->quick ? 10 : 42}; /* 30 or 126 MiB */
	char what[64];

	f.bytes = f.n_parts * PART * sizeof(float);
	f.data = malloc(f.bytes);
	f.back = calloc(1, f.bytes);
	rd_rng_normal_batch(1, RD_RNG_DATA, 0, f.data, f.n_parts, PART);
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		snprintf(what, sizeof what, "%s, written", formats[i].what);
		compare(b, &f, formats[i].write, plain_write, what);
		snprintf(what, sizeof what, "%s, read", formats[i].what);
		compare(b, &f, formats[i].read, formats[i].plain_read, what);
	}
	free(f.data);
	free(f.back);
}
