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
	int64_t first_shard;   /* number of the first; an archive that is there already is replaced with RD_OUT_FORCE alone */
	bool ref;              /* noise is not stored, but the seed it comes from: checked against the data */
	bool limited;          /* pairs whose field `error` is over max_error, or no number, are left out */
	double max_error;
	const char *rejects;   /* where what those were made from goes, see rejects.h; NULL: nowhere */
};

struct rd_pack;

/* s: a stream of role pairs. RD_EINPUT where it has fields that an archive has not, or, if limited, no `error`. */
int rd_pack_open(struct rd_pack **out, const struct rd_pack_opts *o, const struct rd_stream *s,
                 struct rd_err *e) RD_MUST;
int rd_pack_add(struct rd_pack *p, const struct rd_batch *b, struct rd_err *e) RD_MUST;

/* How many pairs were left out so far. */
uint64_t rd_pack_rejected(const struct rd_pack *p);

/* The last archive appears under its name, as the others did when they were full, and with it the rejects; frees. An error, here or
 * in rd_pack_add, and rd_pack_abort drop what is unfinished alone. */
int rd_pack_finish(struct rd_pack *p, struct rd_err *e) RD_MUST;
void rd_pack_abort(struct rd_pack *p); /* NULL-safe */

#endif
