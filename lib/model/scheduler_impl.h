/* Shared by scheduler.c (which class it is), scheduler_keys.c (keys that classes have in common), scheduler_table.c (form table), scheduler_dpm.c (the
 * multistep and singlestep families) and scheduler_classes.c (the others). */
#ifndef RD_LIB_MODEL_SCHEDULER_IMPL_H
#define RD_LIB_MODEL_SCHEDULER_IMPL_H

#include "lib/model/scheduler.h"

struct rd_sched_ctx {
	struct rd_scheduler *s;
	const json_t *c;
	const char *file;
	struct rd_err *e;
};

/* Switches that must be off: what they turn on is not here. NULL-terminated. */
int rd_sched_refuse(const struct rd_sched_ctx *x, const char *const *keys) RD_MUST;
int rd_sched_bool(const struct rd_sched_ctx *x, const char *key, bool def, bool *out) RD_MUST;
int rd_sched_num(const struct rd_sched_ctx *x, const char *key, double def, double *out) RD_MUST;
/* A positive number, or null or absent: 0. */
int rd_sched_positive(const struct rd_sched_ctx *x, const char *key, double *out) RD_MUST;
int rd_sched_choice(const struct rd_sched_ctx *x, const char *key, const char *def, const char *const *names, int *out) RD_MUST;
void rd_sched_ignore(const struct rd_sched_ctx *x, const char *what);

/* betas into the schedule; last_abar as in rd_betas_opts, where the class rescales to zero SNR at all. */
struct rd_sched_betas {
	double start, end;      /* the class's defaults */
	bool may_rescale;
	double last_abar;
};
int rd_sched_betas(const struct rd_sched_ctx *x, const struct rd_sched_betas *o) RD_MUST;
int rd_sched_prediction(const struct rd_sched_ctx *x, const char *const *names) RD_MUST; /* names in the order of enum rd_pred */
int rd_sched_spacing(const struct rd_sched_ctx *x, const char *def, enum rd_spacing *out) RD_MUST; /* and steps_offset */
int rd_sched_clip(const struct rd_sched_ctx *x, bool def) RD_MUST;
/* use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: the spacing that one of them asks for; left as it is if none does. */
int rd_sched_sigmas(const struct rd_sched_ctx *x, enum rd_spacing *out) RD_MUST;
int rd_sched_final(const struct rd_sched_ctx *x) RD_MUST; /* final_sigmas_type */

typedef int (*rd_sched_class)(const struct rd_sched_ctx *x);
int rd_sched_ddpm(const struct rd_sched_ctx *x);
int rd_sched_ddim(const struct rd_sched_ctx *x);
int rd_sched_pndm(const struct rd_sched_ctx *x);
int rd_sched_euler(const struct rd_sched_ctx *x);
int rd_sched_heun(const struct rd_sched_ctx *x);
int rd_sched_flow_euler(const struct rd_sched_ctx *x);
int rd_sched_flow_heun(const struct rd_sched_ctx *x);
int rd_sched_dpm_multistep(const struct rd_sched_ctx *x);
int rd_sched_dpm_singlestep(const struct rd_sched_ctx *x);
int rd_sched_unipc(const struct rd_sched_ctx *x);
int rd_sched_deis(const struct rd_sched_ctx *x);
int rd_sched_edm_euler(const struct rd_sched_ctx *x);
int rd_sched_edm_dpm(const struct rd_sched_ctx *x);
int rd_sched_edm_solver(const struct rd_sched_ctx *x); /* the solver's keys of EDMDPMSolverMultistep */
int rd_sched_table(const struct rd_sched_ctx *x); /* form table: its rows, */
int rd_sched_table_range(const struct rd_sched_ctx *x); /* and t_min, t_max */
int rd_sched_own(const struct rd_sched_ctx *x);

#endif
