/* Where a training step's time goes. The nodes of one kind are carried out by themselves, forward or backward, on buffers that
 * a whole pass has filled; recorded where the device can, as training does it, several times over so that the start of a
 * replay does not count. Their sum is not quite the step's: what one kind leaves in a cache is another's no more. */
#include <stdlib.h>

#include "lib/graph/exec_impl.h"
#include "lib/graph/routine.h"
#include "tests/gpu/bench.h"

struct step {
	const struct target *t;
	struct rd_exec *x;
	float *w, *dw, *m, *v, *ema;
	struct rd_adamw *adamw;
	double *sq;
	void *norm_ws;
	int told; /* parts of the row */
};

/* Nodes of an operation, convolutions of one kernel; or one of the functions below. */
struct part {
	struct step *s;
	const char *name, *pass;
	enum rd_op op;
	int kernel, nodes;
	bool back;
	int (*f)(struct step *s, struct rd_err *err);
	int repeat;
};

static bool is_in(const struct part *p, int i)
{
	const struct rd_exec *x = p->s->x;
	const struct rd_node_op *n = &x->g->node[i];

	return n->op == p->op && (n->op != RD_OP_CONV || n->u.conv.kernel == p->kernel) &&
	       (!p->back || (rd_ops[n->op].bwd && x->grad[n->out]));
}

static int run_part(void *ctx, struct rd_err *err)
{
	const struct part *p = ctx;
	struct rd_exec *x = p->s->x;
	int n = x->g->n_nodes, rc = 0;

	for (int r = 0; r < p->repeat && !rc; r++) {
		if (p->f)
			rc = p->f(p->s, err);
		for (int k = 0; k < n && !p->f && !rc; k++) {
			int i = p->back ? n - 1 - k : k;

			if (is_in(p, i))
				rc = (p->back ? rd_ops[p->op].bwd : rd_ops[p->op].fwd)(x, i, err);
		}
	}
	return rc;
}

/* Milliseconds of the part. */
static double time_of(struct part *p)
{
	const struct target *t = p->s->t;
	struct rd_routine r = {.be = t->be, .dev = t->dev};
	const int together = t->quick ? 1 : 4;
	double from, end;
	int n = 0;

	p->repeat = t->quick ? 1 : 8;
	for (int i = 0; i < 2; i++)
		OK(rd_routine_run(&r, run_part, p, &e));
	OK(t->be->sync(t->dev, &e));
	from = bench_now();
	do {
		for (int i = 0; i < together; i++, n++)
			OK(rd_routine_run(&r, run_part, p, &e));
		OK(t->be->sync(t->dev, &e));
		end = bench_now();
	} while (end - from < (t->quick ? 0 : 0.1));
	rd_routine_free(&r);
	return 1e3 * (end - from) / (n * p->repeat);
}

static int pack(struct step *s, struct rd_err *err)
{
	return rd_exec_load(s->x, s->w, err);
}

static int forward(struct step *s, struct rd_err *err)
{
	return rd_exec_forward(s->x, err);
}

static int backward(struct step *s, struct rd_err *err)
{
	return rd_exec_backward(s->x, s->dw, err);
}

static int optimise(struct step *s, struct rd_err *err)
{
	const struct target *t = s->t;
	const struct rd_graph *g = s->x->g;
	int rc = t->be->zero(t->dev, s->dw, g->n_flat * sizeof(float), err);

	if (!rc)
		rc = t->be->sqnorm(t->dev, g->n_flat, s->dw, s->sq, s->norm_ws, err);
	return rc ? rc : t->be->adamw(t->dev, s->adamw, s->sq, g->n_trained, s->w, s->dw, s->m, s->v, s->ema, err);
}

static void tell(FILE *f, const struct part *p, double ms)
{
	printf("  %-14s %-9s %4d nodes %9.4f ms\n", p->name, p->pass, p->nodes, ms);
	fprintf(f, "%s{\"kind\":\"%s\",\"pass\":\"%s\",\"nodes\":%d,\"ms\":%.5g}", p->s->told++ ? "," : "", p->name, p->pass,
	        p->nodes, ms);
}

/* Kinds of nodes forward and backward, then what is whole. Returns the sum of the kinds and of what is neither pass. */
static double tell_parts(FILE *f, struct step *s)
{
	static const int kernels[] = {3, 1, 0};
	struct part whole[] = {{s, "weights packed", "load", .f = pack}, {s, "optimiser", "update", .f = optimise},
	                       {s, "all", "forward", .f = forward}, {s, "all", "backward", .f = backward}};
	double sum = 0;

	for (int back = 0; back < 2; back++)
		for (int op = 0; op < RD_N_OPS; op++)
			for (int k = 0; k < (op == RD_OP_CONV ? 2 : 1); k++) {
				struct part p = {s, rd_ops[op].name, back ? "backward" : "forward", (enum rd_op)op, .back = back,
				                 .kernel = kernels[k]};
				double ms;

				if (op == RD_OP_CONV)
					p.name = k ? "conv 1x1" : "conv 3x3";
				for (int i = 0; i < s->x->g->n_nodes; i++)
					p.nodes += is_in(&p, i);
				if (op == RD_OP_INPUT || !p.nodes)
					continue;
				ms = time_of(&p);
				sum += ms;
				tell(f, &p, ms);
			}
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
		double ms = time_of(&whole[i]);

		whole[i].nodes = s->x->g->n_nodes;
		sum += i < 2 ? ms : 0;
		tell(f, &whole[i], ms);
	}
	return sum;
}

static void begin(struct step *s, const struct rd_model *m, const struct rd_graph *g)
{
	const struct target *t = s->t;
	const struct rd_adamw a = {.lr = 1e-5f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .ema = 0.999f, .step = 1, .clip = 1};
	struct rd_dims d = rd_graph_dims(g, g->x);
	float *flat[5], *times = malloc((size_t)g->batch * sizeof *times);
	int32_t *label = calloc((size_t)g->batch, sizeof *label);
	void *from;

	for (int i = 0; i < 5; i++) {
		OK(t->be->alloc(t->dev, (void **)&flat[i], g->n_flat * sizeof(float), &e));
		OK(t->be->zero(t->dev, flat[i], g->n_flat * sizeof(float), &e));
	}
	s->w = flat[0];
	s->dw = flat[1];
	s->m = flat[2];
	s->v = flat[3];
	s->ema = flat[4];
	OK(t->be->alloc(t->dev, (void **)&s->adamw, sizeof *s->adamw, &e));
	OK(t->be->alloc(t->dev, (void **)&s->sq, sizeof *s->sq, &e));
	OK(t->be->alloc(t->dev, &s->norm_ws, t->be->sqnorm_ws_bytes(g->n_flat), &e));
	OK(t->be->put(t->dev, s->w, m->w, g->n_flat * sizeof(float), &e));
	OK(t->be->put(t->dev, s->adamw, &a, sizeof a, &e));
	for (int64_t i = 0; i < g->batch; i++)
		times[i] = (float)(1 + i % 999);
	OK(rd_exec_put_times(s->x, times, &e));
	OK(rd_exec_put_labels(s->x, label, &e));
	from = bench_sample(t, d);
	OK(t->be->copy(t->dev, rd_exec_value(s->x, g->x), from, t->be->sample_bytes(d), &e));
	OK(rd_exec_load(s->x, s->w, &e));
	OK(rd_exec_forward(s->x, &e));
	OK(t->be->copy(t->dev, rd_exec_grad(s->x, g->y), from, t->be->sample_bytes(d), &e)); /* y is like x */
	OK(rd_exec_backward(s->x, s->dw, &e));
	OK(t->be->sync(t->dev, &e));
	t->be->release(t->dev, from);
	free(times);
	free(label);
}

void bench_profile(const struct target *t, const char *network, const struct rd_model *m, int64_t batch)
{
	struct step s = {.t = t};
	struct rd_graph *g;
	double sum;
	FILE *f;

	OK(rd_net_build(&m->net, batch, &g, &e));
	OK(rd_exec_new(&s.x, g, t->be, t->dev, (struct rd_exec_opts){.training = true, .seed = 1}, &e));
	begin(&s, m, g);
	f = bench_row();
	fprintf(f, "\"network\":\"%s\",\"precision\":\"%s\",\"work\":\"profile\",\"batch\":%lld,\"parts\":[", network,
	        rd_precision_names[t->precision], (long long)batch);
	sum = tell_parts(f, &s);
	fprintf(f, "],\"sum_ms\":%.5g", sum);
	bench_end_row();
	void *all[] = {s.w, s.dw, s.m, s.v, s.ema, s.adamw, s.sq, s.norm_ws};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		t->be->release(t->dev, all[i]);
	rd_exec_free(s.x);
	rd_graph_free(g);
}
