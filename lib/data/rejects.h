/* Pairs that are left out of an archive, as what they were made from: a stream for another pass of denoise. */
#ifndef RD_LIB_DATA_REJECTS_H
#define RD_LIB_DATA_REJECTS_H

#include "lib/data/batch.h"

struct rd_rejects;

/* To path, with the flags of rd_sink_open. s: a stream of role pairs. What comes out has its noise, by reference where it came so,
 * and role noise; or, where the pairs were made in reverse, its samples, and role data. Labels go along. */
int rd_rejects_open(struct rd_rejects **out, const char *path, unsigned flags, const struct rd_stream *s, struct rd_err *e) RD_MUST;
/* The pairs at .. at+n-1 of a batch of s. */
int rd_rejects_add(struct rd_rejects *r, const struct rd_batch *b, int64_t at, int64_t n, struct rd_err *e) RD_MUST;
int rd_rejects_finish(struct rd_rejects *r, struct rd_err *e) RD_MUST; /* frees */
void rd_rejects_abort(struct rd_rejects *r);                           /* NULL-safe */

#endif
