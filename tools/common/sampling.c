#include "tools/common/sampling.h"

#include <math.h>
#include <string.h>

#include "lib/model/query.h"

#define LEAST_RTOL 1e-7
#define NOISE 50.0 /* sigma/alpha of what passes for noise alone */

void rd_sampling_init(struct rd_sampling_args *a)
{
	*a = (struct rd_sampling_args){.solver = -1, .solver_type = -1, .spacing = -1, .rtol = -1, .atol = -1, .guidance = 1, .null_class = -1,
	                                .clip = -1};
}

bool rd_sampling_opt(struct rd_sampling_args *a, int opt)
{
	switch (opt) {
	case 'm': a->model = optarg; break;
	case RD_OPT_SOLVER: a->solver = rd_opt_choice("--solver", optarg, rd_solver_names); break;
	case RD_OPT_SOLVER_TYPE: a->solver_type = rd_opt_choice("--solver-type", optarg, rd_solver_type_names); break;
	case RD_OPT_STEPS: a->steps = (int)rd_opt_int("--steps", optarg, 1, 100000); break;
	case RD_OPT_RTOL: a->rtol = rd_opt_num("--rtol", optarg, 0, 1); break;
	case RD_OPT_ATOL: a->atol = rd_opt_num("--atol", optarg, 0, 1); break;
	case RD_OPT_SPACING: a->spacing = rd_opt_choice("--spacing", optarg, rd_spacing_names); break;
	case RD_OPT_GUIDANCE: a->guidance = rd_opt_num("--guidance", optarg, -1000, 1000); break;
	case RD_OPT_NULL_CLASS: a->null_class = rd_opt_int("--null-class", optarg, 0, INT32_MAX); break;
	case RD_OPT_SCHEDULER: a->scheduler = optarg; break;
	case RD_OPT_AS: a->as = rd_opt_form("--as", optarg); break;
	case RD_OPT_NO_CLIP: a->clip = 0; break;
	case RD_OPT_CLIP:
		a->clip = 1;
		a->clip_range = optarg ? rd_opt_num("--clip", optarg, 1e-6, 1e6) : 0;
		break;
	default: return false;
	}
	return true;
}

bool rd_sampling_chooses_steps(const struct rd_sampling_args *a)
{
	struct rd_solver s = rd_solver_named(a->solver >= 0 ? a->solver : 0);

	return a->solver >= 0 && rd_solver_chooses_steps(&s);
}

/* Options that are of one kind of solver only. */
static void check_args(const struct rd_sampling_args *a)
{
	struct rd_solver s;

	if (!rd_sampling_chooses_steps(a)) {
		if (a->rtol >= 0 || a->atol >= 0)
			rd_usage_error("--rtol, --atol: for a solver that chooses its steps (--solver dopri5)");
		return;
	}
	s = rd_solver_named(a->solver);
	if (a->spacing >= 0)
		rd_usage_error("--spacing: %s chooses its steps itself, by --rtol and --atol", rd_solver_name(&s));
	if ((a->rtol >= 0 ? a->rtol : s.rtol) < LEAST_RTOL && (a->atol >= 0 ? a->atol : s.atol) < LEAST_RTOL)
		rd_usage_error("--rtol, --atol: samples are in single precision: one of them must be at least %g", LEAST_RTOL);
}

/* A spacing of one's own is taken plainly, without a scheduler class's peculiarities. */
static struct rd_grid_opts plain_grid(const struct rd_scheduler *s, int steps, enum rd_spacing spacing)
{
	return (struct rd_grid_opts){.steps = steps, .spacing = spacing, .steps_offset = s->grid.steps_offset, .shift = s->grid.shift};
}

static struct rd_sampler_opts sampler_opts(const struct rd_sampling_args *a, const struct rd_scheduler *s, bool clip_default)
{
	struct rd_sampler_opts o = rd_sampler_defaults(s, clip_default);
	int steps = a->steps ? a->steps : 25;

	o.grid.steps = steps;
	if (a->solver >= 0)
		o.solver = rd_solver_named(a->solver);
	else if (a->trace.kind != RD_TRACE_NONE)
		o.solver = (struct rd_solver){.family = RD_RK4};
	if (a->steps)
		o.solver.max_steps = a->steps;
	if (a->rtol >= 0)
		o.solver.rtol = a->rtol;
	if (a->atol >= 0)
		o.solver.atol = a->atol;
	if (a->spacing >= 0)
		o.grid = plain_grid(s, steps, (enum rd_spacing)a->spacing);
	o.reverse = a->reverse;
	o.knots = a->knots;
	o.halving = a->error;
	o.denoise.guidance = a->guidance;
	o.denoise.trace = a->trace;
	if (a->clip >= 0)
		o.denoise.clip = a->clip;
	if (a->clip_range > 0)
		o.denoise.clip_range = a->clip_range;
	return o;
}

/* sigma/alpha */
static double noise_at(const struct rd_node *n)
{
	return n->alpha > 0 ? n->sigma / n->alpha : INFINITY;
}

static int first_noise(const struct rd_schedule *s, const struct rd_grid_opts *o, double *noise, struct rd_err *e)
{
	struct rd_grid g;
	int rc = rd_grid_init(&g, s, o, e);

	if (!rc)
		*noise = noise_at(&g.from[0]);
	rd_grid_free(&g);
	return rc;
}

/* A rectified model knows the way from pure noise, but rectrain leaves its configuration as it was: where the spacing there would
 * begin below the noise, as diffusers' default does in one step at t = 0, trailing takes its place. Flow classes begin at the noise,
 * give or take what they round; times that a configuration cuts off stay so. */
static int begin_at_the_noise(struct rd_sampler_opts *o, const struct rd_model *m, const struct rd_sampling_args *a, struct rd_err *e)
{
	const struct rd_scheduler *s = &m->scheduler;
	struct rd_grid_opts trailing = plain_grid(s, o->grid.steps, RD_SPACING_TRAILING);
	double own, noisiest;
	int rc;

	if (a->spacing >= 0 || a->scheduler || o->grid.flow || rd_solver_chooses_steps(&o->solver) || !rd_model_is_rectified(m))
		return RD_OK;
	trailing.cut = o->grid.cut;
	trailing.lambda_min = o->grid.lambda_min;
	rc = first_noise(&s->schedule, &o->grid, &own, e);
	if (!rc)
		rc = first_noise(&s->schedule, &trailing, &noisiest, e);
	if (rc || own >= (1 - 1e-3) * noisiest)
		return rc;
	rd_tell("%s was rectified: trailing spacing in place of its configuration's %s; --spacing %s takes that", a->model,
	        rd_spacing_names[o->grid.spacing], rd_spacing_names[o->grid.spacing]);
	o->grid = trailing;
	return RD_OK;
}

/* A table may end where the network knows of more noise. */
static void warn_table(const struct rd_scheduler *c)
{
	struct rd_node top = rd_node_at(&c->schedule, c->schedule.t_hi), most;

	if (!c->schedule.table || !c->network)
		return;
	most = rd_node_at(&c->network->schedule, c->network->schedule.t_hi);
	if (noise_at(&top) < fmin(0.9 * noise_at(&most), NOISE))
		rd_warn("the table ends at sigma/alpha = %g, where the network expects something of a sample: it knows %g", top.sigma / top.alpha,
		        most.sigma / most.alpha);
}

/* A grid may begin below the schedule's end, where the network expects something of a sample beside the noise. */
static void tell_start(const struct rd_sampling *s)
{
	const struct rd_schedule *c = &s->model.scheduler.schedule;
	const struct rd_node *first = &rd_sampler_grid(s->sampler)->from[0];
	struct rd_node end = rd_node_at(c, c->t_hi);
	double noise = noise_at(first), most = noise_at(&end);

	if (rd_sampler_reversed(s->sampler) || noise >= (1 - 1e-6) * most)
		return;
	if (noise < fmin(most / 3, NOISE))
		rd_warn("the first step is at t = %g, the schedule ends at %g: with this spacing pure noise is taken for a "
		        "half-made sample (--spacing trailing starts at the end)", first->t, c->t_hi);
	else
		rd_info("the first step is at t = %g, where sigma/alpha is %g, and takes pure noise for the sample there; the schedule ends "
		        "at t = %g, %g (--spacing trailing starts there)", first->t, noise, c->t_hi, most);
}

/* Guidance of pairs is learnt from them, as rectrain records; more of it is seldom meant. */
static void warn_guidance(const struct rd_sampling *s, const struct rd_sampling_args *a)
{
	const char *learnt = rd_model_guidance_learnt(&s->model);

	if (a->guidance != 1 && learnt)
		rd_warn("guidance %.40s is in the weights of %s already: --guidance %g comes on top of it", learnt, a->model,
		        a->guidance);
}

/* What a config asks for that an ODE has not. DDPMScheduler is the usual case, and is told only to those who ask. */
static void tell_ignored(const struct rd_sampling *s, const struct rd_solver *solver)
{
	const struct rd_scheduler *c = &s->model.scheduler;

	if (c->unknown[0])
		rd_warn("%s: key %s is not known and left out", c->class_name, c->unknown);
	if (!c->ignored[0])
		return;
	if (!strcmp(c->class_name, "DDPMScheduler"))
		rd_info("%s: %s is left out: the ODE is solved by %s", c->class_name, c->ignored, rd_solver_name(solver));
	else
		rd_tell("%s: %s: left out, the ODE is solved by %s", c->class_name, c->ignored, rd_solver_name(solver));
}

static int open_model(struct rd_sampling *s, const struct rd_sampling_args *a, struct rd_err *e)
{
	int rc = rd_model_load(&s->model, a->model, e);

	if (!rc && s->model.variant[0])
		rd_info("%s: the weights are those of variant %s, the only one there", a->model, s->model.variant);
	if (!rc && a->null_class >= 0) {
		s->model.null_class = a->null_class;
		rc = rd_model_check_null_class(&s->model, a->null_class, e);
	}
	if (!rc && a->scheduler)
		rc = rd_model_set_scheduler(&s->model, a->scheduler, e);
	return rc || !a->as ? rc : rd_model_convert(&s->model, a->as, -1, e);
}

int rd_sampling_open(struct rd_sampling *s, const struct rd_sampling_args *a, const struct rd_common *c, bool clip_default,
                     struct rd_err *e)
{
	struct rd_sampler_opts o;
	char effort[64];
	int rc;

	memset(s, 0, sizeof *s);
	if (!a->model)
		rd_usage_error("which model? -m MODEL is missing");
	check_args(a);
	rc = open_model(s, a, e);
	if (!rc)
		rc = rd_common_device(c, &s->be, &s->dev, e);
	if (!rc) {
		s->batch = c->batch ? c->batch : 64;
		o = sampler_opts(a, &s->model.scheduler, clip_default);
		if (a->solver_type >= 0)
			rc = rd_solver_set_type(&o.solver, (enum rd_solver_type)a->solver_type, e);
	}
	if (!rc)
		rc = begin_at_the_noise(&o, &s->model, a, e);
	if (!rc)
		rc = rd_sampler_new(&s->sampler, &s->model, s->be, s->dev, &o, e);
	if (rc) {
		rd_sampling_close(s);
		return rc;
	}
	tell_start(s);
	warn_guidance(s, a);
	if (!clip_default && a->clip < 0 && s->model.scheduler.clip)
		rd_warn("%s: its configuration clips x0 in every step, and odesample does; that is no ODE of the model's, and "
		        "pairs are made without (--clip: with; --no-clip: without a word)", a->model);
	warn_table(&s->model.scheduler);
	tell_ignored(s, &o.solver);
	if (rd_solver_chooses_steps(&o.solver))
		snprintf(effort, sizeof effort, "rtol %g, atol %g", o.solver.rtol, o.solver.atol);
	else
		snprintf(effort, sizeof effort, "%d evaluations a sample", rd_sampler_nfe(s->sampler));
	rd_info("%s: %lld parameters, %s, %s-prediction; %s, %s; %s", a->model,
	        (long long)(s->model.params ? rd_graph_param_count(s->model.params) : 0), s->model.scheduler.schedule.form->name,
	        rd_pred_names[s->model.scheduler.pred.type], rd_solver_name(&o.solver), effort, s->be->describe(s->dev));
	return RD_OK;
}

void rd_sampling_describe(json_t *meta, const void *s)
{
	const struct rd_sampling *by = s;

	rd_model_describe(&by->model, meta);
	rd_sampler_describe(by->sampler, meta);
}

void rd_sampling_check(struct rd_sampling *s, const float *x, uint64_t first, int64_t n, size_t dim)
{
	for (int64_t i = 0; i < n; i++, x += dim) {
		size_t k = 0;

		while (k < dim && isfinite(x[k]))
			k++;
		if (k < dim && !s->not_finite++)
			s->first_not_finite = first + (uint64_t)i;
	}
}

void rd_sampling_end(const struct rd_sampling *s, json_t *end)
{
	const struct rd_sampler_effort *t = rd_sampler_effort(s->sampler);

	rd_sampler_describe_end(s->sampler, end);
	if (s->not_finite) {
		json_object_set_new(end, "not_finite", json_integer((json_int_t)s->not_finite));
		rd_warn("%llu samples hold NaN or infinities, the first is %llu", (unsigned long long)s->not_finite,
		        (unsigned long long)s->first_not_finite);
	}
	if (t->samples)
		rd_info("%.1f evaluations a sample, at most %lld; %.1f steps a sample were rejected", (double)t->evaluations / (double)t->samples,
		        (long long)t->most, (double)t->rejected / (double)t->samples);
}

void rd_sampling_close(struct rd_sampling *s)
{
	rd_sampler_free(s->sampler);
	if (s->dev)
		s->be->close(s->dev);
	rd_model_free(&s->model);
	memset(s, 0, sizeof *s);
}
