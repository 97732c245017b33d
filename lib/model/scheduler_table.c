/* A RectdiffScheduler's form "table": {"table": [[t, alpha, sigma], ...], "network_time": "t" or "log"}. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/model/scheduler_impl.h"
#include "lib/ode/table.h"

static int row_of(const json_t *v, struct rd_table_row *row)
{
	double *const to[] = {&row->t, &row->alpha, &row->sigma};

	if (json_array_size(v) != 3)
		return -1;
	for (size_t i = 0; i < 3; i++) {
		if (!json_is_number(json_array_get(v, i)))
			return -1;
		*to[i] = json_number_value(json_array_get(v, i));
	}
	return 0;
}

int rd_sched_table(const struct rd_sched_ctx *x)
{
	static const char *const times[] = {"t", "log", NULL};
	const json_t *a = json_object_get(x->c, "table"), *v;
	size_t i;
	void *p;
	int log_time, rc = rd_sched_choice(x, "network_time", "t", times, &log_time);

	if (rc)
		return rc;
	if (!json_array_size(a) || json_array_size(a) > RD_TABLE_MAX_ROWS)
		return rd_fail(x->e, RD_EINPUT, "%s: table: a list of 2 to %d rows expected", x->file, RD_TABLE_MAX_ROWS);
	rc = rd_alloc(&p, json_array_size(a), sizeof(struct rd_table_row), "table", x->e);
	if (rc)
		return rc;
	json_array_foreach(a, i, v)
		if (!rc && row_of(v, (struct rd_table_row *)p + i))
			rc = rd_fail(x->e, RD_EINPUT, "row %zu: [t, alpha, sigma] expected", i + 1);
	if (!rc)
		rc = rd_schedule_init_table(&x->s->schedule, p, json_array_size(a), x->e);
	free(p);
	if (rc)
		return rd_context(x->e, "%s: table", x->file);
	x->s->schedule.log_time = log_time;
	if (log_time && !(rd_alpha(&x->s->schedule, x->s->schedule.t_hi) > 0))
		return rd_fail(x->e, RD_EINPUT, "%s: network_time: log: the table ends at alpha = 0, where that is infinite", x->file);
	return RD_OK;
}

/* Within the table. */
int rd_sched_table_range(const struct rd_sched_ctx *x)
{
	struct rd_schedule *c = &x->s->schedule;
	const struct rd_table_row *first = &c->table->row[0], *last = &c->table->row[c->table->n - 1];
	int rc = rd_sched_num(x, "t_min", c->t_lo, &c->t_lo);

	if (!rc)
		rc = rd_sched_num(x, "t_max", c->t_hi, &c->t_hi);
	if (!rc && !(c->t_lo >= first->t && c->t_lo < c->t_hi && c->t_hi <= last->t && rd_sigma(c, c->t_lo) > 0))
		rc = rd_fail(x->e, RD_EINPUT, "%s: t_min, t_max: %g to %g is not within the table's %g to %g, with sigma above 0", x->file, c->t_lo,
		             c->t_hi, first->t, last->t);
	return rc;
}

json_t *rd_scheduler_table_json(const struct rd_schedule *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->table->n; i++)
		if (json_array_append_new(a, json_pack("[f, f, f]", s->table->row[i].t, s->table->row[i].alpha, s->table->row[i].sigma))) {
			json_decref(a);
			return NULL;
		}
	return a;
}
