#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/idx.h"
#include "formats/pairs.h"
#include "kernels/rng.h"
#include "lib/base/size.h"
#include "lib/data/source_impl.h"

enum rd_dtype rd_field_dtype(const char *field)
{
	return strcmp(field, "label") ? RD_F32 : RD_I32;
}

/* The program that undoes what the bytes look like; NULL: nothing known. */
static const char *compressed_by(const uint8_t *p, size_t n)
{
	static const struct {
		const char *magic, *program;
	} known[] = {{"\x28\xb5\x2f\xfd", "zstd"}, {"\xfd" "7zXZ", "xz"}, {"BZh", "bzip2"}, {"PK\x03\x04", "unzip"}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (n >= strlen(known[i].magic) && !memcmp(p, known[i].magic, strlen(known[i].magic)))
			return known[i].program;
	return NULL;
}

int rd_input_sniff(struct rd_in *file, enum rd_input_form *f, struct rd_err *e)
{
	const uint8_t *p;
	size_t n;
	int rc;

	*f = RD_FORM_NONE;
	rc = rd_in_peek(file, 512, &p, &n, e);
	if (rc)
		return rc;
	if (!n)
		return rd_fail(e, RD_EINPUT, "%s: is empty", rd_in_name(file));
	if (n >= 6 && !memcmp(p, "\x93NUMPY", 6))
		*f = RD_FORM_NPY;
	else if (rd_pairs_sniff(p, n))
		*f = RD_FORM_PAIRS;
	else if (rd_idx_sniff(p, n))
		*f = RD_FORM_IDX;
	else if (n >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8)) /* before frames, as which it begins */
		return rd_fail(e, RD_EINPUT, "%s: is a picture: a folder of them is read", rd_in_name(file));
	else if ((p[0] & 0xf0) == 0x80 || p[0] == 0xde || p[0] == 0xdf) /* a map of msgpack */
		*f = RD_FORM_FRAMES;
	else if (compressed_by(p, n))
		return rd_fail(e, RD_EINPUT, "%s: is compressed (%s): to be decompressed first", rd_in_name(file), compressed_by(p, n));
	else
		return rd_fail(e, RD_EINPUT, "%s: neither a frame stream nor a pairs archive, .npy or idx", rd_in_name(file));
	return RD_OK;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int rd_input_look(struct rd_input_look *l, const char *path, struct rd_err *e)
{
	enum rd_input_form form;
	struct stat st;
	int rc;

	if (is_folder(path))
		return RD_OK;
	l->once = !strcmp(path, "-") || stat(path, &st) || !S_ISREG(st.st_mode);
	rc = rd_in_open(&l->file, path, e);
	if (!rc)
		rc = rd_input_sniff(l->file, &form, e);
	if (rc || (form != RD_FORM_FRAMES && form != RD_FORM_PAIRS))
		return rc;
	rc = form == RD_FORM_FRAMES ? rd_input_frames(&l->in, l->file, e) : rd_input_pairs(&l->in, l->file, e);
	l->file = NULL;
	return rc;
}

void rd_input_look_end(struct rd_input_look *l)
{
	rd_input_close(l->in);
	rd_in_close(l->file);
	*l = (struct rd_input_look){0};
}

int rd_input_open(struct rd_input **out, const char *path, struct rd_input_look *l, uint64_t first, struct rd_err *e)
{
	struct rd_in *file;
	int rc;

	*out = NULL;
	if (is_folder(path))
		return rd_input_images(out, path, first, e);
	rc = l->in || l->file ? RD_OK : rd_input_look(l, path, e);
	if (rc)
		return rc;
	*out = l->in;
	file = l->file;
	*l = (struct rd_input_look){0};
	return *out ? RD_OK : rd_input_array(out, file, first, e);
}

void rd_input_close(struct rd_input *in)
{
	if (!in)
		return;
	in->ops->release(in);
	rd_batch_free(&in->batch);
	rd_stream_free(&in->stream);
	json_decref(in->end_meta);
	for (int k = 0; k < RD_FRAME_MAX_FIELDS; k++)
		free(in->field_name[k]);
	free(in->name);
	free(in);
}

const char *rd_input_field_name(const struct rd_input *in, int k)
{
	return in->field_name[k] ? in->field_name[k] : in->name;
}

int rd_input_new(void **out, size_t size, const struct rd_input_ops *ops, const char *name, struct rd_err *e)
{
	struct rd_input *in = calloc(1, size);

	*out = NULL;
	if (!in)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", name);
	in->ops = ops;
	for (int k = 0; k < RD_FRAME_MAX_FIELDS; k++)
		in->sample[k].nd = -1;
	in->name = strdup(name);
	if (!in->name) {
		free(in);
		return rd_fail(e, RD_ENOMEM, "%s: no memory", name);
	}
	*out = in;
	return RD_OK;
}

int rd_input_room(struct rd_input *in, int k, const struct rd_shape *s, struct rd_err *e)
{
	struct rd_array *a = &in->batch.f[k];
	size_t elems, bytes;

	a->dtype = rd_field_dtype(in->stream.field[k]);
	if (a->dtype == RD_I32 && s->nd != 1)
		return rd_fail(e, RD_EINPUT, "%s: label is not one number for each sample", rd_input_field_name(in, k));
	if (rd_shape_elems(s, &elems, e))
		return rd_context(e, "%s", in->name);
	if (!rd_mul(elems, rd_dtype_bytes(a->dtype), &bytes))
		return rd_fail(e, RD_EINPUT, "%s: field '%s' is too large", in->name, in->stream.field[k]);
	if (!a->data || bytes > in->room[k]) {
		free(a->data);
		in->room[k] = 0;
		if (rd_alloc(&a->data, bytes, 1, in->name, e))
			return e->code;
		in->room[k] = bytes;
	}
	a->shape = *s;
	return RD_OK;
}

int rd_input_convert(struct rd_input *in, int k, const void *src, enum rd_dtype t, struct rd_err *e)
{
	struct rd_array *a = &in->batch.f[k];
	size_t n = (size_t)a->shape.d[0] * rd_shape_sample_elems(&a->shape);

	if (a->dtype == RD_F32)
		rd_to_f32(a->data, src, t, n);
	else if (rd_to_i32(a->data, src, t, n, e))
		return rd_context(e, "%s: label", rd_input_field_name(in, k));
	return RD_OK;
}

void rd_input_noise(struct rd_input *in, int k, uint64_t seed)
{
	struct rd_batch *b = &in->batch;

	rd_rng_normal_batch(seed, RD_RNG_NOISE, b->first, b->f[k].data, (size_t)b->n,
	                    rd_shape_sample_elems(&b->f[k].shape));
	b->ref[k] = true;
	b->ref_seed[k] = seed;
}
