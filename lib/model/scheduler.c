#include "lib/model/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/model/fit.h"
#include "lib/model/scheduler_impl.h"

static const struct {
	const char *name;
	rd_sched_class parse;
} classes[] = {
	{"DDPMScheduler", rd_sched_ddpm},
	{"DDIMScheduler", rd_sched_ddim},
	{"PNDMScheduler", rd_sched_pndm},
	{"DPMSolverMultistepScheduler", rd_sched_dpm_multistep},
	{"DPMSolverSinglestepScheduler", rd_sched_dpm_singlestep},
	{"UniPCMultistepScheduler", rd_sched_unipc},
	{"DEISMultistepScheduler", rd_sched_deis},
	{"HeunDiscreteScheduler", rd_sched_heun},
	{"EulerDiscreteScheduler", rd_sched_euler},
	{"EDMEulerScheduler", rd_sched_edm_euler},
	{"EDMDPMSolverMultistepScheduler", rd_sched_edm_dpm},
	{"FlowMatchEulerDiscreteScheduler", rd_sched_flow_euler},
	{"FlowMatchHeunDiscreteScheduler", rd_sched_flow_heun},
	{"RectdiffScheduler", rd_sched_own},
};

const char *const rd_scheduler_predictions[] = {"epsilon", "sample", "v_prediction", "flow_prediction", "edm", "edm_v", NULL};

static void find_unknown(struct rd_scheduler *s, const json_t *config)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)config, key, v)
		if (key[0] != '_' && !rd_fit_scheduler_has(key))
			snprintf(s->unknown, sizeof s->unknown, "%s", key);
}

int rd_scheduler_parse(struct rd_scheduler *s, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_sched_ctx x = {s, config, file, e};
	int rc;

	memset(s, 0, sizeof *s);
	s->clip_range = 1;
	s->pred.sigma_data = 1;
	rc = rd_json_str(config, file, "_class_name", NULL, s->class_name, sizeof s->class_name, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (!strcmp(s->class_name, classes[i].name)) {
			rc = classes[i].parse(&x);
			if (rc)
				rd_scheduler_free(s);
			find_unknown(s, config);
			return rc;
		}
	return rd_fail(e, RD_EINPUT, "%s: _class_name %s: not a scheduler that is known here; rdmodel(5) lists them", file,
	               s->class_name);
}

void rd_scheduler_own_sampling(struct rd_scheduler *s)
{
	bool ve = !strcmp(s->schedule.form->name, "ve");

	s->solver = (struct rd_solver){.family = RD_DPM, .order = 2, .data = true};
	s->grid = (struct rd_grid_opts){.spacing = ve ? RD_SPACING_KARRAS : RD_SPACING_TRAILING};
}

void rd_scheduler_free(struct rd_scheduler *s)
{
	if (!s)
		return;
	rd_schedule_free(&s->schedule);
	if (s->network)
		rd_scheduler_free(s->network);
	free(s->network);
	s->network = NULL;
}
