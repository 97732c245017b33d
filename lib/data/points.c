#include "lib/data/points.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/data/joined.h"

/* Room for n samples, of which there is for *room now. */
static int reserve(struct rd_points *p, size_t *room, size_t n, bool labels, struct rd_err *e)
{
	void *x = p->x, *label = p->label;
	size_t room_x = *room, room_label = *room, bytes;
	int rc = rd_mul(p->d, sizeof *p->x, &bytes) ? RD_OK : rd_fail(e, RD_ENOMEM, "a sample of %zu numbers overflows a size", p->d);

	if (!rc)
		rc = rd_reserve(&x, &room_x, n, bytes, "samples", e);
	p->x = x;
	if (!rc && labels)
		rc = rd_reserve(&label, &room_label, n, sizeof *p->label, "labels", e);
	p->label = label;
	if (!rc)
		*room = room_x;
	return rc;
}

static int append(struct rd_points *p, size_t *room, const struct rd_batch *b, int k, int label, struct rd_err *e)
{
	const struct rd_array *a = &b->f[k];
	const size_t elems = (size_t)b->n * rd_shape_sample_elems(&a->shape);
	const float *x = a->data;

	if (a->dtype != RD_F32)
		return rd_fail(e, RD_EINPUT, "labels are no points of a space");
	if (!p->n) {
		p->first = b->first;
		p->sample = rd_shape_make(a->shape.nd - 1, a->shape.d + 1);
		p->d = rd_shape_sample_elems(&a->shape);
	}
	for (size_t i = 0; i < elems; i++)
		if (!isfinite(x[i]))
			return rd_fail(e, RD_EINPUT, "sample %" PRIu64 " is not finite", b->first + i / p->d);
	if (reserve(p, room, (size_t)(p->n + b->n), label >= 0, e))
		return e->code;
	memcpy(p->x + (size_t)p->n * p->d, x, elems * sizeof *x);
	if (label >= 0)
		memcpy(p->label + p->n, b->f[label].data, (size_t)b->n * sizeof *p->label);
	for (int64_t i = 0; i < b->n; i++)
		p->indices = (p->indices ^ (b->first + (uint64_t)i)) * 0x100000001b3; /* the multiplier of FNV-1a */
	p->n += b->n;
	return RD_OK;
}

/* Whether all kinds of the samples are from one seed, as far as they say; a seed that is null is any of many. */
static void read_seeds(struct rd_points *p, const json_t *meta)
{
	json_t *parts = rd_joined_parts(meta);

	p->has_seed = rd_json_to_u64(json_object_get(meta, "seed"), &p->seed);
	for (size_t i = 0; i < json_array_size(parts) && !p->has_seed; i++)
		p->mixed |= json_object_get(json_array_get(parts, i), "seed") != NULL;
	json_decref(parts);
}

/* Sample by sample: batches need not be alike. */
static void add_noise(struct rd_points *p, const struct rd_array *a)
{
	const size_t row = rd_shape_sample_elems(&a->shape);
	const float *x = a->data;

	for (int64_t i = 0; i < a->shape.d[0]; i++)
		p->noise = XXH3_64bits_withSeed(x + (size_t)i * row, row * sizeof *x, p->noise);
}

/* The field of the noise that the samples were made of, all of them; data that were taken back to noise were not: -1. */
static int find_noise(const struct rd_stream *s, const char *field, int *k, struct rd_err *e)
{
	enum rd_joined_true reverse;
	int rc = rd_joined_true(&reverse, s->meta, "reverse", e);

	*k = !rc && strcmp(field, "noise") && reverse == RD_JOINED_NONE ? rd_stream_field(s, "noise") : -1;
	return rc;
}

static int load(struct rd_points *p, struct rd_source *s, const char *field, struct rd_err *e)
{
	const int k = rd_stream_field(rd_source_stream(s), field), label = rd_stream_field(rd_source_stream(s), "label");
	const struct rd_batch *b;
	size_t room = 0;
	int noise, rc;

	if (k < 0)
		return rd_fail(e, RD_EINPUT, "%s: has no field '%s' (role %s)", rd_source_name(s), field,
		               rd_source_stream(s)->role);
	rc = find_noise(rd_source_stream(s), field, &noise, e);
	if (rc)
		return rc;
	read_seeds(p, rd_source_stream(s)->meta);
	p->has_noise = noise >= 0;
	while ((rc = rd_source_next(s, &b, e)) > 0) {
		rc = append(p, &room, b, k, label, e);
		if (rc)
			return rd_context(e, "%s", rd_source_name(s));
		if (noise >= 0)
			add_noise(p, &b->f[noise]);
	}
	p->class_names = json_incref((json_t *)(uintptr_t)rd_source_class_names(s));
	return rc;
}

int rd_points_load(struct rd_points *p, const char *const *paths, int n_paths, const char *field, struct rd_err *e)
{
	struct rd_source *s;
	int rc;

	memset(p, 0, sizeof *p);
	rc = rd_source_open(&s, paths, n_paths, NULL, e);
	if (rc)
		return rc;
	rc = load(p, s, field, e);
	rd_source_close(s);
	if (rc)
		rd_points_free(p);
	return rc;
}

bool rd_points_may_pair(const struct rd_points *a, const struct rd_points *b, char *why, size_t cap)
{
	const bool known = a->has_seed && b->has_seed;

	if (known && a->seed != b->seed) {
		snprintf(why, cap, "their seeds are %" PRIu64 " and %" PRIu64, a->seed, b->seed);
		return false;
	}
	if (known && a->first != b->first) {
		snprintf(why, cap, "their first samples have the indices %" PRIu64 " and %" PRIu64, a->first, b->first);
		return false;
	}
	if (known && a->n == b->n && a->indices != b->indices) {
		snprintf(why, cap, "their samples have other indices");
		return false;
	}
	if ((a->mixed || b->mixed) && !(a->has_noise && b->has_noise)) {
		snprintf(why, cap, "noise of several seeds is in one of them, and is not there to compare");
		return false;
	}
	if ((a->mixed || b->mixed) && a->n == b->n && a->noise != b->noise) {
		snprintf(why, cap, "their noise is of several seeds, and not the same");
		return false;
	}
	for (int64_t i = 0; a->label && b->label && i < a->n && i < b->n; i++)
		if (a->label[i] != b->label[i]) {
			snprintf(why, cap, "label %" PRId64 " (from 0) is %" PRId32 " and %" PRId32, i, a->label[i], b->label[i]);
			return false;
		}
	return true;
}

void rd_points_free(struct rd_points *p)
{
	if (!p)
		return;
	free(p->x);
	free(p->label);
	json_decref(p->class_names);
	memset(p, 0, sizeof *p);
}
