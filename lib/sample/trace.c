#include "lib/sample/trace.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/base/size.h"

struct rd_trace {
	struct rd_trace_opts o;
	size_t n, dim;
	uint64_t first;
	float *v;        /* [n, dim] */
	uint32_t *words; /* the signs of one image, 32 a word */
};

int rd_trace_new(struct rd_trace **out, const struct rd_trace_opts *o, int64_t n, int64_t dim, struct rd_err *e)
{
	struct rd_trace *t;
	void *p;
	int rc;

	*out = NULL;
	if (o->kind == RD_TRACE_EXACT && dim > RD_TRACE_MAX_DIM)
		return rd_fail(e, RD_EUSAGE, "an exact trace takes a backward pass for each of a sample's %lld numbers at every "
		               "evaluation; up to %d are done, for more there is hutchinson", (long long)dim, RD_TRACE_MAX_DIM);
	rc = rd_alloc0(&p, 1, sizeof *t, "trace", e);
	if (rc)
		return rc;
	t = p;
	t->o = *o;
	t->n = (size_t)n;
	t->dim = (size_t)dim;
	rc = rd_alloc0((void **)&t->v, t->n * t->dim, sizeof *t->v, "directions", e);
	if (!rc)
		rc = rd_alloc((void **)&t->words, t->dim / 32 + 1, sizeof *t->words, "directions", e);
	if (rc)
		rd_trace_free(t);
	else
		*out = t;
	return rc;
}

void rd_trace_free(struct rd_trace *t)
{
	if (!t)
		return;
	free(t->v);
	free(t->words);
	free(t);
}

void rd_trace_images(struct rd_trace *t, uint64_t first)
{
	t->first = first;
}

int rd_trace_count(const struct rd_trace *t)
{
	return t->o.kind == RD_TRACE_EXACT ? (int)t->dim : t->o.probes;
}

double rd_trace_weight(const struct rd_trace *t)
{
	return t->o.kind == RD_TRACE_EXACT ? 1 : 1.0 / t->o.probes;
}

static void signs(struct rd_trace *t, int probe, size_t image)
{
	float *v = t->v + image * t->dim;

	rd_rng_words(t->o.seed, RD_RNG_PROBE, (t->first + image) << 16 | (uint64_t)probe, t->words, t->dim / 32 + 1);
	for (size_t j = 0; j < t->dim; j++)
		v[j] = t->words[j / 32] >> j % 32 & 1 ? 1.0f : -1.0f;
}

const float *rd_trace_direction(struct rd_trace *t, int k)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->o.kind == RD_TRACE_EXACT)
			for (size_t j = 0; j < t->dim; j++)
				t->v[i * t->dim + j] = j == (size_t)k;
		else
			signs(t, k, i);
	return t->v;
}

void rd_trace_add(const struct rd_trace *t, double w, const float *u, double *to)
{
	for (size_t i = 0; i < t->n; i++) {
		const float *v = t->v + i * t->dim, *ui = u + i * t->dim;
		double sum = 0;

		for (size_t j = 0; j < t->dim; j++)
			sum += (double)v[j] * (double)ui[j];
		to[i] += w * sum;
	}
}
