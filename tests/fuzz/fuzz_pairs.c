/* pairs.tar: an archive that was read to its end is written again; that copy reads with the same content, and its own copy
 * is equal to the byte. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/pairs.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tar.h"

static void add(XXH3_state_t *sum, const void *p, size_t n)
{
	ENSURE(!n || XXH3_64bits_update(sum, p, n) == XXH_OK);
}

static void add_array(XXH3_state_t *sum, const struct rd_array *a)
{
	add(sum, &a->dtype, sizeof a->dtype);
	add(sum, a->shape.d, (size_t)a->shape.nd * sizeof *a->shape.d);
	if (a->data)
		add(sum, a->data, rd_array_bytes(a));
}

static void add_chunk(XXH3_state_t *sum, const struct rd_pairs_chunk *c)
{
	ENSURE(c->n > 0 && c->sample.shape.d[0] == c->n && c->noise.shape.d[0] == c->n && !c->noise.data == c->noise_ref);
	add(sum, &c->first, sizeof c->first);
	add(sum, &c->noise_seed, sizeof c->noise_seed);
	add_array(sum, &c->noise);
	add_array(sum, &c->sample);
	for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
		if (c->has[k])
			add_array(sum, &c->extra[k]);
}

static int copy_chunks(struct rd_pairs_reader *r, struct rd_pairs_writer *w, XXH3_state_t *sum, struct rd_err *e)
{
	struct rd_pairs_chunk c;
	uint64_t rejected;
	int rc;

	while ((rc = rd_pairs_next(r, &c, e)) > 0) {
		add_chunk(sum, &c);
		ENSURE_OK(rd_pairs_write(w, &c, e), e);
		rd_pairs_chunk_free(&c);
	}
	if (!rc)
		ENSURE(rd_pairs_next(r, &c, e) == 0);
	if (!rc && rd_pairs_reader_rejected(r, &rejected)) {
		add(sum, &rejected, sizeof rejected);
		rd_pairs_writer_rejected(w, rejected);
	}
	return rc;
}

/* An archive, read and written to o; *digest is of what it holds. */
static int copy(const void *data, size_t n, struct rd_out *o, uint64_t *digest, struct rd_err *e)
{
	XXH3_state_t *sum = XXH3_createState();
	struct rd_pairs_writer *w = NULL;
	struct rd_pairs_reader *r;
	int rc;

	ENSURE(sum && XXH3_64bits_reset(sum) == XXH_OK);
	rc = rd_pairs_reader_open_path(&r, fuzz_file(0, data, n), e);
	if (rc) {
		ENSURE(!r);
		goto out;
	}
	fuzz_check_json(rd_pairs_reader_meta(r));
	ENSURE_OK(rd_pairs_writer_open(&w, o, rd_pairs_reader_meta(r), e), e);
	rc = copy_chunks(r, w, sum, e);
	if (rc)
		rd_pairs_writer_abort(w);
	else
		ENSURE_OK(rd_pairs_writer_finish(w, e), e);
	rd_pairs_reader_close(r);
	*digest = XXH3_64bits_digest(sum);
out:
	XXH3_freeState(sum);
	return rc;
}

static void run(const uint8_t *data, size_t n)
{
	bool known = rd_pairs_sniff(data, n);
	struct rd_out *o = fuzz_out_open();
	uint64_t first, second;
	struct rd_err e = {0};
	size_t n1, n2;
	void *p1, *p2;

	if (!fuzz_accepted(copy(data, n, o, &first, &e), &e)) {
		rd_out_abort(o);
		return;
	}
	ENSURE(known);
	p1 = fuzz_out_take(o, &n1);
	o = fuzz_out_open();
	ENSURE_OK(copy(p1, n1, o, &second, &e), &e);
	p2 = fuzz_out_take(o, &n2);
	ENSURE(first == second && n1 == n2 && !memcmp(p1, p2, n1));
	free(p1);
	free(p2);
}

static void make_array(struct rd_array *a, enum rd_dtype t, struct rd_shape s)
{
	struct rd_err e;

	ENSURE_OK(rd_array_init(a, t, &s, 0, &e), &e);
	for (size_t i = 0; i < rd_array_bytes(a) / 4; i++)
		((int32_t *)a->data)[i] = (int32_t)(i * i);
}

enum { LABEL = 1, REF = 2, KNOTS = 4, ERROR = 8 };

static void write_chunk(struct rd_pairs_writer *w, uint64_t first, int64_t n, unsigned with)
{
	struct rd_pairs_chunk c = {.first = first, .n = n, .noise_ref = with & REF};
	struct rd_err e;

	c.noise_seed = c.noise_ref ? UINT64_MAX - 5 : 0;
	c.noise.shape = (struct rd_shape){3, {n, 1, 2}};
	c.noise.dtype = RD_F32;
	if (!c.noise_ref)
		make_array(&c.noise, RD_F32, c.noise.shape);
	make_array(&c.sample, RD_F32, (struct rd_shape){3, {n, 1, 2}});
	c.has[RD_PAIRS_LABEL] = with & LABEL;
	c.has[RD_PAIRS_KNOTS] = with & KNOTS;
	c.has[RD_PAIRS_ERROR] = with & ERROR;
	if (with & LABEL)
		make_array(&c.extra[RD_PAIRS_LABEL], RD_I32, (struct rd_shape){1, {n}});
	if (with & KNOTS)
		make_array(&c.extra[RD_PAIRS_KNOTS], RD_F32, (struct rd_shape){4, {n, 3, 1, 2}});
	if (with & ERROR)
		make_array(&c.extra[RD_PAIRS_ERROR], RD_F32, (struct rd_shape){1, {n}});
	ENSURE_OK(rd_pairs_write(w, &c, &e), &e);
	rd_pairs_chunk_free(&c);
}

/* Archives of 0, 1 and 2 chunks, of every set of members. */
static void seeds(fuzz_emit *emit, void *arg)
{
	for (unsigned k = 0; k < 48; k++) {
		json_t *meta = json_pack("{s:s, s:i}", "tool", "fuzz", "seed", 1);
		struct rd_out *o = fuzz_out_open();
		struct rd_pairs_writer *w;
		struct rd_err e;
		size_t n;
		void *p;

		ENSURE_OK(rd_pairs_writer_open(&w, o, meta, &e), &e);
		for (unsigned i = 0; i < k / 16; i++)
			write_chunk(w, i ? 100000000 : 0, 1 + (int64_t)i, k % 16);
		if (k & ERROR)
			rd_pairs_writer_rejected(w, k);
		ENSURE_OK(rd_pairs_writer_finish(w, &e), &e);
		p = fuzz_out_take(o, &n);
		emit(arg, p, n);
		free(p);
		json_decref(meta);
	}
}

static const char *const words[] = {
	"seed", "first", "shape", "format", "rdpairs", "v", "chunks", "samples", "xxh3", "__meta__", "__end__",
	"00000000.noise.npy", "00000000.noise.json", "00000000.sample.npy", "00000000.label.npy",
	"00000000.knots.npy", "00000000.error.npy", "rejected",
	"18446744073709551615", "descr", "fortran_order", "<f4", "<i4", "ustar", NULL};

static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	return fuzz_mutate_tar(data, n, max, seed, words);
}

const struct fuzz_target fuzz_pairs = {"pairs", FUZZ_TAR_MAX, run, mutate, seeds, words};
