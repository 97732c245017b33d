/* What the pairs that are trained on were made by, input by input, as their meta say; and whether one is there twice. */
#ifndef RD_LIB_TRAIN_PROVENANCE_H
#define RD_LIB_TRAIN_PROVENANCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_provenance;

int rd_provenance_new(struct rd_provenance **out, struct rd_err *e) RD_MUST;
void rd_provenance_free(struct rd_provenance *p); /* NULL-safe */

/* An input of that name and meta; the pairs that are added belong to it until the next one. */
int rd_provenance_input(struct rd_provenance *p, const char *name, const json_t *meta, struct rd_err *e) RD_MUST;
/* A pair: its index, the seed that its noise came by (NULL: as data), its noise, its label (any constant where there is none). */
int rd_provenance_add(struct rd_provenance *p, uint64_t index, const uint64_t *ref_seed, const float *noise, size_t dim, int32_t label,
                      struct rd_err *e) RD_MUST;
/* Once all are added. RD_EFAIL naming both inputs where an index has the same noise and label twice; with another label it is
 * another pair. */
int rd_provenance_check(struct rd_provenance *p, struct rd_err *e) RD_MUST;

int rd_provenance_inputs(const struct rd_provenance *p);
/* What the inputs say of a key of their meta, each value once: "25", "25 and 50"; NULL where none says anything. free() it. */
char *rd_provenance_text(const struct rd_provenance *p, const char *key);
/* Whether one of them says this of it. */
bool rd_provenance_says(const struct rd_provenance *p, const char *key, const char *value);
/* Whether two inputs say different things of it: which, and what (free() these). */
struct rd_provenance_pair {
	const char *name[2];
	char *value[2];
};
bool rd_provenance_differ(const struct rd_provenance *p, const char *key, struct rd_provenance_pair *which);
/* The class that stands for none in all of them that say; -1: none says, or they do not agree. */
int64_t rd_provenance_null_class(const struct rd_provenance *p);

/* The noise of the pairs by seed and index, where it came by its seed or its input's meta says one of all: [{"seed": s, "first": i,
 * "last": j}, ...], inputs that follow one another in one; not of data that were taken back to noise. NULL only without memory. */
json_t *rd_provenance_noise(const struct rd_provenance *p);

#endif
