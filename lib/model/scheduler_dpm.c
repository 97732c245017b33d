/* The DPM-Solver kin: DPMSolverMultistep, DPMSolverSinglestep, UniPCMultistep, DEISMultistep, EDMDPMSolverMultistep. */
#include <math.h>
#include <string.h>

#include "formats/json.h"
#include "lib/model/scheduler_impl.h"

static int order(const struct rd_sched_ctx *x)
{
	int64_t n;
	int rc = rd_json_int(x->c, x->file, "solver_order", 2, 1, RD_MAX_ORDER, &n, x->e);

	x->s->solver.order = rc ? 0 : (int)n;
	return rc;
}

static int lower_order_final(const struct rd_sched_ctx *x, bool def)
{
	bool on;
	int rc = rd_sched_bool(x, "lower_order_final", def, &on);

	x->s->solver.high_order_final = !rc && !on;
	return rc;
}

/* solver_type, with the other classes' names standing for this class's first, as in diffusers. */
static int solver_type(const struct rd_sched_ctx *x, const char *const *names, enum rd_solver_type first, enum rd_solver_type second)
{
	int k, rc = rd_sched_choice(x, "solver_type", names[0], names, &k);

	x->s->solver.type = !rc && k == 1 ? second : first;
	return rc;
}

static int dpm_type(const struct rd_sched_ctx *x)
{
	static const char *const names[] = {"midpoint", "heun", "logrho", "bh1", "bh2", NULL};

	return solver_type(x, names, RD_TYPE_MIDPOINT, RD_TYPE_HEUN);
}

/* algorithm_type: the form of the history. Of the stochastic ones the deterministic twin is solved. */
static int algorithm(const struct rd_sched_ctx *x, bool noise_form)
{
	static const char *const names[] = {"dpmsolver++", "sde-dpmsolver++", "deis", "dpmsolver", "sde-dpmsolver", NULL};
	int k, rc = rd_sched_choice(x, "algorithm_type", "dpmsolver++", names, &k);

	if (rc)
		return rc;
	x->s->solver.data = k < 3;
	if (k >= 3 && !noise_form)
		return rd_fail(x->e, RD_EINPUT, "%s: algorithm_type: %s is not one of this class's", x->file, names[k]);
	if (k == 2 && x->s->grid.final == RD_FINAL_DATA)
		return rd_fail(x->e, RD_EINPUT, "%s: final_sigmas_type: zero does not go with algorithm_type deis; sigma_min does",
		               x->file);
	if (k == 1 || k == 4)
		rd_sched_ignore(x, "the noise of an SDE solver");
	return RD_OK;
}

/* The noise form divides by the end's sigma. */
static int check_final(const struct rd_sched_ctx *x, const char *key)
{
	if (!x->s->solver.data && x->s->grid.final == RD_FINAL_DATA)
		return rd_fail(x->e, RD_EINPUT, "%s: final_sigmas_type: zero does not go with %s; sigma_min does", x->file, key);
	return RD_OK;
}

/* A log-SNR below which times are cut off. */
static int lambda_min(const struct rd_sched_ctx *x)
{
	double v;
	int rc = rd_sched_num(x, "lambda_min_clipped", -INFINITY, &v);

	x->s->grid.cut = !rc && v > -1e300; /* -Infinity is read as -1e308 */
	x->s->grid.lambda_min = v;
	return rc;
}

/* Of no use to an ODE; whether the network has what is learned is for lib/model/fit.h to say. */
static int variance(const struct rd_sched_ctx *x)
{
	static const char *const names[] = {"fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range",
	                                    NULL};
	int i;

	return rd_json_choice(x->c, x->file, "variance_type", names[0], names, &i, x->e);
}

/* prediction_type: v and flow are made for alpha^2 + sigma^2 = 1 and alpha + sigma = 1. */
static int prediction(const struct rd_sched_ctx *x, bool flow)
{
	static const char *const names[] = {"epsilon", "sample", "v_prediction", "flow_prediction", NULL};
	int rc = rd_sched_prediction(x, names);

	if (rc)
		return rc;
	if (!flow && x->s->pred.type == RD_PRED_FLOW)
		return rd_fail(x->e, RD_EINPUT, "%s: prediction_type: flow_prediction asks for use_flow_sigmas", x->file);
	if (flow && x->s->pred.type == RD_PRED_V)
		return rd_fail(x->e, RD_EINPUT, "%s: prediction_type: v_prediction does not go with use_flow_sigmas", x->file);
	if (!x->s->solver.data && x->s->pred.type == RD_PRED_FLOW && x->s->solver.family != RD_DEIS)
		return rd_fail(x->e, RD_EINPUT, "%s: prediction_type: flow_prediction goes with the data form only", x->file);
	return RD_OK;
}

/* use_flow_sigmas: the form is fm after all; what the betas still decide is its least sigma. */
static int to_flow(const struct rd_sched_ctx *x, enum rd_flow_grid kind)
{
	struct rd_grid_opts *g = &x->s->grid;
	struct rd_schedule *c = &x->s->schedule;
	struct rd_node most = rd_node_at(c, c->t_hi), least = rd_node_at(c, c->t_lo);
	int64_t n_train = c->n_train;
	int rc = RD_OK;

	if (g->spacing >= RD_SPACING_KARRAS && (kind != RD_FLOW_UNIPC || g->spacing != RD_SPACING_KARRAS))
		return rd_fail(x->e, RD_EINPUT, "%s: use_flow_sigmas: not together with another choice of sigmas", x->file);
	if (g->spacing == RD_SPACING_KARRAS) {
		g->n_max = g->n_max > 0 ? g->n_max : most.sigma / most.alpha;
		g->n_min = g->n_min > 0 ? g->n_min : least.sigma / least.alpha;
	}
	g->final_sigma = g->final == RD_FINAL_LEAST ? least.sigma / least.alpha : 0;
	rd_schedule_free(c);
	rc = rd_schedule_init(c, "fm", x->e);
	c->n_train = n_train;
	g->flow = kind;
	if (!rc)
		rc = rd_sched_num(x, "flow_shift", 1, &g->shift);
	if (!rc && !(g->shift > 0 && g->shift < 1e6))
		rc = rd_fail(x->e, RD_EINPUT, "%s: flow_shift: a positive number expected", x->file);
	return rc;
}

/* Betas, spacing, sigmas and the end of what is on discrete betas; rounding as DPMSolverMultistep's. */
static int discrete(const struct rd_sched_ctx *x, bool may_rescale, bool may_space)
{
	struct rd_grid_opts *g = &x->s->grid;
	int rc = rd_sched_betas(x, &(struct rd_sched_betas){1e-4, 0.02, may_rescale, 0x1p-24});

	g->spacing = RD_SPACING_LINSPACE;
	if (!rc && may_space)
		rc = rd_sched_spacing(x, "linspace", &g->spacing);
	if (!rc)
		rc = rd_sched_sigmas(x, &g->spacing);
	g->one_more = true;
	g->rounding = g->spacing == RD_SPACING_KARRAS ? RD_ROUND_NEAREST : RD_ROUND_DOWN;
	return rc;
}

static int finish(const struct rd_sched_ctx *x, enum rd_flow_grid kind)
{
	static const char *const off[] = {"thresholding", "use_dynamic_shifting", NULL};
	bool flow;
	int rc = rd_sched_refuse(x, off);

	if (!rc)
		rc = rd_sched_bool(x, "use_flow_sigmas", false, &flow);
	if (!rc)
		rc = prediction(x, flow);
	return rc || !flow ? rc : to_flow(x, kind);
}

/* DPMSolverMultistep has one more choice of sigmas, which is exponential's but for how times are rounded. */
static int lu_lambdas(const struct rd_sched_ctx *x)
{
	const char *b = json_string_value(json_object_get(x->c, "beta_schedule"));
	struct rd_grid_opts *g = &x->s->grid;
	bool on, cosine = b && !strcmp(b, "squaredcos_cap_v2");
	int rc = rd_sched_bool(x, "use_lu_lambdas", false, &on);

	if (rc || !(on || g->spacing == RD_SPACING_KARRAS))
		return rc;
	if (on && g->spacing >= RD_SPACING_KARRAS)
		return rd_fail(x->e, RD_EINPUT, "%s: use_lu_lambdas: not together with another choice of sigmas", x->file);
	if (on) {
		g->spacing = RD_SPACING_EXPONENTIAL;
		g->single_logs = true;
	}
	g->rounding = cosine ? RD_ROUND_DOWN : RD_ROUND_NEAREST;
	return RD_OK;
}

/* What DPMSolverMultistep and DPMSolverSinglestep have in common beyond their times. */
static int dpm(const struct rd_sched_ctx *x, bool lower)
{
	int rc = rd_sched_final(x);

	x->s->solver.family = RD_DPM;
	if (!rc)
		rc = order(x);
	if (!rc)
		rc = algorithm(x, true);
	if (!rc)
		rc = check_final(x, "algorithm_type dpmsolver");
	if (!rc)
		rc = dpm_type(x);
	if (!rc)
		rc = lower_order_final(x, lower);
	if (!rc)
		rc = lambda_min(x);
	if (!rc)
		rc = variance(x);
	return rc ? rc : finish(x, RD_FLOW_DPM);
}

int rd_sched_dpm_multistep(const struct rd_sched_ctx *x)
{
	int rc = discrete(x, true, true);

	if (!rc)
		rc = lu_lambdas(x);
	if (!rc)
		rc = rd_sched_bool(x, "euler_at_final", false, &x->s->solver.euler_at_final);
	return rc ? rc : dpm(x, true);
}

int rd_sched_dpm_singlestep(const struct rd_sched_ctx *x)
{
	int rc = discrete(x, false, false);

	x->s->solver.singlestep = true;
	return rc ? rc : dpm(x, false);
}

static int uncorrected(const struct rd_sched_ctx *x)
{
	const json_t *a = json_object_get(x->c, "disable_corrector"), *v;
	struct rd_solver *s = &x->s->solver;
	size_t i;

	if (!a || json_is_null(a))
		return RD_OK;
	if (!json_is_array(a) || json_array_size(a) > RD_MAX_UNCORRECTED)
		return rd_fail(x->e, RD_EINPUT, "%s: disable_corrector: a list of at most %d steps expected", x->file,
		               RD_MAX_UNCORRECTED);
	json_array_foreach(a, i, v) {
		if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 1000000)
			return rd_fail(x->e, RD_EINPUT, "%s: disable_corrector: numbers of steps, from 0, expected", x->file);
		s->uncorrected[s->n_uncorrected++] = (int)json_integer_value(v);
	}
	return RD_OK;
}

int rd_sched_unipc(const struct rd_sched_ctx *x)
{
	static const char *const types[] = {"bh2", "bh1", "midpoint", "heun", "logrho", NULL};
	struct rd_grid_opts *g = &x->s->grid;
	const json_t *p = json_object_get(x->c, "solver_p");
	int rc = discrete(x, true, true);

	x->s->solver.family = RD_UNIPC;
	if (!rc && p && !json_is_null(p))
		rc = rd_fail(x->e, RD_EINPUT, "%s: solver_p: only null is supported", x->file);
	if (!rc)
		rc = rd_sched_final(x);
	if (!rc)
		rc = order(x);
	if (!rc)
		rc = rd_sched_bool(x, "predict_x0", true, &x->s->solver.data);
	if (!rc)
		rc = check_final(x, "predict_x0 false");
	if (!rc)
		rc = solver_type(x, types, RD_TYPE_BH2, RD_TYPE_BH1);
	if (!rc && x->s->solver.type == RD_TYPE_BH1 && g->final == RD_FINAL_DATA)
		rc = rd_fail(x->e, RD_EINPUT, "%s: final_sigmas_type: zero does not go with solver_type bh1; sigma_min does", x->file);
	if (!rc)
		rc = lower_order_final(x, true);
	if (!rc)
		rc = uncorrected(x);
	if (!rc)
		rc = rd_sched_positive(x, "sigma_min", &g->n_min);
	if (!rc)
		rc = rd_sched_positive(x, "sigma_max", &g->n_max);
	if (!rc)
		rc = rd_sched_positive(x, "shift_terminal", &g->shift_terminal);
	if (!rc && g->shift_terminal >= 1)
		rc = rd_fail(x->e, RD_EINPUT, "%s: shift_terminal: below 1 expected", x->file);
	if (!rc)
		rc = finish(x, RD_FLOW_UNIPC);
	if (!rc && g->shift_terminal > 0 && !g->flow)
		rc = rd_fail(x->e, RD_EINPUT, "%s: shift_terminal: asks for use_flow_sigmas", x->file);
	if (!rc && g->final == RD_FINAL_LEAST && (g->flow || g->spacing >= RD_SPACING_KARRAS))
		g->final = RD_FINAL_REPEAT;
	return rc;
}

int rd_sched_deis(const struct rd_sched_ctx *x)
{
	static const char *const algorithms[] = {"deis", "dpmsolver", "dpmsolver++", NULL};
	static const char *const types[] = {"logrho", "midpoint", "heun", "bh1", "bh2", NULL};
	struct rd_grid_opts *g = &x->s->grid;
	int k, rc = discrete(x, false, true);

	x->s->solver.family = RD_DEIS;
	if (!rc)
		rc = order(x);
	if (!rc)
		rc = rd_sched_choice(x, "algorithm_type", "deis", algorithms, &k);
	if (!rc)
		rc = rd_sched_choice(x, "solver_type", "logrho", types, &k);
	if (!rc)
		rc = lower_order_final(x, true);
	if (!rc)
		rc = finish(x, RD_FLOW_DPM);
	g->final = g->flow || g->spacing >= RD_SPACING_KARRAS ? RD_FINAL_REPEAT : RD_FINAL_LEAST;
	return rc;
}

int rd_sched_edm_solver(const struct rd_sched_ctx *x)
{
	static const char *const off[] = {"thresholding", NULL};
	int rc = rd_sched_refuse(x, off);

	x->s->solver.family = RD_DPM;
	if (!rc)
		rc = order(x);
	if (!rc)
		rc = algorithm(x, false);
	if (!rc)
		rc = dpm_type(x);
	if (!rc)
		rc = lower_order_final(x, true);
	return rc ? rc : rd_sched_bool(x, "euler_at_final", false, &x->s->solver.euler_at_final);
}
