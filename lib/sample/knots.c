#include "lib/sample/knots.h"

#include <math.h>

static const struct rd_node *node_after(const struct rd_grid *g, int step)
{
	return step < g->steps ? &g->from[step] : &g->to[g->steps - 1];
}

/* In reverse a grid may lack its first step, of no length: the data end is at step 0 all the same. */
static int step_of(const struct rd_knots *k, int j)
{
	int step = k->first + j * k->stride;

	return step < 0 ? 0 : step;
}

int rd_knots_at(const struct rd_knots *k, int step)
{
	for (int j = 0; j <= k->phases && k->phases; j++)
		if (step_of(k, j) == step)
			return j;
	return -1;
}

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

static bool same_node(const struct rd_node *a, const struct rd_node *b)
{
	return near(a->t, b->t) && near(a->alpha, b->alpha) && near(a->sigma, b->sigma);
}

/* The phases as a grid of their own; every one of them must begin at a node of g, which the step before it reaches. */
static int compare(const struct rd_knots *k, const struct rd_grid *g, const struct rd_grid *phases, struct rd_err *e)
{
	for (int j = 0; j < k->phases; j++) {
		const struct rd_node *want = &phases->from[j], *have = node_after(g, step_of(k, j));
		int step = step_of(k, j);

		if (!same_node(want, have))
			return rd_fail(e, RD_EUSAGE, "knots %d: knot %d is at time %.9g, alpha %.9g, and the node after step %d at time %.9g, "
			               "alpha %.9g", k->phases, j, want->t, want->alpha, step, have->t, have->alpha);
		if (step > 0 && step < g->steps && !same_node(&g->to[step - 1], have))
			return rd_fail(e, RD_EUSAGE, "knots %d: step %d ends at time %.9g, and not at knot %d, time %.9g; with "
			               "--spacing trailing it does", k->phases, step - 1, g->to[step - 1].t, j, have->t);
	}
	return RD_OK;
}

int rd_knots_init(struct rd_knots *k, int phases, const struct rd_solver *s, const struct rd_grid *g,
                  const struct rd_grid_opts *o, bool reversed, struct rd_err *e)
{
	struct rd_grid_opts own = {.steps = phases, .spacing = RD_SPACING_TRAILING, .shift = o->shift};
	struct rd_grid grid;
	int rc;

	*k = (struct rd_knots){0};
	if (!phases)
		return RD_OK;
	if (phases < 2 || phases > RD_MAX_PHASES)
		return rd_fail(e, RD_EUSAGE, "knots %d: between 2 and %d phases have knots", phases, RD_MAX_PHASES);
	if (rd_solver_chooses_steps(s))
		return rd_fail(e, RD_EUSAGE, "knots %d: %s takes steps of its own for every sample", phases, rd_solver_name(s));
	if (o->steps % phases)
		return rd_fail(e, RD_EUSAGE, "knots %d: %d steps are no multiple of it, so the knots are no nodes", phases, o->steps);
	if (o->spacing != RD_SPACING_TRAILING || o->flow)
		return rd_fail(e, RD_EUSAGE, "knots %d: spacing %s%s has no nodes at the ends of equal phases; --spacing trailing has", phases,
		               rd_spacing_names[o->spacing], o->flow ? " of the model's scheduler" : "");
	if (s->singlestep && s->order > 1)
		return rd_fail(e, RD_EUSAGE, "knots %d: within its cycles of %d steps %s passes through states that are no points of the "
		               "trajectory", phases, s->order, rd_solver_name(s));
	rc = rd_grid_init(&grid, g->schedule, &own, e);
	if (rc)
		return rd_context(e, "knots %d", phases);
	*k = (struct rd_knots){phases, reversed ? g->steps : 0, reversed ? -(o->steps / phases) : o->steps / phases};
	rc = compare(k, g, &grid, e);
	rd_grid_free(&grid);
	return rc;
}

/* --- as JSON -------------------------------------------------------------------------------------------------------- */

struct columns {
	json_t *t, *time, *alpha, *sigma;
};

static struct columns begin(void)
{
	return (struct columns){json_array(), json_array(), json_array(), json_array()};
}

static void append(struct columns *c, const struct rd_node *n)
{
	json_array_append_new(c->t, json_real(n->t));
	json_array_append_new(c->time, json_real(n->net_t));
	json_array_append_new(c->alpha, json_real(n->alpha));
	json_array_append_new(c->sigma, json_real(n->sigma));
}

static json_t *finish(struct columns *c)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "t", c->t, "time", c->time, "alpha", c->alpha, "sigma", c->sigma);
}

json_t *rd_knots_json(const struct rd_knots *k, const struct rd_grid *g)
{
	struct columns c = begin();

	for (int j = 0; j <= k->phases; j++)
		append(&c, node_after(g, step_of(k, j)));
	return finish(&c);
}

json_t *rd_nodes_json(const struct rd_grid *g)
{
	struct columns c = begin();

	for (int i = 0; i <= g->steps; i++)
		append(&c, node_after(g, i));
	return finish(&c);
}
