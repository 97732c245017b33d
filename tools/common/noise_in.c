#include "tools/common/noise_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/base/size.h"
#include "tools/common/common.h"

void rd_noise_shard(const char *text, uint64_t *first, uint64_t *count)
{
	const char *slash = strchr(text, '/');
	char part[24];
	uint64_t n, i, size, more;
	int64_t from_1;

	if (!slash || (size_t)(slash - text) >= sizeof part)
		rd_usage_error("--shard %s: I/N expected, as 1/4", text);
	snprintf(part, sizeof part, "%.*s", (int)(slash - text), text);
	n = (uint64_t)rd_opt_int("--shard", slash + 1, 1, INT64_MAX);
	from_1 = rd_opt_int("--shard", part, INT64_MIN, INT64_MAX);
	if (from_1 < 1 || (uint64_t)from_1 > n)
		rd_usage_error("--shard %s: parts are counted from 1, to %llu here", text, (unsigned long long)n);
	i = (uint64_t)from_1 - 1;
	size = *count / n;
	more = *count % n; /* so many have one more */
	*first += i * size + (i < more ? i : more);
	*count = size + (i < more);
}

void rd_noise_default_labels(char text[RD_NOISE_LABELS], const struct rd_net *net, int64_t null_class)
{
	const long long classes = net->classes, drawn = classes - (null_class >= 0);

	if (drawn < 1 || (net->cond != RD_COND_CLASS && net->cond != RD_COND_CONTEXT))
		strcpy(text, "none");
	else if (null_class < 0 || null_class == drawn) /* the last one: the others are the first */
		snprintf(text, RD_NOISE_LABELS, "uniform:%lld", drawn);
	else
		snprintf(text, RD_NOISE_LABELS, "uniform:%lld:without:%lld", classes, (long long)null_class);
}

int rd_noise_generate(struct rd_noise_in *in, const struct rd_shape *sample, int64_t batch, uint64_t seed, uint64_t first,
                      uint64_t count, const char *labels, int64_t classes, struct rd_err *e)
{
	void *x, *y;
	int rc;

	*in = (struct rd_noise_in){.label = -1, .seed = seed, .next = first, .end = first + count, .sample = *sample, .batch = batch};
	rc = rd_shape_elems(sample, &in->dim, e);
	if (rc)
		return rc;
	if (!classes && strcmp(labels, "none"))
		return rd_fail(e, RD_EUSAGE, "the model has no classes: -l %s", labels);
	rc = rd_labels_open(&in->labels, labels, seed, classes, e);
	if (rc)
		return rc;
	rc = rd_alloc(&x, (size_t)batch * in->dim, sizeof *in->x, "noise", e);
	if (rc)
		return rc;
	in->x = x;
	rc = rd_alloc(&y, (size_t)batch, sizeof *in->y, "labels", e);
	in->y = y;
	return rc;
}

int rd_noise_stream(struct rd_noise_in *in, const char *path, bool data, const struct rd_model *m, int64_t batch,
                    struct rd_err *e)
{
	const char *field = data ? "sample" : "noise";
	const struct rd_stream *s;
	int rc;

	*in = (struct rd_noise_in){.label = -1, .classes = m->net.classes, .sample = m->net.sample, .batch = batch};
	rc = rd_shape_elems(&in->sample, &in->dim, e);
	if (!rc)
		rc = rd_source_open(&in->src, &path, 1, data ? NULL : "noise", e);
	if (rc)
		return rc;
	s = rd_source_stream(in->src);
	in->noise = rd_stream_field(s, field);
	in->label = m->net.classes ? rd_stream_field(s, "label") : -1;
	if (in->noise < 0)
		return rd_fail(e, RD_EINPUT, "%s: no field `%s` in it", rd_source_name(in->src), field);
	return in->label < 0 ? RD_OK : rd_model_check_labels(m, s->meta, rd_source_name(in->src), e);
}

static int next_of_stream(struct rd_noise_in *in, struct rd_err *e)
{
	int rc;

	if (in->cur && in->at < in->cur->n)
		return 1;
	rc = rd_source_next(in->src, &in->cur, e);
	in->at = 0;
	if (rc <= 0)
		return rc;
	rc = rd_source_check_shape(in->src, in->cur, in->noise, &in->sample, e);
	if (!rc)
		rc = rd_source_check_finite(in->src, in->cur, in->noise, e);
	if (!rc && in->label >= 0)
		rc = rd_source_check_labels(in->src, in->cur, in->label, in->classes, e);
	return rc ? rc : 1;
}

static int generate(struct rd_noise_in *in, struct rd_noise_batch *b, struct rd_err *e)
{
	if (in->next == in->end)
		return 0;
	b->n = in->end - in->next < (uint64_t)in->batch ? (int64_t)(in->end - in->next) : in->batch;
	b->first = in->next;
	b->ref_seed = in->seed;
	rd_rng_normal_batch(in->seed, RD_RNG_NOISE, in->next, in->x, (size_t)b->n, in->dim);
	b->noise = in->x;
	in->next += (uint64_t)b->n;
	if (!in->labels)
		return 1;
	b->label = in->y;
	return rd_labels_get(in->labels, b->first, b->n, in->y, e) ? e->code : 1;
}

int rd_noise_next(struct rd_noise_in *in, struct rd_noise_batch *b, struct rd_err *e)
{
	int rc;

	memset(b, 0, sizeof *b);
	if (!in->src)
		return generate(in, b, e);
	rc = next_of_stream(in, e);
	if (rc <= 0)
		return rc;
	b->n = in->cur->n - in->at < in->batch ? in->cur->n - in->at : in->batch;
	b->first = in->cur->first + (uint64_t)in->at;
	b->ref = in->cur->ref[in->noise];
	b->ref_seed = in->cur->ref_seed[in->noise];
	b->noise = (const float *)in->cur->f[in->noise].data + (size_t)in->at * in->dim;
	if (in->label >= 0)
		b->label = (const int32_t *)in->cur->f[in->label].data + in->at;
	in->at += b->n;
	return 1;
}

bool rd_noise_has_labels(const struct rd_noise_in *in)
{
	return in->label >= 0 || in->labels;
}

struct rd_array rd_noise_view(const struct rd_noise_in *in, int64_t n, int64_t points, const float *data)
{
	struct rd_array a = {RD_F32, {1, {n}}, (void *)(uintptr_t)data};

	if (points)
		a.shape.d[a.shape.nd++] = points;
	for (int i = 0; i < in->sample.nd; i++)
		a.shape.d[a.shape.nd++] = in->sample.d[i];
	return a;
}

void rd_noise_close(struct rd_noise_in *in)
{
	rd_source_close(in->src);
	rd_labels_close(in->labels);
	free(in->x);
	free(in->y);
}
