#include "lib/model/query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/ode/table.h"

/* The same state in the network's own form; *scale times x is its x. */
static struct rd_node own_node(const struct rd_model *m, const struct rd_node *n, double *scale)
{
	struct rd_node at;

	*scale = 1;
	if (!m->scheduler.network)
		return *n;
	at = rd_node_of_n(&m->scheduler.network->schedule, n->alpha > 0 ? n->sigma / n->alpha : INFINITY);
	*scale = n->alpha > 0 && at.alpha > 0 ? at.alpha / n->alpha : at.sigma / n->sigma;
	return at;
}

double rd_model_start_scale(const struct rd_model *m, const struct rd_grid_opts *o, const struct rd_node *n)
{
	double scale;
	struct rd_node at = own_node(m, n, &scale);

	return m->scheduler.network ? rd_start_scale(&m->scheduler.network->schedule, &m->scheduler.network->grid, &at) / scale
	                  : rd_start_scale(&m->scheduler.schedule, o, n);
}

int rd_model_query(const struct rd_model *m, const struct rd_node *n, struct rd_query *q, struct rd_err *e)
{
	const struct rd_scheduler *own = m->scheduler.network ? m->scheduler.network : &m->scheduler;
	double scale;
	struct rd_node at = own_node(m, n, &scale);
	int rc;

	rc = rd_pred_coef(own->pred, at.alpha, at.sigma, &q->c, e);
	q->input = scale * rd_schedule_input_scale(&own->schedule, at.alpha, at.sigma);
	q->net_t = at.net_t * m->net.time_scale;
	rd_pred_target(own->pred, at.alpha, at.sigma, &q->on_x0, &q->on_eps);
	q->c.x0_x *= scale;
	q->c.eps_x *= scale;
	return rc;
}

/* Whether a network trained up to `most` knows a node, but for rounding. */
static bool knows(const struct rd_node *most, struct rd_node n)
{
	return n.sigma * most->alpha <= most->sigma * n.alpha * (1 + 1e-6);
}

/* The ends, where the form has the network's own least and most noise; its usual range must not cut them off. */
static int set_range(struct rd_schedule *s, const struct rd_schedule *own, struct rd_err *e)
{
	struct rd_node most = rd_node_at(own, own->t_hi), least = rd_node_at(own, own->t_lo);
	bool ve = !strcmp(s->form->name, "ve"), fm = !strcmp(s->form->name, "fm");

	if (!strcmp(s->form->name, "ddpm")) { /* the noisiest times go */
		while (s->n_train > 2 && most.alpha > 0 && !knows(&most, rd_node_at(s, (double)(s->n_train - 1))))
			s->n_train--;
		s->t_hi = (double)(s->n_train - 1);
		return RD_OK;
	}
	if (s->table)
		return rd_table_narrow(s, least.sigma / least.alpha, most.alpha > 0 ? most.sigma / most.alpha : INFINITY, e);
	s->t_lo = 1e-9;
	s->t_hi = ve ? 1e9 : fm ? 1 : 10;
	s->t_lo = s->form->t_of_n(s, least.sigma / least.alpha);
	s->t_hi = s->form->t_of_n(s, most.alpha > 0 ? most.sigma / most.alpha : INFINITY);
	if (!(most.alpha > 0) && !fm) /* no form but fm has an end without signal: the usual one is taken */
		s->t_hi = ve ? 80 : 1;
	return RD_OK;
}

/* The config of a RectdiffScheduler that says all this; and no index of a pipeline that names another. */
static int record(struct rd_model *m, struct rd_err *e)
{
	const struct rd_schedule *s = &m->scheduler.schedule;
	bool ve = !strcmp(s->form->name, "ve");
	json_t *c = json_pack("{s:s, s:s, s:s, s:f, s:O}", "_class_name", m->scheduler.class_name, "form", s->form->name,
	                      "prediction_type", rd_scheduler_predictions[m->scheduler.pred.type], "sigma_data", m->scheduler.pred.sigma_data,
	                      "network", m->scheduler_config);

	if (c && !strcmp(s->form->name, "ddpm"))
		json_object_set_new(c, "t_max", json_real(s->t_hi));
	if (c && strcmp(s->form->name, "ddpm")) {
		json_object_set_new(c, ve ? "sigma_min" : "t_min", json_real(s->t_lo));
		json_object_set_new(c, ve ? "sigma_max" : "t_max", json_real(s->t_hi));
	}
	if (c && s->table)
		json_object_set_new(c, "table", rd_scheduler_table_json(s));
	free(m->scheduler_text);
	free(m->index_text);
	m->index_text = NULL;
	m->scheduler_text = c ? json_dumps(c, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
	json_decref(m->scheduler_config);
	m->scheduler_config = c;
	return m->scheduler_text ? RD_OK : rd_fail(e, RD_ENOMEM, "%s: no memory", m->dir);
}

int rd_model_convert(struct rd_model *m, const char *form, int pred, struct rd_err *e)
{
	struct rd_scheduler *own, *now = &m->scheduler;
	void *p;
	int rc;

	if (now->network)
		return rd_fail(e, RD_EINPUT, "%s: it is converted from %s already", m->dir, now->network->schedule.form->name);
	rc = rd_alloc0(&p, 1, sizeof *own, "scheduler", e);
	if (rc)
		return rc;
	own = p;
	*own = *now;
	memset(now, 0, sizeof *now);
	now->network = own;
	m->converted = true;
	rc = rd_schedule_init(&now->schedule, form, e);
	if (rc)
		return rc;
	rc = set_range(&now->schedule, &own->schedule, e);
	if (rc)
		return rd_context(e, "%s as %s", m->dir, form);
	snprintf(now->class_name, sizeof now->class_name, "RectdiffScheduler");
	now->pred = own->pred;
	if (pred >= 0)
		now->pred = (struct rd_prediction){(enum rd_pred)pred, rd_pred_is_edm(own->pred.type) ? own->pred.sigma_data
		                                                                                   : rd_pred_sigma_data((enum rd_pred)pred)};
	rd_scheduler_own_sampling(now);
	now->clip_range = own->clip_range;
	now->clip = own->clip;
	return m->scheduler_config ? record(m, e) : RD_OK; /* an analytic model has no config */
}
