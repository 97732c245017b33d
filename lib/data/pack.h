/* Pairs into archives: batches of any size become chunks of a fixed one, and chunks become one archive or many. What is
 * written is a function of the pairs alone, not of how the stream was cut into batches. */
#ifndef RD_LIB_DATA_PACK_H
#define RD_LIB_DATA_PACK_H

#include "lib/data/batch.h"

struct rd_pack_opts {
	const char *out;       /* NULL: standard output; with shard_pairs a name with one %d or %06d for the number */
	unsigned flags;        /* of rd_out_open */
	int64_t chunk;         /* pairs per chunk; a gap in the indices begins a new one */
	int64_t shard_pairs;   /* pairs per archive; 0: one archive */
	bool ref;              /* noise is not stored, but the seed it comes from: checked against the data */
};

struct rd_pack;

/* s: a stream of role pairs. */
int rd_pack_open(struct rd_pack **out, const struct rd_pack_opts *o, const struct rd_stream *s,
                 struct rd_err *e) RD_MUST;
int rd_pack_add(struct rd_pack *p, const struct rd_batch *b, struct rd_err *e) RD_MUST;

/* All archives appear under their names, or none does; frees. */
int rd_pack_finish(struct rd_pack *p, struct rd_err *e) RD_MUST;
void rd_pack_abort(struct rd_pack *p); /* NULL-safe */

#endif
