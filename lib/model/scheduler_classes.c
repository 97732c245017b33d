/* The classes that are not of the DPM-Solver kin. Where a class has conventions of its own, lib/ode/grid.h says what they are. */
#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/model/scheduler_impl.h"

#define RATIO_MAX 1e30 /* of a schedule's ends: powers of it stay finite in single precision */

static const char *const three[] = {"epsilon", "sample", "v_prediction", NULL};

/* DDPM and PNDM: ancestral sampling and PNDM's Runge-Kutta start are no ODE solvers of this suite; the form is taken, and
 * the suite's own solver and spacing. */
int rd_sched_ddpm(const struct rd_sched_ctx *x)
{
	enum rd_spacing spacing;
	int rc = rd_sched_betas(x, &(struct rd_sched_betas){1e-4, 0.02, true, 0});

	if (!rc)
		rc = rd_sched_prediction(x, three);
	if (!rc)
		rc = rd_sched_spacing(x, "leading", &spacing);
	if (!rc)
		rc = rd_sched_clip(x, true);
	if (rc)
		return rc;
	rd_scheduler_own_sampling(x->s);
	rd_sched_ignore(x, "ancestral noise");
	return RD_OK;
}

int rd_sched_pndm(const struct rd_sched_ctx *x)
{
	static const char *const two[] = {"epsilon", "v_prediction", NULL};
	enum rd_spacing spacing;
	bool on;
	int p, rc = rd_sched_betas(x, &(struct rd_sched_betas){1e-4, 0.02, false, 0});

	if (!rc)
		rc = rd_sched_choice(x, "prediction_type", "epsilon", two, &p);
	if (!rc)
		rc = rd_sched_spacing(x, "leading", &spacing);
	if (!rc)
		rc = rd_sched_bool(x, "skip_prk_steps", false, &on);
	if (!rc)
		rc = rd_sched_bool(x, "set_alpha_to_one", false, &on);
	if (rc)
		return rc;
	x->s->pred.type = p ? RD_PRED_V : RD_PRED_EPSILON;
	rd_scheduler_own_sampling(x->s);
	rd_sched_ignore(x, "PNDM's own steps");
	return RD_OK;
}

int rd_sched_ddim(const struct rd_sched_ctx *x)
{
	bool one;
	int rc = rd_sched_betas(x, &(struct rd_sched_betas){1e-4, 0.02, true, 0});

	if (!rc)
		rc = rd_sched_prediction(x, three);
	if (!rc)
		rc = rd_sched_spacing(x, "leading", &x->s->grid.spacing);
	if (!rc)
		rc = rd_sched_clip(x, true);
	if (!rc)
		rc = rd_sched_bool(x, "set_alpha_to_one", true, &one);
	if (rc)
		return rc;
	x->s->solver.family = RD_DDIM;
	x->s->grid.ddim_prev = true;
	x->s->grid.final = one ? RD_FINAL_DATA : RD_FINAL_LEAST;
	return RD_OK;
}

/* What Euler and Heun on discrete betas share: the state is x/alpha, the times need not be integers. */
static int k_diffusion(const struct rd_sched_ctx *x)
{
	struct rd_grid_opts *g = &x->s->grid;
	int rc = rd_sched_prediction(x, three);

	if (!rc)
		rc = rd_sched_spacing(x, "linspace", &g->times);
	if (rc)
		return rc;
	g->spacing = g->times;
	g->real_times = g->ends_of_times = g->unscaled_end = true;
	g->rounding = RD_ROUND_NONE;
	g->start = g->times == RD_SPACING_LEADING ? RD_START_ROOT : RD_START_SIGMA;
	return rd_sched_sigmas(x, &g->spacing);
}

int rd_sched_euler(const struct rd_sched_ctx *x)
{
	static const char *const interpolations[] = {"linear", "log_linear", NULL}, *const types[] = {"discrete", "continuous", NULL};
	struct rd_grid_opts *g = &x->s->grid;
	int k = 0, rc = rd_sched_betas(x, &(struct rd_sched_betas){1e-4, 0.02, true, 0x1p-24});

	if (!rc)
		rc = k_diffusion(x);
	if (!rc)
		rc = rd_sched_positive(x, "sigma_min", &g->n_min);
	if (!rc)
		rc = rd_sched_positive(x, "sigma_max", &g->n_max);
	if (!rc)
		rc = rd_sched_final(x);
	if (!rc)
		rc = rd_sched_choice(x, "interpolation_type", "linear", interpolations, &k);
	g->log_linear = k == 1;
	if (!rc)
		rc = rd_sched_choice(x, "timestep_type", "discrete", types, &k);
	x->s->schedule.log_time = k == 1 && x->s->pred.type == RD_PRED_V;
	x->s->solver.family = RD_EULER;
	if (g->log_linear)
		g->ends_of_times = false;
	if (g->spacing < RD_SPACING_KARRAS)
		g->n_min = g->n_max = 0; /* sigma_min and sigma_max bear on karras and the like alone, */
	else
		g->log_linear = false;   /* which take its place */
	return rc;
}

int rd_sched_heun(const struct rd_sched_ctx *x)
{
	int rc = rd_sched_betas(x, &(struct rd_sched_betas){0.00085, 0.012, false, 0});

	if (!rc)
		rc = k_diffusion(x);
	if (!rc)
		rc = rd_sched_clip(x, false);
	x->s->clip_eps = true;
	x->s->solver.family = RD_HEUN;
	return rc;
}

/* The flow classes: alpha = 1 - t, sigma = t. */
static int flow(const struct rd_sched_ctx *x)
{
	struct rd_grid_opts *g = &x->s->grid;
	int rc = rd_schedule_init(&x->s->schedule, "fm", x->e);

	if (!rc)
		rc = rd_json_int(x->c, x->file, "num_train_timesteps", 1000, 2, 1000000, &x->s->schedule.n_train, x->e);
	if (!rc)
		rc = rd_sched_num(x, "shift", 1, &g->shift);
	if (!rc && !(g->shift > 0))
		rc = rd_fail(x->e, RD_EINPUT, "%s: shift: a positive number expected", x->file);
	x->s->pred.type = RD_PRED_FLOW;
	g->flow = RD_FLOW_MATCH;
	return rc;
}

int rd_sched_flow_euler(const struct rd_sched_ctx *x)
{
	static const char *const off[] = {"use_dynamic_shifting", "invert_sigmas", NULL};
	struct rd_grid_opts *g = &x->s->grid;
	bool stochastic;
	int rc = rd_sched_refuse(x, off);

	if (!rc)
		rc = flow(x);
	if (!rc)
		rc = rd_sched_positive(x, "shift_terminal", &g->shift_terminal);
	if (!rc && g->shift_terminal >= 1)
		rc = rd_fail(x->e, RD_EINPUT, "%s: shift_terminal: below 1 expected", x->file);
	if (!rc)
		rc = rd_sched_sigmas(x, &g->spacing);
	if (!rc)
		rc = rd_sched_bool(x, "stochastic_sampling", false, &stochastic);
	if (!rc && stochastic)
		rd_sched_ignore(x, "stochastic_sampling");
	x->s->solver.family = RD_DDIM;
	return rc;
}

int rd_sched_flow_heun(const struct rd_sched_ctx *x)
{
	x->s->solver = (struct rd_solver){.family = RD_HEUN, .type = RD_TYPE_VELOCITY};
	return flow(x);
}

/* The EDM classes: ve with EDM's preconditioning, the network fed ln(sigma)/4. */
static int edm(const struct rd_sched_ctx *x)
{
	static const char *const predictions[] = {"epsilon", "v_prediction", NULL}, *const ramps[] = {"karras", "exponential", NULL};
	struct rd_schedule *c = &x->s->schedule;
	int p, k, rc = rd_schedule_init(c, "ve", x->e);

	if (!rc)
		rc = rd_sched_num(x, "sigma_min", c->t_lo, &c->t_lo);
	if (!rc)
		rc = rd_sched_num(x, "sigma_max", c->t_hi, &c->t_hi);
	if (!rc && !(c->t_lo > 0 && c->t_hi > c->t_lo && c->t_hi < 1e6 && c->t_hi / c->t_lo < RATIO_MAX))
		rc = rd_fail(x->e, RD_EINPUT, "%s: sigma_min, sigma_max: 0 < sigma_min < sigma_max expected", x->file);
	if (!rc)
		rc = rd_sched_num(x, "sigma_data", rd_pred_sigma_data(RD_PRED_EDM), &c->sigma_data);
	if (!rc && !(c->sigma_data > 0 && c->sigma_data < 1e6))
		rc = rd_fail(x->e, RD_EINPUT, "%s: sigma_data: a positive number expected", x->file);
	if (!rc)
		rc = rd_sched_positive(x, "rho", &x->s->grid.rho);
	if (!rc)
		rc = rd_sched_choice(x, "prediction_type", "epsilon", predictions, &p);
	if (!rc)
		rc = rd_sched_choice(x, "sigma_schedule", "karras", ramps, &k);
	if (!rc)
		rc = rd_sched_final(x);
	if (rc)
		return rc;
	x->s->pred = (struct rd_prediction){p ? RD_PRED_EDM_V : RD_PRED_EDM, c->sigma_data};
	x->s->grid.spacing = k ? RD_SPACING_EXPONENTIAL : RD_SPACING_KARRAS;
	x->s->grid.start = RD_START_ROOT;
	return RD_OK;
}

int rd_sched_edm_euler(const struct rd_sched_ctx *x)
{
	x->s->solver.family = RD_EULER;
	return edm(x);
}

int rd_sched_edm_dpm(const struct rd_sched_ctx *x)
{
	int rc = edm(x);

	return rc ? rc : rd_sched_edm_solver(x);
}

/* "network": the scheduler that the network was made for, where this one is another form of the same model. */
static int network(const struct rd_sched_ctx *x)
{
	const json_t *c = json_object_get(x->c, "network");
	char file[4160];
	void *p;
	int rc;

	if (!c || json_is_null(c))
		return RD_OK;
	snprintf(file, sizeof file, "%.4096s: network", x->file);
	if (!json_is_object(c) || json_object_get(c, "network"))
		return rd_fail(x->e, RD_EINPUT, "%s: a scheduler's config expected, without another inside", file);
	rc = rd_alloc0(&p, 1, sizeof *x->s->network, "scheduler", x->e);
	if (rc)
		return rc;
	x->s->network = p;
	rc = rd_scheduler_parse(x->s->network, c, file, x->e);
	if (rc) {
		free(x->s->network);
		x->s->network = NULL;
	}
	return rc;
}

/* The numbers of a form by name other than ddpm. */
static int own_numbers(const struct rd_sched_ctx *x, const char *form, bool ve)
{
	struct rd_schedule *c = &x->s->schedule;
	int rc = rd_form_find(form) ? rd_schedule_init(c, form, x->e)
	                            : rd_fail(x->e, RD_EINPUT, "%s: form: %s is none of ddpm, vp, subvp, ve, fm, table", x->file, form);

	if (!rc)
		rc = rd_sched_num(x, "beta_min", c->beta0, &c->beta0);
	if (!rc)
		rc = rd_sched_num(x, "beta_max", c->beta1, &c->beta1);
	if (!rc)
		rc = rd_sched_num(x, ve ? "sigma_min" : "t_min", c->t_lo, &c->t_lo);
	return rc ? rc : rd_sched_num(x, ve ? "sigma_max" : "t_max", c->t_hi, &c->t_hi);
}

/* "t_max" of ddpm: the last of its times that is used, where a network does not know the noisier ones. */
static int last_time(const struct rd_sched_ctx *x)
{
	struct rd_schedule *c = &x->s->schedule;
	double t;
	int rc = rd_sched_num(x, "t_max", c->t_hi, &t);

	if (rc)
		return rc;
	if (!(t >= 1 && t <= c->t_hi && t == floor(t)))
		return rd_fail(x->e, RD_EINPUT, "%s: t_max: a whole number from 1 to %.0f expected", x->file, c->t_hi);
	c->n_train = (int64_t)t + 1;
	c->t_hi = t;
	return RD_OK;
}

/* Our own class: {"form": F, "prediction_type": P} and the form's numbers. */
int rd_sched_own(const struct rd_sched_ctx *x)
{
	struct rd_schedule *c = &x->s->schedule;
	bool ddpm, ve, table;
	char form[16];
	int p, rc = rd_json_str(x->c, x->file, "form", NULL, form, sizeof form, x->e);

	if (rc)
		return rc;
	ddpm = !strcmp(form, "ddpm");
	ve = !strcmp(form, "ve");
	table = !strcmp(form, "table");
	if (ddpm) {
		rc = rd_sched_betas(x, &(struct rd_sched_betas){1e-4, 0.02, true, 0});
		if (!rc)
			rc = last_time(x);
	} else if (table) {
		rc = rd_sched_table(x);
		if (!rc)
			rc = rd_sched_table_range(x);
	} else {
		rc = own_numbers(x, form, ve);
	}
	if (!rc && (!(c->t_lo >= 0) || !(c->t_hi > c->t_lo) || !(c->beta1 >= c->beta0) || !(c->beta0 >= 0) ||
	            (!ddpm && !table && !(c->t_lo > 0 && c->t_hi / c->t_lo < RATIO_MAX))))
		rc = rd_fail(x->e, RD_EINPUT, "%s: the ends of the schedule are not in order", x->file);
	if (!rc)
		rc = network(x);
	if (!rc && !ddpm && !ve && !table && c->t_hi > (x->s->network && strcmp(form, "fm") ? 10 : 1)) /* beyond 1 to reach a network's noise */
		rc = rd_fail(x->e, RD_EINPUT, "%s: t_max: at most 1 expected", x->file);
	if (!rc)
		rc = rd_sched_choice(x, "prediction_type", strcmp(form, "fm") ? "epsilon" : "flow_prediction", rd_scheduler_predictions, &p);
	if (!rc)
		rc = rd_sched_num(x, "sigma_data", rd_pred_sigma_data((enum rd_pred)p), &c->sigma_data);
	if (!rc && !(c->sigma_data > 0 && c->sigma_data < 1e6))
		rc = rd_fail(x->e, RD_EINPUT, "%s: sigma_data: a positive number expected", x->file);
	if (rc)
		return rc;
	x->s->pred = (struct rd_prediction){(enum rd_pred)p, c->sigma_data};
	rd_scheduler_own_sampling(x->s);
	return RD_OK;
}
