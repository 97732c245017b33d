#include "lib/classify/features.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/size.h"

int rd_classifier_fits(const struct rd_classifier *c, const struct rd_points *p, bool labels, struct rd_err *e)
{
	char have[128], want[128];

	if (!rd_shape_eq(&p->sample, &c->sample))
		return rd_fail(e, RD_EINPUT, "a sample is %s, the classifier %s takes %s%s", rd_shape_str(&p->sample, have, sizeof have),
		               c->dir ? c->dir : "to be trained", rd_shape_str(&c->sample, want, sizeof want), rd_sample_shape_hint(&p->sample));
	for (int64_t i = 0; labels && p->label && i < p->n; i++)
		if (p->label[i] < 0 || p->label[i] >= c->net.num_classes)
			return rd_fail(e, RD_EINPUT, "label %" PRId32 " of sample %" PRId64 ": the classifier has classes 0 to %" PRId64,
			               p->label[i], i, c->net.num_classes - 1);
	return RD_OK;
}

static int64_t largest(const float *v, int64_t n)
{
	int64_t best = 0;

	for (int64_t i = 1; i < n; i++)
		if (v[i] > v[best])
			best = i;
	return best;
}

/* Features of all of p to f; how many images were recognised. */
static int classify(const struct rd_points *p, const struct rd_classifier *c, struct rd_classifier_run *r, int64_t batch,
                    void (*tick)(uint64_t n), float *f, int64_t *right, struct rd_err *e)
{
	const int64_t wide = rd_classifier_features(&c->net), classes = c->net.num_classes;
	float *logits;
	void *l;
	int rc = rd_alloc(&l, (size_t)(batch * classes), sizeof *logits, "logits", e);

	if (rc)
		return rc;
	logits = l;
	*right = 0;
	for (int64_t i = 0, n; i < p->n && !rc; i += n) {
		n = p->n - i < batch ? p->n - i : batch;
		rc = rd_classifier_apply(r, p->x + (size_t)i * p->d, n, f + i * wide, logits, e);
		for (int64_t j = 0; j < n && !rc && p->label; j++)
			*right += largest(logits + j * classes, classes) == p->label[i + j];
		if (!rc && tick)
			tick((uint64_t)n);
	}
	free(logits);
	return rc;
}

static struct rd_agreement agreement_of(int64_t right, int64_t n)
{
	struct rd_agreement a = {.there = n > 0};

	if (!a.there)
		return a;
	a.share = (double)right / (double)n;
	a.se = sqrt(a.share * (1 - a.share) / (double)n);
	return a;
}

int rd_points_classify(struct rd_points *p, const struct rd_classifier *c, struct rd_classifier_run *r, int64_t batch,
                       void (*tick)(uint64_t n), struct rd_agreement *a, struct rd_err *e)
{
	const int64_t wide = rd_classifier_features(&c->net);
	int64_t right;
	void *f;
	int rc = rd_classifier_fits(c, p, a != NULL, e);

	if (!rc)
		rc = rd_alloc(&f, (size_t)p->n, (size_t)wide * sizeof *p->x, "features", e);
	if (rc)
		return rc;
	rc = classify(p, c, r, batch, tick, f, &right, e);
	if (rc) {
		free(f);
		return rc;
	}
	if (a)
		*a = agreement_of(right, p->label ? p->n : 0);
	free(p->x);
	p->x = f;
	p->d = (size_t)wide;
	p->sample = rd_shape_make(1, &wide);
	return RD_OK;
}
