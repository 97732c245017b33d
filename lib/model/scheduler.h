/* scheduler_config.json of a diffusers folder: the model's form, prediction type, and how it would be sampled. */
#ifndef RD_LIB_MODEL_SCHEDULER_H
#define RD_LIB_MODEL_SCHEDULER_H

#include <jansson.h>

#include "lib/ode/grid.h"
#include "lib/ode/predict.h"
#include "lib/ode/solver.h"

struct rd_scheduler {
	char class_name[64];
	struct rd_scheduler *network; /* what the network was made for, where that is another form than this one (rd_model_convert); owned;
	                                 else NULL */
	struct rd_schedule schedule;
	struct rd_prediction pred;
	struct rd_solver solver;    /* the config's own; the suite's where the class has no deterministic one (DDPM, PNDM) */
	struct rd_grid_opts grid;   /* steps 0 */
	bool clip;                  /* clip_sample: x0 is clamped to +-clip_range at every step */
	bool clip_eps;              /* and eps is that of the clamped x0 (Heun), not as predicted */
	double clip_range;
	char unknown[64];           /* a key that no class here has, which diffusers would pass over too; "" if none */
	char ignored[96];           /* what the config asks for that an ODE has not, for a line to the user; "" if nothing */
};

/* The classes of rdmodel(5). Absent keys take diffusers' defaults; what we do not have is refused by name. */
int rd_scheduler_parse(struct rd_scheduler *s, const json_t *config, const char *file, struct rd_err *e) RD_MUST;

/* The suite's own solver and spacing for the schedule of s: dpm++2m, on Karras et al.'s ramp where the form is ve and on
 * trailing times elsewhere. What else the grid says is forgotten. */
void rd_scheduler_own_sampling(struct rd_scheduler *s);

/* What scheduler configs call the prediction types. NULL-terminated; index is enum rd_pred. */
extern const char *const rd_scheduler_predictions[];

/* The rows of form table as a config has them; NULL: no memory. */
json_t *rd_scheduler_table_json(const struct rd_schedule *s);

void rd_scheduler_free(struct rd_scheduler *s);

#endif
