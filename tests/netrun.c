#include "tests/netrun.h"

#include <stdlib.h>
#include <string.h>

#include "formats/npy.h"
#include "lib/base/size.h"
#include "lib/graph/exec.h"

/* --- inputs ------------------------------------------------------------------------------------------------------- */

static int load_floats(const char *file, float **out, struct rd_shape *shape, struct rd_err *e)
{
	struct rd_array a;
	size_t n;
	void *p;
	int rc = rd_npy_load(file, &a, e);

	if (rc)
		return rc;
	*shape = a.shape;
	rc = rd_shape_elems(&a.shape, &n, e);
	if (!rc)
		rc = rd_alloc(&p, n, sizeof **out, file, e);
	if (!rc)
		rd_to_f32(*out = p, a.data, a.dtype, n);
	rd_array_free(&a);
	return rc;
}

static int load_labels(const char *file, int32_t **out, int64_t n, struct rd_err *e)
{
	struct rd_array a;
	void *p;
	int rc = rd_npy_load(file, &a, e);

	if (rc)
		return rc;
	if (a.shape.nd != 1 || a.shape.d[0] != n)
		rc = rd_fail(e, RD_EINPUT, "%s: %lld labels expected", file, (long long)n);
	if (!rc)
		rc = rd_alloc(&p, (size_t)n, sizeof **out, file, e);
	if (!rc)
		rc = rd_to_i32(*out = p, a.data, a.dtype, (size_t)n, e);
	rd_array_free(&a);
	return rc;
}

int netrun_load(struct netrun_in *in, const char *x, const char *t, const char *label, struct rd_err *e)
{
	struct rd_shape s;
	int rc;

	*in = (struct netrun_in){0};
	rc = load_floats(x, &in->x, &in->shape, e);
	in->n = in->shape.d[0];
	if (!rc)
		rc = load_floats(t, &in->t, &s, e);
	if (!rc && (s.nd != 1 || s.d[0] != in->n))
		rc = rd_fail(e, RD_EINPUT, "%s: %lld times expected", t, (long long)in->n);
	if (!rc && label) {
		struct rd_array a;

		rc = rd_npy_load(label, &a, e);
		if (!rc && a.dtype == RD_F32)
			rc = load_floats(label, &in->vector, &s, e);
		else if (!rc)
			rc = load_labels(label, &in->label, in->n, e);
		rd_array_free(&a);
	}
	if (rc)
		netrun_in_free(in);
	return rc;
}

void netrun_in_free(struct netrun_in *in)
{
	free(in->x);
	free(in->t);
	free(in->label);
	free(in->vector);
	*in = (struct netrun_in){0};
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

struct run {
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_graph *g;
	struct rd_exec *x;
	float *w, *dw; /* device */
	size_t bytes;  /* of each */
};

static int check_inputs(const struct run *r, const struct netrun_in *in, struct rd_err *e)
{
	struct rd_dims d = rd_graph_dims(r->g, r->g->x);

	if (in->shape.nd != 4 || in->shape.d[1] != d.c || in->shape.d[2] != d.h || in->shape.d[3] != d.w)
		return rd_fail(e, RD_EINPUT, "x has another shape than the network's %lldx%lldx%lld", (long long)d.c,
		               (long long)d.h, (long long)d.w);
	if (r->g->label != RD_NONE && !in->label && !in->vector)
		return rd_fail(e, RD_EINPUT, "the network is conditional: labels are needed");
	return RD_OK;
}

static int start(struct run *r, const struct rd_model *m, const struct netrun_in *in, struct rd_err *e)
{
	struct rd_net net = m->net;
	int rc;

	if (net.kind == &rd_net_unet2d || net.kind == &rd_net_unet2d_condition)
		net.u.unet2d.dropout = 0;
	if (rd_net_is_dit(&net))
		net.u.dit.dropout = 0;
	rc = rd_net_build(&net, in->n, &r->g, e);
	if (!rc)
		rc = check_inputs(r, in, e);
	if (!rc)
		rc = rd_exec_new(&r->x, r->g, r->be, r->dev, (struct rd_exec_opts){.training = true, .input_grad = true}, e);
	if (rc)
		return rc;
	r->bytes = r->g->n_flat * sizeof(float);
	rc = r->be->alloc(r->dev, (void **)&r->w, r->bytes, e);
	if (!rc)
		rc = r->be->alloc(r->dev, (void **)&r->dw, r->bytes, e);
	if (!rc)
		rc = r->be->put(r->dev, r->w, m->w, r->bytes, e);
	if (!rc)
		rc = r->be->zero(r->dev, r->dw, r->bytes, e);
	return rc ? rc : rd_exec_load(r->x, r->w, e);
}

static int forward(struct run *r, const struct netrun_in *in, float *y, struct rd_err *e)
{
	struct rd_dims d = rd_graph_dims(r->g, r->g->x);
	int rc = r->be->sample_import(r->dev, d, in->x, rd_exec_value(r->x, r->g->x), e);

	if (!rc)
		rc = rd_exec_put_times(r->x, in->t, e);
	if (!rc && in->vector)
		rc = rd_exec_put_vectors(r->x, in->vector, e);
	else if (!rc && in->label)
		rc = rd_exec_put_labels(r->x, in->label, e);
	if (!rc)
		rc = rd_exec_forward(r->x, e);
	return rc ? rc : r->be->sample_export(r->dev, d, rd_exec_value(r->x, r->g->y), y, e);
}

/* The gradient of mean(y^2)/2 by y is y/n. */
static int backward(struct run *r, struct netrun_out *out, struct rd_err *e)
{
	struct rd_dims d = rd_graph_dims(r->g, r->g->y);
	int rc;

	for (size_t i = 0; i < out->n; i++)
		out->grad_x[i] = 1.0f / (float)out->n * out->y[i];
	rc = r->be->sample_import(r->dev, d, out->grad_x, rd_exec_grad(r->x, r->g->y), e);
	if (!rc)
		rc = rd_exec_backward(r->x, r->dw, e);
	if (!rc)
		rc = r->be->sample_export(r->dev, d, rd_exec_grad(r->x, r->g->x), out->grad_x, e);
	return rc ? rc : r->be->get(r->dev, out->grads, r->dw, r->bytes, e);
}

static int alloc_out(struct netrun_out *out, size_t n_flat, struct rd_err *e)
{
	const struct {
		float **p;
		size_t n;
	} a[] = {{&out->y, out->n}, {&out->grad_x, out->n}, {&out->grads, n_flat}};
	int rc = 0;

	for (size_t i = 0; i < sizeof a / sizeof *a && !rc; i++)
		rc = rd_alloc0((void **)a[i].p, a[i].n, sizeof(float), "results", e);
	return rc;
}

int netrun(struct netrun_out *out, const struct rd_model *m, const struct rd_backend *be, struct rd_dev *dev,
           const struct netrun_in *in, struct rd_err *e)
{
	struct run r = {.be = be, .dev = dev};
	int rc;

	*out = (struct netrun_out){0};
	rc = start(&r, m, in, e);
	if (!rc)
		rc = rd_shape_elems(&in->shape, &out->n, e);
	if (!rc)
		rc = alloc_out(out, r.g->n_flat, e);
	if (!rc)
		rc = forward(&r, in, out->y, e);
	if (!rc)
		rc = backward(&r, out, e);
	if (r.w)
		be->release(dev, r.w);
	if (r.dw)
		be->release(dev, r.dw);
	rd_exec_free(r.x);
	rd_graph_free(r.g);
	if (rc)
		netrun_out_free(out);
	return rc;
}

void netrun_out_free(struct netrun_out *out)
{
	free(out->y);
	free(out->grad_x);
	free(out->grads);
	*out = (struct netrun_out){0};
}
