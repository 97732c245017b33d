#include "lib/ode/path.h"

struct rd_path_coef rd_path_through(const struct rd_node *s, const struct rd_node *p)
{
	double det = p->alpha * s->sigma - s->alpha * p->sigma;

	return (struct rd_path_coef){ -p->sigma / det, s->sigma / det, p->alpha / det, -s->alpha / det };
}

void rd_path_at(const struct rd_path_coef *c, const struct rd_node *n, double *on_s, double *on_p)
{
	*on_s = n->alpha * c->x0_s + n->sigma * c->eps_s;
	*on_p = n->alpha * c->x0_p + n->sigma * c->eps_p;
}
