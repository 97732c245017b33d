/* scheduler_config.json, down to the numbers of the schedule and of the grids that it gives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
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
	rd_grid_free(&g);
}

static void run(const uint8_t *data, size_t n)
{
	const char *path = fuzz_file(0, data, n);
	struct rd_scheduler s;
	struct rd_err e = {0};

	if (!fuzz_accepted(rd_scheduler_load(&s, path, &e), &e))
		return;
	check_schedule(&s.schedule);
	for (int steps = 1; steps <= 16; steps *= 4)
		check_grid(&s, steps);
	rd_scheduler_free(&s);
}

static const char *const words[] = {
	"_class_name", "DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler",
	"RectdiffScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "UniPCMultistepScheduler", "PNDMScheduler",
	"ScoreSdeVeScheduler", "EDMEulerScheduler", "beta_start", "beta_end", "beta_schedule", "linear", "scaled_linear",
	"squaredcos_cap_v2", "sigmoid", "trained_betas", "num_train_timesteps", "rescale_betas_zero_snr", "prediction_type", "epsilon",
	"sample", "v_prediction", "flow_prediction", "timestep_spacing", "trailing", "leading", "linspace", "steps_offset",
	"clip_sample", "clip_sample_range", "thresholding", "set_alpha_to_one", "euler_at_final", "use_karras_sigmas",
	"use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas", "use_dynamic_shifting", "solver_order",
	"algorithm_type", "dpmsolver++", "solver_type", "midpoint", "lower_order_final", "final_sigmas_type", "zero", "sigma_min",
	"sigma_max", "sigma_data", "shift", "invert_sigmas", "stochastic_sampling", "form", "ddpm", "vp", "subvp", "ve", "fm",
	"beta_min", "beta_max", "t_min", "t_max", "Infinity", "-Infinity", "NaN", "true", "false", "null", NULL};

static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	return fuzz_mutate_json(data, n, max, seed, words);
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const char *const forms[] = {"ddpm", "vp", "subvp", "ve", "fm"};

	fuzz_emit_files("models/*/scheduler/scheduler_config.json", emit, arg);
	fuzz_emit_files("tests/golden/*/*/scheduler_config.json", emit, arg);
	fuzz_emit_files("tests/golden/*/model/scheduler/scheduler_config.json", emit, arg);
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
