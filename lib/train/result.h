/* The model folder that a training writes: averaged and raw weights, each saying how it was made, and the card. */
#ifndef RD_LIB_TRAIN_RESULT_H
#define RD_LIB_TRAIN_RESULT_H

#include "lib/train/train.h"

/* The guidance that what is trained has in its weights, since its pairs or its teacher had it: "2", or, of a teacher that had learnt
 * one already, "3 on top of 2". NULL: none. free() it. */
char *rd_result_guidance(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t);

struct rd_result { /* all borrowed */
	const struct rd_model *m;
	const struct rd_train_opts *t;
	const json_t *run;
	const struct rd_dataset *d;
	const char *command; /* NULL: not said */
	const struct rd_train_state *state;
	const float *average; /* the state's ema or best */
	const struct rd_graph *adapted; /* NULL, or the graph of the adapters that the state and the average are, */
	const float *merged;  /* and the model's weights with the average in them */
	enum rd_dtype type;   /* of the weights in the file */
	bool raw;             /* those without averaging too */
	const char *contexts; /* a file of m's contexts, to be shared; NULL: none */
};

/* RD_EFAIL where path is there and replace is not set. */
int rd_result_save(const struct rd_result *r, const char *path, bool replace, struct rd_err *e) RD_MUST;

/* What the folder of a result says of itself. */
struct rd_result_found {
	json_t *run;        /* what decided it; NULL: there are no weights of m's network in the folder */
	int64_t step;       /* whose average it has */
	bool best;          /* which is the one that did best of the whole run */
	enum rd_dtype type; /* of the weights */
	const char *type_name;
	bool raw;           /* those without averaging are there too */
};
/* RD_EFAIL where the weights are not rectrain's; f->run is then NULL too. */
int rd_result_find(struct rd_result_found *f, const struct rd_model *m, const char *folder, struct rd_err *e) RD_MUST;

#endif
