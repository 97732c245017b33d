#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "formats/npy.h"
#include "formats/pairs_sum.h"
#include "formats/tar_read.h"
#include "lib/base/size.h"

struct rd_pairs_reader {
	struct rd_in *in;
	json_t *meta;
	struct rd_tar_member ahead; /* the member whose data comes next */
	struct pairs_tally tally;
	bool done;
};

/* The next member into r->ahead; an archive that ends here ends too early. */
static int advance(struct rd_pairs_reader *r, struct rd_err *e)
{
	int rc = rd_tar_next(r->in, &r->ahead, e);

	if (rc < 0)
		return rc;
	if (!rc)
		return rd_fail(e, RD_EINPUT, "%s: truncated: no " PAIRS_END, rd_in_name(r->in));
	return RD_OK;
}

/* The member ahead, as JSON; counted into the sum unless it is __end__. */
static int read_json(struct rd_pairs_reader *r, json_t **out, struct rd_err *e)
{
	const struct rd_tar_member *m = &r->ahead;
	json_error_t je;
	void *text;
	int rc;

	*out = NULL;
	if (m->size > PAIRS_JSON_MAX)
		return rd_fail(e, RD_EINPUT, "%s: %s: longer than %zu bytes", rd_in_name(r->in), m->name, PAIRS_JSON_MAX);
	rc = rd_in_new(r->in, m->size, &text, e);
	if (!rc)
		rc = rd_tar_pad(r->in, m, e);
	if (rc)
		goto out;
	if (strcmp(m->name, PAIRS_END)) {
		pairs_tally_member(&r->tally, m->name, m->size);
		pairs_tally_data(&r->tally, text, m->size);
	}
	*out = json_loadb(text, m->size, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(*out)) {
		rc = rd_fail(e, RD_EINPUT, "%s: %s: %s", rd_in_name(r->in), m->name, *out ? "not a JSON object" : je.text);
		json_decref(*out);
		*out = NULL;
	}
out:
	free(text);
	return rc;
}

/* The header of the .npy ahead, consumed and counted; *data_bytes is what is left of the member. */
static int read_npy_header(struct rd_pairs_reader *r, enum rd_dtype *t, struct rd_shape *s, size_t *data_bytes,
                           struct rd_err *e)
{
	const struct rd_tar_member *m = &r->ahead;
	size_t got, bytes = 0, want = m->size < ((size_t)64 << 10) ? m->size : (size_t)64 << 10;
	const uint8_t *view;
	void *header;
	int rc;

	rc = rd_in_peek(r->in, want, &view, &got, e);
	if (rc)
		return rc;
	if (rd_npy_header(view, got, t, s, &bytes, e))
		return rd_context(e, "%s: %s", rd_in_name(r->in), m->name);
	rc = rd_alloc(&header, bytes, 1, m->name, e);
	if (!rc)
		rc = rd_in_exact(r->in, header, bytes, e);
	pairs_tally_member(&r->tally, m->name, m->size);
	if (!rc)
		pairs_tally_data(&r->tally, header, bytes);
	*data_bytes = m->size - bytes;
	free(header);
	return rc;
}

static int read_npy(struct rd_pairs_reader *r, struct rd_array *a, struct rd_err *e)
{
	const struct rd_tar_member *m = &r->ahead;
	size_t elems, bytes, data_bytes = 0;
	enum rd_dtype t;
	struct rd_shape s;
	int rc;

	rc = read_npy_header(r, &t, &s, &data_bytes, e);
	if (rc)
		return rc;
	if (data_bytes > RD_PAIRS_DATA_MAX)
		return rd_fail(e, RD_EINPUT, "%s: %s: more than %zu bytes of data", rd_in_name(r->in), m->name, RD_PAIRS_DATA_MAX);
	if (rd_shape_elems(&s, &elems, e) || !rd_mul(elems, rd_dtype_bytes(t), &bytes) || bytes != data_bytes)
		return rd_fail(e, RD_EINPUT, "%s: %s: %zu bytes of data are not what its header says", rd_in_name(r->in),
		               m->name, data_bytes);
	a->dtype = t;
	a->shape = s;
	rc = rd_in_new(r->in, bytes, &a->data, e);
	if (!rc)
		rc = rd_tar_pad(r->in, m, e);
	if (!rc)
		pairs_tally_data(&r->tally, a->data, bytes);
	return rc;
}

/* {"seed":s,"first":i,"shape":[n,...]} */
static int read_noise_ref(struct rd_pairs_reader *r, struct rd_pairs_chunk *c, struct rd_err *e)
{
	const json_t *shape, *d;
	json_t *o;
	uint64_t first;
	bool ok;
	int rc;

	rc = read_json(r, &o, e);
	if (rc)
		return rc;
	shape = json_object_get(o, "shape");
	ok = rd_json_to_u64(json_object_get(o, "seed"), &c->noise_seed) &&
	     rd_json_to_u64(json_object_get(o, "first"), &first) && first == c->first &&
	     json_is_array(shape) && json_array_size(shape) <= RD_MAX_DIMS;
	c->noise_ref = true;
	c->noise.dtype = RD_F32;
	for (size_t i = 0; ok && i < json_array_size(shape); i++) {
		d = json_array_get(shape, i);
		ok = json_is_integer(d);
		c->noise.shape.d[c->noise.shape.nd++] = json_integer_value(d);
	}
	json_decref(o);
	return ok ? RD_OK : rd_fail(e, RD_EINPUT, "%s: %s: not {\"seed\", \"first\": %" PRIu64 ", \"shape\"}",
	                            rd_in_name(r->in), r->ahead.name, c->first);
}

/* True where the member ahead is KEY.tail; *first is the number in its key, spelt as we spell it. */
static bool ahead_is(const struct rd_pairs_reader *r, const char *tail, uint64_t *first)
{
	const char *p = r->ahead.name;
	char again[64];

	for (*first = 0; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(*first, 10, first) ||
		    __builtin_add_overflow(*first, (uint64_t)(*p - '0'), first))
			return false;
	snprintf(again, sizeof again, "%08" PRIu64 ".%s", *first, tail);
	return !strcmp(again, r->ahead.name);
}

static int unexpected(const struct rd_pairs_reader *r, const char *want, struct rd_err *e)
{
	return rd_fail(e, RD_EINPUT, "%s: member %s where %s is expected", rd_in_name(r->in), r->ahead.name, want);
}

/* What the chunk has beside noise and sample, and the member behind it. */
static int read_extras(struct rd_pairs_reader *r, struct rd_pairs_chunk *c, struct rd_err *e)
{
	char tail[32];
	uint64_t first;
	int rc = advance(r, e);

	for (int k = 0; k < RD_PAIRS_EXTRAS && !rc; k++) {
		snprintf(tail, sizeof tail, "%s.npy", rd_pairs_extra_names[k]);
		if (!ahead_is(r, tail, &first) || first != c->first)
			continue;
		c->has[k] = true;
		rc = read_npy(r, &c->extra[k], e);
		if (!rc)
			rc = advance(r, e);
	}
	return rc;
}

/* Noise is ahead, as data or by reference; behind the chunk, the member after it is. */
static int read_chunk(struct rd_pairs_reader *r, struct rd_pairs_chunk *c, struct rd_err *e)
{
	uint64_t first;
	int rc;

	if (ahead_is(r, "noise.npy", &c->first))
		rc = read_npy(r, &c->noise, e);
	else if (ahead_is(r, "noise.json", &c->first))
		rc = read_noise_ref(r, c, e);
	else
		return unexpected(r, "a chunk's noise or " PAIRS_END, e);
	if (!rc)
		rc = advance(r, e);
	if (!rc && (!ahead_is(r, "sample.npy", &first) || first != c->first))
		return unexpected(r, "the chunk's sample", e);
	if (!rc)
		rc = read_npy(r, &c->sample, e);
	if (!rc)
		rc = read_extras(r, c, e);
	if (rc)
		return rc;
	c->n = c->sample.shape.nd ? c->sample.shape.d[0] : 0;
	return pairs_tally_chunk(&r->tally, c, e) ? rd_context(e, "%s", rd_in_name(r->in)) : RD_OK;
}

static int check_end(struct rd_pairs_reader *r, const json_t *o, struct rd_err *e)
{
	const char *format, *theirs, *name = rd_in_name(r->in);
	const json_t *rejected = NULL;
	json_int_t v, chunks, samples;
	char sum[PAIRS_SUM_TEXT];
	uint64_t n = 0;

	if (json_unpack((json_t *)o, "{s:s, s:I, s:I, s:I, s?o, s:s !}", "format", &format, "v", &v, "chunks", &chunks, "samples",
	                &samples, "rejected", &rejected, "xxh3", &theirs) ||
	    (rejected && !rd_json_to_u64(rejected, &n)))
		return rd_fail(e, RD_EINPUT, "%s: " PAIRS_END ": not {format, v, chunks, samples[, rejected], xxh3}", name);
	if (strcmp(format, PAIRS_FORMAT) || v != PAIRS_VERSION)
		return rd_fail(e, RD_EINPUT, "%s: format %.30s %lld: only " PAIRS_FORMAT " %d is read", name, format,
		               (long long)v, PAIRS_VERSION);
	if ((uint64_t)chunks != r->tally.chunks || (uint64_t)samples != r->tally.samples)
		return rd_fail(e, RD_EINPUT, "%s: " PAIRS_END " counts %lld chunks, %lld samples; %" PRIu64 ", %" PRIu64
		               " were read", name, (long long)chunks, (long long)samples, r->tally.chunks, r->tally.samples);
	if (rejected)
		pairs_tally_rejected(&r->tally, n);
	pairs_tally_text(&r->tally, sum);
	if (strcmp(theirs, sum))
		return rd_fail(e, RD_EINPUT, "%s: corrupt: the checksum is %s, " PAIRS_END " says %.20s", name, sum, theirs);
	return RD_OK;
}

/* __end__ is ahead. */
static int read_end(struct rd_pairs_reader *r, struct rd_err *e)
{
	struct rd_tar_member m;
	json_t *o;
	int rc;

	rc = read_json(r, &o, e);
	if (rc)
		return rc;
	rc = check_end(r, o, e);
	json_decref(o);
	if (rc)
		return rc;
	rc = rd_tar_next(r->in, &m, e);
	if (rc > 0)
		return rd_fail(e, RD_EINPUT, "%s: member %s behind " PAIRS_END, rd_in_name(r->in), m.name);
	r->done = !rc;
	return rc;
}

int rd_pairs_reader_open(struct rd_pairs_reader **out, struct rd_in *in, struct rd_err *e)
{
	struct rd_pairs_reader *r;
	int rc;

	*out = NULL;
	r = calloc(1, sizeof *r);
	if (!r) {
		rc = rd_fail(e, RD_ENOMEM, "%s: no memory", rd_in_name(in));
		rd_in_close(in);
		return rc;
	}
	r->in = in;
	rc = pairs_tally_init(&r->tally, e);
	if (!rc)
		rc = advance(r, e);
	if (!rc && strcmp(r->ahead.name, PAIRS_META))
		rc = unexpected(r, PAIRS_META, e);
	if (!rc)
		rc = read_json(r, &r->meta, e);
	if (!rc)
		rc = advance(r, e);
	if (rc)
		rd_pairs_reader_close(r);
	else
		*out = r;
	return rc;
}

int rd_pairs_reader_open_path(struct rd_pairs_reader **out, const char *path, struct rd_err *e)
{
	struct rd_in *in;
	int rc;

	*out = NULL;
	rc = rd_in_open(&in, path, e);
	return rc ? rc : rd_pairs_reader_open(out, in, e);
}

const json_t *rd_pairs_reader_meta(const struct rd_pairs_reader *r)
{
	return r->meta;
}

int rd_pairs_next(struct rd_pairs_reader *r, struct rd_pairs_chunk *c, struct rd_err *e)
{
	int rc;

	memset(c, 0, sizeof *c);
	if (r->done)
		return 0;
	if (!strcmp(r->ahead.name, PAIRS_END))
		return read_end(r, e);
	rc = read_chunk(r, c, e);
	if (!rc)
		return 1;
	rd_pairs_chunk_free(c);
	return rc;
}

bool rd_pairs_reader_rejected(const struct rd_pairs_reader *r, uint64_t *n)
{
	*n = r->tally.rejected;
	return r->tally.counts_rejected;
}

void rd_pairs_reader_close(struct rd_pairs_reader *r)
{
	if (!r)
		return;
	rd_in_close(r->in);
	json_decref(r->meta);
	pairs_tally_free(&r->tally);
	free(r);
}

bool rd_pairs_sniff(const void *buf, size_t n)
{
	struct rd_tar_member m;
	struct rd_err e;

	return n >= RD_TAR_BLOCK && !rd_tar_header(buf, &m, &e);
}
