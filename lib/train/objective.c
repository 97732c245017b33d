#include "lib/train/objective.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/model/query.h"

#define SEES_NOTHING 1e-6 /* of an error of the network's output, times this */

int rd_train_batch_new(struct rd_train_batch *b, int64_t n, size_t dim, struct rd_err *e)
{
	size_t count = (size_t)n, all;

	*b = (struct rd_train_batch){.n = n, .dim = dim};
	if (!rd_mul(count, dim, &all))
		return rd_fail(e, RD_ENOMEM, "training batch: %lld samples of %zu numbers overflow a size", (long long)n, dim);
	struct {
		void **p;
		size_t n, size;
	} a[] = {{(void **)&b->x0, all, 4}, {(void **)&b->eps, all, 4}, {(void **)&b->label, count, 4}, {(void **)&b->t, count, 4},
	         {(void **)&b->in_a, count, 4}, {(void **)&b->in_b, count, 4}, {(void **)&b->on_a, count, 4},
	         {(void **)&b->on_b, count, 4}, {(void **)&b->k, count, 4}, {(void **)&b->weight, count, 4},
	         {(void **)&b->node, count, sizeof *b->node}, {(void **)&b->part, count, sizeof *b->part}};
	int rc = 0;

	for (size_t i = 0; i < sizeof a / sizeof *a && !rc; i++)
		rc = rd_alloc0(a[i].p, a[i].n, a[i].size, "training batch", e);
	if (rc)
		rd_train_batch_free(b);
	return rc;
}

void rd_train_batch_free(struct rd_train_batch *b)
{
	void *p[] = {b->x0, b->eps, b->label, b->t, b->in_a, b->in_b, b->on_a, b->on_b, b->k, b->weight, b->node, b->part};

	for (size_t i = 0; i < sizeof p / sizeof *p; i++)
		free(p[i]);
	*b = (struct rd_train_batch){0};
}

struct rd_train_batch rd_train_micro_batch(const struct rd_train_batch *b, int64_t first, int64_t n)
{
	const size_t at = (size_t)first * b->dim;

	return (struct rd_train_batch){.n = n, .dim = b->dim, .x0 = b->x0 + at, .eps = b->eps + at, .label = b->label + first,
	                               .t = b->t + first, .in_a = b->in_a + first, .in_b = b->in_b + first, .on_a = b->on_a + first,
	                               .on_b = b->on_b + first, .k = b->k + first, .weight = b->weight + first,
	                               .node = b->node + first, .part = b->part + first};
}

/* What an error of the network's output becomes in the loss's space. */
static double error_factor(const struct rd_objective *b, const struct rd_node *n, int part, const struct rd_query *q)
{
	const struct rd_node *end = b->phases.n ? &b->phases.knot[part + 1] : NULL;
	double on_x0, on_eps;

	switch (b->o->space) {
	case RD_SPACE_X0: return fabs(end ? end->alpha * q->c.x0_f + end->sigma * q->c.eps_f : q->c.x0_f);
	case RD_SPACE_EPS: return fabs(q->c.eps_f);
	default:
		rd_pred_target(b->m->scheduler.pred, n->alpha, n->sigma, &on_x0, &on_eps);
		return fabs(on_x0 * q->c.x0_f + on_eps * q->c.eps_f);
	}
}

/* What an image's error and loss are multiplied by. A weight is that of a squared error of x0, whatever the space: a squared loss is
 * that of x0 then, since the space's own factor, which may be 0, would only have to be taken off again. */
static void factors(const struct rd_objective *b, const struct rd_node *n, int part, const struct rd_query *q, double *k,
                    double *weight)
{
	const struct rd_spec *w = &b->o->weight;
	double ratio = n->alpha / n->sigma, snr = ratio * ratio;

	*k = w->kind != RD_WEIGHT_NONE && b->o->loss == RD_LOSS_L2 ? fabs(q->c.x0_f) : error_factor(b, n, part, q);
	switch (w->kind) {
	case RD_WEIGHT_SNR: *weight = snr; break;
	case RD_WEIGHT_MIN_SNR: *weight = fmin(snr, w->a[0]); break;
	case RD_WEIGHT_EDM: *weight = snr + 1 / (w->a[0] * w->a[0]); break;
	default: *weight = 1; return;
	}
	if (b->o->loss != RD_LOSS_L2)
		*weight *= (q->c.x0_f / *k) * (q->c.x0_f / *k);
}

/* The node at u, and which phase or step it is of. */
static struct rd_node node_at(const struct rd_objective *b, double u, int *part)
{
	const struct rd_schedule *s = &b->m->scheduler.schedule;
	struct rd_node n;

	if (b->grid.steps) {
		int i = (int)((1 - u) * b->grid.steps);

		*part = i < b->grid.steps ? i : b->grid.steps - 1;
		return b->grid.from[*part];
	}
	n = rd_node_at(s, s->form->t_of_u(s, u));
	*part = b->phases.n ? rd_phases_at(&b->phases, &n) : 0;
	return n;
}

static double factor_at(const void *ctx, double u)
{
	const struct rd_objective *b = ctx;
	int part;
	struct rd_node n = node_at(b, u, &part);
	struct rd_query q;
	struct rd_err e;
	double k, weight;

	if (rd_model_query(b->m, &n, &q, &e))
		return 0;
	factors(b, &n, part, &q, &k, &weight);
	return k * sqrt(weight);
}

static double noise_at(const void *ctx, double u)
{
	int part;
	struct rd_node n = node_at(ctx, u, &part);

	return n.sigma / n.alpha;
}

/* A prediction type that says nothing at the schedule's noisy end is refused now, not at the step that first draws it; so is a
 * weight that would have to make up for a loss that sees nothing there; and so is a loss that sees nothing, or has no weight, where
 * there is no other time. */
static int check_last_time(const struct rd_objective *b, struct rd_err *e)
{
	const char *space = rd_loss_space_names[b->o->space], *name = rd_weight_kinds[b->o->weight.kind].name;
	const struct rd_schedule *s = &b->m->scheduler.schedule;
	const struct rd_node n = b->grid.steps ? b->grid.from[0] : rd_node_at(s, s->t_hi);
	const int part = 0;
	struct rd_query q;
	double k, weight;

	if (rd_model_query(b->m, &n, &q, e))
		return rd_context(e, "training at t = %g", n.t);
	factors(b, &n, part, &q, &k, &weight);
	if (k < SEES_NOTHING && b->o->weight.kind != RD_WEIGHT_NONE)
		return rd_fail(e, RD_EUSAGE, "a weight of x0's errors (%s), and at the noisiest time, alpha %g, a %s loss in the space %s sees "
		               "no error (x0's does)", name, n.alpha, rd_loss_names[b->o->loss], space);
	if (b->o->times.kind != RD_TIMES_LAST)
		return RD_OK;
	if (k < SEES_NOTHING)
		return rd_fail(e, RD_EUSAGE, "the noisiest time alone, alpha %g: a loss in the space %s sees no error there (x0's does)",
		               n.alpha, space);
	if (k * sqrt(weight) < SEES_NOTHING)
		return rd_fail(e, RD_EUSAGE, "the noisiest time alone, alpha %g: the weight %s is nothing there (none and edm are not)",
		               n.alpha, name);
	return RD_OK;
}

static int even_steps(const struct rd_objective *b, int steps, struct rd_grid *g, struct rd_err *e)
{
	const struct rd_grid_opts o = {.steps = steps, .spacing = RD_SPACING_TRAILING};

	return rd_grid_init(g, &b->m->scheduler.schedule, &o, e);
}

int rd_objective_init(struct rd_objective *b, const struct rd_model *m, const struct rd_train_opts *o, const json_t *data_meta,
                      struct rd_err *e)
{
	const bool whole = o->consistency || !strcmp(m->scheduler.schedule.form->name, "ddpm");
	const struct rd_times_on on = {.factor = factor_at, .n = noise_at, .ctx = b, .whole = whole};
	int rc = 0;

	*b = (struct rd_objective){.m = m, .o = o};
	if (o->consistency)
		rc = even_steps(b, o->consistency, &b->grid, e);
	if (o->phases && o->coupling == RD_COUPLING_PAIRS)
		rc = rd_phases_recorded(&b->phases, data_meta, e);
	else if (o->phases)
		rc = even_steps(b, o->phases * o->phase_steps, &b->within, e);
	if (!rc && b->within.steps)
		rc = rd_phases_of_grid(&b->phases, &b->within, o->phases, e);
	if (!rc && o->phases && b->phases.n != o->phases)
		rc = rd_fail(e, RD_EUSAGE, "%d phases: the trajectories were recorded with knots of %d", o->phases, b->phases.n);
	if (!rc)
		rc = check_last_time(b, e);
	if (!rc)
		rc = rd_timedist_init(&b->times, &o->times, &on, e);
	if (rc)
		rd_objective_free(b);
	return rc;
}

void rd_objective_free(struct rd_objective *b)
{
	rd_phases_free(&b->phases);
	rd_grid_free(&b->grid);
	rd_grid_free(&b->within);
}

int rd_objective_set(const struct rd_objective *b, double v, struct rd_train_batch *batch, int64_t j, struct rd_err *e)
{
	double of_time, k, weight;
	struct rd_node n = node_at(b, rd_timedist_draw(&b->times, v, &of_time), &batch->part[j]);
	struct rd_query q;

	if (rd_model_query(b->m, &n, &q, e))
		return rd_context(e, "training at t = %g", n.t);
	factors(b, &n, batch->part[j], &q, &k, &weight);
	batch->node[j] = n;
	batch->t[j] = (float)q.net_t;
	batch->k[j] = (float)k;
	batch->weight[j] = (float)(of_time * weight);
	if (b->grid.steps) {
		batch->in_a[j] = 0;
		batch->in_b[j] = (float)q.input;
		batch->on_a[j] = (float)(1 / q.c.x0_f);
		batch->on_b[j] = (float)(-q.c.x0_x / q.c.x0_f);
	} else {
		batch->in_a[j] = (float)(q.input * n.alpha);
		batch->in_b[j] = (float)(q.input * n.sigma);
		batch->on_a[j] = (float)q.on_x0;
		batch->on_b[j] = (float)q.on_eps;
	}
	return RD_OK;
}
