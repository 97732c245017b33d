#include "lib/measure/trajstats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/moments.h"
#include "lib/base/size.h"

const double rd_traj_quantiles[RD_TRAJ_QUANTILES] = { 0.05, 0.25, 0.5, 0.75, 0.95 };
const char *const rd_traj_quantile_names[RD_TRAJ_QUANTILES] = { "p05", "p25", "p50", "p75", "p95" };

/* Room for one more sample. */
static int reserve(struct rd_traj_stats *s, struct rd_err *e)
{
	void *v = s->v, *node = s->node;
	size_t room_v = s->room, room_node = s->room;
	int rc = rd_reserve(&v, &room_v, s->n + 1, RD_TRAJ_N * sizeof *s->v, "numbers of samples", e);

	s->v = v;
	if (!rc && s->nodes)
		rc = rd_reserve(&node, &room_node, s->n + 1, (size_t)s->nodes * sizeof *s->node, "numbers of nodes", e);
	s->node = node;
	if (!rc)
		s->room = room_v;
	return rc;
}

int rd_traj_stats_add(struct rd_traj_stats *s, uint64_t index, const double v[RD_TRAJ_N], const double *node,
                      struct rd_err *e)
{
	const size_t nodes = (size_t)s->nodes;

	/* the numbers of the nodes need no look of their own: their mean is one of v */
	for (int q = 0; q < rd_traj_numbers(s->chords); q++)
		if (!isfinite(v[q]))
			return rd_fail(e, RD_EDOMAIN, "sample %llu: %s is not finite", (unsigned long long)index,
			               rd_traj_names[q]);
	if (reserve(s, e))
		return e->code;
	memcpy(s->v + RD_TRAJ_N * s->n, v, RD_TRAJ_N * sizeof *v);
	if (nodes)
		memcpy(s->node + nodes * s->n, node, nodes * sizeof *node);
	s->n++;
	return RD_OK;
}

void rd_traj_stats_free(struct rd_traj_stats *s)
{
	free(s->v);
	free(s->node);
	memset(s, 0, sizeof *s);
}

/* v sorted. */
static double quantile(const double *v, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	return i + 1 < n ? v[i] + (at - (double)i) * (v[i + 1] - v[i]) : v[n - 1];
}

/* Of v[0], v[stride], ...: n numbers. */
static int summarise(const double *v, size_t stride, size_t n, struct rd_traj_summary *out, struct rd_err *e)
{
	double *sorted, sum = 0, square = 0;
	int rc = rd_alloc((void **)&sorted, n, sizeof *sorted, "quantiles", e);

	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++) {
		sorted[i] = v[i * stride];
		sum += sorted[i];
	}
	out->mean = n ? sum / (double)n : NAN;
	for (size_t i = 0; i < n; i++)
		square += (sorted[i] - out->mean) * (sorted[i] - out->mean);
	out->sd = n > 1 ? sqrt(square / (double)(n - 1)) : n ? 0 : NAN;
	qsort(sorted, n, sizeof *sorted, rd_by_value);
	for (int q = 0; q < RD_TRAJ_QUANTILES; q++)
		out->q[q] = n ? quantile(sorted, n, rd_traj_quantiles[q]) : NAN;
	free(sorted);
	return RD_OK;
}

int rd_traj_stats_number(const struct rd_traj_stats *s, enum rd_traj_number q, struct rd_traj_summary *out,
                         struct rd_err *e)
{
	return summarise(s->n ? s->v + q : NULL, RD_TRAJ_N, s->n, out, e);
}

int rd_traj_stats_node(const struct rd_traj_stats *s, int k, struct rd_traj_summary *out, struct rd_err *e)
{
	return summarise(s->n ? s->node + k : NULL, (size_t)s->nodes, s->n, out, e);
}

/* A JSON number; what is none is null. */
static json_t *real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static const char *part_name(int i)
{
	return i == 0 ? "mean" : i == 1 ? "sd" : rd_traj_quantile_names[i - 2];
}

static double part(const struct rd_traj_summary *m, int i)
{
	return i == 0 ? m->mean : i == 1 ? m->sd : m->q[i - 2];
}

enum { PARTS = 2 + RD_TRAJ_QUANTILES };

static int by_number(const struct rd_traj_stats *s, json_t *all, struct rd_err *e)
{
	struct rd_traj_summary m;

	for (int q = 0; q < rd_traj_numbers(s->chords); q++) {
		json_t *o = s->n ? json_object() : json_null();
		int rc = s->n ? rd_traj_stats_number(s, (enum rd_traj_number)q, &m, e) : RD_OK;

		for (int i = 0; !rc && s->n && i < PARTS; i++)
			if (json_object_set_new(o, part_name(i), real(part(&m, i))))
				rc = rd_fail(e, RD_ENOMEM, "no memory for the JSON");
		if (json_object_set_new(all, rd_traj_names[q], o) && !rc)
			rc = rd_fail(e, RD_ENOMEM, "no memory for the JSON");
		if (rc)
			return rc;
	}
	return RD_OK;
}

/* One object of lists: what a plot wants. */
static int by_node(const struct rd_traj_stats *s, const struct rd_traj_grid *g, json_t *all, struct rd_err *e)
{
	json_t *list[PARTS], *t = json_array(), *n = json_array(), *o = json_pack("{s:o, s:o}", "t", t, "n", n);
	struct rd_traj_summary m;
	int bad = json_object_set_new(all, "defect_by_node", o);

	for (int i = 0; i < PARTS; i++) {
		list[i] = json_array();
		bad |= json_object_set_new(o, part_name(i), list[i]);
	}
	for (int k = 0; !bad && k < s->nodes; k++) {
		if (rd_traj_stats_node(s, k, &m, e))
			return e->code;
		bad |= json_array_append_new(t, real(g->t[k])) | json_array_append_new(n, real(g->sigma[k] / g->alpha[k]));
		for (int i = 0; i < PARTS; i++)
			bad |= json_array_append_new(list[i], real(part(&m, i)));
	}
	return bad ? rd_fail(e, RD_ENOMEM, "no memory for the JSON") : RD_OK;
}

int rd_traj_stats_json(const struct rd_traj_stats *s, const struct rd_traj_grid *g, json_t **out, struct rd_err *e)
{
	json_t *all = json_object();
	int rc = by_number(s, all, e);

	if (!rc && s->nodes)
		rc = by_node(s, g, all, e);
	if (rc) {
		json_decref(all);
		all = NULL;
	}
	*out = all;
	return rc;
}
