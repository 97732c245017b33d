/* A folder of pictures as an input: .png files of one size, or a folder of them for each class. Read as they are given out. */
#include <stdlib.h>
#include <string.h>

#include "formats/png.h"
#include "formats/png_dir.h"
#include "lib/data/source_impl.h"

#define BATCH_BYTES ((size_t)1 << 20)

struct images {
	struct rd_input in;
	struct rd_png_dir dir;
	uint64_t first;
	size_t at;
	int64_t step;
};

static void release(struct rd_input *in)
{
	rd_png_dir_free(&((struct images *)in)->dir);
}

/* u8 [h, w, c] as f32 [c, h, w] in [-1, 1]. */
static void planes(float *dst, const struct rd_array *a)
{
	const size_t pixels = (size_t)a->shape.d[0] * (size_t)a->shape.d[1], channels = (size_t)a->shape.d[2];
	const uint8_t *src = a->data;

	for (size_t i = 0; i < pixels; i++)
		for (size_t c = 0; c < channels; c++)
			dst[c * pixels + i] = rd_input_pixel(src[i * channels + c]);
}

static int read_one(struct images *s, size_t i, float *dst, struct rd_err *e)
{
	struct rd_array a;
	struct rd_shape one;
	char have[200], want[200];
	int rc = rd_png_read(s->dir.file[i].path, &a, e);

	if (rc)
		return rc;
	one = rd_shape_make(3, (const int64_t[]){a.shape.d[2], a.shape.d[0], a.shape.d[1]});
	if (rd_shape_eq(&one, &s->in.sample[0]))
		planes(dst, &a);
	else
		rc = rd_fail(e, RD_EINPUT, "%s: is %s (channels, height, width), but %s is %s", s->dir.file[i].path,
		             rd_shape_str(&one, have, sizeof have), s->dir.file[0].path, rd_shape_str(&s->in.sample[0], want, sizeof want));
	rd_array_free(&a);
	return rc;
}

static int next(struct rd_input *in, struct rd_err *e)
{
	struct images *s = (struct images *)in;
	const size_t left = s->dir.n - s->at, n = left < (size_t)s->step ? left : (size_t)s->step;
	const int64_t *d = in->sample[0].d;
	const size_t elems = (size_t)d[0] * (size_t)d[1] * (size_t)d[2];
	const struct rd_shape shape = rd_shape_make(4, (const int64_t[]){(int64_t)n, d[0], d[1], d[2]});
	const struct rd_shape labels = rd_shape_make(1, (const int64_t[]){(int64_t)n});
	int rc;

	if (!n)
		return 0;
	rc = rd_input_room(in, 0, &shape, e);
	for (size_t i = 0; i < n && !rc; i++)
		rc = read_one(s, s->at + i, (float *)in->batch.f[0].data + i * elems, e);
	if (!rc && s->dir.labelled)
		rc = rd_input_room(in, 1, &labels, e);
	for (size_t i = 0; i < n && !rc && s->dir.labelled; i++)
		((int32_t *)in->batch.f[1].data)[i] = s->dir.file[s->at + i].label;
	in->batch.first = s->first + s->at;
	in->batch.n = (int64_t)n;
	s->at += n;
	return rc ? rc : 1;
}

/* The first picture says what all are. */
static int look(struct images *s, struct rd_err *e)
{
	struct rd_array a;
	size_t bytes;
	int rc = rd_png_read(s->dir.file[0].path, &a, e);

	if (rc)
		return rc;
	bytes = rd_array_bytes(&a) * sizeof(float);
	s->in.sample[0] = rd_shape_make(3, (const int64_t[]){a.shape.d[2], a.shape.d[0], a.shape.d[1]});
	s->in.sample[1] = (struct rd_shape){0};
	s->step = bytes < BATCH_BYTES ? (int64_t)(BATCH_BYTES / bytes) : 1;
	rd_array_free(&a);
	return RD_OK;
}

/* The folders' names go along: which class is which. */
static int name_classes(json_t *meta, const char *path, const struct rd_png_dir *d, struct rd_err *e)
{
	json_t *names = json_array();
	int rc = RD_OK;

	for (size_t i = 0; i < d->n_classes && !rc; i++)
		if (json_array_append_new(names, json_string(d->class_name[i])))
			rc = rd_fail(e, RD_EINPUT, "%s/%s: the name of a class, but not UTF-8", path, d->class_name[i]);
	if (rc)
		json_decref(names);
	else if (json_object_set_new(meta, "class_names", names))
		rc = rd_fail(e, RD_ENOMEM, "%s: no memory", path);
	return rc;
}

int rd_input_images(struct rd_input **out, const char *path, uint64_t first, struct rd_err *e)
{
	static const struct rd_input_ops ops = {.next = next, .release = release};
	struct images *s;
	void *p;
	int rc = rd_input_new(&p, sizeof *s, &ops, path, e);

	*out = NULL;
	if (rc)
		return rc;
	s = p;
	s->first = first;
	rc = rd_png_dir_list(path, &s->dir, e);
	rd_stream_init(&s->in.stream, "data", NULL);
	if (!rc && s->dir.class_name)
		rc = name_classes(s->in.stream.meta, path, &s->dir, e);
	if (!rc)
		rc = look(s, e);
	if (!rc)
		rc = rd_stream_add(&s->in.stream, "sample", e);
	if (!rc && s->dir.labelled)
		rc = rd_stream_add(&s->in.stream, "label", e);
	if (rc)
		rd_input_close(&s->in);
	else
		*out = &s->in;
	return rc;
}
