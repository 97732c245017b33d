/* What the writer and the reader of pairs.tar must agree on: names, limits, the checksum, integers in JSON. */
#ifndef RD_FORMATS_PAIRS_SUM_H
#define RD_FORMATS_PAIRS_SUM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <xxhash.h>

#include "formats/pairs.h"

#define PAIRS_FORMAT "rdpairs"
#define PAIRS_VERSION 1
#define PAIRS_META "__meta__"
#define PAIRS_END "__end__"
#define PAIRS_JSON_MAX ((size_t)16 << 20)
#define PAIRS_SUM_TEXT 17

/* What has passed so far. */
struct pairs_tally {
	XXH3_state_t *sum;  /* of all members before __end__: name, NUL, size as u64 LE, data; of rejected */
	uint64_t chunks, samples;
	uint64_t next;      /* the least index that the next chunk may start with */
	bool counts_rejected;
	uint64_t rejected;  /* pairs that were left out, where they are counted */
	/* of the first chunk, and so of all; meaningful when chunks > 0 */
	bool has[RD_PAIRS_EXTRAS];
	struct rd_shape noise, sample, knots;
};

int pairs_tally_init(struct pairs_tally *t, struct rd_err *e) RD_MUST;
void pairs_tally_free(struct pairs_tally *t);
void pairs_tally_member(struct pairs_tally *t, const char *name, size_t size);
void pairs_tally_data(struct pairs_tally *t, const void *data, size_t n);
void pairs_tally_rejected(struct pairs_tally *t, uint64_t n); /* counted into the sum: behind the members */
void pairs_tally_text(const struct pairs_tally *t, char text[PAIRS_SUM_TEXT]); /* the sum, as 16 hex digits */

/* Checks a whole chunk (types, shapes, indices, agreement with the first one) and counts it. RD_EINPUT. */
int pairs_tally_chunk(struct pairs_tally *t, const struct rd_pairs_chunk *c, struct rd_err *e) RD_MUST;

#endif
