#include "lib/model/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
	if (!s)
		return;
	rd_schedule_free(&s->schedule);
	if (s->network)
		rd_scheduler_free(s->network);
	free(s->network);
	s->network = NULL;
}
