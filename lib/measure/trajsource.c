#include "lib/measure/trajsource.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/data/batch.h"
#include "lib/measure/named.h"
#include "lib/ode/grid.h"

struct rd_trajsource {
	char *name;
	json_t *meta;
	struct rd_traj_grid grid;
	size_t dim;
	/* a stream; NULL once it has ended, and for an exact trajectory */
	struct rd_source *in;
	int x, x0, eps; /* fields */
	const struct rd_batch *batch;
	int64_t at;
	/* an exact trajectory; NULL once it has been given out */
	const float *pending;
	float *exact; /* x [K+1][dim], x0 [K][dim], eps [K][dim] */
};

static const char *form_of(const char *spec)
{
	static const char prefix[] = "exact:";
	const char *path = rd_named_path(spec);

	return strncmp(path, prefix, strlen(prefix)) ? NULL : path + strlen(prefix);
}

bool rd_trajsource_is_exact(const char *spec)
{
	return form_of(spec) != NULL;
}

static int open_stream(struct rd_trajsource *s, const char *path, struct rd_err *e)
{
	const struct rd_stream *head;
	int rc = rd_source_open(&s->in, &path, 1, "trajectory", e);

	if (rc)
		return rc;
	head = rd_source_stream(s->in);
	s->meta = json_incref(head->meta);
	s->x = rd_stream_field(head, "x");
	s->x0 = rd_stream_field(head, "x0");
	s->eps = rd_stream_field(head, "eps");
	if (s->x < 0 || s->x0 < 0 || s->eps < 0)
		return rd_fail(e, RD_EINPUT, "%s: has no field %s, which a trajectory has", rd_source_name(s->in),
		               s->x < 0 ? "x" : s->x0 < 0 ? "x0" : "eps");
	rc = rd_traj_grid_parse(&s->grid, s->meta, e);
	return rc ? rd_context(e, "%s", rd_source_name(s->in)) : RD_OK;
}

/* The form's nodes from most noise to none, as the meta of a stream. */
static int exact_meta(json_t **out, const char *form, const struct rd_exact_opts *o, struct rd_err *e)
{
	const struct rd_grid_opts opts = { .steps = o->steps, .spacing = RD_SPACING_LINSPACE };
	json_t *t = json_array(), *alpha = json_array(), *sigma = json_array();
	struct rd_schedule schedule;
	struct rd_grid grid = { 0 };
	int rc = rd_schedule_init(&schedule, form, e);

	*out = json_pack("{s:s, s:s, s:{s:o, s:o, s:o}}", "form", form, "solver", "exact", "grid", "t", t, "alpha", alpha,
	                 "sigma", sigma);
	if (rc)
		return rc;
	if (o->sigma_max > 0 && !strcmp(form, "ve"))
		schedule.t_hi = o->sigma_max;
	rc = rd_grid_init(&grid, &schedule, &opts, e);
	for (int k = 0; !rc && k <= grid.steps; k++) {
		const struct rd_node *n = k < grid.steps ? &grid.from[k] : &grid.to[k - 1];

		if (json_array_append_new(t, json_real(n->t)) || json_array_append_new(alpha, json_real(n->alpha)) ||
		    json_array_append_new(sigma, json_real(n->sigma)))
			rc = rd_fail(e, RD_ENOMEM, "no memory for the grid");
	}
	rd_grid_free(&grid);
	rd_schedule_free(&schedule);
	return rc;
}

static int open_exact(struct rd_trajsource *s, const char *form, const struct rd_exact_opts *o, struct rd_err *e)
{
	size_t states;
	float *x0, *eps;
	int rc = exact_meta(&s->meta, form, o, e);

	if (!rc)
		rc = rd_traj_grid_parse(&s->grid, s->meta, e);
	if (rc)
		return rd_context(e, "exact:%s", form);
	states = (size_t)s->grid.steps;
	rc = rd_alloc((void **)&s->exact, 3 * states + 1, o->dim * sizeof(float), "an exact trajectory", e);
	if (rc)
		return rc;
	s->dim = o->dim;
	s->pending = s->exact;
	x0 = s->exact + (states + 1) * s->dim;
	eps = x0 + states * s->dim;
	for (size_t k = 0; k <= states; k++)
		for (size_t j = 0; j < s->dim; j++)
			s->exact[k * s->dim + j] = (float)(s->grid.alpha[k] * (double)o->x0[j] + s->grid.sigma[k] * (double)o->eps[j]);
	for (size_t k = 0; k < states; k++) {
		memcpy(x0 + k * s->dim, o->x0, s->dim * sizeof *x0);
		memcpy(eps + k * s->dim, o->eps, s->dim * sizeof *eps);
	}
	return RD_OK;
}

int rd_trajsource_open(struct rd_trajsource **out, const char *spec, const struct rd_exact_opts *o, struct rd_err *e)
{
	const char *path = rd_named_path(spec);
	struct rd_trajsource *s;
	int rc = rd_alloc0((void **)out, 1, sizeof **out, "an input", e);

	if (rc)
		return rc;
	s = *out;
	rc = form_of(spec) ? open_exact(s, form_of(spec), o, e) : open_stream(s, path, e);
	if (!rc)
		rc = rd_named_name(&s->name, spec, s->in ? rd_source_name(s->in) : form_of(spec), e);
	if (rc) {
		rd_trajsource_close(s);
		*out = NULL;
	}
	return rc;
}

void rd_trajsource_close(struct rd_trajsource *s)
{
	if (!s)
		return;
	if (s->in)
		rd_source_close(s->in);
	rd_traj_grid_free(&s->grid);
	json_decref(s->meta);
	free(s->exact);
	free(s->name);
	free(s);
}

const char *rd_trajsource_name(const struct rd_trajsource *s)
{
	return s->name;
}

const json_t *rd_trajsource_meta(const struct rd_trajsource *s)
{
	return s->meta;
}

const struct rd_traj_grid *rd_trajsource_grid(const struct rd_trajsource *s)
{
	return &s->grid;
}

/* Field f has n samples of `nodes` states each, of the size that the first batch had. */
static int check_field(struct rd_trajsource *s, int f, int nodes, struct rd_err *e)
{
	const struct rd_shape *shape = &s->batch->f[f].shape;
	const char *field = rd_source_stream(s->in)->field[f];
	char text[160];
	size_t dim;

	if (shape->nd < 3 || shape->d[1] != nodes)
		return rd_fail(e, RD_EINPUT, "%s: field %s has the shape %s, [n, %d, ...] expected by meta.grid",
		               rd_source_name(s->in), field, rd_shape_str(shape, text, sizeof text), nodes);
	dim = rd_shape_sample_elems(shape) / (size_t)nodes;
	if (!s->dim)
		s->dim = dim;
	if (!dim || dim != s->dim)
		return rd_fail(e, RD_EINPUT, "%s: field %s has %zu numbers a state, another has %zu", rd_source_name(s->in), field,
		               dim, s->dim);
	return RD_OK;
}

/* As rd_source_next. */
static int next_batch(struct rd_trajsource *s, struct rd_err *e)
{
	int rc = rd_source_next(s->in, &s->batch, e);

	if (rc <= 0)
		return rc;
	s->at = 0;
	rc = check_field(s, s->x, s->grid.steps + 1, e);
	if (!rc)
		rc = check_field(s, s->x0, s->grid.steps, e);
	if (!rc)
		rc = check_field(s, s->eps, s->grid.steps, e);
	return rc ? rc : 1;
}

int rd_trajsource_next(struct rd_trajsource *s, struct rd_traj *t, struct rd_err *e)
{
	const size_t each = (size_t)s->grid.steps * s->dim;
	size_t at;

	if (s->pending) {
		*t = (struct rd_traj){ 0, s->dim, s->exact, s->exact + each + s->dim, s->exact + 2 * each + s->dim };
		s->pending = NULL;
		return 1;
	}
	if (!s->in)
		return 0;
	while (!s->batch || s->at == s->batch->n) {
		int rc = next_batch(s, e);

		if (rc <= 0)
			return rc;
	}
	at = (size_t)s->at * (size_t)s->grid.steps * s->dim;
	*t = (struct rd_traj){
		.index = s->batch->first + (uint64_t)s->at,
		.dim = s->dim,
		.x = (const float *)s->batch->f[s->x].data + at + (size_t)s->at * s->dim,
		.x0 = (const float *)s->batch->f[s->x0].data + at,
		.eps = (const float *)s->batch->f[s->eps].data + at,
	};
	s->at++;
	return 1;
}
