/* The README.md of a classifier's folder. */
#ifndef RD_LIB_CLASSIFY_CARD_H
#define RD_LIB_CLASSIFY_CARD_H

#include "lib/classify/classifier.h"

/* What a card tells beside the network. */
struct rd_classifier_story {
	const char *command;      /* as it was typed; NULL: none */
	const json_t *run;        /* what decided the result, an object */
	const char *test;         /* a line on how well it does on data that it was not trained on; NULL: not looked at */
	const char *device;
	double seconds;           /* of training */
};

/* Markdown; free() releases it; NULL without memory. */
char *rd_classifier_card(const struct rd_classifier *c, const struct rd_classifier_story *s);

#endif
