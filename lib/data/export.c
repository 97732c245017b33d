#include "lib/data/export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/npy.h"
#include "formats/png.h"
#include "formats/safetensors.h"
#include "lib/base/size.h"

/* How a form takes samples. begin and end may be NULL. */
struct export;
struct form {
	int (*begin)(struct export *x, struct rd_err *e);
	int (*add)(struct export *x, const struct rd_batch *b, struct rd_err *e);
	int (*end)(struct export *x, struct rd_err *e);
	bool one_field;
	unsigned flags; /* RD_OUT_BINARY */
};

struct export {
	const struct rd_export_opts *o;
	const struct form *form;
	struct rd_stream s;             /* what goes out; meta borrowed */
	int from[RD_FRAME_MAX_FIELDS];  /* its field k is that of the source */
	uint64_t left;                  /* samples still wanted */
	struct rd_out *out;
	struct rd_sink *sink;           /* frames */
	struct rd_array all;            /* npy and png: every sample so far, ... */
	size_t bytes, room;             /* ... in so many bytes of so many */
	bool begun;                     /* csv: the first line is out */
	const char *name; /* of the input whose batch is being added; borrowed */
};

/* --- frames ------------------------------------------------------------------------------------------------------- */

static int frame_begin(struct export *x, struct rd_err *e)
{
	return rd_sink_open(&x->sink, x->o->out, x->o->flags, &x->s, e);
}

static int frame_add(struct export *x, const struct rd_batch *b, struct rd_err *e)
{
	return rd_sink_write(x->sink, b, e);
}

static int frame_end(struct export *x, struct rd_err *e)
{
	struct rd_sink *k = x->sink;

	x->sink = NULL;
	return rd_sink_finish(k, NULL, e);
}

/* --- npy and png: all samples in memory --------------------------------------------------------------------------- */

static int gather(struct export *x, const struct rd_batch *b, struct rd_err *e)
{
	const struct rd_array *a = &b->f[0];
	size_t need, more = rd_array_bytes(a);
	int64_t n = x->all.shape.nd ? x->all.shape.d[0] : 0;

	if (!rd_add(x->bytes, more, &need))
		return rd_fail(e, RD_ENOMEM, "%s: samples that overflow a size", x->name);
	if (rd_reserve(&x->all.data, &x->room, need, 1, x->name, e))
		return e->code;
	memcpy((char *)x->all.data + x->bytes, a->data, more);
	x->bytes = need;
	x->all.dtype = a->dtype;
	x->all.shape = a->shape;
	x->all.shape.d[0] = n + b->n;
	return RD_OK;
}

static int gathered(const struct export *x, struct rd_err *e)
{
	return x->all.shape.nd ? RD_OK : rd_fail(e, RD_EINPUT, "no samples, so no shape for an array");
}

static int npy_end(struct export *x, struct rd_err *e)
{
	int rc = gathered(x, e);

	return rc ? rc : rd_npy_write(x->out, x->all.dtype, &x->all.shape, x->all.data, e);
}

/* [n, c, h, w], [n, h, w] or, a trajectory per row, [n, k, c, h, w]. */
static int png_end(struct export *x, struct rd_err *e)
{
	const struct rd_shape *s = &x->all.shape;
	int64_t c = s->nd > 3 ? s->d[s->nd - 3] : 1, n = s->d[0] * (s->nd == 5 ? s->d[1] : 1);
	int64_t columns = s->nd == 5 ? s->d[1] : (int64_t)ceil(sqrt((double)n));
	struct rd_shape one;
	char text[160];
	int rc = gathered(x, e);

	if (rc)
		return rc;
	one = rd_shape_make(s->nd - 1, s->d + 1);
	if (s->nd < 3 || s->nd > 5 || (c != 1 && c != 3) || x->all.dtype != RD_F32)
		return rd_fail(e, RD_EINPUT, "field '%s' %s is no picture: [n, h, w], or [n, 1 or 3, h, w], is one%s", x->s.field[0],
		               rd_shape_str(s, text, sizeof text), rd_sample_shape_hint(&one));
	return rd_png_grid(x->out, x->all.data, n, c, s->d[s->nd - 2], s->d[s->nd - 1], x->o->columns ? x->o->columns : columns, x->o->scale, e);
}

/* --- csv ---------------------------------------------------------------------------------------------------------- */

/* index,noise_0,noise_1,label: a field of one number has no subscript. */
static int csv_names(struct export *x, const struct rd_batch *b, struct rd_err *e)
{
	int rc = rd_out_printf(x->out, e, "index");

	for (int k = 0; k < x->s.n_fields; k++) {
		size_t n = rd_shape_sample_elems(&b->f[k].shape);

		if (!rc && n == 1)
			rc = rd_out_printf(x->out, e, ",%s", x->s.field[k]);
		for (size_t i = 0; i < n && n > 1 && !rc; i++)
			rc = rd_out_printf(x->out, e, ",%s_%zu", x->s.field[k], i);
	}
	return rc ? rc : rd_out_printf(x->out, e, "\n");
}

static int csv_row(struct export *x, const struct rd_batch *b, size_t i, struct rd_err *e)
{
	int rc = rd_out_printf(x->out, e, "%llu", (unsigned long long)(b->first + i));

	for (int k = 0; k < x->s.n_fields; k++) {
		size_t n = rd_shape_sample_elems(&b->f[k].shape);

		for (size_t j = i * n; j < (i + 1) * n && !rc; j++)
			rc = b->f[k].dtype == RD_I32 ? rd_out_printf(x->out, e, ",%d", ((const int32_t *)b->f[k].data)[j]) :
			     rd_out_printf(x->out, e, ",%.9g", (double)((const float *)b->f[k].data)[j]);
	}
	return rc ? rc : rd_out_printf(x->out, e, "\n");
}

static int csv_add(struct export *x, const struct rd_batch *b, struct rd_err *e)
{
	int rc = x->begun ? RD_OK : csv_names(x, b, e);

	x->begun = true;
	for (size_t i = 0; i < (size_t)b->n && !rc; i++)
		rc = csv_row(x, b, i, e);
	return rc;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static const struct form forms[] = {
	[RD_EXPORT_FRAME] = {.begin = frame_begin, .add = frame_add, .end = frame_end},
	[RD_EXPORT_NPY] = {.add = gather, .end = npy_end, .one_field = true, .flags = RD_OUT_BINARY},
	[RD_EXPORT_CSV] = {.add = csv_add},
	[RD_EXPORT_PNG] = {.add = gather, .end = png_end, .one_field = true, .flags = RD_OUT_BINARY},
};

/* The fields that go out. */
static int choose(struct export *x, const struct rd_stream *s, const char *name, struct rd_err *e)
{
	const char *field = x->o->field;
	int k, rc = RD_OK;

	if (!field && x->form->one_field)
		field = s->n_fields == 1 ? s->field[0] : "sample";
	k = field ? rd_stream_field(s, field) : 0;
	if (k < 0)
		return rd_fail(e, x->o->field ? RD_EINPUT : RD_EUSAGE, "%s: has no field '%s'%s", name, field,
		               x->o->field ? "" : ": which one of its fields?");
	rd_stream_init(&x->s, x->o->role ? x->o->role : s->role, json_incref(s->meta));
	for (int i = 0; i < s->n_fields && !rc; i++)
		if (!field || i == k) {
			x->from[x->s.n_fields] = i;
			rc = rd_stream_add(&x->s, s->field[i], e);
		}
	return rc;
}

/* Borrows the arrays of b: the chosen fields of the samples that are still wanted. */
static void narrow(struct export *x, const struct rd_batch *b, struct rd_batch *v)
{
	*v = (struct rd_batch){.first = b->first, .n = x->left < (uint64_t)b->n ? (int64_t)x->left : b->n};
	for (int k = 0; k < x->s.n_fields; k++) {
		v->f[k] = b->f[x->from[k]];
		v->f[k].shape.d[0] = v->n;
		v->ref[k] = b->ref[x->from[k]];
		v->ref_seed[k] = b->ref_seed[x->from[k]];
	}
	x->left -= (uint64_t)v->n;
}

static int open_form(struct export *x, struct rd_err *e)
{
	if (x->form->begin)
		return x->form->begin(x, e);
	return rd_out_open(&x->out, x->o->out, x->form->flags ? x->o->flags : 0, e);
}

static int close_form(struct export *x, struct rd_err *e)
{
	struct rd_out *out;
	int rc = x->form->end ? x->form->end(x, e) : RD_OK;

	if (rc || !x->out)
		return rc;
	out = x->out;
	x->out = NULL;
	return rd_out_finish(out, e);
}

int rd_export(struct rd_source *src, const struct rd_export_opts *o, struct rd_err *e)
{
	struct export x = {.o = o, .form = &forms[o->form], .left = o->count};
	const struct rd_batch *b;
	struct rd_batch v;
	int rc = choose(&x, rd_source_stream(src), rd_source_name(src), e);

	if (!rc)
		rc = open_form(&x, e);
	while (!rc && (rc = rd_source_next(src, &b, e)) > 0) {
		narrow(&x, b, &v);
		x.name = rd_source_name(src);
		rc = v.n ? x.form->add(&x, &v, e) : RD_OK;
	}
	if (!rc)
		rc = close_form(&x, e);
	rd_out_abort(x.out);
	rd_sink_abort(x.sink);
	free(x.all.data);
	rd_stream_free(&x.s);
	return rc;
}

static int write_tensor(const struct rd_st_view *t, struct rd_out *out, struct rd_err *e)
{
	float *wide;
	void *p;
	int rc;

	if (t->dtype == RD_N_DTYPES)
		return rd_fail(e, RD_EINPUT, "tensor %s has type %s, which is listed and not read", t->name, t->type);
	if (t->dtype != RD_BF16)
		return rd_npy_write(out, t->dtype, &t->shape, t->data, e);
	rc = rd_alloc(&p, t->elems, sizeof *wide, t->name, e);
	if (rc)
		return rc;
	wide = p;
	rd_to_f32(wide, t->data, t->dtype, t->elems);
	rc = rd_npy_write(out, RD_F32, &t->shape, wide, e);
	free(wide);
	return rc;
}

int rd_export_tensor(const char *path, const char *name, const struct rd_export_opts *o, struct rd_err *e)
{
	const struct rd_st_view *t;
	struct rd_safetensors *s;
	struct rd_out *out = NULL;
	int rc = rd_safetensors_open(&s, path, e);

	if (rc)
		return rc;
	t = rd_safetensors_find(s, name);
	if (!t)
		rc = rd_fail(e, RD_EINPUT, "%s: has no tensor '%s'", path, name);
	if (!rc)
		rc = rd_out_open(&out, o->out, o->flags, e);
	if (!rc)
		rc = write_tensor(t, out, e);
	if (!rc)
		rc = rd_out_finish(out, e);
	else
		rd_out_abort(out);
	rd_safetensors_close(s);
	return rc;
}
