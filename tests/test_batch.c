/* Sources and sinks: every form read as the same batches, mismatches named, nothing truncated passes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/npy.h"
#include "formats/pairs.h"
#include "kernels/rng.h"
#include "lib/data/batch.h"
#include "tests/check.h"

static char dir[64], names[8][96];

/* A file of this test, by number. */
static const char *file(int i)
{
	snprintf(names[i], sizeof names[i], "%s/%d", dir, i);
	return names[i];
}

static const char *with_name(const char *field, int i)
{
	static char args[16][160];
	static int turn;

	turn = (turn + 1) % 16;
	snprintf(args[turn], sizeof args[turn], "%s=%s", field, file(i));
	return args[turn];
}

static float value(uint64_t index, size_t k, int field)
{
	return (float)index + (float)k / 8 + (float)field * 1000;
}

static int32_t label_of(uint64_t index)
{
	return (int32_t)(index % 10);
}

/* Samples [3] of first .. first+n-1, each field by its name; noise by reference where seed is not 0. */
static void make_batch(struct rd_batch *b, const struct rd_stream *s, uint64_t first, int64_t n, uint64_t seed)
{
	struct rd_err e;

	memset(b, 0, sizeof *b);
	b->first = first;
	b->n = n;
	for (int k = 0; k < s->n_fields; k++) {
		bool label = !strcmp(s->field[k], "label"), noise = !strcmp(s->field[k], "noise");
		struct rd_shape shape = {label ? 1 : 2, {n, 3}};

		CHECK_OK(rd_array_init(&b->f[k], label ? RD_I32 : RD_F32, &shape, 0, &e), &e);
		for (int64_t i = 0; i < n; i++)
			for (size_t j = 0; j < (label ? 1 : 3); j++)
				if (label)
					((int32_t *)b->f[k].data)[i] = label_of(first + (uint64_t)i);
				else
					((float *)b->f[k].data)[3 * i + (int64_t)j] = value(first + (uint64_t)i, j, noise);
		if (noise && seed) {
			b->ref[k] = true;
			b->ref_seed[k] = seed;
			rd_rng_normal_batch(seed, RD_RNG_NOISE, first, b->f[k].data, (size_t)n, 3);
		}
	}
}

static void make_stream(struct rd_stream *s, const char *role, const char *const *fields)
{
	struct rd_err e;

	rd_stream_init(s, role, json_pack("{s:s}", "who", "test"));
	for (; *fields; fields++)
		CHECK_OK(rd_stream_add(s, *fields, &e), &e);
}

static void write_stream(const char *path, const char *role, const char *const *fields, uint64_t first, int64_t n,
                         uint64_t seed)
{
	struct rd_stream s;
	struct rd_batch b;
	struct rd_sink *k;
	struct rd_err e;

	make_stream(&s, role, fields);
	CHECK_OK(rd_sink_open(&k, path, 0, &s, &e), &e);
	for (uint64_t at = 0; at < (uint64_t)n; at += 4) {
		make_batch(&b, &s, first + at, n - (int64_t)at < 4 ? n - (int64_t)at : 4, seed);
		CHECK_OK(rd_sink_write(k, &b, &e), &e);
		rd_batch_free(&b);
	}
	CHECK_OK(rd_sink_finish(k, NULL, &e), &e);
	rd_stream_free(&s);
}

/* In chunks of four, too. */
static void write_archive(const char *path, uint64_t first, int64_t n, bool label, uint64_t seed)
{
	static const char *const fields[] = {"noise", "sample", "label", NULL};
	struct rd_stream s;
	struct rd_batch b;
	struct rd_pairs_writer *w;
	struct rd_pairs_chunk c;
	struct rd_out *o;
	struct rd_err e;

	make_stream(&s, "pairs", fields);
	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_pairs_writer_open(&w, o, s.meta, &e), &e);
	for (uint64_t at = 0; at < (uint64_t)n; at += 4) {
		make_batch(&b, &s, first + at, n - (int64_t)at < 4 ? n - (int64_t)at : 4, seed);
		c = (struct rd_pairs_chunk){.first = b.first, .n = b.n, .has = {label}, .noise_ref = seed != 0, .noise_seed = seed,
		                            .noise = b.f[0], .sample = b.f[1], .extra = {b.f[2]}};
		CHECK_OK(rd_pairs_write(w, &c, &e), &e);
		rd_batch_free(&b);
	}
	CHECK_OK(rd_pairs_writer_finish(w, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	rd_stream_free(&s);
}

static void write_npy(const char *path, enum rd_dtype t, struct rd_shape shape, const void *data)
{
	struct rd_out *o;
	struct rd_err e;

	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_npy_write(o, t, &shape, data, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
}

static int64_t came_to; /* samples that read_pairs had before the end or the error; -1: it could not open */

/* Reads a source of pairs to the end and checks every number; the number of samples, or the error. */
static int64_t read_pairs(const char *const *paths, int n_paths, const char *role, uint64_t first, uint64_t seed,
                          struct rd_err *e)
{
	const struct rd_batch *b;
	struct rd_source *s;
	struct rd_batch want;
	int64_t total = 0;
	int rc = rd_source_open(&s, paths, n_paths, role, e);

	came_to = rc ? -1 : 0;
	if (rc)
		return rc;
	while ((rc = rd_source_next(s, &b, e)) > 0) {
		CHECK(b->first == first + (uint64_t)total);
		make_batch(&want, rd_source_stream(s), b->first, b->n, seed);
		for (int k = 0; k < rd_source_stream(s)->n_fields; k++) {
			CHECK(b->f[k].dtype == want.f[k].dtype && rd_shape_eq(&b->f[k].shape, &want.f[k].shape));
			CHECK(!memcmp(b->f[k].data, want.f[k].data, rd_array_bytes(&want.f[k])));
			CHECK(b->ref[k] == want.ref[k] && (!b->ref[k] || b->ref_seed[k] == seed));
		}
		rd_batch_free(&want);
		total += b->n;
		came_to = total;
	}
	rd_source_close(s);
	return rc ? rc : total;
}

static const char *const pairs_fields[] = {"noise", "label", "sample", NULL};

static void test_forms(void)
{
	const char *paths[3] = {file(0), file(1), file(2)};
	struct rd_err e;

	for (uint64_t seed = 0; seed < 2; seed++) {
		write_stream(paths[0], "pairs", pairs_fields, 0, 10, seed * 77);
		write_archive(paths[1], 10, 6, true, seed * 77);
		write_stream(paths[2], "pairs", pairs_fields, 16, 3, seed * 77);
		CHECK(read_pairs(paths, 1, "pairs", 0, seed * 77, &e) == 10);
		CHECK(read_pairs(paths, 3, "pairs", 0, seed * 77, &e) == 19);
		CHECK(read_pairs(paths + 1, 2, NULL, 10, seed * 77, &e) == 9);
		CHECK(read_pairs(paths, 1, "noise", 0, 0, &e) == RD_EINPUT && strstr(e.msg, "holds pairs, noise expected"));
	}
}

/* Three arrays side by side, of types that are converted. */
static void test_named(void)
{
	double noise[15];
	float sample[15];
	int64_t label[5], bad[5] = {0, 1, 2, 3, (int64_t)1 << 40};
	const char *paths[4];
	struct rd_err e;

	for (uint64_t i = 0; i < 5; i++) {
		label[i] = label_of(i);
		for (size_t j = 0; j < 3; j++) {
			noise[3 * i + j] = value(i, j, 1);
			sample[3 * i + j] = value(i, j, 0);
		}
	}
	write_npy(file(0), RD_F64, (struct rd_shape){2, {5, 3}}, noise);
	write_npy(file(1), RD_F32, (struct rd_shape){2, {5, 3}}, sample);
	write_npy(file(2), RD_I64, (struct rd_shape){1, {5}}, label);
	write_npy(file(3), RD_I64, (struct rd_shape){1, {5}}, bad);
	write_archive(file(4), 5, 3, true, 0);
	write_npy(file(5), RD_F32, (struct rd_shape){2, {4, 3}}, sample);
	paths[0] = with_name("noise", 0);
	paths[1] = with_name("sample", 1);
	paths[2] = with_name("label", 2);
	paths[3] = file(4);
	CHECK(read_pairs(paths, 3, "pairs", 0, 0, &e) == 5);
	CHECK(read_pairs(paths, 4, "pairs", 0, 0, &e) == 8);
	CHECK(read_pairs(paths, 1, "noise", 0, 0, &e) == 5);
	CHECK(read_pairs(paths + 1, 2, "data", 0, 0, &e) == 5);
	paths[2] = with_name("label", 3);
	CHECK(read_pairs(paths, 3, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "out of range"));
	paths[2] = with_name("label", 1);
	CHECK(read_pairs(paths, 3, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "label"));
	paths[2] = with_name("label", 4);
	CHECK(read_pairs(paths, 3, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "array"));
	paths[1] = with_name("sample", 5);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "4 samples, but 5"));
}

/* The same name again begins a new input, which counts on. */
static void test_counting_on(void)
{
	float x[30];
	const char *paths[2];
	struct rd_err e;

	for (uint64_t i = 0; i < 10; i++)
		for (size_t j = 0; j < 3; j++)
			x[3 * i + j] = value(i, j, 0);
	write_npy(file(0), RD_F32, (struct rd_shape){2, {6, 3}}, x);
	write_npy(file(1), RD_F32, (struct rd_shape){2, {4, 3}}, x + 18);
	paths[0] = with_name("sample", 0);
	paths[1] = with_name("sample", 1);
	CHECK(read_pairs(paths, 2, "data", 0, 0, &e) == 10);
	paths[0] = file(0);
	paths[1] = file(1);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == 10);
}

/* An array of several batches. */
static void test_large_array(void)
{
	enum { COUNT = 200000 };
	float *x = malloc(COUNT * 3 * sizeof *x);
	const char *path = file(0);
	struct rd_err e;

	for (uint64_t i = 0; i < COUNT; i++)
		for (size_t j = 0; j < 3; j++)
			x[3 * i + j] = value(i, j, 0);
	write_npy(path, RD_F32, (struct rd_shape){2, {COUNT, 3}}, x);
	CHECK(read_pairs(&path, 1, NULL, 0, 0, &e) == COUNT);
	free(x);
}

static void test_idx(void)
{
	static const unsigned char images[16 + 8] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 255, 127, 128, 1, 2, 3, 4};
	static const unsigned char labels[8 + 2] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 9};
	const char *paths[2];
	const struct rd_batch *b;
	struct rd_source *s;
	struct rd_shape one;
	struct rd_err e;

	CHECK_OK(rd_out_file(file(0), images, sizeof images, &e), &e);
	CHECK_OK(rd_out_file(file(1), labels, sizeof labels, &e), &e);
	paths[0] = with_name("sample", 0);
	paths[1] = with_name("label", 1);
	CHECK_OK(rd_source_open(&s, paths, 2, "data", &e), &e);
	CHECK(rd_source_sample_shape(s, 0, &one) && one.nd == 3 && one.d[0] == 1 && one.d[1] == 2 && one.d[2] == 2);
	CHECK(rd_source_sample_shape(s, 1, &one) && one.nd == 0);
	CHECK(rd_source_next(s, &b, &e) == 1 && b->n == 2 && b->first == 0);
	CHECK_NEAR(((float *)b->f[0].data)[0], -1, 0);
	CHECK_NEAR(((float *)b->f[0].data)[1], 1, 0);
	CHECK_NEAR(((float *)b->f[0].data)[2], 127 / 127.5 - 1, 1e-7);
	CHECK(((int32_t *)b->f[1].data)[0] == 7 && ((int32_t *)b->f[1].data)[1] == 9);
	CHECK(rd_source_next(s, &b, &e) == 0);
	rd_source_close(s);
	paths[0] = file(1);
	CHECK_OK(rd_source_open(&s, paths, 1, NULL, &e), &e);
	CHECK(!strcmp(rd_source_stream(s)->field[0], "label"));
	rd_source_close(s);
}

static void test_mismatches(void)
{
	static const char *const no_label[] = {"noise", "sample", NULL}, *const other[] = {"noise", "label", "extra", NULL};
	const char *paths[2] = {file(0), file(1)};
	struct rd_err e;
	float x[8];

	for (size_t i = 0; i < 8; i++)
		x[i] = value(i / 3, i % 3, 0);
	write_stream(paths[0], "pairs", pairs_fields, 0, 10, 0);
	write_archive(paths[1], 10, 2, false, 0);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, paths[0]) && strstr(e.msg, paths[1]));
	write_stream(paths[1], "samples", pairs_fields, 10, 2, 0);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "samples") && strstr(e.msg, paths[0]));
	write_stream(paths[1], "pairs", no_label, 10, 2, 0);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == RD_EINPUT);
	write_stream(paths[1], "pairs", other, 10, 2, 0);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "sample"));
	write_npy(paths[0], RD_F32, (struct rd_shape){2, {2, 3}}, x);
	write_npy(paths[1], RD_F32, (struct rd_shape){2, {2, 4}}, x);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, paths[0]) && strstr(e.msg, "[4]"));
	CHECK(read_pairs(paths, 0, NULL, 0, 0, &e) == RD_EUSAGE);
	CHECK_OK(rd_out_file(paths[0], "hello\n", 6, &e), &e);
	CHECK(read_pairs(paths, 1, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "neither"));
	CHECK_OK(rd_out_file(paths[0], "", 0, &e), &e);
	CHECK(read_pairs(paths, 1, NULL, 0, 0, &e) == RD_EINPUT && strstr(e.msg, "empty"));
	write_npy(paths[0], RD_F32, (struct rd_shape){0}, x);
	CHECK(read_pairs(paths, 1, NULL, 0, 0, &e) == RD_EINPUT);
	write_npy(paths[0], RD_F32, (struct rd_shape){2, {3, 0}}, x);
	CHECK(read_pairs(paths, 1, NULL, 0, 0, &e) == RD_EINPUT);
}

/* A cut anywhere, of either form, is an error however much came before it; so is one in the second input. What opening an input looks
 * at, a stream's header or an archive's first chunk, is missed before the first input is read; what is behind it once all that is there
 * was read. */
static void test_cuts(bool archive)
{
	const char *paths[2] = {file(0), file(1)};
	struct rd_err e;
	char *buf = calloc(1, 1 << 16);
	size_t n, bad = 0, alone[7] = {0}, second[17] = {0}; /* cuts by came_to + 1 */
	FILE *f;

	write_stream(paths[0], "pairs", pairs_fields, 0, 10, 0);
	if (archive)
		write_archive(paths[1], 10, 5, true, 0);
	else
		write_stream(paths[1], "pairs", pairs_fields, 10, 5, 0);
	f = fopen(paths[1], "rb");
	n = f ? fread(buf, 1, 1 << 16, f) : 0;
	fclose(f);
	CHECK(read_pairs(paths, 2, NULL, 0, 0, &e) == 15);
	while (n--) {
		CHECK(!truncate(paths[1], (off_t)n));
		bad += read_pairs(paths + 1, 1, NULL, 10, 0, &e) != RD_EINPUT;
		alone[came_to + 1]++;
		bad += read_pairs(paths, 2, NULL, 0, 0, &e) != RD_EINPUT;
		second[came_to + 1]++;
	}
	CHECK(bad == 0);
	CHECK(alone[0] && !alone[0 + 1] == archive && alone[4 + 1] && alone[5 + 1]);
	CHECK(second[0] == alone[0] && second[10 + 1] == alone[0 + 1] && second[14 + 1] == alone[4 + 1] && second[15 + 1] == alone[5 + 1]);
	free(buf);
}

/* A batch larger than a frame may be is split; one sample that is larger is refused. */
static void test_split(void)
{
	static const char *const fields[] = {"sample", NULL};
	const int64_t n = 3, d = 9 << 20; /* 36 MiB a sample */
	struct rd_batch b = {.first = 5, .n = n};
	const struct rd_batch *got;
	const char *path = file(0);
	struct rd_shape one;
	struct rd_stream s;
	struct rd_source *src;
	struct rd_sink *k;
	struct rd_err e;
	int frames = 0;

	make_stream(&s, "data", fields);
	CHECK_OK(rd_array_init(&b.f[0], RD_F32, &(struct rd_shape){2, {n, d}}, 0, &e), &e);
	for (int64_t i = 0; i < n * d; i++)
		((float *)b.f[0].data)[i] = (float)(i / d);
	CHECK_OK(rd_sink_open(&k, path, 0, &s, &e), &e);
	CHECK_OK(rd_sink_write(k, &b, &e), &e);
	CHECK_OK(rd_sink_finish(k, NULL, &e), &e);
	CHECK_OK(rd_source_open(&src, &path, 1, NULL, &e), &e);
	CHECK(!rd_source_sample_shape(src, 0, &one));
	while (rd_source_next(src, &got, &e) > 0) {
		CHECK(got->n == 1 && got->first == 5 + (uint64_t)frames);
		CHECK(((float *)got->f[0].data)[d - 1] == (float)frames);
		CHECK(rd_source_sample_shape(src, 0, &one) && one.nd == 1 && one.d[0] == d);
		frames++;
	}
	CHECK(frames == 3);
	rd_source_close(src);
	b.f[0].shape = (struct rd_shape){2, {1, n * d}};
	b.n = 1;
	CHECK_OK(rd_sink_open(&k, path, 0, &s, &e), &e);
	CHECK(rd_sink_write(k, &b, &e) == RD_ESHAPE);
	b.n = 2;
	CHECK(rd_sink_write(k, &b, &e) == RD_EFAIL); /* fewer samples than declared */
	rd_sink_abort(k);
	rd_batch_free(&b);
	rd_stream_free(&s);
}

static void test_empty(void)
{
	const char *paths[2] = {file(0), file(1)};
	struct rd_err e;

	write_stream(paths[0], "pairs", pairs_fields, 0, 0, 0);
	write_stream(paths[1], "pairs", pairs_fields, 0, 3, 0);
	CHECK(read_pairs(paths, 1, "pairs", 0, 0, &e) == 0);
	CHECK(read_pairs(paths, 2, "pairs", 0, 0, &e) == 3);
	write_archive(paths[0], 0, 0, false, 0);
	CHECK(read_pairs(paths, 1, "pairs", 0, 0, &e) == 0);
}

static void test_stream_names(void)
{
	struct rd_stream s;
	struct rd_err e;
	char name[40];

	rd_stream_init(&s, "data", NULL);
	CHECK(json_is_object(s.meta) && rd_stream_field(&s, "x") < 0);
	CHECK(rd_stream_add(&s, "0123456789012345678901234567890123", &e) == RD_EUSAGE);
	for (int i = 0; i < RD_FRAME_MAX_FIELDS; i++) {
		snprintf(name, sizeof name, "f%d", i);
		CHECK_OK(rd_stream_add(&s, name, &e), &e);
		CHECK(rd_stream_field(&s, name) == i);
		CHECK(rd_stream_add(&s, name, &e) == RD_EUSAGE);
	}
	CHECK(rd_stream_add(&s, "more", &e) == RD_EUSAGE);
	rd_stream_free(&s);
}

int main(void)
{
	snprintf(dir, sizeof dir, "/tmp/test_batch.XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	test_forms();
	test_named();
	test_counting_on();
	test_large_array();
	test_idx();
	test_mismatches();
	test_cuts(false);
	test_cuts(true);
	test_split();
	test_empty();
	test_stream_names();
	for (int i = 0; i < 8; i++)
		unlink(file(i));
	CHECK(!rmdir(dir));
	return check_report("batch");
}
