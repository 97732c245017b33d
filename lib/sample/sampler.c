#include "lib/sample/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/graph/routine.h"
#include "lib/model/query.h"
#include "lib/ode/dopri5.h"

struct rd_sampler {
	const struct rd_model *m;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_sampler_opts o;
	struct rd_grid grid;
	int64_t n;                 /* images the device side below is made for; 0: not made yet */
	struct rd_denoiser *denoiser;
	struct rd_ode *ode;        /* or, where the solver chooses its steps, */
	struct rd_dopri5 *dopri5;
	struct rd_effort *effort;  /* [n] */
	struct rd_routine solve;
	void *x;                   /* device sample */
	float *host;               /* [n, dim] */
	int32_t *label;            /* [n] */
	struct rd_sampler_effort total;
	/* of the run under way */
	int64_t used;
	struct rd_record *rec;
};

struct rd_sampler_opts rd_sampler_defaults(const struct rd_scheduler *s, bool honour_clip)
{
	return (struct rd_sampler_opts){
		.solver = s->solver,
		.grid = s->grid,
		.denoise = {.guidance = 1, .null_class = -1, .clip = honour_clip && s->clip, .clip_eps = s->clip_eps,
		            .clip_range = s->clip_range},
		.batch = 64,
	};
}

static int check_nodes(const struct rd_sampler *s, struct rd_err *e)
{
	struct rd_query q;
	int rc = 0;

	if (s->o.solver.type == RD_TYPE_VELOCITY && strcmp(s->m->scheduler.schedule.form->name, "fm"))
		return rd_fail(e, RD_EUSAGE, "solver type velocity: for the form fm, this model's is %s",
		               s->m->scheduler.schedule.form->name);
	for (int k = 0; k < s->grid.steps && !rc; k++)
		rc = rd_model_query(s->m, &s->grid.from[k], &q, e);
	if (!rc && rd_solver_chooses_steps(&s->o.solver) && s->grid.to[0].sigma > 0) /* it evaluates at both ends */
		rc = rd_model_query(s->m, &s->grid.to[0], &q, e);
	return rc;
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
	s->solve = (struct rd_routine){.be = be, .dev = dev};
	if (rd_solver_chooses_steps(&o->solver))
		s->o.grid = (struct rd_grid_opts){.steps = 1, .spacing = RD_SPACING_TRAILING};
	if (o->reverse) {
		s->o.grid.final = RD_FINAL_LEAST;
		s->o.grid.final_sigma = 0;
		s->o.grid.ddim_prev = s->o.grid.unscaled_end = s->o.grid.log_linear = false;
	}
	rc = rd_grid_init(&s->grid, &m->scheduler.schedule, &s->o.grid, e);
	if (!rc)
		s->grid.start_scale = rd_model_start_scale(m, &s->o.grid, &s->grid.from[0]);
	if (!rc && o->reverse)
		rc = rd_grid_reverse(&s->grid, e);
	if (!rc)
		rc = check_nodes(s, e);
	if (rc) {
		rd_sampler_free(s);
		return rc;
	}
	*out = s;
	return RD_OK;
}

static void drop_device_side(struct rd_sampler *s)
{
	rd_routine_free(&s->solve);
	rd_denoiser_free(s->denoiser);
	rd_ode_free(s->ode);
	rd_dopri5_free(s->dopri5);
	if (s->x)
		s->be->release(s->dev, s->x);
	free(s->host);
	free(s->label);
	free(s->effort);
	s->denoiser = NULL;
	s->ode = NULL;
	s->dopri5 = NULL;
	s->effort = NULL;
	s->x = NULL;
	s->host = NULL;
	s->label = NULL;
	s->n = 0;
}

void rd_sampler_free(struct rd_sampler *s)
{
	if (!s)
		return;
	drop_device_side(s);
	rd_grid_free(&s->grid);
	free(s);
}

const struct rd_grid *rd_sampler_grid(const struct rd_sampler *s)
{
	return &s->grid;
}

bool rd_sampler_reversed(const struct rd_sampler *s)
{
	return s->o.reverse;
}

int rd_sampler_nfe(const struct rd_sampler *s)
{
	return rd_solver_nfe(&s->o.solver, &s->grid) * (s->o.denoise.guidance == 1 ? 1 : 2);
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
		rc = rd_alloc(&p, (size_t)n, sizeof *s->label, "labels", e);
	}
	if (!rc) {
		s->label = p;
		s->n = n;
	}
	return rc;
}

/* Image i of the device buffer goes to dst + i * stride. */
static int fetch(struct rd_sampler *s, const void *src, float *dst, size_t stride, struct rd_err *e)
{
	struct rd_dims d = rd_denoiser_dims(s->denoiser);
	size_t dim = (size_t)(d.c * d.h * d.w);
	int rc = s->be->sample_export(s->dev, d, src, s->host, e);

	for (int64_t i = 0; i < s->used && !rc; i++)
		memcpy(dst + (size_t)i * stride, s->host + (size_t)i * dim, dim * sizeof *dst);
	return rc;
}

static int observe(void *ctx, int k, const struct rd_node *node, const void *x, const void *x0, const void *eps,
                   struct rd_err *e)
{
	struct rd_sampler *s = ctx;
	struct rd_dims d = rd_denoiser_dims(s->denoiser);
	size_t dim = (size_t)(d.c * d.h * d.w), kk = (size_t)k, steps = (size_t)s->grid.steps;
	int rc = fetch(s, x, s->rec->x + kk * dim, (steps + 1) * dim, e);

	(void)node;
	if (!rc && x0)
		rc = fetch(s, x0, s->rec->x0 + kk * dim, steps * dim, e);
	if (!rc && eps)
		rc = fetch(s, eps, s->rec->eps + kk * dim, steps * dim, e);
	return rc;
}

/* The solver's context is the sampler, for the observer's sake. */
static int eval(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e)
{
	return rd_denoiser_eval(((struct rd_sampler *)ctx)->denoiser, node, x, x0, eps, e);
}

static int eval_each(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e)
{
	return rd_denoiser_eval_each(((struct rd_sampler *)ctx)->denoiser, node, x, x0, eps, e);
}

static int solve_choosing(struct rd_sampler *s, struct rd_err *e)
{
	int rc = rd_dopri5_solve(s->dopri5, &s->o.solver, &s->grid, s->used, s->x, eval_each, s, s->effort, e);

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

static int solve(void *ctx, struct rd_err *e)
{
	struct rd_sampler *s = ctx;

	return rd_ode_solve(s->ode, &s->o.solver, &s->grid, s->x, eval, s->rec ? observe : NULL, s, e);
}

/* Evaluations that are recorded together: a device keeps some hundred launches for each. */
#define MAX_RECORDED 100

/* The steps are the same for every batch, unless the host takes part in them: a model in closed form, or somebody who looks
 * at what lies between. */
static int solve_batch(struct rd_sampler *s, struct rd_err *e)
{
	if (rd_solver_chooses_steps(&s->o.solver))
		return solve_choosing(s, e);
	if (s->rec || s->m->analytic || rd_sampler_nfe(s) > MAX_RECORDED)
		return solve(s, e);
	return rd_routine_run(&s->solve, solve, s, e);
}

int rd_sampler_run(struct rd_sampler *s, int64_t n, const float *noise, const int32_t *label, float *sample,
                   struct rd_record *rec, struct rd_err *e)
{
	struct rd_dims d;
	/* x at the start is this times what comes in; reverse: data at the least noise, and noise out of the last x */
	double scale = s->o.reverse ? s->grid.from[0].alpha : s->grid.start_scale;
	size_t dim, used;
	int rc;

	if (rec && rd_solver_chooses_steps(&s->o.solver))
		return rd_fail(e, RD_EUSAGE, "%s: each sample has steps of its own, a trajectory's are those of all", rd_solver_name(&s->o.solver));
	rc = make_device_side(s, n, e);
	if (rc)
		return rc;
	d = rd_denoiser_dims(s->denoiser);
	dim = (size_t)(d.c * d.h * d.w);
	used = (size_t)n * dim;
	for (size_t i = 0; i < used; i++)
		s->host[i] = (float)scale * noise[i];
	memset(s->host + used, 0, ((size_t)s->n * dim - used) * sizeof *s->host); /* a short batch is padded */
	for (int64_t i = 0; i < s->n; i++)
		s->label[i] = label ? label[i < n ? i : 0] : 0;
	s->used = n;
	s->rec = rec;
	rc = rd_denoiser_labels(s->denoiser, label ? s->label : NULL, e);
	if (!rc)
		rc = s->be->sample_import(s->dev, d, s->host, s->x, e);
	if (!rc)
		rc = solve_batch(s, e);
	if (!rc)
		rc = fetch(s, s->x, sample, dim, e);
	for (size_t i = 0; i < used && s->o.reverse && !rc; i++)
		sample[i] = (float)((double)sample[i] / s->grid.start_scale);
	return rc;
}

json_t *rd_sampler_grid_json(const struct rd_sampler *s)
{
	const struct rd_grid *g = &s->grid;
	json_t *t = json_array(), *time = json_array(), *alpha = json_array(), *sigma = json_array();

	for (int k = 0; k <= g->steps; k++) {
		const struct rd_node *n = k < g->steps ? &g->from[k] : &g->to[k - 1];

		json_array_append_new(t, json_real(n->t));
		json_array_append_new(time, json_real(n->net_t));
		json_array_append_new(alpha, json_real(n->alpha));
		json_array_append_new(sigma, json_real(n->sigma));
	}
	return json_pack("{s:o, s:o, s:o, s:o}", "t", t, "time", time, "alpha", alpha, "sigma", sigma);
}

void rd_sampler_describe(const struct rd_sampler *s, json_t *meta)
{
	static const char *const ours[] = {"solver_type", "steps", "spacing", "nfe", "rtol", "atol", "max_steps", "reverse"};
	const struct rd_node *start = s->o.reverse ? &s->grid.to[s->grid.steps - 1] : &s->grid.from[0]; /* where the noise is */

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) /* of a run before, that this one says nothing of */
		json_object_del(meta, ours[i]);
	json_object_set_new(meta, "solver", json_string(rd_solver_name(&s->o.solver)));
	if (rd_solver_type_name(&s->o.solver))
		json_object_set_new(meta, "solver_type", json_string(rd_solver_type_name(&s->o.solver)));
	if (rd_solver_chooses_steps(&s->o.solver)) { /* what it takes is known in the end */
		json_object_set_new(meta, "rtol", json_real(s->o.solver.rtol));
		json_object_set_new(meta, "atol", json_real(s->o.solver.atol));
		json_object_set_new(meta, "max_steps", json_integer(s->o.solver.max_steps));
	} else {
		json_object_set_new(meta, "steps", json_integer(s->grid.steps));
		json_object_set_new(meta, "spacing", json_string(rd_spacing_names[s->o.grid.spacing]));
		json_object_set_new(meta, "nfe", json_integer(rd_sampler_nfe(s)));
	}
	json_object_set_new(meta, "guidance", json_real(s->o.denoise.guidance));
	if (s->o.reverse)
		json_object_set_new(meta, "reverse", json_true());
	json_object_set_new(meta, "clip", json_boolean(s->o.denoise.clip));
	json_object_set_new(meta, "start", json_pack("{s:f, s:f, s:f, s:f}", "t", start->t, "alpha", start->alpha,
	                                             "sigma", start->sigma, "scale", s->grid.start_scale));
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
