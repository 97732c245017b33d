/* rdframe: round trips through files and slow pipes; every cut, flipped payload bit and lie of a header is noticed. */
#include <msgpack.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "formats/frame.h"
#include "tests/check.h"

enum { BATCHES = 3, DIM = 5 };

static const struct rd_stream stream = {"pairs", 3, {"noise", "label", "sample"}, NULL};

/* --- streams in memory -------------------------------------------------------------------------------------------- */

/* A file that has no name but /proc/self/fd/N. */
static int memory_file(const void *data, size_t n, char path[32])
{
	int fd = memfd_create("rdframe", 0);

	CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static float value(uint64_t i, int j, int field)
{
	return (float)i + 0.25f * (float)j - 100 * (float)field;
}

/* Batches of 1, 2, 3 samples from index 7 on; the noise of batch 1 is a reference. */
static void write_batches(struct rd_frame_writer *w)
{
	struct rd_err e;
	uint64_t first = 7;

	for (uint64_t n = 1; n <= BATCHES; first += n, n++)
		for (int k = 0; k < 3; k++) {
			struct rd_frame f = {.i = first, .n = n, .dtype = k == 1 ? RD_I32 : RD_F32, .ref_seed = UINT64_MAX - 3};
			float x[BATCHES * DIM];
			int32_t label[BATCHES];

			snprintf(f.name, sizeof f.name, "%s", stream.field[k]);
			f.shape = k == 1 ? (struct rd_shape){1, {(int64_t)n}} : (struct rd_shape){2, {(int64_t)n, DIM}};
			f.ref = k == 0 && n == 2;
			for (uint64_t i = 0; i < n; i++) {
				label[i] = (int32_t)(first + i);
				for (int j = 0; j < DIM; j++)
					x[i * DIM + (uint64_t)j] = value(first + i, j, k);
			}
			CHECK_OK(rd_frame_write(w, &f, k == 1 ? (void *)label : (void *)x, &e), &e);
		}
}

static json_t *rich_meta(void)
{
	return json_pack("{s:i, s:f, s:b, s:n, s:s, s:[i,i,{s:s}], s:I, s:I}", "seed", 3, "pi", 3.141592653589793, "yes", 1,
	                 "nothing", "text", "\xc3\xa9t\xc3\xa9", "list", 1, -200, "deep", "x", "big",
	                 (json_int_t)INT64_MAX, "small", (json_int_t)INT64_MIN);
}

/* The whole stream, as it would be on a disk. */
static char *make_stream(size_t *n)
{
	char path[] = "/tmp/test_frame.XXXXXX", *bytes;
	struct rd_stream s = stream;
	struct rd_frame_writer *w;
	struct rd_out *o;
	struct rd_err e;
	json_t *end = json_pack("{s:f}", "seconds", 1.5);
	int fd = mkstemp(path);

	CHECK(fd >= 0 && !close(fd));
	s.meta = rich_meta();
	CHECK_OK(rd_out_open(&o, path, RD_OUT_BINARY, &e), &e);
	CHECK_OK(rd_frame_writer_open(&w, o, &s, &e), &e);
	write_batches(w);
	CHECK_OK(rd_frame_writer_finish(w, end, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	CHECK_OK(rd_in_file(path, 1 << 20, &bytes, n, &e), &e);
	json_decref(s.meta);
	json_decref(end);
	unlink(path);
	return bytes;
}

static int open_reader(struct rd_frame_reader **r, const char *path, struct rd_err *e)
{
	struct rd_in *in;
	int rc = rd_in_open(&in, path, e);

	return rc ? rc : rd_frame_reader_open(r, in, e);
}

/* Everything in the stream, thrown away; the code that it ends with. */
static int drain(const char *path, struct rd_err *e)
{
	struct rd_frame_reader *r;
	struct rd_frame f;
	int rc = open_reader(&r, path, e);

	if (rc)
		return rc;
	while ((rc = rd_frame_next(r, &f, e)) > 0) {
		void *p = malloc(f.bytes + 1);

		rc = f.ref ? 0 : rd_frame_payload(r, p, e);
		free(p);
		if (rc)
			break;
	}
	rd_frame_reader_close(r);
	return rc;
}

static int drain_bytes(const void *data, size_t n, struct rd_err *e)
{
	char path[32];
	int fd = memory_file(data, n, path), rc = drain(path, e);

	close(fd);
	return rc;
}

/* --- what must work ----------------------------------------------------------------------------------------------- */

static void check_frame(struct rd_frame_reader *r, int k, uint64_t first, uint64_t n)
{
	struct rd_frame f;
	struct rd_err e;
	float x[BATCHES * DIM];
	int32_t label[BATCHES];

	CHECK(rd_frame_next(r, &f, &e) == 1);
	CHECK(!strcmp(f.name, stream.field[k]) && f.i == first && f.n == n && f.shape.d[0] == (int64_t)n);
	CHECK(f.dtype == (k == 1 ? RD_I32 : RD_F32) && f.shape.nd == (k == 1 ? 1 : 2));
	CHECK(f.ref == (k == 0 && n == 2));
	if (f.ref) {
		CHECK(f.bytes == 0 && f.ref_seed == UINT64_MAX - 3);
		return;
	}
	CHECK(f.bytes == (k == 1 ? n * 4 : n * DIM * 4));
	CHECK_OK(rd_frame_payload(r, k == 1 ? (void *)label : (void *)x, &e), &e);
	for (uint64_t i = 0; i < n; i++) {
		CHECK(k != 1 || label[i] == (int32_t)(first + i));
		for (int j = 0; k != 1 && j < DIM; j++)
			CHECK(x[i * DIM + (uint64_t)j] == value(first + i, j, k));
	}
}

static void check_stream(const char *path)
{
	struct rd_frame_reader *r;
	struct rd_frame f;
	struct rd_err e;
	json_t *meta = rich_meta();
	uint64_t first = 7;

	CHECK_OK(open_reader(&r, path, &e), &e);
	CHECK(!strcmp(rd_frame_reader_stream(r)->role, "pairs") && rd_frame_reader_stream(r)->n_fields == 3);
	CHECK(json_equal(rd_frame_reader_stream(r)->meta, meta));
	for (uint64_t n = 1; n <= BATCHES; first += n, n++)
		for (int k = 0; k < 3; k++)
			check_frame(r, k, first, n);
	CHECK(!rd_frame_reader_end_meta(r));
	CHECK(rd_frame_next(r, &f, &e) == 0);
	CHECK(rd_frame_next(r, &f, &e) == 0);
	CHECK_NEAR(json_number_value(json_object_get(rd_frame_reader_end_meta(r), "seconds")), 1.5, 0);
	rd_frame_reader_close(r);
	json_decref(meta);
}

static void test_round_trip(const char *bytes, size_t n)
{
	char path[32];
	int fd = memory_file(bytes, n, path);

	check_stream(path);
	close(fd);
}

/* A writer that hands over one byte at a time. */
static void test_slow_pipe(const char *bytes, size_t n)
{
	char path[32];
	int p[2], status;
	pid_t pid;

	CHECK(pipe(p) == 0);
	pid = fork();
	if (!pid) {
		close(p[0]);
		for (size_t i = 0; i < n; i++)
			if (write(p[1], bytes + i, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(p[1]);
	snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
	check_stream(path);
	close(p[0]);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* A frame is handed out as soon as its bytes are there, though the pipe stays open. */
static void test_prompt(const char *bytes, size_t n)
{
	struct rd_frame_reader *r;
	struct rd_frame f;
	struct rd_err e;
	char path[32];
	float x[DIM];
	int p[2];

	CHECK(pipe(p) == 0 && write(p[1], bytes, n) == (ssize_t)n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
	alarm(20);
	CHECK_OK(open_reader(&r, path, &e), &e);
	CHECK(rd_frame_next(r, &f, &e) == 1);
	CHECK_OK(rd_frame_payload(r, x, &e), &e);
	alarm(0);
	close(p[1]);
	rd_frame_reader_close(r);
	close(p[0]);
}

static void test_cuts(const char *bytes, size_t n)
{
	struct rd_err e;

	for (size_t i = 0; i < n; i++) {
		CHECK(drain_bytes(bytes, i, &e) == RD_EINPUT);
		CHECK(i == 0 || strstr(e.msg, "truncated at byte"));
	}
}

/* Any flipped bit: an error of the input or, in a map, another valid value; in a payload always an error. */
static void test_flips(const char *bytes, size_t n)
{
	char *copy = malloc(n);
	size_t payload = 0, caught = 0, flips = 0;
	struct rd_err e;

	memcpy(copy, bytes, n);
	for (size_t i = 0; i + 21 <= n; i++) /* the last sample's payload is before the end map of known form */
		if (!memcmp(bytes + i, "\xa4""data", 5))
			payload = i + 5;
	CHECK(payload && (uint8_t)bytes[payload] == 0xc4 && (uint8_t)bytes[payload + 1] == BATCHES * DIM * 4);
	payload += 2;
	for (size_t i = 0; i < n; i++)
		for (int b = 0; b < 8; b++) {
			int rc;

			copy[i] = (char)(copy[i] ^ (1 << b));
			rc = drain_bytes(copy, n, &e);
			copy[i] = bytes[i];
			flips++;
			caught += rc == RD_EINPUT;
			CHECK(rc == RD_OK || rc == RD_EINPUT);
			if (i >= payload && i < payload + BATCHES * DIM * 4)
				CHECK(rc == RD_EINPUT && strstr(e.msg, "checksum"));
		}
	CHECK(caught > flips * 3 / 4);
	free(copy);
}

/* --- what must be refused ----------------------------------------------------------------------------------------- */

static msgpack_sbuffer buf;
static msgpack_packer pk;

/* M map of n, A array of n, s string, u unsigned, t true, d double, b binary (pointer, size), x one raw byte. */
static void put(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		const char *s;
		char byte;
		size_t n;

		switch (*fmt) {
		case 'M': msgpack_pack_map(&pk, va_arg(ap, unsigned)); break;
		case 'A': msgpack_pack_array(&pk, va_arg(ap, unsigned)); break;
		case 's':
			s = va_arg(ap, const char *);
			msgpack_pack_str(&pk, strlen(s));
			msgpack_pack_str_body(&pk, s, strlen(s));
			break;
		case 'u': msgpack_pack_uint64(&pk, va_arg(ap, uint64_t)); break;
		case 't': msgpack_pack_true(&pk); break;
		case 'd': msgpack_pack_double(&pk, va_arg(ap, double)); break;
		case 'b':
			s = va_arg(ap, const char *);
			n = va_arg(ap, size_t);
			msgpack_pack_bin(&pk, n);
			msgpack_pack_bin_body(&pk, s, n);
			break;
		case 'x':
			byte = (char)va_arg(ap, int);
			msgpack_sbuffer_write(&buf, &byte, 1);
			break;
		default: CHECK(false);
		}
	}
	va_end(ap);
}

static const float two[2] = {1, 2};

static void header(const char *role, const char *f0, const char *f1)
{
	msgpack_sbuffer_clear(&buf);
	put("Mssss", 5u, "magic", "rdframe", "role", role);
	put("susA", "v", (uint64_t)1, "fields", f1 ? 2u : 1u);
	put(f1 ? "ss" : "s", f0, f1);
	put("sM", "meta", 0u);
}

static void frame(const char *name, uint64_t i, uint64_t n, uint64_t d0, uint64_t d1, const char *type, size_t bytes)
{
	put("Msusussst", 8u, "i", i, "n", n, "name", name, "nd");
	put("sssAuu", "type", type, "shape", 2u, d0, d1);
	put("susb", "xxh3", XXH3_64bits(two, bytes), "data", two, bytes);
}

static void end(uint64_t frames, uint64_t samples)
{
	put("Msusu", 2u, "end", frames, "samples", samples);
}

/* The bytes put so far must be refused with a message that says why; "": they must be read. */
static void expect(const char *why, int line)
{
	struct rd_err e = {0};
	int rc = drain_bytes(buf.data, buf.size, &e);
	char what[700];

	snprintf(what, sizeof what, "line %d: '%s' expected, %d '%s' given", line, why, rc, e.msg);
	check_one(*why ? rc == RD_EINPUT && strstr(e.msg, why) != NULL : rc == 0, __FILE__, line, what);
}
#define EXPECT(why) expect(why, __LINE__)

static void test_bad_headers(void)
{
	header("noise", "noise", NULL), end(0, 0), EXPECT("");
	header("nonsense", "noise", NULL), end(0, 0), EXPECT("role 'nonsense'");
	header("noise", "a b", NULL), end(0, 0), EXPECT("field 0");
	header("noise", "", NULL), end(0, 0), EXPECT("field 0");
	header("noise", "a", "a"), end(0, 0), EXPECT("declared twice");
	header("noise", "a-name-of-more-than-thirty-one-bytes", NULL), end(0, 0), EXPECT("fields");
	msgpack_sbuffer_clear(&buf), put("Mss", 1u, "magic", "rdframf"), EXPECT("not an rdframe header");
	msgpack_sbuffer_clear(&buf), put("Msssu", 2u, "magic", "rdframe", "v", (uint64_t)2), EXPECT("version 2");
	msgpack_sbuffer_clear(&buf), put("Msss", 2u, "magic", "rdframe", "v", "1"), put("s", "1"), EXPECT("v: an integer");
	msgpack_sbuffer_clear(&buf), put("Mss", 1u, "magik", "rdframe"), EXPECT("unknown key 'magik'");
	msgpack_sbuffer_clear(&buf), put("Mssss", 2u, "magic", "rdframe", "magic", "rdframe"), EXPECT("twice");
	msgpack_sbuffer_clear(&buf), put("s", "magic"), EXPECT("a map expected");
	msgpack_sbuffer_clear(&buf), put("Msb", 1u, "magic", "rdframe", (size_t)7), EXPECT("not an rdframe header");
	msgpack_sbuffer_clear(&buf), put("M", 0u), EXPECT("not an rdframe header");
}

/* Declared sizes that would make an unpacker allocate. 0xdd is array 32, 0xdf map 32, 0xdb string 32, 0xc6 binary 32 */
static void test_bombs(void)
{
	static const int tags[] = {0xdd, 0xdf, 0xdb};

	for (size_t i = 0; i < 3; i++) {
		msgpack_sbuffer_clear(&buf);
		put("Mssxxxxx", 2u, "magic", "meta", tags[i], 0xff, 0xff, 0xff, 0xff);
		EXPECT(i < 2 ? "elements declared" : "a map of more than");
	}
	msgpack_sbuffer_clear(&buf), put("xxxxx", 0xdf, 0xff, 0xff, 0xff, 0xff), EXPECT("elements declared");
	msgpack_sbuffer_clear(&buf), put("xxxxx", 0xdf, 0, 0, 0xff, 0xff), EXPECT("truncated");
	msgpack_sbuffer_clear(&buf), put("Ms", 1u, "meta");
	for (int i = 0; i < 100; i++)
		put("A", 1u);
	EXPECT("within one another");
	msgpack_sbuffer_clear(&buf), put("Ms", 1u, "meta");
	for (int i = 0; i < 40000; i++)
		put("Mu", 1u, (uint64_t)1);
	EXPECT("within one another");
	msgpack_sbuffer_clear(&buf), put("MsA", 1u, "meta", 65000u);
	for (int i = 0; i < 70000; i++)
		put("u", (uint64_t)1);
	EXPECT("not a good rdframe stream");
	msgpack_sbuffer_clear(&buf), put("Msxxxx", 1u, "meta", 0xd6, 1, 2, 3), EXPECT("byte 0xd6");
	msgpack_sbuffer_clear(&buf), put("Msx", 1u, "meta", 0xc1), EXPECT("byte 0xc1");
	header("noise", "noise", NULL), put("Msxxxxx", 1u, "data", 0xc6, 0xff, 0xff, 0xff, 0xff), EXPECT("name");
}

static void test_bad_frames(void)
{
	header("noise", "x", NULL), frame("x", 0, 1, 1, 2, "<f4", 8), end(1, 1), EXPECT("");
	header("noise", "x", NULL), frame("y", 0, 1, 1, 2, "<f4", 8), EXPECT("field 'y', but 'x' is next");
	header("noise", "x", NULL), frame("x", 0, 2, 1, 2, "<f4", 8), EXPECT("2 samples declared");
	header("noise", "x", NULL), frame("x", 0, 0, 0, 2, "<f4", 0), EXPECT("dimension 0");
	header("noise", "x", NULL), frame("x", 0, 1, 1, 3, "<f4", 8), EXPECT("8 bytes of data, type and shape make it 12");
	header("noise", "x", NULL), frame("x", 0, 1, 1, 1ull << 40, "<f4", 8), EXPECT("larger than the limit");
	header("noise", "x", NULL), frame("x", 0, 1ull << 62, 1ull << 62, 1ull << 62, "<f4", 8), EXPECT("larger than the");
	header("noise", "x", NULL), frame("x", 0, 1, 1, UINT64_MAX, "<f4", 8), EXPECT("not a size");
	header("noise", "x", NULL), frame("x", UINT64_MAX, 1, 1, 2, "<f4", 8), EXPECT("pass 2^64");
	header("noise", "x", NULL), frame("x", 0, 1, 1, 2, ">f4", 8), EXPECT("'>f4' is not read");
	header("noise", "x", "y"), frame("x", 0, 1, 1, 2, "<f4", 8), frame("y", 1, 1, 1, 2, "<f4", 8), EXPECT("same batch");
	header("noise", "x", "y"), frame("x", 0, 1, 1, 2, "<f4", 8), frame("x", 0, 1, 1, 2, "<f4", 8), EXPECT("'y' is next");
	header("noise", "x", NULL), frame("x", 0, 1, 1, 2, "<f4", 8), frame("x", 1, 1, 1, 1, "<f4", 4), EXPECT("before");
	header("noise", "x", NULL), frame("x", 0, 1, 1, 1, "<f4", 4), frame("x", 1, 1, 1, 1, "<i4", 4), EXPECT("before");
	header("noise", "x", NULL), put("Msb", 1u, "data", two, (size_t)8), EXPECT("name");
	header("noise", "x", NULL), put("Msbss", 2u, "data", two, (size_t)8, "name", "x"), EXPECT("not the last value");
	header("noise", "x", NULL), put("MsMsb", 1u, "ref", 1u, "seed", two, (size_t)8), EXPECT("not the last value");
}

static void ref_frame(const char *type, uint64_t d1)
{
	put("Msusussst", 7u, "i", (uint64_t)5, "n", (uint64_t)1, "name", "x", "nd");
	put("sssAuu", "type", type, "shape", 2u, (uint64_t)1, d1);
	put("sMsu", "ref", 1u, "seed", (uint64_t)3);
}

static void test_bad_refs(void)
{
	header("noise", "x", NULL), ref_frame("<f4", 2), end(1, 1), EXPECT("");
	header("noise", "x", NULL), ref_frame("<f8", 2), EXPECT("noise by reference is <f4");
	header("noise", "x", NULL), ref_frame("<f4", 1 << 28), EXPECT("larger than the limit"); /* a small bomb */
	header("noise", "x", NULL), put("Msususs", 3u, "i", (uint64_t)0, "n", (uint64_t)1, "name", "x"), EXPECT("shape");
}

static void test_bad_ends(void)
{
	header("noise", "x", NULL), frame("x", 0, 1, 1, 2, "<f4", 8), end(2, 1), EXPECT("counts 2 frames");
	header("noise", "x", NULL), frame("x", 0, 1, 1, 2, "<f4", 8), end(1, 2), EXPECT("2 samples");
	header("noise", "x", "y"), frame("x", 0, 1, 1, 2, "<f4", 8), end(1, 0), EXPECT("'y' is next");
	header("noise", "x", NULL), end(0, 0), put("x", 0), EXPECT("behind the end map");
	header("noise", "x", NULL), end(0, 0), end(0, 0), EXPECT("behind the end map");
	header("noise", "x", NULL), put("Msusus", 3u, "end", (uint64_t)0, "samples", (uint64_t)0, "meta");
	put("u", (uint64_t)1), EXPECT("meta: a map");
}

static void meta_value(void)
{
	msgpack_sbuffer_clear(&buf);
	put("Msssssu", 5u, "magic", "rdframe", "role", "noise", "v", (uint64_t)1);
	put("sAss", "fields", 1u, "x", "meta");
}

static void test_bad_meta(void)
{
	meta_value(), put("Msu", 1u, "a", (uint64_t)1), end(0, 0), EXPECT("");
	meta_value(), put("u", (uint64_t)1), EXPECT("meta: a map");
	meta_value(), put("Msu", 1u, "a", UINT64_MAX), EXPECT("larger than 2^63 - 1");
	meta_value(), put("Msd", 1u, "a", (double)NAN), EXPECT("JSON cannot hold");
	meta_value(), put("Mss", 1u, "a", "\xff\xfe"), EXPECT("JSON cannot hold");
	meta_value(), put("Mss", 1u, "\xff\xfe", "a"), EXPECT("not UTF-8");
	meta_value(), put("Muu", 1u, (uint64_t)1, (uint64_t)1), EXPECT("a key that is no string");
	meta_value(), put("Msusu", 2u, "a", (uint64_t)1, "a", (uint64_t)1), EXPECT("twice");
}

/* --- the writer refuses what the reader would --------------------------------------------------------------------- */

static void test_writer(void)
{
	struct rd_stream s = {"noise", 2, {"x", "y"}, NULL};
	struct rd_frame f = {.i = 0, .n = 1, .name = "y", .dtype = RD_F32, .shape = {2, {1, 2}}};
	struct rd_frame_writer *w;
	struct rd_out *o;
	struct rd_err e;
	char big[70000];

	CHECK_OK(rd_out_open(&o, "/dev/null", RD_OUT_BINARY, &e), &e);
	CHECK_OK(rd_frame_writer_open(&w, o, &s, &e), &e);
	CHECK(rd_frame_write(w, &f, two, &e) == RD_EFAIL && strstr(e.msg, "'x' is next"));
	f.name[0] = 'x';
	CHECK_OK(rd_frame_write(w, &f, two, &e), &e);
	CHECK(rd_frame_writer_finish(w, NULL, &e) == RD_EFAIL && strstr(e.msg, "lacks field 'y'"));
	memset(big, 'a', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	s.meta = json_pack("{s:s}", "big", big);
	CHECK(rd_frame_writer_open(&w, o, &s, &e) == RD_EFAIL && strstr(e.msg, "meta"));
	json_decref(s.meta);
	s.meta = json_array();
	CHECK(rd_frame_writer_open(&w, o, &s, &e) == RD_EFAIL);
	json_decref(s.meta);
	s.meta = NULL;
	s.n_fields = 0;
	CHECK(rd_frame_writer_open(&w, o, &s, &e) == RD_EFAIL);
	rd_out_abort(o);
}

static void test_unread_payload(const char *bytes, size_t n)
{
	struct rd_frame_reader *r;
	struct rd_frame f;
	struct rd_err e;
	char path[32];
	float x[DIM];
	int fd = memory_file(bytes, n, path);

	CHECK_OK(open_reader(&r, path, &e), &e);
	CHECK(rd_frame_payload(r, x, &e) == RD_EUSAGE);
	CHECK(rd_frame_next(r, &f, &e) == 1);
	CHECK(rd_frame_next(r, &f, &e) == RD_EUSAGE);
	rd_frame_reader_close(r);
	close(fd);
}

/* A payload larger than any buffer arrives whole. */
static void test_large(void)
{
	enum { N = 3 << 20 };
	struct rd_frame f = {.i = 1, .n = 2, .name = "noise", .dtype = RD_U8, .shape = {2, {2, N / 2}}}, g;
	struct rd_stream s = {"data", 1, {"noise"}, NULL};
	struct rd_frame_reader *r;
	struct rd_frame_writer *w;
	struct rd_out *o;
	struct rd_err e;
	uint8_t *a = malloc(N), *b = malloc(N);
	char path[] = "/tmp/test_frame.XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && !close(fd));
	for (size_t i = 0; i < N; i++)
		a[i] = (uint8_t)(i * 2654435761u >> 13);
	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_frame_writer_open(&w, o, &s, &e), &e);
	CHECK_OK(rd_frame_write(w, &f, a, &e), &e);
	CHECK_OK(rd_frame_writer_finish(w, NULL, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	CHECK_OK(open_reader(&r, path, &e), &e);
	CHECK(rd_frame_next(r, &g, &e) == 1 && g.bytes == N);
	CHECK_OK(rd_frame_payload(r, b, &e), &e);
	CHECK(!memcmp(a, b, N));
	CHECK(rd_frame_next(r, &g, &e) == 0);
	rd_frame_reader_close(r);
	unlink(path);
	free(a);
	free(b);
}

int main(void)
{
	size_t n;
	char *bytes = make_stream(&n);

	msgpack_sbuffer_init(&buf);
	msgpack_packer_init(&pk, &buf, msgpack_sbuffer_write);
	test_round_trip(bytes, n);
	test_slow_pipe(bytes, n);
	test_prompt(bytes, n);
	test_cuts(bytes, n);
	test_flips(bytes, n);
	test_bad_headers();
	test_bombs();
	test_bad_frames();
	test_bad_refs();
	test_bad_ends();
	test_bad_meta();
	test_writer();
	test_unread_payload(bytes, n);
	test_large();
	msgpack_sbuffer_destroy(&buf);
	free(bytes);
	return check_report("test_frame");
}
