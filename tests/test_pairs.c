/* pairs.tar: round trips, equal bytes for equal input, every cut and every flipped bit noticed, lies refused. */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/pairs.h"
#include "tests/check.h"

static char path[64];

static struct rd_shape with_n(int64_t n, const struct rd_shape *sample)
{
	struct rd_shape s = *sample;

	s.d[0] = n;
	return s;
}

/* What a chunk has; ALL of it but the reference is what most archives here have. */
enum { LABEL = 1, REF = 2, KNOTS = 4, ERROR = 8, ALL = LABEL | KNOTS | ERROR };

/* n elements or so, each a number of its own. */
static void make_extra(struct rd_pairs_chunk *c, enum rd_pairs_extra k, enum rd_dtype t, struct rd_shape s)
{
	struct rd_err e;

	c->has[k] = true;
	CHECK_OK(rd_array_init(&c->extra[k], t, &s, 0, &e), &e);
	for (size_t i = 0; i < rd_array_bytes(&c->extra[k]) / 4; i++)
		if (t == RD_I32)
			((int32_t *)c->extra[k].data)[i] = (int32_t)i;
		else
			((float *)c->extra[k].data)[i] = (float)k + (float)i / 8;
}

static void make_chunk(struct rd_pairs_chunk *c, uint64_t first, int64_t n, unsigned with)
{
	struct rd_shape s = with_n(n, &(struct rd_shape){3, {0, 1, 2}});
	struct rd_err e;

	memset(c, 0, sizeof *c);
	c->first = first;
	c->n = n;
	c->noise_ref = with & REF;
	c->noise_seed = c->noise_ref ? UINT64_MAX - 5 : 0;
	c->noise.shape = s;
	c->noise.dtype = RD_F32;
	if (!c->noise_ref)
		CHECK_OK(rd_array_init(&c->noise, RD_F32, &s, 0, &e), &e);
	CHECK_OK(rd_array_init(&c->sample, RD_F32, &s, 0, &e), &e);
	for (int64_t i = 0; i < 2 * n; i++) {
		((float *)c->sample.data)[i] = (float)first + (float)i;
		if (!c->noise_ref)
			((float *)c->noise.data)[i] = -(float)i;
	}
	if (with & LABEL)
		make_extra(c, RD_PAIRS_LABEL, RD_I32, (struct rd_shape){1, {n}});
	if (with & KNOTS)
		make_extra(c, RD_PAIRS_KNOTS, RD_F32, (struct rd_shape){4, {n, 3, 1, 2}});
	if (with & ERROR)
		make_extra(c, RD_PAIRS_ERROR, RD_F32, (struct rd_shape){1, {n}});
}

/* Chunks of 2, 1 and 3 samples with a gap before the last, so that keys and members vary. */
static const struct { uint64_t first; int64_t n; } layout[] = {{0, 2}, {2, 1}, {100000000, 3}};
enum { CHUNKS = 3 };

/* Of references, the middle chunk has none. */
static unsigned of_chunk(unsigned with, int i)
{
	return i == 1 ? with & ~(unsigned)REF : with;
}

static void write_pairs(unsigned with)
{
	json_t *meta = json_pack("{s:s}", "tool", "test");
	struct rd_pairs_writer *w;
	struct rd_pairs_chunk c;
	struct rd_out *o;
	struct rd_err e;

	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_pairs_writer_open(&w, o, meta, &e), &e);
	for (int i = 0; i < CHUNKS; i++) {
		make_chunk(&c, layout[i].first, layout[i].n, of_chunk(with, i));
		CHECK_OK(rd_pairs_write(w, &c, &e), &e);
		rd_pairs_chunk_free(&c);
	}
	if (with & ERROR)
		rd_pairs_writer_rejected(w, 1234567);
	CHECK_OK(rd_pairs_writer_finish(w, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	json_decref(meta);
}

static char *slurp(size_t *n)
{
	char *buf = calloc(1, 1 << 16);
	FILE *f = fopen(path, "rb");

	*n = f ? fread(buf, 1, 1 << 16, f) : 0;
	if (f)
		fclose(f);
	return buf;
}

/* Reads to the end: the number of chunks, or the error. */
static int read_all(struct rd_err *e)
{
	struct rd_pairs_reader *r;
	struct rd_pairs_chunk c;
	int rc, n = 0;

	rc = rd_pairs_reader_open_path(&r, path, e);
	if (rc)
		return rc;
	while ((rc = rd_pairs_next(r, &c, e)) > 0) {
		rd_pairs_chunk_free(&c);
		n++;
	}
	rd_pairs_reader_close(r);
	return rc ? rc : n;
}

static bool same_array(const struct rd_array *a, const struct rd_array *b)
{
	return a->dtype == b->dtype && rd_shape_eq(&a->shape, &b->shape) && !a->data == !b->data &&
	       (!a->data || !memcmp(a->data, b->data, rd_array_bytes(a)));
}

static void test_round_trip(unsigned with)
{
	struct rd_pairs_reader *r;
	struct rd_pairs_chunk c, want;
	char *first, *again;
	uint64_t rejected;
	struct rd_err e;
	size_t n, m;

	write_pairs(with);
	first = slurp(&n);
	write_pairs(with);
	again = slurp(&m);
	CHECK(n == m && !memcmp(first, again, n));
	CHECK(rd_pairs_sniff(first, n) && !rd_pairs_sniff(first, 511) && !rd_pairs_sniff(first + 512, n - 512));
	CHECK_OK(rd_pairs_reader_open_path(&r, path, &e), &e);
	CHECK(!strcmp(json_string_value(json_object_get(rd_pairs_reader_meta(r), "tool")), "test"));
	for (int i = 0; i < CHUNKS; i++) {
		make_chunk(&want, layout[i].first, layout[i].n, of_chunk(with, i));
		CHECK(rd_pairs_next(r, &c, &e) == 1);
		CHECK(c.first == want.first && c.n == want.n);
		CHECK(c.noise_ref == want.noise_ref && c.noise_seed == want.noise_seed);
		CHECK(same_array(&c.noise, &want.noise) && same_array(&c.sample, &want.sample));
		for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
			CHECK(c.has[k] == want.has[k] && same_array(&c.extra[k], &want.extra[k]));
		rd_pairs_chunk_free(&c);
		rd_pairs_chunk_free(&want);
	}
	CHECK(rd_pairs_next(r, &c, &e) == 0);
	CHECK(rd_pairs_next(r, &c, &e) == 0);
	CHECK(rd_pairs_reader_rejected(r, &rejected) == !!(with & ERROR) && rejected == (with & ERROR ? 1234567 : 0));
	rd_pairs_reader_close(r);
	free(first);
	free(again);
}

static void test_every_cut(void)
{
	struct rd_err e;
	size_t n, bad = 0;

	write_pairs(ALL | REF);
	free(slurp(&n));
	CHECK(n > 8192 && n % 512 == 0);
	while (n--) {
		CHECK(!truncate(path, (off_t)n));
		bad += read_all(&e) != RD_EINPUT;
	}
	CHECK(bad == 0);
}

static void put_byte(FILE *f, size_t at, int c)
{
	CHECK(!fseek(f, (long)at, SEEK_SET) && fputc(c, f) != EOF && !fflush(f));
}

static void test_every_bit(void)
{
	struct rd_err e;
	size_t n, bad = 0;
	char *buf;
	FILE *f;

	write_pairs(ALL | REF);
	buf = slurp(&n);
	f = fopen(path, "r+b");
	for (size_t k = 0; f && k < n * 8; k++) {
		put_byte(f, k / 8, (unsigned char)buf[k / 8] ^ 1 << k % 8);
		if (read_all(&e) != RD_EINPUT && bad++ < 10)
			fprintf(stderr, "  bit %zu of byte %zu passed\n", k % 8, k / 8);
		if (k % 8 == 7)
			put_byte(f, k / 8, (unsigned char)buf[k / 8]);
	}
	CHECK(f && bad == 0);
	CHECK(read_all(&e) == CHUNKS); /* all bits are back */
	if (f)
		fclose(f);
	free(buf);
}

/* What may and what may not stand behind the end. */
static void test_tail(void)
{
	char *buf, *two;
	struct rd_err e;
	size_t n;

	write_pairs(0);
	buf = slurp(&n);
	two = calloc(1, 2 * n);
	memcpy(two, buf, n);
	CHECK_OK(rd_out_file(path, two, n + 512 * 7, &e), &e);
	CHECK(read_all(&e) == CHUNKS);
	CHECK_OK(rd_out_file(path, two, n + 100, &e), &e);
	CHECK(read_all(&e) == RD_EINPUT);
	memcpy(two + n, buf, n);
	CHECK_OK(rd_out_file(path, two, 2 * n, &e), &e);
	CHECK(read_all(&e) == RD_EINPUT && strstr(e.msg, "behind"));
	free(buf);
	free(two);
}

/* A tar program may have packed the members anew, with its own dates and padding. */
static void repack(int (*format)(struct archive *), const char *drop, const char *rename_to)
{
	struct archive *in = archive_read_new(), *out = archive_write_new();
	struct archive_entry *ent;
	char data[4096];
	char *buf = malloc(1 << 17);
	struct rd_err e;
	size_t used;

	archive_read_support_format_tar(in);
	CHECK(archive_read_open_filename(in, path, 10240) == ARCHIVE_OK);
	format(out);
	CHECK(archive_write_open_memory(out, buf, 1 << 17, &used) == ARCHIVE_OK);
	while (archive_read_next_header(in, &ent) == ARCHIVE_OK) {
		la_ssize_t n = archive_read_data(in, data, sizeof data);
		const char *name = archive_entry_pathname(ent);

		archive_entry_set_mtime(ent, 1700000000, 0);
		archive_entry_set_uname(ent, "someone");
		if (drop && !strcmp(name, drop)) {
			if (!rename_to)
				continue;
			archive_entry_set_pathname(ent, rename_to);
		}
		CHECK(archive_write_header(out, ent) == ARCHIVE_OK);
		CHECK(archive_write_data(out, data, (size_t)n) == n);
	}
	CHECK(archive_write_close(out) == ARCHIVE_OK);
	archive_write_free(out);
	archive_read_free(in);
	CHECK_OK(rd_out_file(path, buf, used, &e), &e);
	free(buf);
}

static void test_repacked(void)
{
	static const struct { const char *drop, *rename_to, *says; } bad[] = {
		{"__meta__", NULL, ""}, {"__end__", NULL, ""}, {"00000000.noise.npy", NULL, ""}, {"00000000.sample.npy", NULL, ""},
		{"00000000.label.npy", NULL, ""}, {"00000002.noise.npy", NULL, ""},
		{"00000002.label.npy", NULL, "has no label, unlike"},
		{"00000000.knots.npy", NULL, "chunk 00000002: has knots, unlike"},
		{"00000002.knots.npy", NULL, "chunk 00000002: has no knots, unlike"},
		{"00000000.error.npy", NULL, "has error, unlike"},
		{"100000000.error.npy", NULL, "chunk 100000000: has no error, unlike"},
		{"00000002.knots.npy", "00000002.error.npy", "error is not one"},
		{"00000002.error.npy", "00000002.knots.npy", "has no error, unlike"},
		{"00000002.knots.npy", "00000003.knots.npy", "has no knots, unlike"}, {"__end__", "__END__", ""},
		{"00000000.noise.npy", "0.noise.npy", ""}, {"00000002.sample.npy", "00000003.sample.npy", ""},
		{"00000000.noise.npy", "./00000000.noise.npy", ""}, {"00000002.label.npy", "00000002.txt", ""},
		{"00000000.noise.npy", "99999999999999999999.noise.npy", ""},
	};
	struct rd_err e;

	write_pairs(ALL);
	repack(archive_write_set_format_ustar, NULL, NULL);
	CHECK_OK(read_all(&e), &e);
	write_pairs(ALL);
	repack(archive_write_set_format_gnutar, NULL, NULL);
	CHECK_OK(read_all(&e), &e);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		write_pairs(ALL);
		repack(archive_write_set_format_ustar, bad[i].drop, bad[i].rename_to);
		CHECK(read_all(&e) == RD_EINPUT && strstr(e.msg, bad[i].says));
	}
}

static void test_write_refused(void)
{
	/* where a chunk has [2, 3, 1, 2], its samples [2, 1, 2]; but for the first, none could be */
	static const struct rd_shape knots[] = {
		{4, {2, 4, 1, 2}}, {4, {2, 3, 2, 1}}, {5, {2, 3, 1, 2, 1}}, {3, {2, 3, 2}}, {3, {2, 1, 2}}, {5, {2, 3, 1, 1, 2}},
		{4, {2, 0, 1, 2}}, {1, {2}}, {0, {0}},
	};
	struct rd_pairs_chunk a, b, bad;
	json_t *meta = json_object();
	struct rd_pairs_writer *w;
	struct rd_out *o;
	struct rd_err e;

	make_chunk(&a, 10, 2, ALL);
	make_chunk(&b, 11, 2, ALL);
	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_pairs_writer_open(&w, o, meta, &e), &e);
	for (size_t i = 1; i < sizeof knots / sizeof *knots; i++) {
		bad = a;
		bad.extra[RD_PAIRS_KNOTS].shape = knots[i];
		CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT && strstr(e.msg, "knots is"));
	}
	CHECK_OK(rd_pairs_write(w, &a, &e), &e);
	CHECK(rd_pairs_write(w, &b, &e) == RD_EINPUT && strstr(e.msg, "below sample 12"));
	b.first = 12;
	bad = b;
	bad.has[RD_PAIRS_LABEL] = false;
	CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT && strstr(e.msg, "no label"));
	for (int k = 0; k < RD_PAIRS_EXTRAS; k++) {
		bad = b;
		bad.has[k] = false;
		CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT && strstr(e.msg, rd_pairs_extra_names[k]));
		bad = b;
		bad.extra[k].dtype = RD_F64;
		CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT && strstr(e.msg, rd_pairs_extra_names[k]));
		bad = b;
		bad.extra[k].shape.d[0] = 1;
		CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT && strstr(e.msg, rd_pairs_extra_names[k]));
	}
	for (size_t i = 0; i < sizeof knots / sizeof *knots; i++) {
		bad = b;
		bad.extra[RD_PAIRS_KNOTS].shape = knots[i];
		CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT && strstr(e.msg, "knots"));
	}
	bad = b;
	bad.n = 3;
	CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT);
	bad = b;
	bad.sample.shape.d[1] = bad.extra[RD_PAIRS_KNOTS].shape.d[2] = 2;
	bad.sample.shape.d[2] = bad.extra[RD_PAIRS_KNOTS].shape.d[3] = 1;
	CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT && strstr(e.msg, "first chunk"));
	bad = b;
	bad.sample.dtype = RD_I32;
	CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT);
	bad = b;
	bad.first = UINT64_MAX;
	CHECK(rd_pairs_write(w, &bad, &e) == RD_EINPUT);
	CHECK_OK(rd_pairs_write(w, &b, &e), &e);
	rd_pairs_writer_abort(w);
	rd_out_abort(o);
	rd_pairs_chunk_free(&a);
	rd_pairs_chunk_free(&b);
	json_decref(meta);
}

/* An archive of one chunk of one sample of so many f32, all of them 0, is written; its first blocks stay. */
static int write_front(int64_t elems, struct rd_err *e)
{
	const struct rd_shape s = {2, {1, elems}};
	struct rd_pairs_chunk c = {.n = 1, .noise_ref = true, .noise = {.dtype = RD_F32, .shape = s},
	                           .sample = {.dtype = RD_F32, .shape = s}};
	json_t *meta = json_object();
	struct rd_pairs_writer *w;
	char command[128], name[32];
	struct rd_out *o;
	FILE *f;
	int rc;

	snprintf(command, sizeof command, "head -c 3072 >%s; cat >/dev/null", path);
	f = popen(command, "w");
	snprintf(name, sizeof name, "/dev/fd/%d", f ? fileno(f) : -1);
	c.sample.data = mmap(NULL, (size_t)elems * 4, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(f && c.sample.data != MAP_FAILED);
	CHECK_OK(rd_out_open(&o, name, 0, e), e);
	CHECK_OK(rd_pairs_writer_open(&w, o, meta, e), e);
	rc = rd_pairs_write(w, &c, e);
	rd_pairs_writer_abort(w);
	rd_out_abort(o);
	if (f)
		pclose(f);
	munmap(c.sample.data, (size_t)elems * 4);
	json_decref(meta);
	return rc;
}

/* What is just not too large to be written is not too large to be read. */
static void test_largest(void)
{
	const int64_t most = RD_PAIRS_DATA_MAX / 4;
	char *buf, *header;
	unsigned sum = 0;
	struct rd_err e;
	size_t n;

	CHECK(write_front(most + 1, &e) == RD_EINPUT && strstr(e.msg, "larger than 1073741824 bytes"));
	CHECK_OK(write_front(most, &e), &e);
	CHECK(read_all(&e) == RD_EINPUT && strstr(e.msg, "truncated"));
	buf = slurp(&n);
	header = buf + 2048; /* 124: the size in octal, which has 128 bytes of a .npy header in it; 148: the sum, counted as spaces */
	CHECK(n == 3072 && !memcmp(header + 124, "10000000200", 11));
	header[124 + 10]++;
	memset(header + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	CHECK_OK(rd_out_file(path, buf, n, &e), &e);
	CHECK(read_all(&e) == RD_EINPUT && strstr(e.msg, "00000000.sample.npy: more than 1073741824 bytes of data"));
	free(buf);
}

/* A full disk is an error of the output, and says so. */
static void test_full_disk(void)
{
	json_t *meta = json_object();
	struct rd_pairs_writer *w = NULL;
	struct rd_pairs_chunk c;
	struct rd_out *o;
	struct rd_err e = {0};
	int rc;

	make_chunk(&c, 0, 100000, LABEL);
	CHECK_OK(rd_out_open(&o, "/dev/full", 0, &e), &e);
	rc = rd_pairs_writer_open(&w, o, meta, &e);
	if (!rc)
		rc = rd_pairs_write(w, &c, &e);
	CHECK(rc == RD_EIO && strstr(e.msg, "/dev/full"));
	rd_pairs_writer_abort(w);
	rd_out_abort(o);
	rd_pairs_chunk_free(&c);
	json_decref(meta);
}

int main(void)
{
	snprintf(path, sizeof path, "/tmp/test_pairs.%ld", (long)getpid());
	for (unsigned with = 0; with < 16; with++)
		test_round_trip(with);
	test_every_cut();
	test_every_bit();
	test_tail();
	test_repacked();
	test_write_refused();
	test_largest();
	test_full_disk();
	unlink(path);
	return check_report("pairs");
}
