#include "lib/graph/exec.h"

#include <stdint.h>
#include <stdlib.h>

#include "lib/base/size.h"
#include "lib/graph/exec_impl.h"

#define ALIGN 64

static int alloc_tables(struct rd_exec *x, struct rd_err *e)
{
	size_t nv = (size_t)x->g->n_values, nn = (size_t)x->g->n_nodes;
	struct {
		void **p;
		size_t n, size;
	} t[] = {
		{(void **)&x->val, nv, sizeof *x->val},       {(void **)&x->grad, nv, sizeof *x->grad},
		{(void **)&x->mode, nn, sizeof *x->mode},     {(void **)&x->in_place, nn, sizeof *x->in_place},
		{(void **)&x->aux, nn, sizeof *x->aux},       {(void **)&x->conv, nn, sizeof *x->conv},
		{(void **)&x->packed, nn, sizeof *x->packed}, {(void **)&x->words, (size_t)x->g->batch, sizeof *x->words},
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

/* Convolution plans with their packed weights, and the largest workspace any operation wants. */
static int make_plans(struct rd_exec *x, struct rd_err *e)
{
	size_t ws = 0, want;
	int rc = 0;

	for (int i = 0; i < x->g->n_nodes && !rc; i++) {
		const struct rd_node_op *n = &x->g->node[i];

		if (n->op == RD_OP_CONV) {
			rc = x->be->conv2d_new(x->dev, &n->u.conv, x->opts.training, &x->conv[i], e);
			if (!rc)
				rc = device_alloc(x, &x->packed[i], x->be->conv2d_packed_bytes(x->conv[i]), e);
		}
		want = !rc && rd_ops[n->op].ws_bytes ? rd_ops[n->op].ws_bytes(x, i) : 0;
		if (want > ws)
			ws = want;
	}
	return rc ? rc : device_alloc(x, &x->ws, ws, e);
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
		rc = make_plans(x, e);
	if (!rc)
		rc = rd_plan_memory(x, &arena, e);
	if (!rc)
		rc = device_alloc(x, &x->arena, arena, e);
	if (!rc)
		rc = alloc_draw(x, e);
	if (rc) {
		rd_exec_free(x);
		return rc;
	}
	for (int v = 0; v < g->n_values; v++) {
		x->val[v] = rebase(x, x->val[v]);
		x->grad[v] = rebase(x, x->grad[v]);
	}
	for (int i = 0; i < g->n_nodes; i++)
		x->aux[i] = rebase(x, x->aux[i]);
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
		if (x->packed)
			release(x, x->packed[i]);
	}
	release(x, x->arena);
	release(x, x->ws);
	release(x, x->draw);
	free(x->val);
	free(x->grad);
	free(x->mode);
	free(x->in_place);
	free(x->aux);
	free(x->conv);
	free(x->packed);
	free(x->words);
	free(x);
}

size_t rd_exec_bytes(const struct rd_exec *x)
{
	return x->bytes;
}

int rd_exec_load(struct rd_exec *x, const float *params, struct rd_err *e)
{
	int rc = 0;

	x->w = params;
	for (int i = 0; i < x->g->n_nodes && !rc; i++)
		if (x->conv[i])
			rc = x->be->conv2d_pack(x->dev, x->conv[i], params + x->g->param[x->g->node[i].param[0]].offset,
			                        x->packed[i], e);
	return rc;
}

void *rd_exec_value(struct rd_exec *x, rd_ref v)
{
	return x->val[v];
}

void *rd_exec_grad(struct rd_exec *x, rd_ref v)
{
	return x->grad[v];
}

int rd_exec_forward(struct rd_exec *x, struct rd_err *e)
{
	int rc = 0;

	for (int i = 0; i < x->g->n_nodes && !rc; i++)
		rc = rd_ops[x->g->node[i].op].fwd(x, i, e);
	return rc;
}

int rd_exec_backward(struct rd_exec *x, float *grads, struct rd_err *e)
{
	int rc = 0;

	x->dw = grads;
	for (int i = x->g->n_nodes - 1; i >= 0 && !rc; i--) {
		const struct rd_node_op *n = &x->g->node[i];

		if (rd_ops[n->op].bwd && x->grad[n->out])
			rc = rd_ops[n->op].bwd(x, i, e);
	}
	return rc;
}
