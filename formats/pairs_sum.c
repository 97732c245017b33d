#include "formats/pairs_sum.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

const char *const rd_pairs_extra_names[RD_PAIRS_EXTRAS] = {"label", "knots", "error"};

int pairs_tally_init(struct pairs_tally *t, struct rd_err *e)
{
	memset(t, 0, sizeof *t);
	t->sum = XXH3_createState();
	if (!t->sum || XXH3_64bits_reset(t->sum) == XXH_ERROR)
		return rd_fail(e, RD_ENOMEM, "pairs: no memory for a checksum");
	return RD_OK;
}

void pairs_tally_free(struct pairs_tally *t)
{
	XXH3_freeState(t->sum);
	t->sum = NULL;
}

static void add_u64(struct pairs_tally *t, uint64_t v)
{
	uint8_t le[8];

	for (int i = 0; i < 8; i++)
		le[i] = (uint8_t)(v >> 8 * i);
	pairs_tally_data(t, le, sizeof le);
}

void pairs_tally_member(struct pairs_tally *t, const char *name, size_t size)
{
	pairs_tally_data(t, name, strlen(name) + 1);
	add_u64(t, size);
}

void pairs_tally_rejected(struct pairs_tally *t, uint64_t n)
{
	t->counts_rejected = true;
	t->rejected = n;
	add_u64(t, n);
}

void pairs_tally_data(struct pairs_tally *t, const void *data, size_t n)
{
	if (n)
		XXH3_64bits_update(t->sum, data, n);
}

void pairs_tally_text(const struct pairs_tally *t, char text[PAIRS_SUM_TEXT])
{
	snprintf(text, PAIRS_SUM_TEXT, "%016" PRIx64, (uint64_t)XXH3_64bits_digest(t->sum));
}

/* [n, ...] f32, of a size that a member can have. */
static int check_array(const struct rd_pairs_chunk *c, const struct rd_array *a, const char *what, struct rd_err *e)
{
	size_t elems, bytes;
	char s[200];

	if (a->dtype != RD_F32)
		return rd_fail(e, RD_EINPUT, "%s is %s: <f4 expected", what, rd_dtype_name(a->dtype));
	if (rd_shape_elems(&a->shape, &elems, e))
		return rd_context(e, "%s", what);
	if (a->shape.nd < 1 || a->shape.d[0] != c->n)
		return rd_fail(e, RD_EINPUT, "%s is %s: %lld samples expected", what, rd_shape_str(&a->shape, s, sizeof s),
		               (long long)c->n);
	if (!elems || !rd_mul(elems, 4, &bytes) || bytes > RD_PAIRS_DATA_MAX)
		return rd_fail(e, RD_EINPUT, "%s is %s: empty, or larger than %zu bytes", what,
		               rd_shape_str(&a->shape, s, sizeof s), RD_PAIRS_DATA_MAX);
	return RD_OK;
}

static bool same_sample(const struct rd_shape *a, const struct rd_shape *b)
{
	return a->nd == b->nd && !memcmp(a->d + 1, b->d + 1, (size_t)(a->nd - 1) * sizeof a->d[0]);
}

static int check_first_agrees(const struct pairs_tally *t, const struct rd_pairs_chunk *c, struct rd_err *e)
{
	for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
		if (c->has[k] != t->has[k])
			return rd_fail(e, RD_EINPUT, "has %s%s, unlike the first chunk", c->has[k] ? "" : "no ", rd_pairs_extra_names[k]);
	if (!same_sample(&c->noise.shape, &t->noise) || !same_sample(&c->sample.shape, &t->sample))
		return rd_fail(e, RD_EINPUT, "the shape of its samples is not that of the first chunk");
	if (c->has[RD_PAIRS_KNOTS] && !same_sample(&c->extra[RD_PAIRS_KNOTS].shape, &t->knots))
		return rd_fail(e, RD_EINPUT, "the shape of its knots is not that of the first chunk");
	return RD_OK;
}

/* A sample at each knot. */
static int check_knots(const struct rd_pairs_chunk *c, const struct rd_array *a, struct rd_err *e)
{
	const struct rd_shape *k = &a->shape, *s = &c->sample.shape;
	char have[200], want[200];
	int rc = check_array(c, a, "knots", e);

	if (rc)
		return rc;
	if (k->nd != s->nd + 1 || memcmp(k->d + 2, s->d + 1, (size_t)(s->nd - 1) * sizeof s->d[0]))
		return rd_fail(e, RD_EINPUT, "knots is %s: [n, knots, ...] expected, with samples as in %s", rd_shape_str(k, have, sizeof have),
		               rd_shape_str(s, want, sizeof want));
	return RD_OK;
}

static int check_extra(const struct rd_pairs_chunk *c, enum rd_pairs_extra k, struct rd_err *e)
{
	const struct rd_array *a = &c->extra[k];
	enum rd_dtype t = k == RD_PAIRS_LABEL ? RD_I32 : RD_F32;

	if (k == RD_PAIRS_KNOTS)
		return check_knots(c, a, e);
	if (a->dtype != t || a->shape.nd != 1 || a->shape.d[0] != c->n)
		return rd_fail(e, RD_EINPUT, "%s is not one %s for each of %lld samples", rd_pairs_extra_names[k], rd_dtype_name(t),
		               (long long)c->n);
	return RD_OK;
}

static int check_chunk(const struct pairs_tally *t, const struct rd_pairs_chunk *c, struct rd_err *e)
{
	int rc;

	rc = check_array(c, &c->noise, "noise", e);
	if (!rc)
		rc = check_array(c, &c->sample, "sample", e);
	for (int k = 0; k < RD_PAIRS_EXTRAS && !rc; k++)
		if (c->has[k])
			rc = check_extra(c, (enum rd_pairs_extra)k, e);
	if (!rc && t->chunks)
		rc = check_first_agrees(t, c, e);
	if (!rc && (c->first < t->next || c->first > UINT64_MAX - (uint64_t)c->n))
		rc = rd_fail(e, RD_EINPUT, "starts below sample %" PRIu64 ", where the chunk before it ends", t->next);
	return rc;
}

int pairs_tally_chunk(struct pairs_tally *t, const struct rd_pairs_chunk *c, struct rd_err *e)
{
	if (check_chunk(t, c, e))
		return rd_context(e, "chunk %08" PRIu64, c->first);
	if (!t->chunks) {
		memcpy(t->has, c->has, sizeof t->has);
		t->noise = c->noise.shape;
		t->sample = c->sample.shape;
		t->knots = c->extra[RD_PAIRS_KNOTS].shape;
	}
	t->chunks++;
	t->samples += (uint64_t)c->n;
	t->next = c->first + (uint64_t)c->n;
	return RD_OK;
}

void rd_pairs_chunk_free(struct rd_pairs_chunk *c)
{
	if (!c)
		return;
	rd_array_free(&c->noise);
	rd_array_free(&c->sample);
	for (int k = 0; k < RD_PAIRS_EXTRAS; k++)
		rd_array_free(&c->extra[k]);
}
