/* Memory plan: every value, gradient and auxiliary buffer has a first and a last step of use; buffers whose lives do not
 * meet share memory.
 *
 * Steps: of N nodes, node i runs forward at step i; the gradient by the output is filled at step N. From there segments of
 * the nodes follow one another from the last to the first: what is to be recomputed of a segment, in order, then its nodes
 * backward. A value that another segment reads, or the last segment's, is kept from forward on; any other has one life in
 * forward and a second one where its segment is recomputed. Without recomputation there is one segment. */
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
	int *val[2], *aux[2];  /* index into life, -1: none; [0] forward, [1] where backward finds it */
	int *grad;
	int *again, *back;     /* by node: the steps at which it is recomputed (-1: not) and run backward */
	int end;               /* the step after the last */
	bool *needs_grad;      /* by value */
	bool *kept;            /* by value: from forward on */
};

size_t rd_value_bytes(const struct rd_exec *x, rd_ref v)
{
	const struct rd_value *val = &x->g->value[v];

	return val->kind != RD_VALUE_ACT ? (size_t)val->d.n * 4 : x->be->act_bytes(val->d);
}

static size_t value_bytes(const struct plan *p, rd_ref v)
{
	return rd_value_bytes(p->x, v);
}

static int new_life(struct plan *p, size_t bytes, int first, int last)
{
	p->life[p->n_life] = (struct life){(bytes + ALIGN - 1) / ALIGN * ALIGN, 0, first, last};
	return p->n_life++;
}

/* A value needs a gradient where parameters (in training) or x (when asked for) stand behind it. */
static void find_needs_grad(struct plan *p)
{
	const struct rd_exec_opts *o = &p->x->opts;

	if (!rd_exec_goes_back(p->x))
		return;
	for (int i = 0; i < p->n; i++) {
		const struct rd_node_op *n = &p->g->node[i];
		bool need = rd_exec_learns(p->x, n) || ((o->input_grad || o->vjp) && n->out == p->g->x);

		for (int k = 0; k < 3; k++)
			need |= n->in[k] != RD_NONE && p->needs_grad[n->in[k]];
		p->needs_grad[n->out] = need && (rd_ops[n->op].bwd || n->op == RD_OP_INPUT);
	}
}

static bool is_input(const struct plan *p, rd_ref v)
{
	return p->g->node[p->g->value[v].producer].op == RD_OP_INPUT;
}

/* Whether node i's backward reads its operand k. */
static bool reads_back(const struct plan *p, int i, int k)
{
	const struct rd_node_op *n = &p->g->node[i];

	return p->needs_grad[n->out] && rd_ops[n->op].keeps[k] && (!rd_ops[n->op].for_params || rd_exec_learns(p->x, n));
}

/* Whether it reads its output. */
static bool reads_out(const struct plan *p, int i)
{
	const struct rd_node_op *n = &p->g->node[i];

	return p->needs_grad[n->out] && rd_ops[n->op].keeps_out;
}

/* Which values are kept, and which nodes backward has to run once more for those that are not. */
static void find_kept(struct plan *p)
{
	const int *segment = p->x->segment;
	bool *again = p->x->again;

	for (int i = 0; i < p->n; i++) {
		const struct rd_node_op *n = &p->g->node[i];

		p->kept[n->out] = n->op == RD_OP_INPUT || n->out == p->g->y || segment[i] == segment[p->n - 1];
		for (int k = 0; k < 3; k++)
			if (n->in[k] != RD_NONE && segment[p->g->value[n->in[k]].producer] != segment[i])
				p->kept[n->in[k]] = true;
	}
	memset(again, 0, (size_t)p->n * sizeof *again);
	for (int i = p->n - 1; i >= 0; i--) {
		const struct rd_node_op *n = &p->g->node[i];
		bool aux = rd_ops[n->op].aux_bytes && p->needs_grad[n->out];

		again[i] = !p->kept[n->out] && (again[i] || aux || reads_out(p, i));
		for (int k = 0; k < 3; k++)
			if (n->in[k] != RD_NONE && (again[i] || reads_back(p, i, k)))
				again[p->g->value[n->in[k]].producer] = true;
	}
}

static void number_steps(struct plan *p)
{
	const int *segment = p->x->segment;
	int step = p->n + 1;

	for (int first, last = p->n - 1; last >= 0; last = first - 1) {
		for (first = last; first > 0 && segment[first - 1] == segment[last];)
			first--;
		for (int i = first; i <= last; i++)
			p->again[i] = p->x->again[i] ? step++ : -1;
		for (int i = last; i >= first; i--)
			p->back[i] = step++;
	}
	p->end = rd_exec_goes_back(p->x) ? step : p->n;
}

static void extend(int *last, int step)
{
	if (*last < step)
		*last = step;
}

/* The step after which what node i's backward reads is of no more use. */
static int last_back(const struct plan *p, int i)
{
	return p->x->opts.vjp ? p->end : p->back[i];
}

/* last[0][v] of a value's life in forward, or of its only one where it is kept; last[1][v] of its second one. */
static void last_uses(const struct plan *p, int *last[2])
{
	for (int v = 0; v < p->g->n_values; v++) {
		last[0][v] = p->g->value[v].producer;
		last[1][v] = p->again[p->g->value[v].producer];
	}
	for (int i = 0; i < p->n; i++) {
		rd_ref out = p->g->node[i].out;

		if (reads_out(p, i))
			extend(&last[!p->kept[out]][out], last_back(p, i));
		for (int k = 0; k < 3; k++) {
			rd_ref r = p->g->node[i].in[k];
			int *again;

			if (r == RD_NONE)
				continue;
			again = &last[!p->kept[r]][r];
			extend(&last[0][r], i);
			if (reads_back(p, i, k))
				extend(again, last_back(p, i));
			if (p->again[i] >= 0)
				extend(again, p->again[i]);
		}
	}
	last[0][p->g->y] = p->end;
}

/* In pass `way` the output takes over an operand's buffer where that operand dies with this node, at `step`; but never where this would
 * change its bits, as it need not die there when the pass is another one. */
static bool can_share(const struct plan *p, const struct rd_node_op *n, int way, int step)
{
	bool apart = n->op == RD_OP_CONV && (n->u.conv.kernel > 1 || n->u.conv.stride > 1) && p->x->be->adds_apart;
	int k = rd_ops[n->op].shares;
	rd_ref r = k >= 0 && !apart ? n->in[k] : RD_NONE;

	if (r == RD_NONE || is_input(p, r) || p->life[p->val[way][r]].last != step)
		return false;
	for (int j = 0; j < 3; j++)
		if (j != k && n->in[j] == r)
			return false;
	return p->life[p->val[way][r]].bytes >= value_bytes(p, n->out);
}

/* Node i's output and auxiliary buffer in pass `way`, where it runs at `step`. */
static void plan_value(struct plan *p, int i, int way, int step, const int *last)
{
	const struct rd_node_op *n = &p->g->node[i];
	const struct rd_op_impl *op = &rd_ops[n->op];
	struct rd_pass *pass = way ? &p->x->bwd : &p->x->fwd;
	bool needed_back = p->needs_grad[n->out] && (way || p->kept[n->out]);
	size_t aux = op->aux_bytes ? op->aux_bytes(p->x, n) : 0;

	pass->in_place[i] = can_share(p, n, way, step);
	if (pass->in_place[i]) {
		p->val[way][n->out] = p->val[way][n->in[op->shares]];
		p->life[p->val[way][n->out]].last = last[n->out];
	} else {
		p->val[way][n->out] = new_life(p, value_bytes(p, n->out), n->op == RD_OP_INPUT ? 0 : step, last[n->out]);
	}
	if (aux)
		p->aux[way][i] = new_life(p, aux, step, needed_back ? last_back(p, i) : step);
}

static void plan_values(struct plan *p, int *last[2])
{
	for (int i = 0; i < p->n; i++)
		plan_value(p, i, 0, i, last[0]);
	for (int i = 0; i < p->n; i++) {
		rd_ref v = p->g->node[i].out;

		p->val[1][v] = p->val[0][v];
		p->aux[1][i] = p->aux[0][i];
		p->x->bwd.in_place[i] = p->x->fwd.in_place[i];
		if (p->again[i] >= 0)
			plan_value(p, i, 1, p->again[i], last[1]);
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
	last = is_input(p, r) ? p->end : p->back[p->g->value[r].producer];
	if (rd_ops[n->op].passes == k && n->out != p->g->y) {
		p->grad[r] = p->grad[n->out];
		if (p->life[p->grad[r]].last < last)
			p->life[p->grad[r]].last = last;
		return RD_GRAD_ALIAS;
	}
	p->grad[r] = new_life(p, value_bytes(p, r), p->back[i], last);
	return RD_GRAD_WRITE;
}

static void plan_grads(struct plan *p)
{
	if (!rd_exec_goes_back(p->x))
		return;
	if (p->needs_grad[p->g->y])
		p->grad[p->g->y] = new_life(p, value_bytes(p, p->g->y), p->n, p->end);
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
		p->x->fwd.val[v] = address(p, p->val[0][v]);
		p->x->bwd.val[v] = address(p, p->val[1][v]);
		p->x->grad[v] = address(p, p->grad[v]);
	}
	for (int i = 0; i < p->n; i++) {
		p->x->fwd.aux[i] = address(p, p->aux[0][i]);
		p->x->bwd.aux[i] = address(p, p->aux[1][i]);
	}
}

/* With the nodes cut into segments already. ints: room for what is counted below. */
static int plan_once(struct plan *p, int *ints, size_t *arena_bytes, struct rd_err *e)
{
	size_t nv = (size_t)p->g->n_values, nn = (size_t)p->n;
	int *last[2];

	memset(ints, 0xff, (5 * nv + 4 * nn) * sizeof *ints); /* -1 */
	for (int way = 0; way < 2; way++) {
		p->val[way] = ints;
		last[way] = ints + nv;
		p->aux[way] = ints + 2 * nv;
		ints += 2 * nv + nn;
	}
	p->grad = ints;
	p->again = ints + nv;
	p->back = p->again + nn;
	p->n_life = 0;
	find_kept(p);
	number_steps(p);
	last_uses(p, last);
	plan_values(p, last);
	plan_grads(p);
	return place(p, arena_bytes, e);
}

/* Segments small and large; the cut that needs the least memory wins. */
static int plan_best(struct plan *p, int *ints, size_t *cross, size_t *arena_bytes, struct rd_err *e)
{
	static const int tries[] = {1, 2, 4, 8, 12, 16, 24, 32, 64};
	int best = 0, n = p->x->opts.training && p->x->opts.recompute ? (int)(sizeof tries / sizeof *tries) : 1, rc;
	size_t bytes;

	memset(p->x->segment, 0, (size_t)p->n * sizeof *p->x->segment);
	rc = plan_once(p, ints, arena_bytes, e);
	for (int i = 1; i < n && !rc; i++) {
		rd_cut_segments(p->x, tries[i], cross);
		rc = plan_once(p, ints, &bytes, e);
		if (!rc && bytes < *arena_bytes) {
			*arena_bytes = bytes;
			best = i;
		}
	}
	if (rc || n == 1)
		return rc;
	rd_cut_segments(p->x, tries[best], cross);
	return plan_once(p, ints, arena_bytes, e);
}

int rd_plan_memory(struct rd_exec *x, size_t *arena_bytes, struct rd_err *e)
{
	const struct rd_graph *g = x->g;
	size_t nv = (size_t)g->n_values, nn = (size_t)g->n_nodes;
	struct plan p = {.x = x, .g = g, .n = g->n_nodes};
	void *a = NULL, *b = NULL, *c = NULL, *d = NULL;
	int rc;

	rc = rd_alloc0(&a, 3 * nv + 2 * nn, sizeof *p.life, "memory plan", e);
	if (!rc)
		rc = rd_alloc(&b, 5 * nv + 4 * nn, sizeof *p.grad, "memory plan", e);
	if (!rc)
		rc = rd_alloc0(&c, 2 * nv, sizeof *p.needs_grad, "memory plan", e);
	if (!rc)
		rc = rd_alloc0(&d, nn, sizeof(size_t), "memory plan", e);
	if (!rc) {
		p.life = a;
		p.needs_grad = c;
		p.kept = p.needs_grad + nv;
		find_needs_grad(&p);
		rc = plan_best(&p, b, d, arena_bytes, e);
	}
	if (!rc)
		publish(&p);
	free(a);
	free(b);
	free(c);
	free(d);
	return rc;
}
