#include "lib/data/audit.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lib/base/size.h"

/* A noise vector that was seen: with 63 bits of hash, a false alarm among a billion of them has a chance of 1 in 20. */
struct seen {
	uint64_t hash, index; /* hash 0: an empty slot */
};

/* How often something happened, and to which sample first. */
struct tally {
	uint64_t n, first;
};

struct rd_audit {
	uint64_t pairs;
	struct rd_moments noise, sample;
	struct tally twice, equal, bad_noise, bad_sample, bad_knots, bad_error, negative, beyond, unnamed;
	uint64_t original; /* the sample that twice.first repeats */
	int64_t classes;   /* of the model, as meta says; 0: not known */
	uint64_t label_n;
	int32_t label_min, label_max;
	struct seen *table; /* open addressing, at most half full */
	size_t mask, used;
	float *error;       /* those that are finite */
	size_t n_error, error_room;
};

static const double quantiles[RD_AUDIT_QUANTILES] = {0.05, 0.5, 0.95};

static void count(struct tally *t, uint64_t index)
{
	if (!t->n++)
		t->first = index;
}

/* --- the set of noise vectors ------------------------------------------------------------------------------------- */

/* The slot that holds hash, or the empty one where it belongs. */
static struct seen *slot(const struct rd_audit *a, uint64_t hash)
{
	size_t at = hash >> 1 & a->mask; /* the last bit is 1 in all */

	while (a->table[at].hash && a->table[at].hash != hash)
		at = (at + 1) & a->mask;
	return &a->table[at];
}

static int table_grow(struct rd_audit *a, struct rd_err *e)
{
	size_t old = a->table ? a->mask + 1 : 0, cap = old ? 2 * old : 1024;
	struct seen *from = a->table;
	void *to;
	int rc = rd_alloc0(&to, cap, sizeof *from, "the set of noise vectors", e);

	if (rc)
		return rc;
	a->table = to;
	a->mask = cap - 1;
	for (size_t i = 0; i < old; i++)
		if (from[i].hash)
			*slot(a, from[i].hash) = from[i];
	free(from);
	return RD_OK;
}

static int see_noise(struct rd_audit *a, const float *x, size_t n, uint64_t index, struct rd_err *e)
{
	uint64_t hash = XXH3_64bits(x, n * sizeof *x) | 1;
	struct seen *s;
	int rc = RD_OK;

	if (!a->table || a->used > a->mask / 2)
		rc = table_grow(a, e);
	if (rc)
		return rc;
	s = slot(a, hash);
	if (!s->hash) {
		*s = (struct seen){hash, index};
		a->used++;
		return RD_OK;
	}
	if (!a->twice.n)
		a->original = s->index;
	count(&a->twice, index);
	return RD_OK;
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

int rd_audit_new(struct rd_audit **out, struct rd_err *e)
{
	*out = calloc(1, sizeof **out);
	return *out ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory for an audit");
}

void rd_audit_free(struct rd_audit *a)
{
	if (!a)
		return;
	free(a->table);
	free(a->error);
	free(a);
}

static void add_field(struct rd_moments *m, struct tally *bad, const float *x, size_t n, uint64_t index)
{
	uint64_t before = m->bad;

	rd_moments_add(m, x, n);
	if (m->bad > before)
		count(bad, index);
}

static void add_label(struct rd_audit *a, int32_t label, uint64_t index)
{
	if (!a->label_n || label < a->label_min)
		a->label_min = label;
	if (!a->label_n || label > a->label_max)
		a->label_max = label;
	a->label_n++;
	if (label < 0)
		count(&a->negative, index);
	else if (a->classes > 0 && label >= a->classes)
		count(&a->beyond, index);
}

/* Of the knots that meta names, all but the two ends have a state here. */
static void check_knots(struct rd_audit *a, const json_t *meta, const struct rd_array *f, const struct rd_batch *b)
{
	size_t n = rd_shape_sample_elems(&f->shape), named = json_array_size(json_object_get(json_object_get(meta, "knots"), "t"));

	if (f->shape.nd < 2 || (size_t)f->shape.d[1] + 2 != named)
		count(&a->unnamed, b->first);

	for (size_t i = 0; i < (size_t)b->n; i++)
		for (size_t k = 0; k < n; k++)
			if (!isfinite(((const float *)f->data)[i * n + k])) {
				count(&a->bad_knots, b->first + i);
				break;
			}
}

static int add_errors(struct rd_audit *a, const struct rd_array *f, const struct rd_batch *b, struct rd_err *e)
{
	void *p = a->error;
	int rc;

	if (f->shape.nd != 1)
		return rd_fail(e, RD_EINPUT, "error is not one number for each pair");
	rc = rd_reserve(&p, &a->error_room, a->n_error + (size_t)b->n, sizeof *a->error, "errors", e);
	a->error = p;
	for (size_t i = 0; i < (size_t)b->n && !rc; i++)
		if (isfinite(((const float *)f->data)[i]))
			a->error[a->n_error++] = ((const float *)f->data)[i];
		else
			count(&a->bad_error, b->first + i);
	return rc;
}

/* The fields that pairs may have. */
static int add_extras(struct rd_audit *a, const struct rd_stream *s, const struct rd_batch *b, struct rd_err *e)
{
	int knots = rd_stream_field(s, "knots"), error = rd_stream_field(s, "error");

	if (knots >= 0)
		check_knots(a, s->meta, &b->f[knots], b);
	return error >= 0 ? add_errors(a, &b->f[error], b, e) : RD_OK;
}

int rd_audit_add(struct rd_audit *a, const struct rd_stream *s, const struct rd_batch *b, struct rd_err *e)
{
	int kn = rd_stream_field(s, "noise"), ks = rd_stream_field(s, "sample"), kl = rd_stream_field(s, "label"), rc;
	size_t n_noise, n_sample;

	if (kn < 0 || ks < 0)
		return rd_fail(e, RD_EINPUT, "pairs have the fields noise and sample");
	n_noise = rd_shape_sample_elems(&b->f[kn].shape);
	n_sample = rd_shape_sample_elems(&b->f[ks].shape);
	a->classes = json_integer_value(json_object_get(s->meta, "classes"));
	for (size_t i = 0; i < (size_t)b->n; i++) {
		const float *noise = (const float *)b->f[kn].data + i * n_noise;
		const float *sample = (const float *)b->f[ks].data + i * n_sample;
		uint64_t index = b->first + i;

		add_field(&a->noise, &a->bad_noise, noise, n_noise, index);
		add_field(&a->sample, &a->bad_sample, sample, n_sample, index);
		if (n_noise == n_sample && !memcmp(noise, sample, n_noise * sizeof *noise))
			count(&a->equal, index);
		if (kl >= 0)
			add_label(a, ((const int32_t *)b->f[kl].data)[i], index);
		rc = see_noise(a, noise, n_noise, index, e);
		if (rc)
			return rc;
	}
	a->pairs += (uint64_t)b->n;
	return add_extras(a, s, b, e);
}

/* --- the verdict -------------------------------------------------------------------------------------------------- */

static void found(struct rd_audit_report *r, const char *fmt, ...) RD_PRINTF(2, 3);
static void found(struct rd_audit_report *r, const char *fmt, ...)
{
	va_list ap;

	if (r->n_findings == RD_AUDIT_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(r->finding[r->n_findings++], sizeof r->finding[0], fmt, ap);
	va_end(ap);
}

static void found_tally(struct rd_audit_report *r, const struct tally *t, const char *what)
{
	if (t->n)
		found(r, "%" PRIu64 " %s, the first is %" PRIu64, t->n, what, t->first);
}

static bool looks_normal(const struct rd_moments *m)
{
	double z[3];

	rd_moments_scores(m, z);
	return fabs(z[0]) <= RD_AUDIT_LIMIT && fabs(z[1]) <= RD_AUDIT_LIMIT && fabs(z[2]) <= RD_AUDIT_LIMIT;
}

static void judge_noise(const struct rd_audit *a, struct rd_audit_report *r)
{
	static const char *const name[3] = {"mean", "variance", "kurtosis"};
	static const double expected[3] = {0, 1, 3};
	double std = rd_moments_std(&a->noise), z[3];
	double v[3] = {rd_moments_mean(&a->noise), std * std, rd_moments_kurtosis(&a->noise)};

	rd_moments_scores(&a->noise, z);
	for (int i = 0; i < 3; i++)
		if (!(fabs(z[i]) <= RD_AUDIT_LIMIT))
			found(r, "noise: %s %.5g, standard normal noise has %g (%.1f standard errors off)", name[i], v[i], expected[i],
			      z[i]);
	/* A thousand numbers that pass as normal are, whatever they are called. */
	if (!looks_normal(&a->noise) && a->sample.n >= 1000 && looks_normal(&a->sample))
		found(r, "noise and sample look swapped: the samples are standard normal");
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void sum_errors(struct rd_audit *a, struct rd_audit_report *r)
{
	double sum = 0;

	r->error_n = a->n_error;
	if (!a->n_error)
		return;
	qsort(a->error, a->n_error, sizeof *a->error, by_value);
	for (size_t i = 0; i < a->n_error; i++)
		sum += (double)a->error[i];
	r->error_mean = sum / (double)a->n_error;
	r->error_max = (double)a->error[a->n_error - 1];
	for (int k = 0; k < RD_AUDIT_QUANTILES; k++)
		r->error_quantile[k] = (double)a->error[(size_t)(quantiles[k] * (double)(a->n_error - 1) + 0.5)];
}

void rd_audit_finish(struct rd_audit *a, struct rd_audit_report *r)
{
	memset(r, 0, sizeof *r);
	r->pairs = a->pairs;
	r->noise = a->noise;
	r->sample = a->sample;
	r->label_n = a->label_n;
	r->label_min = a->label_min;
	r->label_max = a->label_max;
	if (!a->pairs)
		found(r, "no pairs");
	found_tally(r, &a->bad_noise, "noise vectors hold NaN or infinities");
	found_tally(r, &a->bad_sample, "samples hold NaN or infinities");
	found_tally(r, &a->bad_knots, "pairs hold NaN or infinities at their knots");
	found_tally(r, &a->bad_error, "errors are NaN or infinite");
	if (a->unnamed.n)
		found(r, "from sample %" PRIu64 " on the states at knots are not as many as meta's inner knots", a->unnamed.first);
	sum_errors(a, r);
	if (a->twice.n)
		found(r, "%" PRIu64 " noise vectors are there more than once, the first is %" PRIu64 ", a copy of %" PRIu64,
		      a->twice.n, a->twice.first, a->original);
	if (a->pairs)
		judge_noise(a, r);
	found_tally(r, &a->equal, "samples equal their noise");
	found_tally(r, &a->negative, "labels are negative");
	if (a->beyond.n)
		found(r, "%" PRIu64 " labels are beyond the model's %lld classes, the first is %" PRIu64, a->beyond.n,
		      (long long)a->classes, a->beyond.first);
}

static int print_field(const char *name, const struct rd_moments *m, struct rd_out *o, struct rd_err *e)
{
	if (!m->n)
		return rd_out_printf(o, e, "%-6s  mean -  std -  kurtosis -  min -  max -\n", name);
	return rd_out_printf(o, e, "%-6s  mean %.5f  std %.5f  kurtosis %.4f  min %.4f  max %.4f\n", name, rd_moments_mean(m),
	                     rd_moments_std(m), rd_moments_kurtosis(m), m->min, m->max);
}

static int print_errors(const struct rd_audit_report *r, struct rd_out *o, struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "error   mean %.5g", r->error_mean);

	for (int k = 0; k < RD_AUDIT_QUANTILES && !rc; k++)
		rc = rd_out_printf(o, e, "  %g%% %.5g", 100 * quantiles[k], r->error_quantile[k]);
	return rc ? rc : rd_out_printf(o, e, "  max %.5g\n", r->error_max);
}

int rd_audit_print(const struct rd_audit_report *r, struct rd_out *o, struct rd_err *e)
{
	int rc = print_field("noise", &r->noise, o, e);

	if (!rc)
		rc = print_field("sample", &r->sample, o, e);
	if (!rc && r->label_n)
		rc = rd_out_printf(o, e, "label   %d to %d\n", r->label_min, r->label_max);
	if (!rc && r->error_n)
		rc = print_errors(r, o, e);
	for (int i = 0; i < r->n_findings && !rc; i++)
		rc = rd_out_printf(o, e, "audit: %s\n", r->finding[i]);
	if (rc)
		return rc;
	if (!r->n_findings)
		return rd_out_printf(o, e, "audit: %" PRIu64 " pairs, nothing found\n", r->pairs);
	return rd_out_printf(o, e, "audit: FAILED, %d finding%s in %" PRIu64 " pairs\n", r->n_findings,
	                     r->n_findings > 1 ? "s" : "", r->pairs);
}
