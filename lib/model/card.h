/* The model card: README.md of a folder that rectrain writes. */
#ifndef RD_LIB_MODEL_CARD_H
#define RD_LIB_MODEL_CARD_H

#include "lib/model/model.h"

/* Markdown; free() releases it. run: rd_train_describe's object; data_meta: of the training data's stream; guidance: that which is in
 * the weights, NULL: none. */
char *rd_model_card(const struct rd_model *m, const json_t *run, const json_t *data_meta, const char *guidance, const char *command);

#endif
