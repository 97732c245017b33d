/* The memory plan, checked by a shadow of the arena: every 64 bytes know which buffer was written there last. A run is
 * played through, forward and backward, reading and writing what each operation does by kernels.h; a buffer read must
 * still be there, and an operation's output must not lie over what it reads. */
#include <stdlib.h>
#include <string.h>

#include "lib/graph/exec_impl.h"
#include "lib/model/model.h"
#include "tests/check.h"
#include "tests/graphs.h"

#define LINE 64

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;

struct range {
	size_t at, n; /* lines */
	int who;      /* whose buffer: a value, a gradient, an aux */
};

struct shadow {
	struct rd_exec *x;
	const struct rd_graph *g;
	int *owner;
	size_t n_lines; /* of the arena */
	int lost, overlaps;
	const char *where;
};

static struct range range_of(const struct shadow *s, const void *p, size_t bytes, int who)
{
	size_t at = (size_t)((const char *)p - (const char *)s->x->arena), n = (bytes + LINE - 1) / LINE;
	bool inside = p && at % LINE == 0 && at / LINE + n <= s->n_lines;

	if (!inside)
		CHECK(inside);
	return inside ? (struct range){at / LINE, n, who} : (struct range){0, 0, -1};
}

static struct range value(const struct shadow *s, rd_ref v)
{
	const struct rd_value *q = &s->g->value[v];

	return range_of(s, s->x->val[v], q->kind != RD_VALUE_ACT ? (size_t)q->d.n * 4 : be->act_bytes(q->d), v);
}

static struct range grad(const struct shadow *s, rd_ref v)
{
	return range_of(s, s->x->grad[v], be->act_bytes(s->g->value[v].d), s->g->n_values + v);
}

/* Statistics of a normalisation, and of an attention that backward will want: sizes as kernels.h gives them. */
static bool aux(const struct shadow *s, int i, struct range *r)
{
	const struct rd_node_op *n = &s->g->node[i];
	size_t bytes = 0;

	if (n->op == RD_OP_GROUPNORM) {
		bytes = (size_t)(n->u.groupnorm.d.n * n->u.groupnorm.groups * 2) * sizeof(float);
	} else if (n->op == RD_OP_LAYERNORM || n->op == RD_OP_RMSNORM || n->op == RD_OP_ADANORM) {
		bytes = (size_t)(n->u.layernorm.d.n * n->u.layernorm.d.h * n->u.layernorm.d.w * 2) * sizeof(float);
	} else if (n->op == RD_OP_ATTENTION && rd_exec_goes_back(s->x)) {
		const struct rd_attention_desc *a = &n->u.attention;

		bytes = (size_t)(a->d.n * a->heads * a->d.h * a->d.w * 2) * sizeof(float);
	}
	if (bytes)
		*r = range_of(s, s->x->aux[i], bytes, 2 * s->g->n_values + i);
	return bytes;
}

static void put(struct shadow *s, struct range r)
{
	for (size_t i = 0; i < r.n; i++)
		s->owner[r.at + i] = r.who;
}

static void need(struct shadow *s, struct range r)
{
	for (size_t i = 0; i < r.n; i++)
		if (s->owner[r.at + i] != r.who) {
			if (!s->lost++)
				fprintf(stderr, "%s: a buffer is overwritten before its last use\n", s->where);
			return;
		}
}

static void apart(struct shadow *s, struct range a, struct range b)
{
	if (a.at < b.at + b.n && b.at < a.at + a.n && !s->overlaps++)
		fprintf(stderr, "%s: an output lies over an operand\n", s->where);
}

/* Operands that kernels.h lets an output take the place of: those of which "y may be x" is said, and what a convolution
 * or a linear layer adds to. */
static bool may_be_y(enum rd_op op, int k)
{
	switch (op) {
	case RD_OP_ACT:
	case RD_OP_DROPOUT:
	case RD_OP_AFFINE:
	case RD_OP_DIVIDE: return k == 0;
	case RD_OP_ADD: return true;
	case RD_OP_CONV:
	case RD_OP_GAIN: return k == 1;
	default: return false;
	}
}

/* Operands whose gradient is the output's. */
static bool passes(enum rd_op op, int k)
{
	return op == RD_OP_ADD || ((op == RD_OP_CONV || op == RD_OP_GAIN) && k == 1);
}

static void forward_op(struct shadow *s, int i)
{
	const struct rd_node_op *n = &s->g->node[i];
	struct range out = value(s, n->out), a;
	bool has_aux = aux(s, i, &a);

	s->where = rd_ops[n->op].name;
	for (int k = 0; k < 3; k++)
		if (n->in[k] != RD_NONE) {
			struct range in = value(s, n->in[k]);

			need(s, in);
			if (has_aux)
				apart(s, a, in);
			if (s->x->val[n->out] != s->x->val[n->in[k]])
				apart(s, out, in);
			else
				CHECK(s->x->in_place[i] && may_be_y(n->op, k) && out.n <= in.n);
		}
	if (has_aux) {
		apart(s, a, out);
		put(s, a);
	}
	put(s, out);
}

static bool is_trained(const struct shadow *s, const struct rd_node_op *n)
{
	return s->x->opts.training && !s->g->param[n->param[0]].frozen;
}

/* What backward reads of an operation's operands. */
static bool read_again(const struct shadow *s, const struct rd_node_op *n, int k)
{
	switch (n->op) {
	case RD_OP_GROUPNORM:
	case RD_OP_ATTENTION: return true;
	case RD_OP_CONV:
	case RD_OP_EMBED: return k == 0 && is_trained(s, n); /* for dw: the gradient by the operand is of dy and w */
	case RD_OP_ACT: return k == 0;
	case RD_OP_DIVIDE: return k == 1;
	default: return false;
	}
}

/* The gradient of operand k, written while what backward reads is still being read. */
static void deliver(struct shadow *s, int i, int k, const struct range *reads, int n_reads)
{
	const struct rd_node_op *n = &s->g->node[i];
	enum rd_grad_mode mode = s->x->mode[i][k];
	struct range r;

	if (mode == RD_GRAD_NONE)
		return;
	r = grad(s, n->in[k]);
	if (mode == RD_GRAD_ACC)
		need(s, r);
	for (int j = 0; j < n_reads && mode == RD_GRAD_WRITE; j++)
		apart(s, r, reads[j]);
	if (mode == RD_GRAD_ALIAS)
		CHECK(s->x->grad[n->in[k]] == s->x->grad[n->out] && passes(n->op, k));
	put(s, r);
}

static void backward_op(struct shadow *s, int i)
{
	const struct rd_node_op *n = &s->g->node[i];
	struct range reads[5], a;
	int n_reads = 0;

	s->where = rd_ops[n->op].name;
	reads[n_reads++] = grad(s, n->out);
	for (int k = 0; k < 3; k++)
		if (n->in[k] != RD_NONE && read_again(s, n, k))
			reads[n_reads++] = value(s, n->in[k]);
	if (aux(s, i, &a))
		reads[n_reads++] = a;
	for (int j = 0; j < n_reads; j++)
		need(s, reads[j]);
	for (int k = 0; k < 3; k++)
		deliver(s, i, k, reads, n_reads);
}

static void enter(struct rd_exec *x, const struct rd_pass *p)
{
	x->val = p->val;
	x->aux = p->aux;
	x->in_place = p->in_place;
}

/* A segment's nodes: those to be recomputed run forward once more, then all backward. */
static void play_segment(struct shadow *s, int first, int last)
{
	for (int i = first; i <= last; i++)
		if (s->x->again[i])
			forward_op(s, i);
	for (int i = last; i >= first; i--)
		if (rd_ops[s->g->node[i].op].bwd && s->x->grad[s->g->node[i].out])
			backward_op(s, i);
}

static void play_backward(struct shadow *s)
{
	const int *segment = s->x->segment;

	enter(s->x, &s->x->bwd);
	apart(s, grad(s, s->g->y), value(s, s->g->y));
	put(s, grad(s, s->g->y));
	for (int first, last = s->g->n_nodes - 1; last >= 0; last = first - 1) {
		for (first = last; first > 0 && segment[first - 1] == segment[last];)
			first--;
		play_segment(s, first, last);
	}
	s->where = "the output after backward";
	need(s, value(s, s->g->y));
	enter(s->x, &s->x->fwd);
}

static void play(struct shadow *s)
{
	const struct rd_graph *g = s->g;

	for (int i = 0; i < g->n_nodes; i++) /* the caller fills the inputs before the run */
		if (g->node[i].op == RD_OP_INPUT)
			put(s, value(s, g->node[i].out));
	for (int i = 0; i < g->n_nodes; i++)
		if (g->node[i].op != RD_OP_INPUT)
			forward_op(s, i);
	s->where = "the output";
	need(s, value(s, g->y));
	for (int i = 0; i < (s->x->opts.vjp ? 2 : s->x->opts.training); i++)
		play_backward(s);
	s->where = "the gradient by x";
	if (s->x->opts.input_grad || s->x->opts.vjp)
		need(s, grad(s, g->x));
}

/* The arena's size, and what a plan that shares nothing would take. */
struct sizes {
	size_t planned, unshared;
};

/* Bytes of all buffers, were each one to itself; those of the arena, by the same plan made once more. */
static struct sizes sizes_of(const struct shadow *s, struct rd_exec *x)
{
	const char *first = x->val[s->g->x];
	struct sizes z = {0, 0};
	struct range a;
	size_t last = 0;

	for (int v = 0; v < s->g->n_values; v++)
		z.unshared += (value(s, v).n + (x->grad[v] ? grad(s, v).n : 0)) * LINE;
	for (int i = 0; i < s->g->n_nodes; i++)
		z.unshared += aux(s, i, &a) ? a.n * LINE : 0;
	CHECK_OK(rd_plan_memory(x, &z.planned, &e), &e);
	CHECK((uintptr_t)(first - (char *)x->arena) == (uintptr_t)x->val[s->g->x] - LINE);
	for (size_t i = 0; i < s->n_lines; i++)
		last = s->owner[i] == -1 ? last : (i + 1) * LINE;
	CHECK(last <= z.planned); /* nothing was written beyond */
	return z;
}

static struct sizes check_plan(const char *name, const struct rd_graph *g, struct rd_exec_opts o)
{
	struct shadow s = {.g = g};
	struct sizes z;
	struct rd_exec *x;

	CHECK_OK(rd_exec_new(&x, g, be, dev, o, &e), &e);
	s.x = x;
	s.n_lines = x->bytes / LINE; /* more than the arena: the packed weights are among them */
	s.owner = malloc(s.n_lines * sizeof *s.owner);
	memset(s.owner, 0xff, s.n_lines * sizeof *s.owner);
	play(&s);
	if (s.lost || s.overlaps)
		fprintf(stderr, "%s%s: %d lost, %d overlap\n", name, o.training ? ", training" : "", s.lost, s.overlaps);
	CHECK(!s.lost && !s.overlaps);
	z = sizes_of(&s, x);
	free(s.owner);
	rd_exec_free(x);
	return z;
}

static void check_graph(const char *name, const struct rd_graph *g, bool print)
{
	struct sizes inf = check_plan(name, g, (struct rd_exec_opts){.training = false}),
	             train = check_plan(name, g, (struct rd_exec_opts){.training = true}),
	             both = check_plan(name, g, (struct rd_exec_opts){.training = true, .input_grad = true}),
	             again = check_plan(name, g, (struct rd_exec_opts){.training = true, .recompute = true});

	check_plan(name, g, (struct rd_exec_opts){.training = true, .input_grad = true, .recompute = true});
	check_plan(name, g, (struct rd_exec_opts){.vjp = true});
	CHECK(again.planned <= train.planned);
	CHECK(inf.planned <= inf.unshared && train.planned <= train.unshared && both.planned >= train.planned);
	if (print)
		printf("  %-36s inference %6zu of %6zu KiB, training %6zu of %6zu, recomputing %6zu\n", name, inf.planned / 1024,
		       inf.unshared / 1024, train.planned / 1024, train.unshared / 1024, again.planned / 1024);
}

static void check_model(const char *dir)
{
	struct sizes inf, train, again;
	struct rd_graph *g;
	struct rd_model m;

	CHECK_OK(rd_model_from_config(&m, dir, &e), &e);
	CHECK_OK(rd_net_build(&m.net, 2, &g, &e), &e);
	check_graph(dir, g, true);
	/* a deep network's activations live briefly: sharing must save most of them, and in training half */
	inf = check_plan(dir, g, (struct rd_exec_opts){.training = false});
	train = check_plan(dir, g, (struct rd_exec_opts){.training = true});
	again = check_plan(dir, g, (struct rd_exec_opts){.training = true, .recompute = true});
	CHECK(inf.planned * 4 < inf.unshared && train.planned * 10 < train.unshared * 6);
	CHECK(again.planned * 10 < train.planned * 7);
	rd_graph_free(g);
	rd_model_free(&m);
}

/* Where only adapters of attention are trained, less is kept for backward. */
static void adapters(void)
{
	static const struct rd_lora some = {2, RD_LORA_ATTENTION}, all = {2, RD_LORA_ALL};
	const struct rd_exec_opts training = {.training = true};
	struct rd_graph *g = graphs_build(graphs_unet, 3), *a = graphs_adapted(graphs_unet, 3, all),
	                *b = graphs_adapted(graphs_unet, 3, some), *c = graphs_adapted(graphs_condition, 3, all);

	check_graph("adapters", a, true);
	check_graph("adapters of attention", b, true);
	check_graph("adapters, condition", c, true);
	CHECK(check_plan("", b, training).planned < check_plan("", g, training).planned);
	rd_graph_free(g);
	rd_graph_free(a);
	rd_graph_free(b);
	rd_graph_free(c);
}

/* x + x, and a value that nothing looks at: their gradients share a buffer, or are not there. */
static void odd_ends(void)
{
	struct rd_graph *g;
	rd_ref h;

	CHECK_OK(rd_graph_new(&g, 2, &e), &e);
	g->x = rd_graph_input(g, 4, 2, 2);
	h = rd_graph_linear(g, g->x, "a", 4, RD_NONE);
	rd_graph_act(g, rd_graph_add(g, h, g->x), RD_ACT_SILU);
	g->y = rd_graph_linear(g, rd_graph_add(g, h, h), "b", 4, RD_NONE);
	CHECK_OK(rd_graph_check(g, &e), &e);
	check_graph("odd ends", g, false);
	rd_graph_free(g);
}

int main(void)
{
	struct rd_graph *g;

	CHECK_OK(rd_device_open("cpu", 1, &be, &dev, &e), &e);
	g = graphs_every_op(3, 0.3f);
	check_graph("every operation", g, true);
	rd_graph_free(g);
	g = graphs_build(graphs_mlp, 3);
	check_graph("mlp", g, true);
	rd_graph_free(g);
	g = graphs_build(graphs_condition, 3);
	check_graph("condition", g, true);
	rd_graph_free(g);
	g = graphs_build(graphs_dit, 3);
	check_graph("dit", g, true);
	rd_graph_free(g);
	g = graphs_build(graphs_sd3, 3);
	check_graph("sd3", g, true);
	rd_graph_free(g);
	adapters();
	check_model("models/fashion-ddpm");
	check_model("tests/golden/cifar-like/model");
	check_model("tests/golden/class-scale-shift/model");
	for (unsigned seed = 0; seed < 200; seed++) {
		char name[32];

		snprintf(name, sizeof name, "drawn by seed %u", seed);
		g = graphs_random(seed, 1 + (int)seed % 3, 0.3f);
		check_graph(name, g, false);
		rd_graph_free(g);
	}
	odd_ends();
	be->close(dev);
	return check_report("plan");
}
