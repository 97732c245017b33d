#include "lib/train/phases.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/size.h"

#define PHASES_MAX 1000

static int make(struct rd_phases *p, int n, struct rd_err *e)
{
	void *q;
	int rc = rd_alloc0(&q, (size_t)n + 1, sizeof *p->knot, "phases", e);

	*p = (struct rd_phases){0};
	if (rc)
		return rc;
	p->n = n;
	p->knot = q;
	return RD_OK;
}

int rd_phases_of_grid(struct rd_phases *p, const struct rd_grid *g, int n, struct rd_err *e)
{
	int each = g->steps / n, rc = make(p, n, e);

	for (int i = 0; i <= n && !rc; i++)
		p->knot[i] = i < n ? g->from[i * each] : g->to[g->steps - 1];
	return rc;
}

static double number(const json_t *knots, const char *key, size_t i)
{
	const json_t *v = json_array_get(json_object_get(knots, key), i);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

int rd_phases_recorded(struct rd_phases *p, const json_t *meta, struct rd_err *e)
{
	const json_t *knots = json_object_get(meta, "knots");
	size_t n = json_array_size(json_object_get(knots, "alpha"));
	double before = INFINITY;
	int rc;

	if (n < 3 || n > PHASES_MAX)
		return rd_fail(e, RD_EINPUT, "meta: knots: three numbers or more expected as `alpha`");
	rc = make(p, (int)n - 1, e);
	for (size_t i = 0; i < n && !rc; i++) {
		struct rd_node *k = &p->knot[i];
		double ratio;

		*k = (struct rd_node){number(knots, "t", i), NAN, number(knots, "alpha", i), number(knots, "sigma", i)};
		ratio = k->alpha > 0 ? k->sigma / k->alpha : i ? NAN : HUGE_VAL;
		if (!(k->alpha >= 0 && k->sigma >= 0 && k->alpha + k->sigma > 0 && (ratio < before || (!i && ratio > 0))))
			rc = rd_fail(e, RD_EINPUT, "meta: knots: number %zu: alpha %g, sigma %g: less noise expected than at the knot before",
			             i, k->alpha, k->sigma);
		before = ratio;
	}
	if (rc)
		rd_phases_free(p);
	return rc;
}

void rd_phases_free(struct rd_phases *p)
{
	free(p->knot);
	*p = (struct rd_phases){0};
}

int rd_phases_at(const struct rd_phases *p, const struct rd_node *n)
{
	int i = p->n - 1;

	/* sigma/alpha compared without the division, since alpha may be 0; rounding must not put a knot into the phase after it */
	while (i > 0 && n->sigma * p->knot[i].alpha > p->knot[i].sigma * n->alpha * (1 + 1e-9))
		i--;
	return i;
}
