/* Arrays, .npy or idx, as an input: one, or several side by side. They are held whole and given out in batches. */
#include <stdlib.h>
#include <string.h>

#include "formats/idx.h"
#include "formats/npy.h"
#include "lib/data/source_impl.h"

#define BATCH_BYTES ((size_t)1 << 20)

struct arrays {
	struct rd_input in;
	struct rd_array a[RD_FRAME_MAX_FIELDS];
	bool pixels[RD_FRAME_MAX_FIELDS]; /* bytes that become x / 127.5 - 1 */
	uint64_t first;
	int64_t at, n, step;
};

static void release(struct rd_input *in)
{
	struct arrays *s = (struct arrays *)in;

	for (int k = 0; k < RD_FRAME_MAX_FIELDS; k++)
		rd_array_free(&s->a[k]);
}

static void to_pixels(float *dst, const uint8_t *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = rd_input_pixel(src[i]);
}

static int fill(struct arrays *s, int k, int64_t n, struct rd_err *e)
{
	const struct rd_array *a = &s->a[k];
	struct rd_shape shape = a->shape;
	const size_t elems = rd_shape_sample_elems(&shape);
	const char *src = (const char *)a->data + (size_t)s->at * elems * rd_dtype_bytes(a->dtype);
	int rc;

	shape.d[0] = n;
	rc = rd_input_room(&s->in, k, &shape, e);
	if (rc)
		return rc;
	if (!s->pixels[k])
		return rd_input_convert(&s->in, k, src, a->dtype, e);
	to_pixels(s->in.batch.f[k].data, (const uint8_t *)src, (size_t)n * elems);
	return RD_OK;
}

static int next(struct rd_input *in, struct rd_err *e)
{
	struct arrays *s = (struct arrays *)in;
	const int64_t n = s->n - s->at < s->step ? s->n - s->at : s->step;
	int rc = RD_OK;

	if (!n)
		return 0;
	in->batch.first = s->first + (uint64_t)s->at;
	in->batch.n = n;
	for (int k = 0; !rc && k < in->stream.n_fields; k++)
		rc = fill(s, k, n, e);
	s->at += n;
	return rc ? rc : 1;
}

/* Bytes [n, h, w] out of idx are images of one channel; [n] are labels, unless the caller has a name for them. */
static int check_idx(struct arrays *s, int k, const char **name, const char *file, struct rd_err *e)
{
	struct rd_shape *d = &s->a[k].shape;

	if (d->nd == 1) {
		*name = *name ? *name : "label";
		return RD_OK;
	}
	if (d->nd != 3)
		return rd_fail(e, RD_EINPUT, "%s: idx of %d dimensions: images have 3, labels 1", file, d->nd);
	*d = rd_shape_make(4, (const int64_t[]){d->d[0], 1, d->d[1], d->d[2]});
	s->pixels[k] = true;
	return RD_OK;
}

/* What a batch of this field must satisfy, and how large one may be. */
static int check_array(struct arrays *s, int k, const char *file, struct rd_err *e)
{
	const struct rd_shape *d = &s->a[k].shape;
	struct rd_shape *one = &s->in.sample[k];
	size_t elems;
	int64_t step;

	if (d->nd < 1)
		return rd_fail(e, RD_EINPUT, "%s: a single number: the first dimension must count samples", file);
	*one = rd_shape_make(d->nd - 1, d->d + 1);
	if (rd_shape_elems(one, &elems, e))
		return rd_context(e, "%s", file);
	if (!elems)
		return rd_fail(e, RD_EINPUT, "%s: samples without elements", file);
	if (k && d->d[0] != s->n)
		return rd_fail(e, RD_EINPUT, "%s: %lld samples, but %lld in the array before it", file, (long long)d->d[0],
		               (long long)s->n);
	step = elems < BATCH_BYTES / 4 ? (int64_t)(BATCH_BYTES / 4 / elems) : 1;
	s->step = k && s->step < step ? s->step : step;
	s->n = d->d[0];
	return RD_OK;
}

/* The array of field k out of an open file. name NULL: what the form suggests. */
static int load(struct arrays *s, int k, const char *name, struct rd_in *file, struct rd_err *e)
{
	enum rd_input_form form;
	int rc;

	rc = rd_input_sniff(file, &form, e);
	if (rc)
		return rc;
	if (form == RD_FORM_NPY)
		rc = rd_npy_read(file, &s->a[k], e);
	else if (form == RD_FORM_IDX)
		rc = rd_idx_read(file, &s->a[k], e);
	else
		rc = rd_fail(e, RD_EINPUT, "%s: NAME=FILE takes an array, .npy or idx", rd_in_name(file));
	if (!rc && form == RD_FORM_IDX)
		rc = check_idx(s, k, &name, rd_in_name(file), e);
	if (!rc && form == RD_FORM_NPY) /* bytes are pixels in either form */
		s->pixels[k] = s->a[k].dtype == RD_U8 && s->a[k].shape.nd > 1 && (!name || !strcmp(name, "sample"));
	if (!rc)
		rc = check_array(s, k, rd_in_name(file), e);
	return rc ? rc : rd_stream_add(&s->in.stream, name ? name : "sample", e);
}

static int arrays_new(struct arrays **out, const char *name, uint64_t first, struct rd_err *e)
{
	static const struct rd_input_ops ops = {.next = next, .release = release};
	void *p;
	int rc;

	rc = rd_input_new(&p, sizeof **out, &ops, name, e);
	*out = p;
	if (rc)
		return rc;
	(*out)->first = first;
	rd_stream_init(&(*out)->in.stream, "data", NULL);
	return RD_OK;
}

int rd_input_array(struct rd_input **out, struct rd_in *file, uint64_t first, struct rd_err *e)
{
	struct arrays *s;
	int rc;

	*out = NULL;
	rc = arrays_new(&s, rd_in_name(file), first, e);
	if (!rc)
		rc = load(s, 0, NULL, file, e);
	rd_in_close(file);
	if (rc)
		rd_input_close(s ? &s->in : NULL);
	else
		*out = &s->in;
	return rc;
}

size_t rd_input_name_len(const char *arg)
{
	size_t n = strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return arg[n] == '=' && n < RD_FRAME_NAME ? n : 0;
}

static int load_named(struct arrays *s, int k, const char *arg, struct rd_err *e)
{
	const size_t len = rd_input_name_len(arg);
	char name[RD_FRAME_NAME];
	struct rd_in *file;
	int rc;

	memcpy(name, arg, len);
	name[len] = '\0';
	rc = rd_in_open(&file, arg + len + 1, e);
	if (rc)
		return rc;
	rc = load(s, k, name, file, e);
	if (!rc) {
		s->in.field_name[k] = strdup(rd_in_name(file));
		rc = s->in.field_name[k] ? RD_OK : rd_fail(e, RD_ENOMEM, "%s: no memory", rd_in_name(file));
	}
	rd_in_close(file);
	return rc;
}

/* The names say what the arrays are. */
static const char *role_of(const struct rd_stream *s)
{
	if (rd_stream_field(s, "noise") < 0)
		return "data";
	return rd_stream_field(s, "sample") < 0 ? "noise" : "pairs";
}

int rd_input_named(struct rd_input **out, const char *const *args, int n, uint64_t first, struct rd_err *e)
{
	struct arrays *s;
	int rc;

	*out = NULL;
	rc = arrays_new(&s, args[0], first, e);
	if (!rc && n > RD_FRAME_MAX_FIELDS)
		rc = rd_fail(e, RD_EUSAGE, "%s: more than %d arrays side by side", args[0], RD_FRAME_MAX_FIELDS);
	for (int k = 0; !rc && k < n; k++)
		rc = load_named(s, k, args[k], e);
	if (rc) {
		rd_input_close(s ? &s->in : NULL);
		return rc;
	}
	memcpy(s->in.stream.role, role_of(&s->in.stream), strlen(role_of(&s->in.stream)) + 1);
	*out = &s->in;
	return RD_OK;
}
