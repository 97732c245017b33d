#include "lib/model/scheduler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/json.h"
#include "lib/base/size.h"

struct ctx {
	struct rd_scheduler *s;
	const json_t *c;
	const char *file;
	struct rd_err *e;
};

/* Switches that must be off: what they turn on is not here. */
static int refuse_true(const struct ctx *x, const char *const *keys)
{
	bool on;
	int rc = 0;

	for (; *keys && !rc; keys++) {
		rc = rd_json_bool(x->c, x->file, *keys, false, &on, x->e);
		if (!rc && on)
			rc = rd_fail(x->e, RD_EINPUT, "%s: %s: true is not supported", x->file, *keys);
	}
	return rc;
}

static int trained_betas(const struct ctx *x, double **out, int64_t *n)
{
	const json_t *a = json_object_get(x->c, "trained_betas"), *v;
	void *p;
	size_t i;
	int rc;

	*out = NULL;
	if (!a || json_is_null(a))
		return RD_OK;
	if (!json_is_array(a) || json_array_size(a) < 2 || json_array_size(a) > 1000000)
		return rd_fail(x->e, RD_EINPUT, "%s: trained_betas: a list of numbers expected", x->file);
	rc = rd_alloc(&p, json_array_size(a), sizeof **out, "trained_betas", x->e);
	if (rc)
		return rc;
	*out = p;
	*n = (int64_t)json_array_size(a);
	json_array_foreach(a, i, v)
		(*out)[i] = json_number_value(v); /* what is no number gives 0, refused as a beta */
	return RD_OK;
}

static int parse_betas(const struct ctx *x)
{
	static const char *const kinds[] = {"linear", "scaled_linear", "squaredcos_cap_v2", NULL};
	double b0, b1, *trained = NULL;
	int64_t n;
	bool zero_snr;
	int kind, rc = rd_json_num(x->c, x->file, "beta_start", 1e-4, &b0, x->e);

	if (!rc)
		rc = rd_json_num(x->c, x->file, "beta_end", 0.02, &b1, x->e);
	if (!rc)
		rc = rd_json_choice(x->c, x->file, "beta_schedule", "linear", kinds, &kind, x->e);
	if (!rc)
		rc = rd_json_int(x->c, x->file, "num_train_timesteps", 1000, 2, 1000000, &n, x->e);
	if (!rc)
		rc = rd_json_bool(x->c, x->file, "rescale_betas_zero_snr", false, &zero_snr, x->e);
	if (!rc)
		rc = trained_betas(x, &trained, &n);
	if (!rc) {
		rc = rd_schedule_init_ddpm(&x->s->schedule, (enum rd_betas)kind, b0, b1, n, trained, zero_snr, x->e);
		if (rc)
			rd_context(x->e, "%s", x->file);
	}
	free(trained);
	return rc;
}

static int parse_prediction(const struct ctx *x, const char *def)
{
	static const char *const names[] = {"epsilon", "sample", "v_prediction", "flow_prediction", NULL};
	int p, rc = rd_json_choice(x->c, x->file, "prediction_type", def, names, &p, x->e);

	if (!rc)
		x->s->pred = (enum rd_pred)p;
	return rc;
}

static int parse_spacing(const struct ctx *x, const char *def)
{
	static const char *const names[] = {"trailing", "leading", "linspace", NULL};
	int64_t offset;
	int k, rc = rd_json_choice(x->c, x->file, "timestep_spacing", def, names, &k, x->e);

	if (!rc)
		rc = rd_json_int(x->c, x->file, "steps_offset", 0, 0, 1000, &offset, x->e);
	if (!rc) {
		x->s->grid.spacing = (enum rd_spacing)k;
		x->s->grid.steps_offset = (int)offset;
	}
	return rc;
}

static int parse_clip(const struct ctx *x)
{
	static const char *const off[] = {"thresholding", NULL};
	int rc = refuse_true(x, off);

	if (!rc)
		rc = rd_json_bool(x->c, x->file, "clip_sample", true, &x->s->clip, x->e);
	return rc ? rc : rd_json_num(x->c, x->file, "clip_sample_range", 1, &x->s->clip_range, x->e);
}

/* What every scheduler on discrete betas has. */
static int parse_discrete(const struct ctx *x, const char *spacing)
{
	int rc = parse_betas(x);

	if (!rc)
		rc = parse_prediction(x, "epsilon");
	return rc ? rc : parse_spacing(x, spacing);
}

/* Ancestral sampling has no deterministic meaning: the form is taken, and the suite's own solver and spacing. */
static int parse_ddpm(const struct ctx *x)
{
	int rc = parse_discrete(x, "leading");

	if (!rc)
		rc = parse_clip(x);
	x->s->solver = RD_SOLVER_DPMPP2M;
	x->s->grid = (struct rd_grid_opts){.spacing = RD_SPACING_TRAILING};
	return rc;
}

static int parse_ddim(const struct ctx *x)
{
	bool one;
	int rc = parse_discrete(x, "leading");

	if (!rc)
		rc = parse_clip(x);
	if (!rc)
		rc = rd_json_bool(x->c, x->file, "set_alpha_to_one", true, &one, x->e);
	if (rc)
		return rc;
	x->s->solver = RD_SOLVER_DDIM;
	x->s->grid.ddim_prev = true;
	x->s->grid.final_at_t0 = !one;
	return RD_OK;
}

static int parse_dpm(const struct ctx *x)
{
	static const char *const off[] = {"thresholding", "euler_at_final", "use_exponential_sigmas", "use_beta_sigmas",
	                                  "use_lu_lambdas", "use_flow_sigmas", "use_dynamic_shifting", NULL};
	static const char *const algorithms[] = {"dpmsolver++", NULL}, *const types[] = {"midpoint", NULL};
	static const char *const finals[] = {"zero", "sigma_min", NULL};
	int64_t order;
	bool karras, lower;
	int k, rc = parse_discrete(x, "linspace");

	if (!rc)
		rc = refuse_true(x, off);
	if (!rc)
		rc = rd_json_int(x->c, x->file, "solver_order", 2, 1, 2, &order, x->e);
	if (!rc)
		rc = rd_json_choice(x->c, x->file, "algorithm_type", "dpmsolver++", algorithms, &k, x->e);
	if (!rc)
		rc = rd_json_choice(x->c, x->file, "solver_type", "midpoint", types, &k, x->e);
	if (!rc)
		rc = rd_json_bool(x->c, x->file, "lower_order_final", true, &lower, x->e);
	if (!rc)
		rc = rd_json_choice(x->c, x->file, "final_sigmas_type", "zero", finals, &k, x->e);
	if (!rc && k == 1)
		rc = rd_fail(x->e, RD_EINPUT, "%s: final_sigmas_type: sigma_min is not supported, only zero", x->file);
	if (!rc)
		rc = rd_json_bool(x->c, x->file, "use_karras_sigmas", false, &karras, x->e);
	if (rc)
		return rc;
	x->s->solver = order == 1 ? RD_SOLVER_DDIM : RD_SOLVER_DPMPP2M;
	x->s->grid.one_more = true;
	if (karras) {
		const char *b = json_string_value(json_object_get(x->c, "beta_schedule"));

		x->s->grid.spacing = RD_SPACING_KARRAS;
		x->s->grid.fractional = b && !strcmp(b, "squaredcos_cap_v2");
	}
	return RD_OK;
}

static int parse_flow(const struct ctx *x)
{
	static const char *const off[] = {"use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas",
	                                  "use_beta_sigmas", "stochastic_sampling", NULL};
	int rc = refuse_true(x, off);

	if (!rc)
		rc = rd_schedule_init(&x->s->schedule, "fm", x->e);
	if (!rc)
		rc = rd_json_int(x->c, x->file, "num_train_timesteps", 1000, 2, 1000000, &x->s->schedule.n_train, x->e);
	if (!rc)
		rc = rd_json_num(x->c, x->file, "shift", 1, &x->s->grid.shift, x->e);
	if (!rc && !(x->s->grid.shift > 0))
		rc = rd_fail(x->e, RD_EINPUT, "%s: shift: a positive number expected", x->file);
	x->s->pred = RD_PRED_FLOW;
	x->s->solver = RD_SOLVER_DDIM;
	x->s->grid.flow_match = true;
	return rc;
}

/* Our own class: {"form": F, "prediction_type": P} and the form's numbers. */
static int parse_own(const struct ctx *x)
{
	struct rd_schedule *c = &x->s->schedule;
	char form[16];
	int rc = rd_json_str(x->c, x->file, "form", NULL, form, sizeof form, x->e);

	if (rc)
		return rc;
	if (!strcmp(form, "ddpm")) {
		rc = parse_betas(x);
	} else {
		rc = rd_schedule_init(c, form, x->e);
		if (rc)
			return rd_fail(x->e, RD_EINPUT, "%s: form: %s is none of ddpm, vp, subvp, ve, fm", x->file, form);
		rc = rd_json_num(x->c, x->file, "beta_min", c->beta0, &c->beta0, x->e);
		if (!rc)
			rc = rd_json_num(x->c, x->file, "beta_max", c->beta1, &c->beta1, x->e);
		if (!rc)
			rc = rd_json_num(x->c, x->file, strcmp(form, "ve") ? "t_min" : "sigma_min", c->t_lo, &c->t_lo, x->e);
		if (!rc)
			rc = rd_json_num(x->c, x->file, strcmp(form, "ve") ? "t_max" : "sigma_max", c->t_hi, &c->t_hi, x->e);
	}
	if (!rc && (!(c->t_lo >= 0) || !(c->t_hi > c->t_lo) || !(c->beta1 >= c->beta0) || !(c->beta0 >= 0) ||
	            (strcmp(form, "ddpm") && !(c->t_lo > 0))))
		rc = rd_fail(x->e, RD_EINPUT, "%s: the ends of the schedule are not in order", x->file);
	if (!rc && strcmp(form, "ddpm") && strcmp(form, "ve") && c->t_hi > 1)
		rc = rd_fail(x->e, RD_EINPUT, "%s: t_max: at most 1 expected", x->file);
	if (!rc)
		rc = parse_prediction(x, strcmp(form, "fm") ? "epsilon" : "flow_prediction");
	x->s->solver = RD_SOLVER_DPMPP2M;
	if (!strcmp(form, "ve"))
		x->s->grid.spacing = RD_SPACING_KARRAS;
	return rc;
}

int rd_scheduler_parse(struct rd_scheduler *s, const json_t *config, const char *file, struct rd_err *e)
{
	static const struct {
		const char *name;
		int (*parse)(const struct ctx *x);
	} classes[] = {{"DDPMScheduler", parse_ddpm}, {"DDIMScheduler", parse_ddim}, {"DPMSolverMultistepScheduler", parse_dpm},
	               {"FlowMatchEulerDiscreteScheduler", parse_flow}, {"RectdiffScheduler", parse_own}};
	struct ctx x = {s, config, file, e};
	int rc;

	memset(s, 0, sizeof *s);
	s->clip_range = 1;
	rc = rd_json_str(config, file, "_class_name", NULL, s->class_name, sizeof s->class_name, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (!strcmp(s->class_name, classes[i].name)) {
			rc = classes[i].parse(&x);
			if (rc)
				rd_scheduler_free(s);
			return rc;
		}
	return rd_fail(e, RD_EINPUT,
	               "%s: _class_name %s: only DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, "
	               "FlowMatchEulerDiscreteScheduler and RectdiffScheduler are known",
	               file, s->class_name);
}

int rd_scheduler_load(struct rd_scheduler *s, const char *path, struct rd_err *e)
{
	static const char *const in_dir[] = {"scheduler_config.json", "scheduler/scheduler_config.json"};
	struct stat st;
	char file[4096];
	json_t *c;
	int rc;

	memset(s, 0, sizeof *s);
	snprintf(file, sizeof file, "%s", path);
	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		for (int i = 0; i < 2; i++)
			if (snprintf(file, sizeof file, "%s/%s", path, in_dir[i]) < (int)sizeof file && !stat(file, &st))
				break;
	rc = rd_json_load(file, &c, e);
	if (rc)
		return rc;
	rc = rd_scheduler_parse(s, c, file, e);
	json_decref(c);
	return rc;
}

void rd_scheduler_free(struct rd_scheduler *s)
{
	if (s)
		rd_schedule_free(&s->schedule);
}
