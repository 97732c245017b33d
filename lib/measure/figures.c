#include "lib/measure/figures.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/json.h"

/* The number of samples used, and what only that metric has to say. */
static json_t *particulars(const struct rd_metrics *m, const struct rd_metrics_opts *o, int k)
{
	json_t *j = json_pack("{s:I, s:I}", "n_a", (json_int_t)m->m[k].n_a, "n_b", (json_int_t)m->m[k].n_b);

	if (k == RD_METRIC_MMD)
		json_object_set_new(j, "bandwidth", json_real(m->bandwidth));
	if (k == RD_METRIC_FRECHET) {
		json_object_set_new(j, "dimensions", json_integer((json_int_t)m->dimensions));
		json_object_set_new(j, "variance", json_real(m->variance));
	}
	if (k >= RD_METRIC_PRECISION && k <= RD_METRIC_COVERAGE)
		json_object_set_new(j, "neighbours", json_integer(o->neighbours));
	return j;
}

int rd_metrics_figures(const struct rd_metrics *m, const struct rd_metrics_opts *o, const char *prefix, struct rd_figure *f)
{
	int n = 0;

	for (int k = 0; k < RD_N_METRICS; k++) {
		if (!o->want[k])
			continue;
		f[n] = (struct rd_figure){.there = m->m[k].there, .value = m->m[k].value, .se = m->m[k].se};
		snprintf(f[n].name, sizeof f[n].name, "%s%s", prefix, rd_metric_names[k]);
		f[n++].more = m->m[k].there ? particulars(m, o, k) : NULL;
	}
	return n;
}

void rd_figures_free(struct rd_figure *f, int n)
{
	for (int i = 0; i < n; i++)
		json_decref(f[i].more);
}

int rd_figures_text(struct rd_out *out, const struct rd_figure *f, int n, struct rd_err *e)
{
	int rc = RD_OK;

	for (int i = 0; !rc && i < n; i++)
		if (f[i].there)
			rc = rd_out_printf(out, e, "%s %.6g %.2g\n", f[i].name, f[i].value, f[i].se);
	return rc;
}

int rd_figures_tsv(struct rd_out *out, const char *row, const struct rd_figure *f, int n, struct rd_err *e)
{
	int rc = rd_out_printf(out, e, "name");

	for (int i = 0; !rc && i < n; i++)
		rc = rd_out_printf(out, e, "\t%s\t%s_se", f[i].name, f[i].name);
	if (!rc)
		rc = rd_out_printf(out, e, "\n%s", row);
	for (int i = 0; !rc && i < n; i++)
		rc = f[i].there ? rd_out_printf(out, e, "\t%.6g\t%.2g", f[i].value, f[i].se) : rd_out_printf(out, e, "\t-\t-");
	return rc ? rc : rd_out_printf(out, e, "\n");
}

int rd_figures_json(struct rd_out *out, json_t *head, const struct rd_figure *f, int n, struct rd_err *e)
{
	char *text;
	int rc;

	for (int i = 0; i < n; i++) {
		json_t *one = f[i].there ? json_pack("{s:f, s:f}", "value", f[i].value, "se", f[i].se) : json_null();

		if (f[i].there && f[i].more)
			json_object_update(one, f[i].more);
		json_object_set_new(head, f[i].name, one);
	}
	text = rd_json_text(head);
	rc = text ? rd_out_printf(out, e, "%s\n", text) : rd_fail(e, RD_EFAIL, "a name or a path that is not UTF-8");
	free(text);
	return rc;
}
