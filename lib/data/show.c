#include "lib/data/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/data/batch.h"
#include "lib/base/moments.h"

#define HEAD 6 /* so many first values are shown */

struct column {
	enum rd_dtype dtype;
	struct rd_shape shape;
	struct rd_moments m;
	float head[HEAD];
	size_t n_head;
};

static void add(struct column *c, enum rd_dtype t, const void *x, size_t n)
{
	size_t k = HEAD - c->n_head < n ? HEAD - c->n_head : n;

	rd_to_f32(c->head + c->n_head, x, t, k);
	c->n_head += k;
	c->dtype = t;
	rd_moments_add_any(&c->m, t, x, n);
}

/* "  noise  <f4 [1000, 3, 32, 32]  mean 0.0001 std 0.9999 min -4.9 max 5.1 : 0.3 -1.2 ..." */
static int print_column(const char *name, int width, const struct column *c, struct rd_out *o, struct rd_err *e)
{
	char shape[160], moments[160];
	int rc;

	rc = rd_out_printf(o, e, "  %-*s  %s %s%s%s", width, name, rd_dtype_name(c->dtype),
	                   rd_shape_str(&c->shape, shape, sizeof shape), c->m.n || c->m.bad ? "  " : "",
	                   rd_moments_text(&c->m, moments, sizeof moments));
	for (size_t i = 0; i < c->n_head && !rc; i++)
		rc = rd_out_printf(o, e, "%s%.6g", i ? " " : " : ", (double)c->head[i]);
	if (!rc && c->m.n + c->m.bad > c->n_head)
		rc = rd_out_printf(o, e, " ...");
	return rc ? rc : rd_out_printf(o, e, "\n");
}

/* what: as which it is shown, "meta", or "end" of what a stream says at its end. */
static int print_meta(const char *what, const json_t *meta, struct rd_out *o, struct rd_err *e)
{
	char *text;
	int rc;

	if (!json_object_size(meta))
		return RD_OK;
	text = rd_json_text(meta);
	rc = text ? rd_out_printf(o, e, "  %s %s\n", what, text) : rd_fail(e, RD_ENOMEM, "no memory for meta");
	free(text);
	return rc;
}

static void add_batch(struct column *c, const struct rd_stream *s, const struct rd_batch *b)
{
	for (int k = 0; k < s->n_fields; k++) {
		int64_t n = c[k].shape.nd ? c[k].shape.d[0] : 0;

		c[k].shape = b->f[k].shape;
		c[k].shape.d[0] = n + b->n;
		add(&c[k], b->f[k].dtype, b->f[k].data, (size_t)b->n * rd_shape_sample_elems(&b->f[k].shape));
	}
}

static int print_source(const struct column *c, const struct rd_source *src, const char *name, uint64_t first,
                        uint64_t n, struct rd_out *o, struct rd_err *e)
{
	const struct rd_stream *s = rd_source_stream(src);
	int rc, width = 0;

	rc = rd_out_printf(o, e, "%s: %s, %llu samples", rd_source_name(src), s->role, (unsigned long long)n);
	if (!rc)
		rc = n ? rd_out_printf(o, e, " from index %llu\n", (unsigned long long)first) : rd_out_printf(o, e, "\n");
	for (int k = 0; k < s->n_fields; k++)
		if ((int)strlen(s->field[k]) > width)
			width = (int)strlen(s->field[k]);
	for (int k = 0; k < s->n_fields && !rc; k++)
		if (n && (!name || !strcmp(name, s->field[k])))
			rc = print_column(s->field[k], width, &c[k], o, e);
	if (!rc)
		rc = print_meta("meta", s->meta, o, e);
	return rc ? rc : print_meta("end ", rd_source_end_meta(src), o, e);
}

int rd_show_samples(const char *path, const char *name, struct rd_out *o, struct rd_err *e)
{
	struct column c[RD_FRAME_MAX_FIELDS] = {0};
	const struct rd_batch *b;
	struct rd_source *src;
	uint64_t n = 0, first = 0;
	int rc = rd_source_open(&src, &path, 1, NULL, e);

	if (rc)
		return rc;
	if (name && rd_stream_field(rd_source_stream(src), name) < 0)
		rc = rd_fail(e, RD_EINPUT, "%s: has no field '%s'", rd_source_name(src), name);
	while (!rc && (rc = rd_source_next(src, &b, e)) > 0) {
		if (!n)
			first = b->first;
		n += (uint64_t)b->n;
		add_batch(c, rd_source_stream(src), b);
		rc = RD_OK;
	}
	if (!rc)
		rc = print_source(c, src, name, first, n, o, e);
	rd_source_close(src);
	return rc;
}
