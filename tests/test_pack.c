/* Packing: an archive's bytes do not depend on the batches that its pairs came in; chunks, gaps, shards, references. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/pairs.h"
#include "kernels/rng.h"
#include "lib/data/pack.h"
#include "tests/check.h"

enum { N = 50, DIM = 6, KNOTS = 2, SEED = 77 };

static float noise[N * DIM], sample[N * DIM];
static int32_t label[N];
static float knots[N * KNOTS * DIM], error[N];
static struct rd_err e;

static void fill(void)
{
	rd_rng_normal_batch(SEED, RD_RNG_NOISE, 0, noise, N, DIM);
	for (int i = 0; i < N * DIM; i++)
		sample[i] = (float)i;
	for (int i = 0; i < N * KNOTS * DIM; i++)
		knots[i] = (float)i / 4;
	for (int i = 0; i < N; i++) {
		label[i] = i;
		error[i] = (float)(i % 10) / 10;
	}
	error[40] = NAN;
}

/* Pairs first .. first+n-1, in batches of `step`. ref: the stream has its noise by reference. */
static int add(struct rd_pack *p, int64_t first, int64_t n, int64_t step, bool ref)
{
	int rc = 0;

	for (int64_t at = first; at < first + n && !rc; at += step) {
		int64_t k = first + n - at < step ? first + n - at : step;
		struct rd_batch b = {.first = (uint64_t)at, .n = k, .ref = {ref}, .ref_seed = {ref ? SEED : 0}};

		b.f[0] = (struct rd_array){RD_F32, {2, {k, DIM}}, noise + at * DIM};
		b.f[1] = (struct rd_array){RD_I32, {1, {k}}, label + at};
		b.f[2] = (struct rd_array){RD_F32, {2, {k, DIM}}, sample + at * DIM};
		b.f[3] = (struct rd_array){RD_F32, {1, {k}}, error + at};
		b.f[4] = (struct rd_array){RD_F32, {3, {k, KNOTS, DIM}}, knots + at * KNOTS * DIM};
		rc = rd_pack_add(p, &b, &e);
	}
	return rc;
}

static struct rd_stream stream(void)
{
	return (struct rd_stream){"pairs", 5, {"noise", "label", "sample", "error", "knots"}, json_pack("{s:i}", "seed", SEED)};
}

static struct rd_pack *begin(const char *out, int64_t chunk, int64_t shard, bool ref)
{
	struct rd_pack_opts o = {.out = out, .chunk = chunk, .shard_pairs = shard, .ref = ref};
	struct rd_stream s = stream();
	struct rd_pack *p;

	CHECK_OK(rd_pack_open(&p, &o, &s, &e), &e);
	json_decref(s.meta);
	return p;
}

static int same(const char *a, const char *b)
{
	char *x, *y;
	size_t n, m;
	int eq;

	if (rd_in_file(a, 1 << 20, &x, &n, &e))
		return 0;
	if (rd_in_file(b, 1 << 20, &y, &m, &e)) {
		free(x);
		return 0;
	}
	eq = n == m && !memcmp(x, y, n);
	free(x);
	free(y);
	return eq;
}

static int entries(void)
{
	DIR *d = opendir(".");
	int n = -2;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* The chunks of an archive as "0+16 16+16 ...", each pair checked; "ref" behind a chunk whose noise is not stored. */
static const char *layout(const char *path)
{
	static char text[512];
	struct rd_pairs_reader *r;
	struct rd_pairs_chunk c;
	uint64_t rejected;
	size_t n = 0;
	int rc;

	*text = '\0';
	CHECK_OK(rd_pairs_reader_open_path(&r, path, &e), &e);
	while ((rc = rd_pairs_next(r, &c, &e)) > 0) {
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%d+%d%s", n ? " " : "", (int)c.first, (int)c.n,
		                      c.noise_ref ? "ref" : "");
		CHECK(!memcmp(c.sample.data, sample + c.first * DIM, (size_t)c.n * DIM * 4));
		CHECK(!memcmp(c.extra[RD_PAIRS_LABEL].data, label + c.first, (size_t)c.n * 4));
		CHECK(!memcmp(c.extra[RD_PAIRS_ERROR].data, error + c.first, (size_t)c.n * 4));
		CHECK(!memcmp(c.extra[RD_PAIRS_KNOTS].data, knots + c.first * KNOTS * DIM, (size_t)c.n * KNOTS * DIM * 4));
		CHECK(c.noise_ref ? c.noise_seed == SEED : !memcmp(c.noise.data, noise + c.first * DIM, (size_t)c.n * DIM * 4));
		rd_pairs_chunk_free(&c);
	}
	CHECK(rc == 0);
	if (rd_pairs_reader_rejected(r, &rejected))
		snprintf(text + n, sizeof text - n, " -%d", (int)rejected);
	rd_pairs_reader_close(r);
	return text;
}

static void test_batching(void)
{
	static const int64_t steps[] = {2, 7, 16, 50};
	struct rd_pack *p = begin("one.tar", 16, 0, false);

	CHECK_OK(add(p, 0, N, 1, false), &e);
	CHECK(access("one.tar", F_OK) != 0);
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(!strcmp(layout("one.tar"), "0+16 16+16 32+16 48+2"));
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		p = begin("other.tar", 16, 0, false);
		CHECK_OK(add(p, 0, N, steps[i], i == 1), &e); /* a stream's references are stored as data unless asked */
		CHECK_OK(rd_pack_finish(p, &e), &e);
		CHECK(same("one.tar", "other.tar"));
	}
	unlink("one.tar");
	unlink("other.tar");
}

static void test_gaps(void)
{
	struct rd_pack *p = begin("a.tar", 8, 0, false);

	CHECK_OK(add(p, 0, 10, 4, false), &e);
	CHECK_OK(add(p, 20, 10, 10, false), &e);
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(!strcmp(layout("a.tar"), "0+8 8+2 20+8 28+2"));
	p = begin("a.tar", 8, 0, false);
	CHECK_OK(add(p, 20, 10, 10, false), &e);
	CHECK(add(p, 0, 10, 10, false) == RD_EINPUT); /* keys are indices: they must rise */
	rd_pack_abort(p);
	CHECK(!strcmp(layout("a.tar"), "0+8 8+2 20+8 28+2") && entries() == 1);
	unlink("a.tar");
}

static void test_refs(void)
{
	struct rd_pack *p = begin("a.tar", 20, 0, true), *q = begin("b.tar", 20, 0, true);

	CHECK_OK(add(p, 0, N, 7, false), &e); /* data, found to be what the seed in meta makes */
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK_OK(add(q, 0, N, 50, true), &e); /* a reference already */
	CHECK_OK(rd_pack_finish(q, &e), &e);
	CHECK(!strcmp(layout("a.tar"), "0+20ref 20+20ref 40+10ref"));
	CHECK(same("a.tar", "b.tar"));
	noise[30 * DIM] += 1e-6f;
	p = begin("a.tar", 20, 0, true);
	CHECK(add(p, 0, N, 7, false) == RD_EINPUT && strstr(e.msg, "sample 30 is not that of seed 77"));
	rd_pack_abort(p);
	fill();
	unlink("a.tar");
	unlink("b.tar");
}

static void test_shards(void)
{
	struct rd_pack *p = begin("s-%03d.tar", 8, 20, false);

	CHECK_OK(add(p, 0, 39, 13, false), &e);
	CHECK(!strcmp(layout("s-000.tar"), "0+8 8+8 16+4") && access("s-001.tar", F_OK) != 0);
	CHECK_OK(add(p, 39, N - 39, 1, false), &e);
	CHECK(!strcmp(layout("s-001.tar"), "20+8 28+8 36+4") && access("s-002.tar", F_OK) != 0);
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(!strcmp(layout("s-000.tar"), "0+8 8+8 16+4"));
	CHECK(!strcmp(layout("s-001.tar"), "20+8 28+8 36+4"));
	CHECK(!strcmp(layout("s-002.tar"), "40+8 48+2"));
	CHECK(entries() == 3);
	for (int i = 0; i < 3; i++)
		unlink((const char *const[]){"s-000.tar", "s-001.tar", "s-002.tar"}[i]);
	p = begin("s-%d.tar", 8, 25, false);
	CHECK_OK(add(p, 0, N, 13, false), &e);
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(!strcmp(layout("s-1.tar"), "25+8 33+8 41+8 49+1") && entries() == 2);
	unlink("s-0.tar");
	unlink("s-1.tar");
	p = begin("s-%d.tar", 40, 20, false);
	CHECK_OK(add(p, 0, N, 13, false), &e);
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(!strcmp(layout("s-1.tar"), "20+20") && !strcmp(layout("s-2.tar"), "40+10") && entries() == 3);
	for (int i = 0; i < 3; i++)
		unlink((const char *const[]){"s-0.tar", "s-1.tar", "s-2.tar"}[i]);
	p = begin("s-%d.tar", 8, 10, false);
	CHECK_OK(add(p, 0, 35, 13, false), &e);
	rd_pack_abort(p); /* three are whole, the fourth goes */
	CHECK(!strcmp(layout("s-2.tar"), "20+8 28+2") && entries() == 3);
	for (int i = 0; i < 3; i++)
		unlink((const char *const[]){"s-0.tar", "s-1.tar", "s-2.tar"}[i]);
	p = begin("s-%d.tar", 8, 20, false); /* a last one that is full has none behind it */
	CHECK_OK(add(p, 0, 40, 13, false), &e);
	CHECK(entries() == 2);
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(entries() == 2);
	unlink("s-0.tar");
	unlink("s-1.tar");
}

/* What the stream at path gives to do again: "2+3 12+3ref ...", checked against what was rejected. */
static const char *again(const char *path)
{
	static char text[512];
	const struct rd_batch *b;
	struct rd_source *s;
	size_t n = 0;
	int rc;

	*text = '\0';
	CHECK_OK(rd_source_open(&s, &path, 1, "noise", &e), &e);
	CHECK(rd_source_stream(s)->n_fields == 2 && !json_object_get(rd_source_stream(s)->meta, "max_error"));
	while ((rc = rd_source_next(s, &b, &e)) > 0) {
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%d+%d%s", n ? " " : "", (int)b->first, (int)b->n, b->ref[0] ? "ref" : "");
		CHECK(!memcmp(b->f[0].data, noise + b->first * DIM, (size_t)b->n * DIM * 4));
		CHECK(!memcmp(b->f[1].data, label + b->first, (size_t)b->n * 4));
	}
	CHECK(rc == 0);
	rd_source_close(s);
	return text;
}

static struct rd_pack *begin_limited(double max_error, int64_t shard, const char *rejects, double before)
{
	struct rd_pack_opts o = {.out = shard ? "s-%d.tar" : "a.tar", .chunk = 16, .shard_pairs = shard, .limited = true,
	                         .max_error = max_error, .rejects = rejects};
	struct rd_stream s = stream();
	struct rd_pack *p;

	if (before > 0)
		json_object_set_new(s.meta, "max_error", json_real(before));
	CHECK_OK(rd_pack_open(&p, &o, &s, &e), &e);
	CHECK(!json_object_get(s.meta, "max_error") == !(before > 0));
	json_decref(s.meta);
	return p;
}

/* Of ten errors 0, 0.1, ... 0.9 those over 0.65 are three; 40 is with them, since its error is no number. */
static void test_limit(void)
{
	static const int64_t steps[] = {1, 7, 50};

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct rd_pack *p = begin_limited(0.65, 0, "again", 0);

		CHECK_OK(add(p, 0, N, steps[i], i == 2), &e);
		CHECK(rd_pack_rejected(p) == 16);
		CHECK(access("again", F_OK) != 0);
		CHECK_OK(rd_pack_finish(p, &e), &e);
		CHECK(!strcmp(layout("a.tar"), "0+7 10+7 20+7 30+7 41+6 -16"));
		if (i == 0)
			CHECK(!rename("a.tar", "one.tar"));
		else
			CHECK(same("a.tar", "one.tar"));
		if (i == 2)
			CHECK(!strcmp(again("again"), "7+3ref 17+3ref 27+3ref 37+4ref 47+3ref"));
		unlink("again");
	}
	unlink("a.tar");
	unlink("one.tar");
}

/* Of shards each counts what is left out up to the next one's first pair, so that the counts add up. */
static void test_limit_shards(void)
{
	struct rd_pack *p = begin_limited(0.65, 14, NULL, 0.5);

	CHECK_OK(add(p, 0, N, 9, false), &e);
	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(!strcmp(layout("s-0.tar"), "0+7 10+7 -6"));
	CHECK(!strcmp(layout("s-1.tar"), "20+7 30+7 -7"));
	CHECK(!strcmp(layout("s-2.tar"), "41+6 -3"));
	for (int i = 0; i < 3; i++)
		unlink((const char *const[]){"s-0.tar", "s-1.tar", "s-2.tar"}[i]);
}

/* The limit of an archive is the least that its pairs have met. */
static void test_limit_meta(void)
{
	static const double before[] = {0, 0.5, 0.9}, want[] = {0.65, 0.5, 0.65};

	for (int i = 0; i < 3; i++) {
		struct rd_pack *p = begin_limited(0.65, 0, NULL, before[i]);
		struct rd_pairs_reader *r;

		CHECK_OK(add(p, 0, N, N, false), &e);
		CHECK_OK(rd_pack_finish(p, &e), &e);
		CHECK_OK(rd_pairs_reader_open_path(&r, "a.tar", &e), &e);
		CHECK(json_number_value(json_object_get(rd_pairs_reader_meta(r), "max_error")) == want[i]);
		rd_pairs_reader_close(r);
	}
	unlink("a.tar");
}

static void test_refusals(void)
{
	static const char *const names[] = {"no-number.tar", "%s.tar", "%d-%d.tar", "%06x", "100%", "%-5d", NULL};
	struct rd_pack_opts o = {.chunk = 8, .shard_pairs = 8};
	struct rd_stream s = stream();
	struct rd_pack *p;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		o.out = names[i];
		CHECK(rd_pack_open(&p, &o, &s, &e) == RD_EUSAGE && strstr(e.msg, "%06d") && !p);
	}
	o = (struct rd_pack_opts){.out = "a.tar", .chunk = 8};
	strcpy(s.field[3], "x");
	CHECK(rd_pack_open(&p, &o, &s, &e) == RD_EINPUT && strstr(e.msg, "field 'x'"));
	s.n_fields = 3;
	o.limited = true;
	CHECK(rd_pack_open(&p, &o, &s, &e) == RD_EINPUT && strstr(e.msg, "no field `error`"));
	json_decref(s.meta);
	p = begin("a.tar", 1 << 26, 0, false);
	CHECK(add(p, 0, 1, 1, false) == RD_EUSAGE && strstr(e.msg, "chunks of 67108864 pairs"));
	rd_pack_abort(p);
	CHECK(entries() == 0);
}

static void test_empty(void)
{
	struct rd_pack *p = begin("a.tar", 8, 0, false);

	CHECK_OK(rd_pack_finish(p, &e), &e);
	CHECK(!strcmp(layout("a.tar"), ""));
	unlink("a.tar");
}

int main(void)
{
	char dir[] = "/tmp/test_pack.XXXXXX";

	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	fill();
	test_batching();
	test_gaps();
	test_refs();
	test_shards();
	test_limit();
	test_limit_shards();
	test_limit_meta();
	test_refusals();
	test_empty();
	CHECK(entries() == 0 && !chdir("/") && !rmdir(dir));
	return check_report("test_pack");
}
