/* scheduler_config.json, down to the numbers of the schedule, the grids that it gives, and a run of its solver over them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/model/scheduler.h"
#include "tests/fuzz/fuzz.h"

static void check_point(const struct rd_node *p)
{
	ENSURE(isfinite(p->t) && isfinite(p->net_t) && isfinite(p->alpha) && isfinite(p->sigma));
	ENSURE(p->alpha >= 0 && p->sigma >= 0 && p->alpha + p->sigma > 0);
}

/* From the noise end to the data end; in both directions of time <-> sigma/alpha. */
static void check_schedule(const struct rd_schedule *s)
{
	ENSURE(isfinite(s->t_lo) && isfinite(s->t_hi) && s->t_lo < s->t_hi);
	for (int k = 0; k <= 4; k++) {
		struct rd_node p = rd_node_at(s, s->t_lo + (s->t_hi - s->t_lo) * k / 4);
		double u = s->form->t_of_u(s, (k + 0.5) / 5), n = p.sigma / p.alpha, t = s->form->t_of_n(s, n);

		check_point(&p);
		ENSURE(u >= s->t_lo && u <= s->t_hi);
		ENSURE(t >= s->t_lo && t <= s->t_hi);
	}
}

/* --- a device for the solver, whose activations are one number ----------------------------------------------------- */

static int number_alloc(struct rd_dev *dev, void **out, size_t bytes, struct rd_err *e)
{
	(void)dev;
	return rd_alloc0(out, bytes, 1, "number", e);
}

static void number_release(struct rd_dev *dev, void *p)
{
	(void)dev;
	free(p);
}

static int number_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e)
{
	(void)dev, (void)e;
	memcpy(dst, host, bytes);
	return RD_OK;
}

static size_t number_bytes(struct rd_dims d)
{
	(void)d;
	return sizeof(float);
}

static int number_combine(struct rd_dev *dev, struct rd_dims d, const float *a, const void *x, const float *b, const void *y,
                          void *out, struct rd_err *e)
{
	(void)dev, (void)d, (void)e;
	*(float *)out = *a * *(const float *)x + (y ? *b * *(const float *)y : 0);
	return RD_OK;
}

/* The network that knows its data to be 1. */
static int denoise(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e)
{
	double s = node->sigma > 0 ? node->sigma : 1;

	(void)e;
	++*(int *)ctx;
	*(float *)x0 = 1;
	*(float *)eps = (float)((*(const float *)x - node->alpha) / s);
	return RD_OK;
}

/* A run of the config's solver, with as many evaluations as it says. */
static void check_solver(const struct rd_solver *s, const struct rd_grid *g)
{
	static const struct rd_backend number = {.name = "number", .alloc = number_alloc, .release = number_release,
	                                         .put = number_put, .act_bytes = number_bytes,
	                                         .sample_bytes = number_bytes, .combine = number_combine};
	float x = (float)g->start_scale;
	struct rd_ode *o;
	struct rd_err e;
	int calls = 0;

	ENSURE_OK(rd_ode_new(&o, &number, NULL, (struct rd_dims){1, 1, 1, 1}, &e), &e);
	ENSURE_OK(rd_ode_solve(o, s, g, &x, denoise, NULL, &calls, &e), &e);
	ENSURE(calls == rd_solver_nfe(s, g));
	rd_ode_free(o);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void check_grid(const struct rd_scheduler *s, int steps)
{
	struct rd_grid_opts o = s->grid;
	struct rd_err e = {0};
	struct rd_grid g;
	int rc;

	o.steps = steps;
	rc = rd_grid_init(&g, &s->schedule, &o, &e);
	if (rc) {
		ENSURE((rc == RD_EUSAGE || rc == RD_EDOMAIN) && e.code == (enum rd_code)rc && e.msg[0]);
		return;
	}
	for (int k = 0; k < g.steps; k++) {
		check_point(&g.from[k]);
		check_point(&g.to[k]);
	}
	check_solver(&s->solver, &g);
	rd_grid_free(&g);
}

static void run(const uint8_t *data, size_t n)
{
	const char *path = fuzz_file(0, data, n);
	struct rd_scheduler s;
	struct rd_err e = {0};
	json_t *config;
	int rc = rd_json_load(path, &config, &e);

	if (!fuzz_accepted(rc, &e))
		return;
	rc = rd_scheduler_parse(&s, config, path, &e);
	json_decref(config);
	if (!fuzz_accepted(rc, &e))
		return;
	check_schedule(&s.schedule);
	for (int steps = 1; steps <= 16; steps *= 4)
		check_grid(&s, steps);
	rd_scheduler_free(&s);
}

static const char *const words[] = {
	"_class_name", "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
	"DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler",
	"EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler",
	"HeunDiscreteScheduler", "PNDMScheduler", "RectdiffScheduler", "UniPCMultistepScheduler", "LCMScheduler",
	"algorithm_type", "beta_end", "beta_max", "beta_min", "beta_schedule", "beta_start", "bh1", "bh2",
	"clip_sample", "clip_sample_range", "continuous", "ddpm", "deis", "disable_corrector", "discrete",
	"dpmsolver", "dpmsolver++", "sde-dpmsolver++", "edm", "edm_v", "epsilon", "euler_at_final", "exp",
	"exponential", "final_sigmas_type", "flow_prediction", "flow_shift", "fm", "form", "heun",
	"interpolation_type", "invert_sigmas", "karras", "lambda_min_clipped", "laplace", "leading", "linear",
	"linspace", "log", "log_linear", "logrho", "lower_order_final", "midpoint", "network_time", "num_train_timesteps", "predict_x0",
	"prediction_type", "rescale_betas_zero_snr", "rho", "sample", "scaled_linear", "set_alpha_to_one", "shift",
	"shift_terminal", "sigma_data", "sigma_max", "sigma_min", "sigma_schedule", "sigmoid", "skip_prk_steps",
	"solver_order", "solver_p", "solver_type", "squaredcos_cap_v2", "steps_offset", "stochastic_sampling",
	"subvp", "t", "table", "t_max", "t_min", "thresholding", "timestep_spacing", "timestep_type", "trailing", "trained_betas",
	"use_beta_sigmas", "use_dynamic_shifting", "use_exponential_sigmas", "use_flow_sigmas", "use_karras_sigmas",
	"use_lu_lambdas", "v_prediction", "variance_type", "learned_range", "ve", "vp", "zero", "Infinity",
	"-Infinity", "NaN", "true", "false", "null", NULL};

static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	return fuzz_mutate_json(data, n, max, seed, words);
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const char *const forms[] = {"ddpm", "vp", "subvp", "ve", "fm"};
	static const char table[] = "{\"_class_name\":\"RectdiffScheduler\",\"form\":\"table\",\"table\":[[0,1,0],[1,0.8,0.6],[2.5,0,1]],"
	                            "\"t_min\":0.5,\"t_max\":2.5,\"network_time\":\"t\"}";

	fuzz_emit_files("models/*/scheduler/scheduler_config.json", emit, arg);
	fuzz_emit_files("tests/golden/*/*/scheduler_config.json", emit, arg);
	fuzz_emit_files("tests/golden/*/model/scheduler/scheduler_config.json", emit, arg);
	emit(arg, table, sizeof table - 1);
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		json_t *o = json_pack("{s:s, s:s, s:s}", "_class_name", "RectdiffScheduler", "form", forms[i], "prediction_type", "epsilon");
		char *text = json_dumps(o, JSON_COMPACT);

		ENSURE(text);
		emit(arg, text, strlen(text));
		free(text);
		json_decref(o);
	}
}

const struct fuzz_target fuzz_scheduler = {"scheduler", 4096, run, mutate, seeds, words};
