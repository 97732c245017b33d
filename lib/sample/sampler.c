#include "lib/sample/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/model/query.h"
#include "lib/ode/dopri5.h"
#include "lib/sample/knots.h"
#include "lib/sample/likelihood.h"

struct rd_sampler {
	const struct rd_model *m;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_sampler_opts o;
	struct rd_grid walk, coarse; /* ways through the schedule; coarse: with half the steps; of no steps without halving */
	struct rd_knots knots;
	int64_t n;                 /* images the device side below is made for; 0: not made yet */
	struct rd_denoiser *denoiser;
	struct rd_ode *ode;        /* or, where the solver chooses its steps, */
	struct rd_dopri5 *dopri5;
	struct rd_effort *effort;  /* [n] */
	void *x;                   /* device sample */
	float *host;               /* [n, dim] */
	float *coarse_sample;      /* [n, dim] with halving */
	int32_t *label;            /* [n] */
	struct rd_sampler_effort total;
	/* of the run under way */
	int64_t used;
	const struct rd_grid *now;
	struct rd_record *rec;
	struct rd_likelihood likelihood; /* of walk */
};

struct rd_sampler_opts rd_sampler_defaults(const struct rd_scheduler *s, bool honour_clip)
{
	return (struct rd_sampler_opts){
		.solver = s->solver,
		.grid = s->grid,
		.denoise = {.guidance = 1, .null_class = -1, .clip = honour_clip && s->clip, .clip_eps = s->clip_eps,
		            .clip_range = s->clip_range},
	};
}

static int check_nodes(const struct rd_sampler *s, const struct rd_grid *g, struct rd_err *e)
{
	struct rd_query q;
	int rc = 0;

	if (s->o.solver.type == RD_TYPE_VELOCITY && strcmp(s->m->scheduler.schedule.form->name, "fm"))
		return rd_fail(e, RD_EUSAGE, "solver type velocity: for the form fm, this model's is %s",
		               s->m->scheduler.schedule.form->name);
	for (int k = 0; k < g->steps && !rc; k++)
		rc = rd_model_query(s->m, &g->from[k], &q, e);
	if (!rc && rd_solver_chooses_steps(&s->o.solver) && g->to[0].sigma > 0) /* it evaluates at both ends */
		rc = rd_model_query(s->m, &g->to[0], &q, e);
	return rc;
}

/* dropped: how many steps the grid lost when it was turned round. */
static int make_walk(const struct rd_sampler *s, const struct rd_grid_opts *o, struct rd_grid *w, int *dropped, struct rd_err *e)
{
	int rc = rd_grid_init(w, &s->m->scheduler.schedule, o, e);

	*dropped = 0;
	if (rc)
		return rc;
	w->start_scale = rd_model_start_scale(s->m, o, &w->from[0]);
	if (!s->o.reverse)
		return RD_OK;
	*dropped = w->steps;
	rc = rd_grid_reverse(w, e);
	*dropped -= w->steps;
	if (rc)
		rd_grid_free(w);
	return rc;
}

/* Turned round, a grid whose last node is the least noise has a step less than was asked for: then one more is asked for, unless, of
 * discrete times, there is none. */
static int init_walk(struct rd_sampler *s, struct rd_grid *w, struct rd_err *e)
{
	struct rd_grid_opts more = s->o.grid;
	struct rd_grid longer;
	struct rd_err none;
	int dropped, rc = make_walk(s, &more, w, &dropped, e);

	if (rc)
		return rc;
	more.steps += dropped;
	if (dropped && !make_walk(s, &more, &longer, &dropped, &none)) {
		rd_grid_free(w);
		*w = longer;
	}
	return check_nodes(s, w, e);
}

int rd_sampler_new(struct rd_sampler **out, const struct rd_model *m, const struct rd_backend *be, struct rd_dev *dev,
                   const struct rd_sampler_opts *o, struct rd_err *e)
{
	struct rd_sampler *s;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *s, "sampler", e);

	*out = NULL;
	if (rc)
		return rc;
	s = p;
	s->m = m;
	s->be = be;
	s->dev = dev;
	s->o = *o;
	if (o->denoise.null_class < 0)
		s->o.denoise.null_class = m->null_class;
	if (rd_solver_chooses_steps(&o->solver)) {
		s->o.grid = (struct rd_grid_opts){.steps = 1, .spacing = RD_SPACING_TRAILING};
		if (o->halving)
			rc = rd_fail(e, RD_EUSAGE, "error by halving: %s has no number of steps, but tolerances", rd_solver_name(&o->solver));
	}
	if (o->reverse) {
		s->o.grid.final = RD_FINAL_LEAST;
		s->o.grid.final_sigma = 0;
		s->o.grid.ddim_prev = s->o.grid.unscaled_end = s->o.grid.log_linear = false;
	}
	if (!rc && o->halving) {
		rc = init_walk(s, &s->coarse, e);
		s->o.grid.steps *= 2;
	}
	if (!rc)
		rc = init_walk(s, &s->walk, e);
	if (!rc)
		rc = rd_likelihood_init(&s->likelihood, &o->denoise.trace, &o->solver, &s->walk, o->reverse, e);
	if (!rc)
		rc = rd_knots_init(&s->knots, o->knots, &o->solver, &s->walk, &s->o.grid, o->reverse, e);
	if (rc) {
		rd_sampler_free(s);
		return rc;
	}
	*out = s;
	return RD_OK;
}

static void drop_device_side(struct rd_sampler *s)
{
	rd_denoiser_free(s->denoiser);
	rd_ode_free(s->ode);
	rd_dopri5_free(s->dopri5);
	if (s->x)
		s->be->release(s->dev, s->x);
	free(s->host);
	free(s->coarse_sample);
	free(s->label);
	free(s->effort);
	s->denoiser = NULL;
	s->ode = NULL;
	s->dopri5 = NULL;
	s->effort = NULL;
	s->x = NULL;
	s->host = NULL;
	s->coarse_sample = NULL;
	s->label = NULL;
	s->n = 0;
}

void rd_sampler_free(struct rd_sampler *s)
{
	if (!s)
		return;
	drop_device_side(s);
	rd_grid_free(&s->walk);
	rd_grid_free(&s->coarse);
	rd_likelihood_free(&s->likelihood);
	free(s);
}

const struct rd_grid *rd_sampler_grid(const struct rd_sampler *s)
{
	return &s->walk;
}

bool rd_sampler_reversed(const struct rd_sampler *s)
{
	return s->o.reverse;
}

int rd_sampler_nfe(const struct rd_sampler *s)
{
	return rd_solver_nfe(&s->o.solver, &s->walk) * (s->o.denoise.guidance == 1 ? 1 : 2);
}

static int make_solver(struct rd_sampler *s, struct rd_dims d, struct rd_err *e)
{
	void *p;
	int rc;

	if (!rd_solver_chooses_steps(&s->o.solver))
		return rd_ode_new(&s->ode, s->be, s->dev, d, e);
	rc = rd_alloc(&p, (size_t)d.n, sizeof *s->effort, "sampler", e);
	if (rc)
		return rc;
	s->effort = p;
	return rd_dopri5_new(&s->dopri5, s->be, s->dev, d, e);
}

/* The device side for n images at once; made on the first run and again only for more images than that. */
static int make_device_side(struct rd_sampler *s, int64_t n, struct rd_err *e)
{
	struct rd_dims d;
	void *p;
	int rc;

	if (n <= s->n)
		return RD_OK;
	drop_device_side(s);
	rc = rd_denoiser_new(&s->denoiser, s->m, s->be, s->dev, n, &s->o.denoise, e);
	if (rc)
		return rc;
	d = rd_denoiser_dims(s->denoiser);
	rc = make_solver(s, d, e);
	if (!rc)
		rc = s->be->alloc(s->dev, &s->x, s->be->sample_bytes(d), e);
	if (!rc)
		rc = rd_alloc(&p, (size_t)rd_dims_elems(d), sizeof(float), "samples", e);
	if (!rc) {
		s->host = p;
		rc = rd_alloc(&p, s->o.halving ? (size_t)rd_dims_elems(d) : 0, sizeof(float), "samples", e);
	}
	if (!rc) {
		s->coarse_sample = p;
		rc = rd_alloc(&p, (size_t)n, sizeof *s->label, "labels", e);
	}
	if (!rc) {
		s->label = p;
		rc = rd_likelihood_resize(&s->likelihood, n, e);
	}
	if (!rc)
		s->n = n;
	return rc;
}

/* Numbers of one image. */
static size_t image_elems(const struct rd_sampler *s)
{
	struct rd_dims d = rd_denoiser_dims(s->denoiser);

	return (size_t)(d.c * d.h * d.w);
}

/* Image i of the device buffer goes to dst + i * stride. */
static int fetch(struct rd_sampler *s, const void *src, float *dst, size_t stride, struct rd_err *e)
{
	struct rd_dims d = rd_denoiser_dims(s->denoiser);
	size_t dim = image_elems(s);
	int rc = s->be->sample_export(s->dev, d, src, s->host, e);

	for (int64_t i = 0; i < s->used && !rc; i++)
		memcpy(dst + (size_t)i * stride, s->host + (size_t)i * dim, dim * sizeof *dst);
	return rc;
}

static int observe(void *ctx, int k, const struct rd_node *node, const void *x, const void *x0, const void *eps,
                   struct rd_err *e)
{
	struct rd_sampler *s = ctx;
	const struct rd_record *r = s->rec;
	size_t dim = image_elems(s), kk = (size_t)k, steps = (size_t)s->now->steps;
	int inner = s->knots.phases - 1, j = r->knots ? rd_knots_at(&s->knots, k) : -1, rc = 0;

	(void)node;
	if (r->x)
		rc = fetch(s, x, r->x + kk * dim, (steps + 1) * dim, e);
	if (!rc && r->x0 && x0)
		rc = fetch(s, x0, r->x0 + kk * dim, steps * dim, e);
	if (!rc && r->eps && eps)
		rc = fetch(s, eps, r->eps + kk * dim, steps * dim, e);
	if (!rc && j > 0 && j <= inner)
		rc = fetch(s, x, r->knots + (size_t)(j - 1) * dim, (size_t)inner * dim, e);
	return rc;
}

/* The solver's context is the sampler, for the observer's sake. */
static int eval(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e)
{
	struct rd_sampler *s = ctx;
	int rc = rd_denoiser_eval(s->denoiser, node, x, x0, eps, e);

	if (!rc)
		rd_likelihood_add(&s->likelihood, s->denoiser);
	return rc;
}

static int eval_each(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e)
{
	return rd_denoiser_eval_each(((struct rd_sampler *)ctx)->denoiser, node, x, x0, eps, e);
}

static int solve_choosing(struct rd_sampler *s, struct rd_err *e)
{
	int rc = rd_dopri5_solve(s->dopri5, &s->o.solver, s->now, s->used, s->x, eval_each, s, s->effort, e);

	for (int64_t i = 0; i < s->used && !rc; i++) {
		int64_t nfe = rd_dopri5_nfe(&s->effort[i]) * (s->o.denoise.guidance == 1 ? 1 : 2);

		s->total.samples++;
		s->total.evaluations += nfe;
		s->total.rejected += s->effort[i].rejected;
		if (nfe > s->total.most)
			s->total.most = nfe;
	}
	return rc;
}

static int solve(struct rd_sampler *s, struct rd_err *e)
{
	if (rd_solver_chooses_steps(&s->o.solver))
		return solve_choosing(s, e);
	return rd_ode_solve(s->ode, &s->o.solver, s->now, s->x, eval, s->rec ? observe : NULL, s, e);
}

/* Once through the schedule, from noise to sample. rec: where states go, or NULL. */
static int run_walk(struct rd_sampler *s, struct rd_grid *w, const float *noise, float *sample, struct rd_record *rec,
                    struct rd_err *e)
{
	struct rd_dims d = rd_denoiser_dims(s->denoiser);
	/* x at the start is this times what comes in; reverse: data at the least noise, and noise out of the last x */
	double scale = s->o.reverse ? w->from[0].alpha : w->start_scale;
	size_t dim = image_elems(s), used = (size_t)s->used * dim;
	int rc;

	for (size_t i = 0; i < used; i++)
		s->host[i] = (float)scale * noise[i];
	memset(s->host + used, 0, ((size_t)s->n * dim - used) * sizeof *s->host); /* a short batch is padded */
	s->rec = rec;
	rc = s->be->sample_import(s->dev, d, s->host, s->x, e);
	s->now = w;
	if (!rc)
		rc = solve(s, e);
	if (!rc)
		rc = fetch(s, s->x, sample, dim, e);
	for (size_t i = 0; i < used && s->o.reverse && !rc; i++)
		sample[i] = (float)((double)sample[i] / w->start_scale);
	return rc;
}

static bool wants_states(const struct rd_record *r)
{
	return r && (r->x || r->x0 || r->eps || r->knots);
}

static void compare(const struct rd_sampler *s, const float *sample, float *error)
{
	size_t dim = image_elems(s);

	for (size_t i = 0; i < (size_t)s->used; i++) {
		double sum = 0;

		for (size_t j = i * dim; j < (i + 1) * dim; j++)
			sum += ((double)sample[j] - (double)s->coarse_sample[j]) * ((double)sample[j] - (double)s->coarse_sample[j]);
		error[i] = (float)sqrt(sum / (double)dim);
	}
}

int rd_sampler_run(struct rd_sampler *s, int64_t n, const float *noise, const int32_t *label, float *sample,
                   struct rd_record *rec, struct rd_err *e)
{
	bool halve = s->o.halving && rec && rec->error, density = rec && rec->logp;
	int rc;

	if (density && s->o.denoise.trace.kind == RD_TRACE_NONE)
		return rd_fail(e, RD_EUSAGE, "a likelihood of a sampler that was made without a trace");
	if (wants_states(rec) && rd_solver_chooses_steps(&s->o.solver))
		return rd_fail(e, RD_EUSAGE, "%s: each sample has steps of its own, a trajectory's are those of all", rd_solver_name(&s->o.solver));
	rc = make_device_side(s, n, e);
	if (rc)
		return rc;
	rd_likelihood_stop(&s->likelihood, s->denoiser);
	for (int64_t i = 0; i < s->n; i++)
		s->label[i] = label ? label[i < n ? i : 0] : 0;
	s->used = n;
	rc = rd_denoiser_labels(s->denoiser, label ? s->label : NULL, e);
	if (!rc && halve)
		rc = run_walk(s, &s->coarse, noise, s->coarse_sample, NULL, e);
	if (!rc && density)
		rd_likelihood_begin(&s->likelihood, s->denoiser, rec->first);
	if (!rc)
		rc = run_walk(s, &s->walk, noise, sample, wants_states(rec) ? rec : NULL, e);
	if (!rc && density)
		rd_likelihood_end(&s->likelihood, n, image_elems(s), sample, rec->logp);
	if (!rc && halve)
		compare(s, sample, rec->error);
	return rc;
}

json_t *rd_sampler_grid_json(const struct rd_sampler *s)
{
	return rd_nodes_json(&s->walk);
}

/* What meta says of how its input was made goes. */
static void replace(json_t *meta, const char *key, json_t *value)
{
	if (value)
		json_object_set_new(meta, key, value);
	else
		json_object_del(meta, key);
}

void rd_sampler_describe(const struct rd_sampler *s, json_t *meta)
{
	const char *type = rd_solver_type_name(&s->o.solver);
	const struct rd_grid *g = &s->walk;
	const struct rd_node *start = s->o.reverse ? &g->to[g->steps - 1] : &g->from[0]; /* where the noise is */
	bool chooses = rd_solver_chooses_steps(&s->o.solver); /* what it takes is known in the end */

	json_object_set_new(meta, "solver", json_string(rd_solver_name(&s->o.solver)));
	replace(meta, "solver_type", type ? json_string(type) : NULL);
	replace(meta, "steps", chooses ? NULL : json_integer(g->steps));
	replace(meta, "spacing", chooses ? NULL : json_string(rd_spacing_names[s->o.grid.spacing]));
	replace(meta, "nfe", chooses ? NULL : json_integer(rd_sampler_nfe(s)));
	replace(meta, "rtol", chooses ? json_real(s->o.solver.rtol) : NULL);
	replace(meta, "atol", chooses ? json_real(s->o.solver.atol) : NULL);
	replace(meta, "max_steps", chooses ? json_integer(s->o.solver.max_steps) : NULL);
	json_object_set_new(meta, "guidance", json_real(s->o.denoise.guidance));
	replace(meta, "null_class", s->o.denoise.guidance == 1 ? NULL : json_integer((json_int_t)s->o.denoise.null_class));
	replace(meta, "reverse", s->o.reverse ? json_true() : NULL);
	json_object_set_new(meta, "clip", json_boolean(s->o.denoise.clip));
	replace(meta, "clip_range", s->o.denoise.clip ? json_real(s->o.denoise.clip_range) : NULL);
	json_object_set_new(meta, "start", json_pack("{s:f, s:f, s:f, s:f}", "t", start->t, "alpha", start->alpha,
	                                             "sigma", start->sigma, "scale", g->start_scale));
	replace(meta, "knots", s->knots.phases ? rd_knots_json(&s->knots, g) : NULL);
	replace(meta, "error", s->o.halving ? json_string("halving") : NULL);
	replace(meta, "likelihood", rd_likelihood_json(&s->likelihood));
}

const struct rd_sampler_effort *rd_sampler_effort(const struct rd_sampler *s)
{
	return &s->total;
}

void rd_sampler_describe_end(const struct rd_sampler *s, json_t *end)
{
	const struct rd_sampler_effort *t = &s->total;

	if (!rd_solver_chooses_steps(&s->o.solver) || !t->samples)
		return;
	json_object_set_new(end, "nfe_mean", json_real((double)t->evaluations / (double)t->samples));
	json_object_set_new(end, "nfe_max", json_integer((json_int_t)t->most));
	json_object_set_new(end, "rejected_steps", json_integer((json_int_t)t->rejected));
}
