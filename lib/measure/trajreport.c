#include "lib/measure/trajreport.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"

static const char *const names[] = { "x", "x0", "eps" };

int rd_traj_csv_header(struct rd_out *o, size_t dim, struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "i,k,t,alpha,sigma,defect");

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

int rd_traj_csv_rows(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj *p, const double *node,
                     struct rd_err *e)
{
	int rc = RD_OK;

	for (int k = 0; !rc && k <= g->steps; k++) {
		const size_t at = (size_t)k * p->dim;

		rc = rd_out_printf(o, e, "%llu,%d,%.17g,%.17g,%.17g", (unsigned long long)p->index, k, g->t[k], g->alpha[k],
		                   g->sigma[k]);
		if (!rc)
			rc = k < g->steps ? rd_out_printf(o, e, ",%.9g", node[k]) : rd_out_printf(o, e, ",");
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

int rd_traj_samples_header(struct rd_out *o, bool chords, struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "name,i");

	for (int q = 0; !rc && q < rd_traj_numbers(chords); q++)
		rc = rd_out_printf(o, e, ",%s", rd_traj_names[q]);
	return rc ? rc : rd_out_printf(o, e, "\n");
}

/* A cell of CSV (RFC 4180): in quotes where it has to be, quotes in it doubled. */
static int quoted(struct rd_out *o, const char *text, struct rd_err *e)
{
	int rc;

	if (!strpbrk(text, ",\"\r\n"))
		return rd_out_printf(o, e, "%s", text);
	rc = rd_out_printf(o, e, "\"");
	for (; !rc && *text; text++)
		rc = rd_out_printf(o, e, "%s%c", *text == '"' ? "\"" : "", *text);
	return rc ? rc : rd_out_printf(o, e, "\"");
}

int rd_traj_samples_row(struct rd_out *o, const char *name, uint64_t index, const double v[RD_TRAJ_N], bool chords,
                        struct rd_err *e)
{
	int rc = quoted(o, name, e);

	if (!rc)
		rc = rd_out_printf(o, e, ",%llu", (unsigned long long)index);
	for (int q = 0; !rc && q < rd_traj_numbers(chords); q++)
		rc = rd_out_printf(o, e, ",%.9g", v[q]);
	return rc ? rc : rd_out_printf(o, e, "\n");
}

int rd_traj_report_json(struct rd_out *o, const struct rd_traj_told *t, struct rd_err *e)
{
	json_t *all = json_pack("{s:s, s:I, s:i, s:I}", "name", t->name, "samples", (json_int_t)t->stats->n, "steps",
	                        t->grid->steps, "dim", (json_int_t)t->dim);
	json_t *numbers, *rest = json_copy((json_t *)(uintptr_t)t->meta);
	char *text = NULL;
	int rc = rd_traj_stats_json(t->stats, t->grid, &numbers, e);

	json_object_del(rest, "grid");
	if (t->phases)
		json_object_set_new(all, "phases", json_integer(t->phases));
	if (!all && !rc)
		rc = rd_fail(e, RD_EUSAGE, "%s: a name that is no UTF-8; NAME=FILE gives another", t->name);
	if (!rc && !json_object_update(all, numbers) && !json_object_set(all, "meta", rest))
		text = rd_json_text(all);
	if (!rc)
		rc = text ? rd_out_printf(o, e, "%s\n", text) : rd_fail(e, RD_ENOMEM, "no memory for the JSON");
	free(text);
	json_decref(rest);
	json_decref(numbers);
	json_decref(all);
	return rc;
}

int rd_traj_tsv_header(struct rd_out *o, bool chords, struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "name\tsamples\tsteps%s", chords ? "\tphases" : "");

	for (int q = 0; !rc && q < rd_traj_numbers(chords); q++)
		rc = rd_out_printf(o, e, "\t%s", rd_traj_names[q]);
	return rc ? rc : rd_out_printf(o, e, "\n");
}

int rd_traj_tsv_row(struct rd_out *o, const struct rd_traj_told *t, struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "%s\t%zu\t%d", t->name, t->stats->n, t->grid->steps);

	if (!rc && t->phases)
		rc = rd_out_printf(o, e, "\t%d", t->phases);
	for (int q = 0; !rc && q < rd_traj_numbers(t->phases); q++) {
		struct rd_traj_summary m;

		rc = rd_traj_stats_number(t->stats, (enum rd_traj_number)q, &m, e);
		if (!rc)
			rc = rd_out_printf(o, e, "\t%.6g", m.mean);
	}
	return rc ? rc : rd_out_printf(o, e, "\n");
}

int rd_traj_report_text(struct rd_out *o, const struct rd_traj_told *t, struct rd_err *e)
{
	int rc = rd_out_printf(o, e, "%s: %zu sample%s of %zu number%s, %d step%s", t->name, t->stats->n,
	                       t->stats->n == 1 ? "" : "s", t->dim, t->dim == 1 ? "" : "s", t->grid->steps,
	                       t->grid->steps == 1 ? "" : "s");

	if (!rc && t->phases)
		rc = rd_out_printf(o, e, ", chords of %d phase%s", t->phases, t->phases == 1 ? "" : "s");
	if (!rc)
		rc = rd_out_printf(o, e, "\n  %-20s%11s%11s%11s%11s%11s%11s\n", "", "mean", "5 %", "25 %", "50 %", "75 %", "95 %");
	for (int q = 0; !rc && q < rd_traj_numbers(t->phases); q++) {
		struct rd_traj_summary m;

		rc = rd_traj_stats_number(t->stats, (enum rd_traj_number)q, &m, e);
		if (!rc)
			rc = rd_out_printf(o, e, "  %-20s%11.4g", rd_traj_names[q], m.mean);
		for (int i = 0; !rc && i < RD_TRAJ_QUANTILES; i++)
			rc = rd_out_printf(o, e, "%11.4g", m.q[i]);
		if (!rc)
			rc = rd_out_printf(o, e, "\n");
	}
	return rc;
}
