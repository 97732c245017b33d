#include "lib/measure/trajreport.h"

#include <math.h>
#include <stdlib.h>

#include "formats/json.h"

static const char *const names[] = { "x", "x0", "eps" };

int rd_traj_csv_header(struct rd_out *o, size_t dim, struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "i,k,t,alpha,sigma");

	for (int f = 0; f < 3; f++) {
		if (!rc && dim > RD_TRAJ_CSV_MAX_DIM)
			rc = rd_out_printf(o, e, ",%s.norm", names[f]);
		for (size_t j = 0; !rc && dim <= RD_TRAJ_CSV_MAX_DIM && j < dim; j++)
			rc = rd_out_printf(o, e, ",%s.%zu", names[f], j);
	}
	return rc ? rc : rd_out_printf(o, e, "\n");
}

static double norm(const float *v, size_t n)
{
	double sum = 0;

	for (size_t j = 0; j < n; j++)
		sum += (double)v[j] * (double)v[j];
	return sqrt(sum / (double)n);
}

/* The cells of one vector, each after a comma; v NULL: empty ones. */
static int cells(struct rd_out *o, const float *v, size_t dim, struct rd_err *e)
{
	int rc = RD_OK;

	if (dim > RD_TRAJ_CSV_MAX_DIM)
		return v ? rd_out_printf(o, e, ",%.9g", norm(v, dim)) : rd_out_printf(o, e, ",");
	for (size_t j = 0; !rc && j < dim; j++)
		rc = v ? rd_out_printf(o, e, ",%.9g", (double)v[j]) : rd_out_printf(o, e, ",");
	return rc;
}

int rd_traj_csv_rows(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj *p, struct rd_err *e)
{
	int rc = RD_OK;

	for (int k = 0; !rc && k <= g->steps; k++) {
		const size_t at = (size_t)k * p->dim;

		rc = rd_out_printf(o, e, "%llu,%d,%.17g,%.17g,%.17g", (unsigned long long)p->index, k, g->t[k], g->alpha[k],
		                   g->sigma[k]);
		if (!rc)
			rc = cells(o, p->x + at, p->dim, e);
		if (!rc)
			rc = cells(o, k < g->steps ? p->x0 + at : NULL, p->dim, e);
		if (!rc)
			rc = cells(o, k < g->steps ? p->eps + at : NULL, p->dim, e);
		if (!rc)
			rc = rd_out_printf(o, e, "\n");
	}
	return rc;
}

int rd_traj_report_json(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj_stats *s, size_t dim,
                        const json_t *meta, struct rd_err *e)
{
	json_t *all = json_pack("{s:I, s:i, s:I}", "samples", (json_int_t)s->n, "steps", g->steps, "dim", (json_int_t)dim);
	json_t *numbers = rd_traj_stats_json(s), *rest = json_copy((json_t *)(uintptr_t)meta);
	char *text = NULL;
	int rc;

	json_object_del(rest, "grid");
	if (!json_object_update(all, numbers) && !json_object_set(all, "meta", rest))
		text = rd_json_text(all);
	rc = text ? rd_out_printf(o, e, "%s\n", text) : rd_fail(e, RD_ENOMEM, "no memory for the JSON");
	free(text);
	json_decref(rest);
	json_decref(numbers);
	json_decref(all);
	return rc;
}

int rd_traj_report_tsv(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj_stats *s, const char *name,
                       struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "name\tsamples\tsteps");

	for (int q = 0; !rc && q < RD_TRAJ_N; q++)
		rc = rd_out_printf(o, e, "\t%s", rd_traj_names[q]);
	if (!rc)
		rc = rd_out_printf(o, e, "\n%s\t%zu\t%d", name, s->n, g->steps);
	for (int q = 0; !rc && q < RD_TRAJ_N; q++)
		rc = rd_out_printf(o, e, "\t%.6g", rd_traj_stats_mean(s, (enum rd_traj_number)q));
	return rc ? rc : rd_out_printf(o, e, "\n");
}
