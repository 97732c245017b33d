#include "lib/measure/chords.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/size.h"
#include "lib/ode/path.h"

static struct rd_node node(const struct rd_traj_grid *g, int k)
{
	return (struct rd_node){ .t = g->t[k], .alpha = g->alpha[k], .sigma = g->sigma[k] };
}

/* The sine of the angle between (alpha, sigma) at the two nodes. */
static double between(const struct rd_node *s, const struct rd_node *p)
{
	return (p->alpha * s->sigma - s->alpha * p->sigma) / hypot(s->alpha, s->sigma) / hypot(p->alpha, p->sigma);
}

int rd_chords_init(struct rd_chords *c, const struct rd_traj_grid *g, int phases, struct rd_err *e)
{
	int rc;

	*c = (struct rd_chords){ 0 };
	if (g->steps % phases)
		return rd_fail(e, RD_EUSAGE, "chords of %d phases: %d steps are no multiple of that", phases, g->steps);
	rc = rd_alloc((void **)&c->w, (size_t)g->steps + 1, sizeof *c->w, "chords", e);
	if (rc)
		return rc;
	c->phases = phases;
	c->each = g->steps / phases;
	for (int k = 0; k <= g->steps; k++) {
		const int s = rd_chords_start(c, k);
		const struct rd_node from = node(g, s), to = node(g, s + c->each), at = node(g, k);
		const struct rd_path_coef path = rd_path_through(&from, &to);

		if (fabs(between(&from, &to)) < 1e-12) {
			rd_chords_free(c);
			return rd_fail(e, RD_EDOMAIN, "nodes %d and %d have the same sigma/alpha: no chord is defined by them", s,
			               s + g->steps / phases);
		}
		rd_path_at(&path, &at, &c->w[k][0], &c->w[k][1]);
	}
	return RD_OK;
}

void rd_chords_free(struct rd_chords *c)
{
	free(c->w);
	*c = (struct rd_chords){ 0 };
}

int rd_chords_start(const struct rd_chords *c, int k)
{
	const int phase = k / c->each;

	return (phase < c->phases ? phase : c->phases - 1) * c->each;
}

/* sqrt(|x_k - c_k|^2 / d) */
static double apart(const struct rd_chords *c, const struct rd_traj *p, int k)
{
	const float *x = p->x + (size_t)k * p->dim;
	const float *xs = p->x + (size_t)rd_chords_start(c, k) * p->dim, *xp = xs + (size_t)c->each * p->dim;
	double sum = 0;

	for (size_t j = 0; j < p->dim; j++) {
		const double r = (double)x[j] - c->w[k][0] * (double)xs[j] - c->w[k][1] * (double)xp[j];

		sum += r * r;
	}
	return sqrt(sum / (double)p->dim);
}

double rd_chords_distance(const struct rd_chords *c, const struct rd_traj_grid *g, const struct rd_traj *p)
{
	double sum = 0;
	int n = 0;

	for (int k = 0; k <= g->steps; k++)
		if (k % c->each) { /* the path runs through the knots */
			sum += apart(c, p, k) / hypot(g->alpha[k], g->sigma[k]);
			n++;
		}
	return n ? sum / n : 0;
}
