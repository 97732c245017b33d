/* Memory plan: every value, gradient and auxiliary buffer has a first and a last step of use; buffers whose lives do not
 * meet share memory.
 *
 * Steps: node i runs forward at step i; with N nodes, the gradient by the output is filled at step N, and node i runs
 * backward at step 2N - i. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/graph/exec_impl.h"

#define ALIGN 64

struct life {
	size_t bytes, offset;
	int first, last;
};

struct plan {
	struct rd_exec *x;
	const struct rd_graph *g;
	int n;                 /* nodes */
	struct life *life;
	int n_life;
	int *val, *grad, *aux; /* index into life, -1: none */
	bool *needs_grad;      /* by value */
};

static int end_step(const struct plan *p)
{
	return p->x->opts.training ? 2 * p->n + 1 : p->n;
}

static int bwd_step(const struct plan *p, int node)
{
	return 2 * p->n - node;
}

static size_t value_bytes(const struct plan *p, rd_ref v)
{
	const struct rd_value *val = &p->g->value[v];

	return val->kind != RD_VALUE_ACT ? (size_t)val->d.n * 4 : p->x->be->act_bytes(val->d);
}

static int new_life(struct plan *p, size_t bytes, int first, int last)
{
	p->life[p->n_life] = (struct life){(bytes + ALIGN - 1) / ALIGN * ALIGN, 0, first, last};
	return p->n_life++;
}

/* A value needs a gradient where parameters (or x, when asked for) stand behind it. */
static void find_needs_grad(struct plan *p)
{
	if (!p->x->opts.training)
		return;
	for (int i = 0; i < p->n; i++) {
		const struct rd_node_op *n = &p->g->node[i];
		bool need = n->param[0] != RD_NONE || (p->x->opts.input_grad && n->out == p->g->x);

		for (int k = 0; k < 3; k++)
			need |= n->in[k] != RD_NONE && p->needs_grad[n->in[k]];
		p->needs_grad[n->out] = need && (rd_ops[n->op].bwd || n->op == RD_OP_INPUT);
	}
}

static void last_uses(const struct plan *p, int *last)
{
	for (int v = 0; v < p->g->n_values; v++)
		last[v] = p->g->value[v].producer;
	for (int i = 0; i < p->n; i++) {
		const struct rd_node_op *n = &p->g->node[i];

		for (int k = 0; k < 3; k++) {
			int s = p->needs_grad[n->out] && rd_ops[n->op].keeps[k] ? bwd_step(p, i) : i;

			if (n->in[k] != RD_NONE && last[n->in[k]] < s)
				last[n->in[k]] = s;
		}
	}
	last[p->g->y] = end_step(p);
}

/* The output takes over an operand's buffer where that operand dies with this node. */
static bool can_share(const struct plan *p, const struct rd_node_op *n, int i)
{
	int k = rd_ops[n->op].shares;
	rd_ref r = k >= 0 ? n->in[k] : RD_NONE;

	if (r == RD_NONE || p->g->node[p->g->value[r].producer].op == RD_OP_INPUT || p->life[p->val[r]].last != i)
		return false;
	for (int j = 0; j < 3; j++)
		if (j != k && n->in[j] == r)
			return false;
	return p->life[p->val[r]].bytes >= value_bytes(p, n->out);
}

static void plan_values(struct plan *p, const int *last)
{
	for (int i = 0; i < p->n; i++) {
		const struct rd_node_op *n = &p->g->node[i];
		const struct rd_op_impl *op = &rd_ops[n->op];
		size_t aux = op->aux_bytes ? op->aux_bytes(p->x, n) : 0;

		if (can_share(p, n, i)) {
			p->val[n->out] = p->val[n->in[op->shares]];
			p->life[p->val[n->out]].last = last[n->out];
			p->x->in_place[i] = true;
		} else {
			p->val[n->out] = new_life(p, value_bytes(p, n->out), n->op == RD_OP_INPUT ? 0 : i, last[n->out]);
		}
		if (aux)
			p->aux[i] = new_life(p, aux, i, p->needs_grad[n->out] ? bwd_step(p, i) : i);
	}
}

/* Decides how node i delivers the gradient of operand k, in the order in which backward runs. */
static enum rd_grad_mode grad_mode(struct plan *p, int i, int k)
{
	const struct rd_node_op *n = &p->g->node[i];
	rd_ref r = n->in[k];
	int last;

	if (r == RD_NONE || !p->needs_grad[r] || p->grad[n->out] < 0) /* < 0: y does not depend on this node */
		return RD_GRAD_NONE;
	if (p->grad[r] >= 0)
		return RD_GRAD_ACC;
	last = p->g->node[p->g->value[r].producer].op == RD_OP_INPUT ? end_step(p) : bwd_step(p, p->g->value[r].producer);
	if (rd_ops[n->op].passes == k && n->out != p->g->y) {
		p->grad[r] = p->grad[n->out];
		if (p->life[p->grad[r]].last < last)
			p->life[p->grad[r]].last = last;
		return RD_GRAD_ALIAS;
	}
	p->grad[r] = new_life(p, value_bytes(p, r), bwd_step(p, i), last);
	return RD_GRAD_WRITE;
}

static void plan_grads(struct plan *p)
{
	if (!p->x->opts.training)
		return;
	if (p->needs_grad[p->g->y])
		p->grad[p->g->y] = new_life(p, value_bytes(p, p->g->y), p->n, end_step(p));
	for (int i = p->n - 1; i >= 0; i--)
		for (int k = 0; k < 3; k++)
			p->x->mode[i][k] = grad_mode(p, i, k);
}

struct by_size {
	size_t bytes;
	int life;
};

static int larger_first(const void *a, const void *b)
{
	const struct by_size *x = a, *y = b;

	return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->life - y->life;
}

/* Lowest offset at which `bytes` fit between the placed buffers that live at the same time. */
static size_t lowest_gap(const struct life *life, const struct by_size *placed, int n_placed, const struct life *want)
{
	size_t at = 0;
	bool moved = true;

	while (moved) {
		moved = false;
		for (int j = 0; j < n_placed; j++) {
			const struct life *o = &life[placed[j].life];

			if (o->first <= want->last && want->first <= o->last && at < o->offset + o->bytes &&
			    o->offset < at + want->bytes) {
				at = o->offset + o->bytes;
				moved = true;
			}
		}
	}
	return at;
}

static int place(struct plan *p, size_t *total, struct rd_err *e)
{
	void *mem;
	struct by_size *order;
	int rc = rd_alloc(&mem, (size_t)p->n_life, sizeof *order, "memory plan", e);

	if (rc)
		return rc;
	order = mem;
	for (int i = 0; i < p->n_life; i++)
		order[i] = (struct by_size){p->life[i].bytes, i};
	qsort(order, (size_t)p->n_life, sizeof *order, larger_first);
	*total = 0;
	for (int i = 0; i < p->n_life; i++) {
		struct life *l = &p->life[order[i].life];

		l->offset = lowest_gap(p->life, order, i, l);
		if (l->offset + l->bytes > *total)
			*total = l->offset + l->bytes;
	}
	free(order);
	return RD_OK;
}

static void *address(const struct plan *p, int life)
{
	return life < 0 ? NULL : (void *)(p->life[life].offset + ALIGN);
}

static void publish(const struct plan *p)
{
	for (int v = 0; v < p->g->n_values; v++) {
		p->x->val[v] = address(p, p->val[v]);
		p->x->grad[v] = address(p, p->grad[v]);
	}
	for (int i = 0; i < p->n; i++)
		p->x->aux[i] = address(p, p->aux[i]);
}

int rd_plan_memory(struct rd_exec *x, size_t *arena_bytes, struct rd_err *e)
{
	const struct rd_graph *g = x->g;
	size_t nv = (size_t)g->n_values, nn = (size_t)g->n_nodes;
	struct plan p = {.x = x, .g = g, .n = g->n_nodes};
	int *ints, *last, rc;
	void *a = NULL, *b = NULL, *c = NULL;

	rc = rd_alloc0(&a, 2 * nv + nn, sizeof *p.life, "memory plan", e);
	if (!rc)
		rc = rd_alloc(&b, 3 * nv + nn, sizeof *ints, "memory plan", e);
	if (!rc)
		rc = rd_alloc0(&c, nv, sizeof *p.needs_grad, "memory plan", e);
	if (rc)
		goto out;
	p.life = a;
	ints = b;
	memset(ints, 0xff, (3 * nv + nn) * sizeof *ints); /* -1 */
	p.val = ints;
	p.grad = ints + nv;
	p.aux = ints + 2 * nv;
	last = ints + 2 * nv + nn;
	p.needs_grad = c;
	find_needs_grad(&p);
	last_uses(&p, last);
	plan_values(&p, last);
	plan_grads(&p);
	rc = place(&p, arena_bytes, e);
	if (!rc)
		publish(&p);
out:
	free(a);
	free(b);
	free(c);
	return rc;
}
