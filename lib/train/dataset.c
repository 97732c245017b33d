#include "lib/train/dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lib/base/size.h"
#include "lib/data/batch.h"

struct loader {
	struct rd_dataset *d;
	const struct rd_model *m;
	struct rd_dataset_opts o;
	int sample, noise, label, knots; /* fields; -1: not there */
	int64_t cap;
	int input; /* the one that the batches are of */
};

/* Pairs are of the model's form, or of its network's: x_T at (alpha, sigma) is one state under both. */
static bool knows_form(const struct rd_model *m, const char *form)
{
	const struct rd_scheduler *own = m->scheduler.network;

	return !strcmp(form, m->scheduler.schedule.form->name) || (own && !strcmp(form, own->schedule.form->name));
}

static int check_stream(struct loader *l, const struct rd_source *src, struct rd_err *e)
{
	const struct rd_stream *s = rd_source_stream(src);
	const char *form = json_string_value(json_object_get(s->meta, "form")), *own = l->m->scheduler.schedule.form->name;

	l->sample = rd_stream_field(s, "sample");
	l->noise = l->o.paired ? rd_stream_field(s, "noise") : -1;
	l->knots = l->o.knots ? rd_stream_field(s, "knots") : -1;
	l->label = l->m->net.classes ? rd_stream_field(s, "label") : -1;
	if (rd_source_is_empty(src))
		return rd_fail(e, RD_EINPUT, "%s: no pairs in it", rd_source_name(src));
	if (l->sample < 0)
		return rd_fail(e, RD_EINPUT, "%s: no field `sample` in it (role %s)", rd_source_name(src), s->role);
	if (l->o.knots && l->knots < 0)
		return rd_fail(e, RD_EINPUT, "%s: no field `knots` in it: phases need the states between, as denoise --knots records them",
		               rd_source_name(src));
	if (l->o.paired && l->noise < 0)
		return rd_fail(e, RD_EINPUT, "%s: no field `noise` in it (role %s): pairs are needed", rd_source_name(src),
		               s->role);
	if (l->o.paired && form && !knows_form(l->m, form) && !l->o.any_form)
		return rd_fail(e, RD_EINPUT, "%s: pairs of form %s, the model's form is %s (--any-form takes them as they are)",
		               rd_source_name(src), form, own);
	if (l->m->net.classes && l->label < 0 && l->m->null_class < 0)
		return rd_fail(e, RD_EINPUT, "%s: no field `label` in it, and the model is conditional with no null class",
		               rd_source_name(src));
	return l->label < 0 ? RD_OK : rd_model_check_labels(l->m, s->meta, rd_source_name(src), e);
}

/* --- room ------------------------------------------------------------------------------------------------------------- */

/* Which arrays a dataset has, and bytes of a sample in each: those of d->mem. */
struct rows {
	size_t bytes[4];
};

static struct rows rows_of(const struct rd_dataset *d, bool eps, bool label)
{
	const size_t row = d->dim * sizeof(float);

	return (struct rows){{row, eps ? row : 0, row * (size_t)d->n_knots, label ? sizeof(int32_t) : 0}};
}

static int resize(struct rd_dataset *d, const struct rows *r, int64_t n, struct rd_err *e)
{
	int rc = RD_OK;

	for (int k = 0; k < 4 && !rc; k++) {
		size_t bytes;

		if (!r->bytes[k])
			continue;
		rc = rd_mul((size_t)n, r->bytes[k], &bytes) ? rd_block_resize(&d->mem[k], bytes, "training data", e)
		                                            : rd_fail(e, RD_ENOMEM, "training data: %lld samples overflow a size", (long long)n);
	}
	d->sample = d->mem[0].p;
	d->eps = d->mem[1].p;
	d->knots = d->mem[2].p;
	d->label = d->mem[3].p;
	return rc;
}

/* Memory that is not written to costs nothing; room on a disk is taken whether it comes to be needed or not. */
static int reserve(struct loader *l, int64_t n, struct rd_err *e)
{
	const struct rows r = rows_of(l->d, l->o.paired, l->label >= 0);
	int64_t more;
	int rc;

	if (n <= l->cap)
		return RD_OK;
	more = l->o.scratch ? l->cap / 4 : l->cap;
	if (n < l->cap + more)
		n = l->cap + more;
	rc = resize(l->d, &r, n, e);
	if (!rc)
		l->cap = n;
	return rc;
}

/* What was reserved beyond the samples there are goes back. */
static int fit(struct loader *l, struct rd_err *e)
{
	const struct rows r = rows_of(l->d, l->o.paired, l->label >= 0);

	return resize(l->d, &r, l->d->n, e);
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

/* [n, knots, ...sample], as many in every batch */
static int check_knots(const struct loader *l, const struct rd_source *src, const struct rd_shape *s,
                       const struct rd_shape *sample, struct rd_err *e)
{
	struct rd_shape one = s->nd > 1 ? rd_shape_make(s->nd - 2, s->d + 2) : (struct rd_shape){.nd = -1};
	char have[128];

	if (!rd_shape_eq(&one, sample) || s->d[1] < 1 || (l->d->n_knots && s->d[1] != l->d->n_knots))
		return rd_fail(e, RD_EINPUT, "%s: knots of shape %s: as many states of each sample expected everywhere, in its shape",
		               rd_source_name(src), rd_shape_str(s, have, sizeof have));
	l->d->n_knots = s->d[1];
	return RD_OK;
}

static int check_batch(const struct loader *l, const struct rd_source *src, const struct rd_batch *b, struct rd_err *e)
{
	const struct rd_shape *sample = &l->m->net.sample;
	const int used[] = {l->sample, l->noise, l->knots};
	int rc = rd_source_check_shape(src, b, l->sample, sample, e);

	if (!rc && l->noise >= 0)
		rc = rd_source_check_shape(src, b, l->noise, sample, e);
	if (!rc && l->label >= 0)
		rc = rd_source_check_labels(src, b, l->label, l->m->net.classes, e);
	if (!rc && l->knots >= 0)
		rc = check_knots(l, src, &b->f[l->knots].shape, sample, e);
	for (size_t k = 0; k < sizeof used / sizeof *used && !rc; k++)
		if (used[k] >= 0)
			rc = rd_source_check_finite(src, b, used[k], e);
	return rc;
}

static int append(struct loader *l, const struct rd_batch *b, struct rd_err *e)
{
	struct rd_dataset *d = l->d;
	size_t at = (size_t)d->n * d->dim, bytes = (size_t)b->n * d->dim * sizeof(float);
	int rc = reserve(l, d->n + b->n, e);

	if (rc)
		return rc;
	memcpy(d->sample + at, b->f[l->sample].data, bytes);
	if (l->o.paired)
		memcpy(d->eps + at, b->f[l->noise].data, bytes);
	if (d->n_knots)
		memcpy(d->knots + at * (size_t)d->n_knots, b->f[l->knots].data, bytes * (size_t)d->n_knots);
	if (l->label >= 0)
		memcpy(d->label + d->n, b->f[l->label].data, (size_t)b->n * sizeof *d->label);
	d->n += b->n;
	return RD_OK;
}

/* Where the ODE of pairs started: x = scale noise, at (alpha, sigma). */
struct start {
	double alpha, sigma, scale;
};

/* As meta says it, or, where that says nothing, at the schedule's last time. */
static int find_start(struct start *at, const struct loader *l, const struct rd_source *src, struct rd_err *e)
{
	const struct rd_schedule *s = &l->m->scheduler.schedule;
	const json_t *start = json_object_get(rd_source_stream(src)->meta, "start"), *scale = json_object_get(start, "scale");
	const bool there = start && !json_is_null(start);

	at->alpha = there ? json_number_value(json_object_get(start, "alpha")) : rd_alpha(s, s->t_hi);
	at->sigma = there ? json_number_value(json_object_get(start, "sigma")) : rd_sigma(s, s->t_hi);
	at->scale = scale ? json_number_value(scale) : rd_schedule_start_scale(s, at->sigma);
	if (there && (!json_is_number(json_object_get(start, "alpha")) || !(at->alpha >= 0) || !(at->sigma > 1e-6 * at->alpha) || !(at->scale > 0)))
		return rd_fail(e, RD_EINPUT, "%s: meta: start: alpha >= 0, sigma and scale > 0 expected, where all is noise",
		               rd_source_name(src));
	return RD_OK;
}

/* The noise at which the ODE started becomes the epsilon of the first-order path to the sample. */
static void noise_to_eps(struct rd_dataset *d, const struct start *s)
{
	const double on_noise = s->scale / s->sigma, on_sample = s->alpha / s->sigma;
	const size_t n = (size_t)d->n * d->dim;

	for (size_t i = 0; i < n; i++)
		d->eps[i] = (float)(on_noise * (double)d->eps[i] - on_sample * (double)d->sample[i]);
}

static void hash_all(struct rd_dataset *d)
{
	size_t bytes = (size_t)d->n * d->dim * sizeof(float);
	uint64_t h = XXH3_64bits(d->sample, bytes);

	if (d->eps)
		h = XXH3_64bits_withSeed(d->eps, bytes, h);
	if (d->knots)
		h = XXH3_64bits_withSeed(d->knots, bytes * (size_t)d->n_knots, h);
	if (d->label)
		h = XXH3_64bits_withSeed(d->label, (size_t)d->n * sizeof *d->label, h);
	snprintf(d->hash, sizeof d->hash, "%016llx", (unsigned long long)h);
}

/* Which input a pair came from, and that it came once. */
static int note_pairs(struct loader *l, const struct rd_source *src, const struct rd_batch *b, struct rd_err *e)
{
	const float *noise = b->f[l->noise].data;
	const int32_t *label = l->label >= 0 ? b->f[l->label].data : NULL;
	int rc = RD_OK;

	if (l->input != rd_source_inputs(src))
		rc = rd_provenance_input(l->d->made_by, rd_source_name(src), rd_source_meta(src), e);
	l->input = rd_source_inputs(src);
	for (int64_t i = 0; i < b->n && !rc; i++)
		rc = rd_provenance_add(l->d->made_by, b->first + (uint64_t)i, b->ref[l->noise] ? &b->ref_seed[l->noise] : NULL,
		                       noise + (size_t)i * l->d->dim, l->d->dim, label ? label[i] : 0, e);
	return rc;
}

/* Which noise was learnt from, for those who sample the result. */
static int record_noise(struct rd_dataset *d, struct rd_err *e)
{
	json_t *noise = rd_provenance_noise(d->made_by);
	bool none = noise && !json_array_size(noise);

	if (none)
		json_decref(noise);
	return none || !json_object_set_new(d->meta, "noise", noise) ? RD_OK : rd_fail(e, RD_ENOMEM, "training data: no memory");
}

static int read_all(struct loader *l, struct rd_source *src, struct rd_err *e)
{
	const struct rd_batch *b;
	int rc;

	while ((rc = rd_source_next(src, &b, e)) > 0) {
		rc = check_batch(l, src, b, e);
		if (!rc)
			rc = append(l, b, e);
		if (!rc && l->d->made_by)
			rc = note_pairs(l, src, b, e);
		if (rc)
			return rc;
	}
	if (!rc && l->d->made_by)
		rc = rd_provenance_check(l->d->made_by, e);
	return rc || !l->d->made_by ? rc : record_noise(l->d, e);
}

/* What the noise of pairs is to their model becomes what it is to a first-order path. */
static int load_pairs(struct loader *l, struct rd_source *src, struct rd_err *e)
{
	const char *form = json_string_value(json_object_get(rd_source_stream(src)->meta, "form"));
	const bool known = !form || knows_form(l->m, form);
	struct start s;
	int rc = known ? find_start(&s, l, src, e) : RD_OK;

	if (!rc)
		rc = rd_provenance_new(&l->d->made_by, e);
	if (!rc)
		rc = read_all(l, src, e);
	if (!rc && known)
		noise_to_eps(l->d, &s);
	return rc;
}

int rd_dataset_load(struct rd_dataset *d, const char *const *paths, int n_paths, const struct rd_dataset_opts *o,
                    const struct rd_model *m, struct rd_err *e)
{
	struct loader l = {.d = d, .m = m, .o = *o};
	struct rd_source *src;
	int rc;

	memset(d, 0, sizeof *d);
	for (int k = 0; k < 4; k++)
		d->mem[k].dir = o->scratch;
	d->dim = 1;
	for (int i = 0; i < m->net.sample.nd; i++)
		d->dim *= (size_t)m->net.sample.d[i];
	rc = rd_source_open(&src, paths, n_paths, o->paired ? "pairs" : NULL, e);
	if (rc)
		return rc;
	rc = check_stream(&l, src, e);
	if (!rc) {
		d->meta = json_deep_copy(rd_source_stream(src)->meta);
		rc = d->meta ? RD_OK : rd_fail(e, RD_ENOMEM, "training data: no memory");
	}
	if (!rc)
		rc = o->paired ? load_pairs(&l, src, e) : read_all(&l, src, e);
	if (!rc && !d->n)
		rc = rd_fail(e, RD_EINPUT, "training data: there are no samples in it");
	if (!rc)
		rc = fit(&l, e);
	rd_source_close(src);
	if (rc) {
		rd_dataset_free(d);
		return rc;
	}
	hash_all(d);
	return RD_OK;
}

/* --- held out --------------------------------------------------------------------------------------------------------- */

static void move_row(struct rd_dataset *to, int64_t j, const struct rd_dataset *from, int64_t i)
{
	size_t dim = from->dim, knots = dim * (size_t)from->n_knots, a = (size_t)j, b = (size_t)i;

	memmove(to->sample + a * dim, from->sample + b * dim, dim * sizeof *to->sample);
	if (from->eps)
		memmove(to->eps + a * dim, from->eps + b * dim, dim * sizeof *to->eps);
	if (from->knots)
		memmove(to->knots + a * knots, from->knots + b * knots, knots * sizeof *to->knots);
	if (from->label)
		to->label[a] = from->label[b];
}

/* Room for n samples of the kind that d has. */
static int like(struct rd_dataset *held, const struct rd_dataset *d, int64_t n, struct rd_err *e)
{
	const struct rows r = rows_of(d, d->eps, d->label);
	int rc;

	*held = (struct rd_dataset){.n = n, .dim = d->dim, .n_knots = d->n_knots};
	for (int k = 0; k < 4; k++)
		held->mem[k].dir = d->mem[k].dir;
	rc = resize(held, &r, n, e);
	if (rc)
		rd_dataset_free(held);
	return rc;
}

/* Which of the j-th of n equal parts of `all` samples is held out: by the golden ratio's multiples, so that what recurs in the samples'
 * order, as labels do that were dealt out in turn, is among them as often as among the others. */
static int64_t held_row(int64_t j, int64_t n, int64_t all)
{
	const int64_t from = j * all / n, to = (j + 1) * all / n;
	const double v = (double)j * 0.6180339887498949;

	return from + (int64_t)((v - floor(v)) * (double)(to - from));
}

int rd_dataset_split(struct rd_dataset *d, int64_t n, struct rd_dataset *held, struct rd_err *e)
{
	int64_t kept = 0, out = 0, all = d->n;
	int rc;

	if (n >= all)
		return rd_fail(e, RD_EUSAGE, "%lld samples held out: there are only %lld", (long long)n, (long long)all);
	rc = like(held, d, n, e);
	if (rc)
		return rc;
	for (int64_t i = 0; i < all; i++)
		if (out < n && i == held_row(out, n, all))
			move_row(held, out++, d, i);
		else
			move_row(d, kept++, d, i);
	d->n = kept;
	return RD_OK;
}

size_t rd_dataset_bytes(const struct rd_dataset *d)
{
	size_t sum = 0;

	for (int k = 0; k < 4; k++)
		sum += d->mem[k].bytes;
	return sum;
}

void rd_dataset_free(struct rd_dataset *d)
{
	if (!d)
		return;
	for (int k = 0; k < 4; k++)
		rd_block_free(&d->mem[k]);
	json_decref(d->meta);
	rd_provenance_free(d->made_by);
	memset(d, 0, sizeof *d);
}
