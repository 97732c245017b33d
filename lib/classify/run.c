/* A classifier on a device. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/classify/classifier.h"
#include "lib/graph/exec.h"

struct rd_classifier_run {
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_graph *g;
	struct rd_exec *x;
	float *w;            /* device */
	float *h_x, *h_y;    /* host: a batch of images, of features and logits */
	struct rd_dims in, out;
	size_t features, classes;
};

static int alloc_all(struct rd_classifier_run *r, struct rd_err *e)
{
	void *x, *y = NULL;
	int rc = rd_alloc0(&x, (size_t)rd_dims_elems(r->in), sizeof(float), "batch", e);

	if (!rc)
		r->h_x = x;
	if (!rc)
		rc = rd_alloc0(&y, (size_t)rd_dims_elems(r->out), sizeof(float), "batch", e);
	r->h_y = y;
	return rc ? rc : r->be->alloc(r->dev, (void **)&r->w, r->g->n_flat * sizeof(float), e);
}

int rd_classifier_open(struct rd_classifier_run **out, const struct rd_classifier *c, const struct rd_backend *be,
                       struct rd_dev *dev, int64_t batch, struct rd_err *e)
{
	struct rd_classifier_run *r;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *r, "classifier", e);

	*out = NULL;
	if (rc)
		return rc;
	r = p;
	r->be = be;
	r->dev = dev;
	r->features = (size_t)rd_classifier_features(&c->net);
	r->classes = (size_t)c->net.num_classes;
	rc = rd_classifier_build(&c->net, batch, &r->g, e);
	if (!rc)
		rc = rd_exec_new(&r->x, r->g, be, dev, (struct rd_exec_opts){0}, e);
	if (!rc) {
		r->in = rd_graph_dims(r->g, r->g->x);
		r->out = rd_graph_dims(r->g, r->g->y);
		rc = alloc_all(r, e);
	}
	if (!rc)
		rc = be->put(dev, r->w, c->w, r->g->n_flat * sizeof(float), e);
	if (!rc)
		rc = rd_exec_load(r->x, r->w, e);
	if (rc)
		rd_classifier_close(r);
	else
		*out = r;
	return rc;
}

void rd_classifier_close(struct rd_classifier_run *r)
{
	if (!r)
		return;
	if (r->w)
		r->be->release(r->dev, r->w);
	free(r->h_x);
	free(r->h_y);
	rd_exec_free(r->x);
	rd_graph_free(r->g);
	free(r);
}

int rd_classifier_apply(struct rd_classifier_run *r, const float *x, int64_t n, float *features, float *logits,
                        struct rd_err *e)
{
	size_t row = (size_t)(r->in.c * r->in.h * r->in.w), wide = r->features + r->classes;
	int rc;

	if (n < 1 || n > r->in.n)
		return rd_fail(e, RD_EUSAGE, "%lld images to a classifier opened for %lld", (long long)n, (long long)r->in.n);
	memcpy(r->h_x, x, (size_t)n * row * sizeof *x); /* what follows is of an earlier batch, and nobody reads its result */
	rc = r->be->sample_import(r->dev, r->in, r->h_x, rd_exec_value(r->x, r->g->x), e);
	if (!rc)
		rc = rd_exec_forward(r->x, e);
	if (!rc)
		rc = r->be->sample_export(r->dev, r->out, rd_exec_value(r->x, r->g->y), r->h_y, e);
	for (size_t i = 0; i < (size_t)n && !rc; i++) {
		if (features)
			memcpy(features + i * r->features, r->h_y + i * wide, r->features * sizeof *features);
		if (logits)
			memcpy(logits + i * r->classes, r->h_y + i * wide + r->features, r->classes * sizeof *logits);
	}
	return rc;
}
