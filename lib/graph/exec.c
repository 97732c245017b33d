#include "lib/graph/exec.h"

#include <stdint.h>
#include <stdlib.h>

#include "lib/base/size.h"
#include "lib/graph/exec_impl.h"

#define ALIGN 64

static bool is_trained(const struct rd_graph *g, const struct rd_node_op *n)
{
	bool yes = false;

	for (int i = 0; i < 2; i++)
		yes |= n->param[i] != RD_NONE && !g->param[n->param[i]].frozen;
	return yes;
}

bool rd_exec_learns(const struct rd_exec *x, const struct rd_node_op *n)
{
	return x->opts.training && is_trained(x->g, n);
}

static int alloc_tables(struct rd_exec *x, struct rd_err *e)
{
	size_t nv = (size_t)x->g->n_values, nn = (size_t)x->g->n_nodes;
	struct {
		void **p;
		size_t n, size;
	} t[] = {
		{(void **)&x->fwd.val, nv, sizeof *x->fwd.val},
		{(void **)&x->fwd.aux, nn, sizeof *x->fwd.aux},
		{(void **)&x->fwd.in_place, nn, sizeof *x->fwd.in_place},
		{(void **)&x->bwd.val, nv, sizeof *x->bwd.val},
		{(void **)&x->bwd.aux, nn, sizeof *x->bwd.aux},
		{(void **)&x->bwd.in_place, nn, sizeof *x->bwd.in_place},
		{(void **)&x->grad, nv, sizeof *x->grad},
		{(void **)&x->mode, nn, sizeof *x->mode},
		{(void **)&x->segment, nn, sizeof *x->segment},
		{(void **)&x->again, nn, sizeof *x->again},
		{(void **)&x->conv, nn, sizeof *x->conv},
		{(void **)&x->trained, nn, sizeof *x->trained},
		{(void **)&x->conv_par, nn, sizeof *x->conv_par},
		{(void **)&x->words, (size_t)x->g->batch, sizeof *x->words},
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof t / sizeof *t && !rc; i++)
		rc = rd_alloc0(t[i].p, t[i].n, t[i].size, "executor", e);
	return rc;
}

static int device_alloc(struct rd_exec *x, void **out, size_t bytes, struct rd_err *e)
{
	x->bytes += bytes;
	return x->be->alloc(x->dev, out, bytes, e);
}

/* What is asked of the convolution that is node i. */
static unsigned conv_ways(const struct rd_exec *x, int i)
{
	const struct rd_node_op *n = &x->g->node[i];
	enum rd_grad_mode m = x->mode[i][0];
	unsigned forward = n->in[1] != RD_NONE ? RD_CONV_Y_ACC : n->param[1] != RD_NONE ? RD_CONV_Y_BIAS : RD_CONV_Y;
	unsigned dx = m == RD_GRAD_WRITE ? RD_CONV_DX : m == RD_GRAD_ACC ? RD_CONV_DX_ACC : 0;

	return forward | dx | (rd_exec_learns(x, n) ? RD_CONV_DW : 0);
}

/* The plan of the convolution that is node i, and the place for its packed parameters. */
static int make_conv(struct rd_exec *x, int i, struct rd_err *e)
{
	size_t bytes;
	int rc = x->be->conv2d_new(x->dev, &x->g->node[i].u.conv, conv_ways(x, i), &x->conv[i], e);

	if (rc)
		return rc;
	x->trained[i] = is_trained(x->g, &x->g->node[i]) ? x->conv[i] : NULL;
	bytes = x->be->conv2d_packed_bytes(x->conv[i]);
	return bytes ? device_alloc(x, &x->conv_par[i].packed, bytes, e) : RD_OK;
}

/* Convolutions, and the largest workspace any operation wants. */
static int make_plans(struct rd_exec *x, struct rd_err *e)
{
	size_t ws = 0, want;
	int rc = 0;

	for (int i = 0; i < x->g->n_nodes && !rc; i++) {
		const struct rd_node_op *n = &x->g->node[i];

		if (n->op == RD_OP_CONV)
			rc = make_conv(x, i, e);
		want = !rc && rd_ops[n->op].ws_bytes ? rd_ops[n->op].ws_bytes(x, i) : 0;
		if (want > ws)
			ws = want;
	}
	return rc ? rc : device_alloc(x, &x->ws, ws, e);
}

/* Samples beside the activations of x and y, where these are something else. */
static int make_samples(struct rd_exec *x, struct rd_err *e)
{
	const struct rd_graph *g = x->g;
	struct {
		void **p;
		rd_ref v;
		bool wanted;
	} s[] = {{&x->x_sample, g->x, true},
	         {&x->y_sample, g->y, true},
	         {&x->dy_sample, g->y, rd_exec_goes_back(x)},
	         {&x->dx_sample, g->x, x->opts.input_grad || x->opts.vjp}};
	int rc = 0;

	for (size_t i = 0; i < sizeof s / sizeof *s && x->be->narrow && !rc; i++)
		if (s[i].wanted && s[i].v != RD_NONE)
			rc = device_alloc(x, s[i].p, x->be->sample_bytes(rd_graph_dims(g, s[i].v)), e);
	return rc;
}

/* A batch of what labels stand for, on its way to the device. */
static int alloc_rows(struct rd_exec *x, struct rd_err *e)
{
	void *p;
	size_t n;
	int rc;

	if (!x->g->contexts.rows)
		return RD_OK;
	n = (size_t)rd_dims_elems(rd_graph_dims(x->g, x->g->label));
	rc = rd_alloc(&p, n + (size_t)(x->g->contexts.dim + x->g->batch * x->g->contexts.vector_dim), sizeof *x->rows, "contexts", e);
	if (rc)
		return rc;
	x->rows = p;
	x->token = x->rows + n;
	x->vector = x->token + x->g->contexts.dim;
	return RD_OK;
}

static int alloc_draw(struct rd_exec *x, struct rd_err *e)
{
	int rc;

	if (!x->opts.training || !x->g->n_dropouts)
		return RD_OK;
	rc = device_alloc(x, (void **)&x->draw, sizeof *x->draw, e);
	return rc ? rc : rd_exec_set_draw(x, 0, e);
}

static void *rebase(const struct rd_exec *x, void *relative)
{
	return relative ? (char *)x->arena + ((uintptr_t)relative - ALIGN) : NULL;
}

static void enter(struct rd_exec *x, const struct rd_pass *p)
{
	x->val = p->val;
	x->aux = p->aux;
	x->in_place = p->in_place;
}

static void rebase_all(struct rd_exec *x)
{
	for (int v = 0; v < x->g->n_values; v++) {
		x->fwd.val[v] = rebase(x, x->fwd.val[v]);
		x->bwd.val[v] = rebase(x, x->bwd.val[v]);
		x->grad[v] = rebase(x, x->grad[v]);
	}
	for (int i = 0; i < x->g->n_nodes; i++) {
		x->fwd.aux[i] = rebase(x, x->fwd.aux[i]);
		x->bwd.aux[i] = rebase(x, x->bwd.aux[i]);
	}
}

int rd_exec_new(struct rd_exec **out, const struct rd_graph *g, const struct rd_backend *be, struct rd_dev *dev,
                struct rd_exec_opts o, struct rd_err *e)
{
	struct rd_exec *x;
	size_t arena;
	void *p;
	int rc = rd_graph_check(g, e);

	*out = NULL;
	if (!rc)
		rc = rd_alloc0(&p, 1, sizeof *x, "executor", e);
	if (rc)
		return rc;
	x = p;
	x->g = g;
	x->be = be;
	x->dev = dev;
	x->opts = o;
	rc = alloc_tables(x, e);
	if (!rc)
		rc = rd_plan_memory(x, &arena, e);
	if (!rc)
		rc = make_plans(x, e); /* which ways a convolution goes is planned by then */
	if (!rc)
		rc = device_alloc(x, &x->arena, arena, e);
	if (!rc)
		rc = make_samples(x, e);
	if (!rc)
		rc = alloc_draw(x, e);
	if (!rc)
		rc = alloc_rows(x, e);
	if (rc) {
		rd_exec_free(x);
		return rc;
	}
	rebase_all(x);
	enter(x, &x->fwd);
	*out = x;
	return RD_OK;
}

static void release(struct rd_exec *x, void *p)
{
	if (p)
		x->be->release(x->dev, p);
}

void rd_exec_free(struct rd_exec *x)
{
	if (!x)
		return;
	for (int i = 0; i < x->g->n_nodes; i++) {
		if (x->conv && x->conv[i])
			x->be->conv2d_free(x->conv[i]);
		if (x->conv_par)
			release(x, x->conv_par[i].packed);
	}
	release(x, x->arena);
	release(x, x->ws);
	release(x, x->draw);
	release(x, x->x_sample);
	release(x, x->y_sample);
	release(x, x->dx_sample);
	release(x, x->dy_sample);
	free(x->fwd.val);
	free(x->fwd.aux);
	free(x->fwd.in_place);
	free(x->bwd.val);
	free(x->bwd.aux);
	free(x->bwd.in_place);
	free(x->grad);
	free(x->mode);
	free(x->segment);
	free(x->again);
	free(x->conv);
	free(x->trained);
	free(x->conv_par);
	free(x->words);
	free(x->rows);
	free(x);
}

size_t rd_exec_bytes(const struct rd_exec *x)
{
	return x->bytes;
}

int rd_exec_load(struct rd_exec *x, const float *params, struct rd_err *e)
{
	const struct rd_graph *g = x->g;

	x->w = params;
	for (int i = 0; i < g->n_nodes; i++)
		if (x->conv[i]) {
			x->conv_par[i].w = params + g->param[g->node[i].param[0]].offset;
			if (g->node[i].param[1] != RD_NONE)
				x->conv_par[i].b = params + g->param[g->node[i].param[1]].offset;
		}
	return x->be->conv2d_pack(x->dev, g->n_nodes, x->conv, x->conv_par, e);
}

int rd_exec_reload(struct rd_exec *x, struct rd_err *e)
{
	return x->be->conv2d_pack(x->dev, x->g->n_nodes, x->trained, x->conv_par, e);
}

void *rd_exec_value(struct rd_exec *x, rd_ref v)
{
	void *s = v == x->g->x ? x->x_sample : v == x->g->y ? x->y_sample : NULL;

	return s ? s : x->val[v];
}

void *rd_exec_grad(struct rd_exec *x, rd_ref v)
{
	void *s = v == x->g->x ? x->dx_sample : v == x->g->y ? x->dy_sample : NULL;

	return s ? s : x->grad[v];
}

int rd_exec_forward(struct rd_exec *x, struct rd_err *e)
{
	const struct rd_graph *g = x->g;
	int rc = 0;

	if (x->x_sample)
		rc = x->be->narrow(x->dev, rd_graph_dims(g, g->x), x->x_sample, x->val[g->x], e);
	for (int i = 0; i < g->n_nodes && !rc; i++)
		rc = rd_ops[g->node[i].op].fwd(x, i, e);
	if (!rc && x->y_sample)
		rc = x->be->widen(x->dev, rd_graph_dims(g, g->y), x->val[g->y], x->y_sample, e);
	return rc;
}

/* What forward did not keep of nodes first..last, once more; then their gradients. */
static int segment_backward(struct rd_exec *x, int first, int last, struct rd_err *e)
{
	const struct rd_graph *g = x->g;
	int rc = 0;

	for (int i = first; i <= last && !rc; i++)
		if (x->again[i])
			rc = rd_ops[g->node[i].op].fwd(x, i, e);
	for (int i = last; i >= first && !rc; i--)
		if (rd_ops[g->node[i].op].bwd && x->grad[g->node[i].out])
			rc = rd_ops[g->node[i].op].bwd(x, i, e);
	return rc;
}

int rd_exec_backward(struct rd_exec *x, float *grads, struct rd_err *e)
{
	const struct rd_graph *g = x->g;
	int rc = 0;

	x->dw = grads;
	enter(x, &x->bwd);
	if (x->dy_sample && x->grad[g->y])
		rc = x->be->narrow(x->dev, rd_graph_dims(g, g->y), x->dy_sample, x->grad[g->y], e);
	for (int first, last = g->n_nodes - 1; last >= 0 && !rc; last = first - 1) {
		for (first = last; first > 0 && x->segment[first - 1] == x->segment[last];)
			first--;
		rc = segment_backward(x, first, last, e);
	}
	if (!rc && x->dx_sample && x->grad[g->x])
		rc = x->be->widen(x->dev, rd_graph_dims(g, g->x), x->grad[g->x], x->dx_sample, e);
	enter(x, &x->fwd);
	return rc;
}
