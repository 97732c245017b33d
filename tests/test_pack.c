/* Packing: an archive's bytes do not depend on the batches that its pairs came in; chunks, gaps, shards, references. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/pairs.h"
#include "kernels/rng.h"
#include "lib/data/pack.h"
#include "tests/check.h"

enum { N = 50, DIM = 6, SEED = 77 };

static float noise[N * DIM], sample[N * DIM];
static int32_t label[N];
static struct rd_err e;

static void fill(void)
{
	rd_rng_normal_batch(SEED, RD_RNG_NOISE, 0, noise, N, DIM);
	for (int i = 0; i < N * DIM; i++)
		sample[i] = (float)i;
	for (int i = 0; i < N; i++)
		label[i] = i;
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
		rc = rd_pack_add(p, &b, &e);
	}
	return rc;
}

static struct rd_stream stream(void)
{
	return (struct rd_stream){"pairs", 3, {"noise", "label", "sample"}, json_pack("{s:i}", "seed", SEED)};
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
	size_t n = 0;
	int rc;

	*text = '\0';
	CHECK_OK(rd_pairs_reader_open_path(&r, path, &e), &e);
	while ((rc = rd_pairs_next(r, &c, &e)) > 0) {
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%d+%d%s", n ? " " : "", (int)c.first, (int)c.n,
		                      c.noise_ref ? "ref" : "");
		CHECK(!memcmp(c.sample.data, sample + c.first * DIM, (size_t)c.n * DIM * 4));
		CHECK(!memcmp(c.extra[RD_PAIRS_LABEL].data, label + c.first, (size_t)c.n * 4));
		CHECK(c.noise_ref ? c.noise_seed == SEED : !memcmp(c.noise.data, noise + c.first * DIM, (size_t)c.n * DIM * 4));
		rd_pairs_chunk_free(&c);
	}
	CHECK(rc == 0);
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

	CHECK_OK(add(p, 0, N, 13, false), &e);
	CHECK(access("s-000.tar", F_OK) != 0); /* none is there before all are whole */
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
	rd_pack_abort(p);
	CHECK(entries() == 0);
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
	strcpy(s.field[1], "x");
	CHECK(rd_pack_open(&p, &o, &s, &e) == RD_EINPUT);
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
	test_refusals();
	test_empty();
	CHECK(entries() == 0 && !chdir("/") && !rmdir(dir));
	return check_report("test_pack");
}
