/* The model card: README.md of a folder that rectrain writes. */
#ifndef RD_LIB_MODEL_CARD_H
#define RD_LIB_MODEL_CARD_H

#include "lib/model/model.h"

/* What it says of the weights beside what m says; all borrowed. */
struct rd_card {
	const json_t *run, *data;  /* rd_train_describe's object; the meta of the training data's stream */
	const char *guidance;      /* which is in the weights; NULL: none */
	const char *command;       /* NULL: not said */
	bool raw;                  /* there are weights without averaging too */
};

/* Markdown; free() releases it. */
char *rd_model_card(const struct rd_model *m, const struct rd_card *c);

#endif
