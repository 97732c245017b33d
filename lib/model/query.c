#include "lib/model/query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

/* The same state in the network's own form; *scale times x is its x. */
static struct rd_node own_node(const struct rd_model *m, const struct rd_node *n, double *scale)
{
	struct rd_node at;

	*scale = 1;
	if (!m->network)
		return *n;
	at = rd_node_of_n(&m->network->schedule, n->alpha > 0 ? n->sigma / n->alpha : INFINITY);
	*scale = n->alpha > 0 && at.alpha > 0 ? at.alpha / n->alpha : at.sigma / n->sigma;
	return at;
}

double rd_model_start_scale(const struct rd_model *m, const struct rd_grid_opts *o, const struct rd_node *n)
{
	double scale;
	struct rd_node at = own_node(m, n, &scale);

	return m->network ? rd_start_scale(&m->network->schedule, &m->network->grid, &at) / scale
	                  : rd_start_scale(&m->scheduler.schedule, o, n);
}

int rd_model_query(const struct rd_model *m, const struct rd_node *n, struct rd_query *q, struct rd_err *e)
{
	const struct rd_scheduler *own = m->network ? m->network : &m->scheduler;
	double scale;
	struct rd_node at = own_node(m, n, &scale);
	int rc;

	rc = rd_pred_coef(own->pred, at.alpha, at.sigma, &q->c, e);
	q->input = scale * rd_schedule_input_scale(&own->schedule, at.alpha, at.sigma);
	q->net_t = at.net_t * m->net.time_scale;
	q->c.x0_x *= scale;
	q->c.eps_x *= scale;
	return rc;
}

int rd_model_convert(struct rd_model *m, const char *form, int pred, struct rd_err *e)
{
	struct rd_scheduler *own;
	struct rd_schedule *s = &m->scheduler.schedule;
	struct rd_node most, least;
	void *p;
	int rc;

	if (m->network)
		return rd_fail(e, RD_EINPUT, "%s: it is converted from %s already", m->dir, m->network->schedule.form->name);
	rc = rd_alloc0(&p, 1, sizeof *own, "scheduler", e);
	if (rc)
		return rc;
	own = p;
	*own = m->scheduler;
	memset(&m->scheduler, 0, sizeof m->scheduler);
	m->network = own;
	rc = rd_schedule_init(s, form, e);
	if (rc)
		return rc;
	most = rd_node_at(&own->schedule, own->schedule.t_hi);
	least = rd_node_at(&own->schedule, own->schedule.t_lo);
	snprintf(m->scheduler.class_name, sizeof m->scheduler.class_name, "RectdiffScheduler");
	m->scheduler.pred = pred < 0 ? own->pred : (struct rd_prediction){(enum rd_pred)pred, own->pred.sigma_data};
	m->scheduler.solver = (struct rd_solver){.family = RD_DPM, .order = 2, .data = true};
	m->scheduler.grid.spacing = strcmp(form, "ve") ? RD_SPACING_TRAILING : RD_SPACING_KARRAS;
	m->scheduler.clip_range = own->clip_range;
	m->scheduler.clip = own->clip;
	/* The ends, where the new form has the network's own least and most noise; its usual range must not cut them off. */
	if (!strcmp(form, "ddpm"))
		return RD_OK;
	s->t_lo = 1e-9;
	s->t_hi = strcmp(form, "ve") ? strcmp(form, "fm") ? 10 : 1 : 1e9;
	s->t_lo = s->form->t_of_n(s, least.sigma / least.alpha);
	s->t_hi = s->form->t_of_n(s, most.alpha > 0 ? most.sigma / most.alpha : INFINITY);
	if (most.alpha > 0 || !strcmp(form, "fm"))
		return RD_OK;
	/* no form but fm has an end without signal: the usual one is taken */
	s->t_hi = strcmp(form, "ve") ? 1 : 80;
	return RD_OK;
}
