/* What a training is about to do, told in a few lines. */
#ifndef RD_TOOLS_TRAINING_SAY_H
#define RD_TOOLS_TRAINING_SAY_H

#include "lib/train/run.h"

struct rd_training_story {
	const struct rd_train_opts *t;
	const struct rd_run_opts *r;
	const struct rd_model *m;
	bool is_new;               /* m knows nothing yet */
	const struct rd_dataset *d; /* without what is held out */
	const char *scratch;       /* where the data are; NULL: in memory */
};

/* On standard error: model, data and what made them, objective, steps and how long they take, memory, files; and warnings where these do
 * not go together. */
void rd_training_say(const struct rd_training_story *s, const struct rd_run_plan *p);

#endif
