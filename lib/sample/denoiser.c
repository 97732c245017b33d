#include "lib/sample/denoiser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/graph/routine.h"
#include "lib/model/query.h"
#include "lib/ode/lincomb.h"

struct rd_denoiser {
	const struct rd_model *m;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_denoiser_opts o;
	struct rd_graph *g;
	struct rd_exec *x;
	struct rd_routine pass, back; /* the network, from its inputs to its output, and its gradient by x */
	struct rd_dims d;
	float *own;               /* device: parameters of its own; NULL: the model's are on the device as they are */
	void *f_null;             /* device sample: the unconditional output */
	struct rd_lincomb lin;
	void *label, *null;       /* device: what the labels and the null class are to the network */
	int32_t *null_host;       /* [n] null classes */
	float *host;              /* analytic models: [n, dim] */
	float *time;              /* host [n] */
	struct rd_query *query;   /* [n] what each image asks */
	double *alpha, *sigma;    /* [n] of the node where each image is */
	double *a, *b, *scale;    /* [n] coefficients under way */
	/* with opts.trace */
	bool tracing;
	struct rd_trace *trace;   /* NULL for an exact one in closed form */
	double *tr;               /* [n] by the last evaluation, the trace of the network's output by its input, or of x0 by x */
	double *form;             /* [n] the part of a direction in it, for models in closed form */
	float *jv;                /* [n, dim] v^T J */
};

static int check_options(struct rd_denoiser *d, struct rd_err *e)
{
	int rc = rd_net_takes_labels(&d->m->net, e);

	if (rc)
		return rd_context(e, "%s", d->m->dir);
	if (d->o.null_class < 0)
		d->o.null_class = d->m->null_class;
	rc = rd_model_check_null_class(d->m, d->o.null_class, e);
	if (rc)
		return rc;
	if (d->o.clip && d->o.trace.kind != RD_TRACE_NONE)
		return rd_fail(e, RD_EUSAGE, "a likelihood with x0 clamped (--likelihood with --clip): the map from data to noise is then not invertible");
	if (d->o.guidance == 1)
		return RD_OK;
	if (!d->m->net.classes)
		return rd_fail(e, RD_EUSAGE, "guidance %g: %s has no classes", d->o.guidance, d->m->dir);
	if (d->o.null_class < 0)
		return rd_fail(e, RD_EUSAGE, "guidance %g: %s records no null class; name it with --null-class", d->o.guidance,
		               d->m->dir);
	return RD_OK;
}

/* What is of each image. */
static int alloc_images(struct rd_denoiser *d, int64_t batch, struct rd_err *e)
{
	double **const number[] = {&d->alpha, &d->sigma, &d->a, &d->b, &d->scale};
	void *p;
	int rc = rd_alloc(&p, (size_t)batch, sizeof *d->query, "denoiser", e);

	if (!rc)
		d->query = p;
	for (size_t i = 0; i < sizeof number / sizeof *number && !rc; i++) {
		rc = rd_alloc(&p, (size_t)batch, sizeof **number, "denoiser", e);
		*number[i] = rc ? NULL : p;
	}
	return rc;
}

static int64_t dim_of(const struct rd_denoiser *d)
{
	return d->d.c * d->d.h * d->d.w;
}

/* What traces need, if they are wanted. */
static int alloc_trace(struct rd_denoiser *d, struct rd_err *e)
{
	const struct rd_trace_opts *o = &d->o.trace;
	size_t n = (size_t)d->d.n;
	int rc = RD_OK;

	if (o->kind == RD_TRACE_NONE)
		return RD_OK;
	if (!d->m->analytic || o->kind != RD_TRACE_EXACT)
		rc = rd_trace_new(&d->trace, o, d->d.n, dim_of(d), e);
	if (!rc)
		rc = rd_alloc((void **)&d->tr, n, sizeof *d->tr, "trace", e);
	if (!rc)
		rc = rd_alloc((void **)&d->form, n, sizeof *d->form, "trace", e);
	if (!rc)
		rc = rd_alloc((void **)&d->jv, n * (size_t)dim_of(d), sizeof *d->jv, "trace", e);
	return rc;
}

/* What an analytic model needs: a batch on the host. */
static int alloc_analytic(struct rd_denoiser *d, int64_t batch, struct rd_err *e)
{
	void *p;
	int rc;

	d->d = (struct rd_dims){batch, d->m->net.sample.d[0], 1, 1};
	rc = rd_lincomb_init(&d->lin, d->be, d->dev, d->d, e);
	if (!rc)
		rc = rd_alloc(&p, (size_t)rd_dims_elems(d->d), sizeof *d->host, "denoiser", e);
	if (!rc)
		d->host = p;
	return rc;
}

/* The model's parameters, behind adapters that do nothing where there are any. */
static int copy_params(struct rd_denoiser *d, struct rd_err *e)
{
	const size_t n = d->g->n_adapters;
	int rc = d->be->alloc(d->dev, (void **)&d->own, d->g->n_flat * sizeof *d->own, e);

	if (!rc && n)
		rc = d->be->zero(d->dev, d->own, n * sizeof *d->own, e);
	return rc ? rc : d->be->put(d->dev, d->own + n, d->m->w, (d->g->n_flat - n) * sizeof *d->own, e);
}

/* What a network needs: its executor and weights, and what is fed to it. */
static int alloc_network(struct rd_denoiser *d, int64_t batch, struct rd_err *e)
{
	size_t n = (size_t)batch;
	void *p, **label[] = {&d->label, &d->null};
	int rc;

	rc = rd_net_build_adapted(&d->m->net, batch, d->o.lora, &d->g, e);
	if (rc)
		return rc;
	d->d = rd_graph_dims(d->g, d->g->x);
	rc = rd_exec_new(&d->x, d->g, d->be, d->dev, (struct rd_exec_opts){.vjp = d->o.trace.kind != RD_TRACE_NONE}, e);
	d->pass = d->back = (struct rd_routine){.be = d->be, .dev = d->dev};
	if (!rc && (!d->be->on_host || d->g->n_adapters))
		rc = copy_params(d, e);
	if (!rc && d->o.guidance != 1)
		rc = d->be->alloc(d->dev, &d->f_null, d->be->sample_bytes(d->d), e);
	if (!rc)
		rc = rd_lincomb_init(&d->lin, d->be, d->dev, d->d, e);
	if (!rc)
		rc = rd_alloc(&p, 2 * n, sizeof *d->null_host, "denoiser", e);
	if (!rc) {
		d->null_host = p;
		d->time = (float *)p + n;
		for (size_t i = 0; i < n; i++)
			d->null_host[i] = (int32_t)d->o.null_class;
	}
	for (int i = 0; i < 2 && !rc && d->m->net.classes; i++)
		rc = d->be->alloc(d->dev, label[i], rd_exec_condition_bytes(d->x), e);
	if (!rc && d->o.null_class >= 0)
		rc = rd_exec_condition(d->x, d->null_host, d->null, e);
	return rc ? rc : rd_exec_load(d->x, d->own ? d->own : d->m->w, e);
}

int rd_denoiser_new(struct rd_denoiser **out, const struct rd_model *m, const struct rd_backend *be, struct rd_dev *dev,
                    int64_t batch, const struct rd_denoiser_opts *o, struct rd_err *e)
{
	struct rd_denoiser *d;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *d, "denoiser", e);

	*out = NULL;
	if (rc)
		return rc;
	d = p;
	d->m = m;
	d->be = be;
	d->dev = dev;
	d->o = *o;
	rc = check_options(d, e);
	if (!rc)
		rc = alloc_images(d, batch, e);
	if (!rc)
		rc = m->analytic ? alloc_analytic(d, batch, e) : alloc_network(d, batch, e);
	if (!rc)
		rc = alloc_trace(d, e);
	if (rc)
		rd_denoiser_free(d);
	else
		*out = d;
	return rc;
}

void rd_denoiser_free(struct rd_denoiser *d)
{
	if (!d)
		return;
	void *dev_bufs[] = {d->own, d->f_null, d->label, d->null};
	void *host[] = {d->null_host, d->host, d->query, d->alpha, d->sigma, d->a, d->b, d->scale, d->tr, d->form, d->jv};

	for (size_t i = 0; i < sizeof host / sizeof *host; i++)
		free(host[i]);
	for (size_t i = 0; i < sizeof dev_bufs / sizeof *dev_bufs; i++)
		if (dev_bufs[i])
			d->be->release(d->dev, dev_bufs[i]);
	rd_routine_free(&d->pass);
	rd_routine_free(&d->back);
	rd_exec_free(d->x);
	rd_graph_free(d->g);
	rd_trace_free(d->trace);
	rd_lincomb_free(&d->lin);
	free(d);
}

struct rd_dims rd_denoiser_dims(const struct rd_denoiser *d)
{
	return d->d;
}

size_t rd_denoiser_bytes(const struct rd_denoiser *d, bool loads)
{
	return (d->x ? rd_exec_bytes(d->x) : 0) + (d->f_null ? d->be->sample_bytes(d->d) : 0) +
	       (d->g && (d->own || loads) ? d->g->n_flat * sizeof *d->own : 0);
}

int rd_denoiser_load(struct rd_denoiser *d, const float *params, struct rd_err *e)
{
	int rc = d->own ? RD_OK : copy_params(d, e);

	if (!rc && d->g->n_adapters) {
		rc = d->be->copy(d->dev, d->own, params, d->g->n_adapters * sizeof *d->own, e);
		return rc ? rc : rd_exec_reload(d->x, e);
	}
	if (!rc)
		rc = d->be->copy(d->dev, d->own, params, d->g->n_flat * sizeof *d->own, e);
	return rc ? rc : rd_exec_load(d->x, d->own, e);
}

int rd_denoiser_labels(struct rd_denoiser *d, const int32_t *label, struct rd_err *e)
{
	if (!d->m->net.classes)
		return RD_OK;
	if (!label && d->o.null_class < 0)
		return rd_fail(e, RD_EUSAGE, "%s is conditional and records no null class: labels are needed (noisegen -l uniform:%lld)",
		               d->m->dir, (long long)d->m->net.classes);
	for (int64_t i = 0; label && i < d->d.n; i++)
		if (label[i] < 0 || label[i] >= d->m->net.classes)
			return rd_fail(e, RD_EINPUT, "label %d of image %lld: %s has classes 0 to %lld", label[i], (long long)i,
			               d->m->dir, (long long)d->m->net.classes - 1);
	return rd_exec_condition(d->x, label ? label : d->null_host, d->label, e);
}

/* --- evaluation: of n images, each at the node that query, alpha and sigma were set for ------------------------------ */

/* What is recorded is one pass through the network, a thousand launches or so of the largest networks here: its inputs are in device
 * memory. A device keeps some kilobytes for each launch, which whole samplings at once would make gigabytes. */
static int pass(void *ctx, struct rd_err *e)
{
	return rd_exec_forward(((struct rd_denoiser *)ctx)->x, e);
}

static int back(void *ctx, struct rd_err *e)
{
	return rd_exec_backward(((struct rd_denoiser *)ctx)->x, NULL, e);
}

/* The network's output for the given labels, in the executor's output buffer. */
static int forward(struct rd_denoiser *d, const void *x, const void *label, struct rd_err *e)
{
	int rc;

	for (int64_t i = 0; i < d->d.n; i++) {
		d->a[i] = d->query[i].input;
		d->time[i] = (float)d->query[i].net_t;
	}
	rc = rd_lincomb_each(&d->lin, d->a, x, NULL, NULL, rd_exec_value(d->x, d->g->x), e);
	if (!rc)
		rc = rd_exec_put_times(d->x, d->time, e);
	if (!rc)
		rc = rd_exec_put_condition(d->x, label, e);
	return rc ? rc : rd_routine_run(&d->pass, pass, d, e);
}

/* out = a x + b f, of the coefficients in d. Where alpha is small both terms are large and nearly cancel (x0 of an epsilon model),
 * so the difference is taken first and then scaled: f32 rounds the small thing rather than the large ones. */
static int affine(struct rd_denoiser *d, const void *x, const void *f, void *out, struct rd_err *e)
{
	bool scaled = false;
	int rc;

	for (int64_t i = 0; i < d->d.n; i++) {
		d->scale[i] = 1;
		if (!(fabs(d->a[i]) > 1))
			continue;
		scaled = true;
		d->scale[i] = d->a[i];
		d->b[i] /= d->a[i];
		d->a[i] = 1;
	}
	rc = rd_lincomb_each(&d->lin, d->a, x, d->b, f, out, e);
	return rc || !scaled ? rc : rd_lincomb_each(&d->lin, d->scale, out, NULL, NULL, out, e);
}

/* eps of x and x0. */
static int eps_of(struct rd_denoiser *d, const void *x, const void *x0, void *eps, struct rd_err *e)
{
	for (int64_t i = 0; i < d->d.n; i++) {
		d->a[i] = 1 / d->sigma[i];
		d->b[i] = -d->alpha[i] / d->sigma[i];
	}
	return rd_lincomb_each(&d->lin, d->a, x, d->b, x0, eps, e);
}

/* tr += w times that of the forward pass just made. */
static int add_trace(struct rd_denoiser *d, double w, struct rd_err *e)
{
	void *in = rd_exec_grad(d->x, d->g->y), *out = rd_exec_grad(d->x, d->g->x);
	int rc = 0;

	for (int k = 0; d->tracing && k < rd_trace_count(d->trace) && !rc; k++) {
		rc = d->be->sample_import(d->dev, d->d, rd_trace_direction(d->trace, k), in, e);
		if (!rc)
			rc = rd_routine_run(&d->back, back, d, e);
		if (!rc)
			rc = d->be->sample_export(d->dev, d->d, out, d->jv, e);
		if (!rc)
			rd_trace_add(d->trace, w * rd_trace_weight(d->trace), d->jv, d->tr);
	}
	return rc;
}

/* The same in closed form at x, which is on the host. */
static void add_analytic_trace(struct rd_denoiser *d, const float *x)
{
	size_t n = (size_t)d->d.n;

	if (!d->trace)
		rd_posterior_jacobian_each(d->m->analytic, d->alpha, d->sigma, n, x, NULL, d->tr);
	for (int k = 0; d->trace && k < rd_trace_count(d->trace); k++) {
		rd_posterior_jacobian_each(d->m->analytic, d->alpha, d->sigma, n, x, rd_trace_direction(d->trace, k), d->form);
		for (size_t i = 0; i < n; i++)
			d->tr[i] += rd_trace_weight(d->trace) * d->form[i];
	}
}

void rd_denoiser_trace(struct rd_denoiser *d, bool on, uint64_t first)
{
	d->tracing = on && d->tr;
	if (d->trace)
		rd_trace_images(d->trace, first);
}

void rd_denoiser_add_traces(const struct rd_denoiser *d, double on_x0, double on_eps, double *to)
{
	for (int64_t i = 0; i < d->d.n; i++) {
		const struct rd_query *q = &d->query[i];
		double by_x = d->m->analytic ? d->tr[i] : q->input * d->tr[i];

		to[i] += (on_x0 * q->c.x0_x + on_eps * q->c.eps_x) * (double)dim_of(d) + (on_x0 * q->c.x0_f + on_eps * q->c.eps_f) * by_x;
	}
}

/* x0 in closed form, in double precision on the host; eps from it. */
static int analytic_eval(struct rd_denoiser *d, const void *x, void *x0, void *eps, struct rd_err *e)
{
	int rc = d->be->sample_export(d->dev, d->d, x, d->host, e);

	if (rc)
		return rc;
	if (d->tracing)
		add_analytic_trace(d, d->host);
	rd_posterior_mean_each(d->m->analytic, d->alpha, d->sigma, (size_t)d->d.n, d->host, d->host);
	rc = d->be->sample_import(d->dev, d->d, d->host, x0, e);
	return rc ? rc : eps_of(d, x, x0, eps, e);
}

static int network_eval(struct rd_denoiser *d, const void *x, void *x0, void *eps, struct rd_err *e)
{
	void *f = rd_exec_value(d->x, d->g->y);
	int rc = RD_OK;

	if (d->o.guidance != 1) {
		rc = forward(d, x, d->null, e);
		if (!rc)
			rc = add_trace(d, 1 - d->o.guidance, e);
		if (!rc)
			rc = rd_lincomb(&d->lin, 1, f, 0, f, d->f_null, e);
	}
	if (!rc)
		rc = forward(d, x, d->label, e);
	if (!rc)
		rc = add_trace(d, d->o.guidance, e);
	if (!rc && d->o.guidance != 1)
		rc = rd_lincomb(&d->lin, 1 - d->o.guidance, d->f_null, d->o.guidance, f, f, e);
	for (int64_t i = 0; i < d->d.n; i++) {
		d->a[i] = d->query[i].c.x0_x;
		d->b[i] = d->query[i].c.x0_f;
	}
	if (!rc)
		rc = affine(d, x, f, x0, e);
	for (int64_t i = 0; i < d->d.n; i++) {
		d->a[i] = d->query[i].c.eps_x;
		d->b[i] = d->query[i].c.eps_f;
	}
	return rc ? rc : affine(d, x, f, eps, e);
}

static int clip(struct rd_denoiser *d, const void *x, void *x0, void *eps, struct rd_err *e)
{
	int rc = d->be->clamp(d->dev, d->d, (float)-d->o.clip_range, (float)d->o.clip_range, x0, e);
	bool noisy = true;

	for (int64_t i = 0; i < d->d.n; i++)
		noisy = noisy && d->sigma[i] > 0;
	return rc || !d->o.clip_eps || !noisy ? rc : eps_of(d, x, x0, eps, e);
}

static int evaluate(struct rd_denoiser *d, const void *x, void *x0, void *eps, struct rd_err *e)
{
	int rc;

	for (int64_t i = 0; d->tracing && i < d->d.n; i++)
		d->tr[i] = 0;
	rc = d->m->analytic ? analytic_eval(d, x, x0, eps, e) : network_eval(d, x, x0, eps, e);
	return rc || !d->o.clip ? rc : clip(d, x, x0, eps, e);
}

int rd_denoiser_eval(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e)
{
	struct rd_denoiser *d = ctx;
	struct rd_query q;
	int rc = rd_model_query(d->m, node, &q, e);

	for (int64_t i = 0; i < d->d.n && !rc; i++) {
		d->query[i] = q;
		d->alpha[i] = node->alpha;
		d->sigma[i] = node->sigma;
	}
	return rc ? rc : evaluate(d, x, x0, eps, e);
}

int rd_denoiser_eval_each(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e)
{
	struct rd_denoiser *d = ctx;
	int rc = RD_OK;

	for (int64_t i = 0; i < d->d.n && !rc; i++) {
		rc = rd_model_query(d->m, &node[i], &d->query[i], e);
		d->alpha[i] = node[i].alpha;
		d->sigma[i] = node[i].sigma;
	}
	return rc ? rc : evaluate(d, x, x0, eps, e);
}
