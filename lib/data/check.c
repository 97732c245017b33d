/* What batches have to hold before a model or a measure takes them. */
#include <math.h>

#include "lib/data/batch.h"

int rd_source_check_finite(const struct rd_source *s, const struct rd_batch *b, int k, struct rd_err *e)
{
	const size_t row = rd_shape_sample_elems(&b->f[k].shape), n = (size_t)b->n * row;
	const float *v = b->f[k].data;

	for (size_t i = 0; i < n; i++)
		if (!isfinite(v[i]))
			return rd_fail(e, RD_EINPUT, "%s: field `%s` of sample %llu holds NaN or infinities", rd_source_field_name(s, k),
			               rd_source_stream(s)->field[k], (unsigned long long)b->first + i / row);
	return RD_OK;
}

int rd_source_check_shape(const struct rd_source *s, const struct rd_batch *b, int k, const struct rd_shape *want, struct rd_err *e)
{
	const struct rd_shape one = rd_shape_make(b->f[k].shape.nd - 1, b->f[k].shape.d + 1);
	char have[128], model[128];

	if (rd_shape_eq(&one, want))
		return RD_OK;
	return rd_fail(e, RD_EINPUT, "%s: %s of shape %s, the model's samples are %s%s", rd_source_field_name(s, k),
	               rd_source_stream(s)->field[k], rd_shape_str(&one, have, sizeof have), rd_shape_str(want, model, sizeof model),
	               rd_sample_shape_hint(&one));
}

int rd_source_check_labels(const struct rd_source *s, const struct rd_batch *b, int k, int64_t classes, struct rd_err *e)
{
	const int32_t *label = b->f[k].data;

	for (int64_t i = 0; i < b->n; i++)
		if (label[i] < 0 || label[i] >= classes)
			return rd_fail(e, RD_EINPUT, "%s: label %d of sample %llu: the model has classes 0 to %lld", rd_source_field_name(s, k),
			               label[i], (unsigned long long)b->first + (unsigned long long)i, (long long)classes - 1);
	return RD_OK;
}

const char *rd_sample_shape_hint(const struct rd_shape *one)
{
	const int64_t first = one->nd == 3 ? one->d[0] : 0, last = one->nd == 3 ? one->d[2] : 0;

	return (last == 1 || last == 3) && first != 1 && first != 3 ? " (height, width, channels? rdframes are channels first)" : "";
}
