/* The meta of samples from several inputs: what all of them say, and in "joined" what they do not say alike; rdframe(5). */
#ifndef RD_LIB_DATA_JOINED_H
#define RD_LIB_DATA_JOINED_H

#include <jansson.h>

#include "lib/base/err.h"

#define RD_JOINED_PARTS 64              /* kinds at most */
#define RD_JOINED_BYTES ((size_t)16 << 10) /* of their text: a stream's header takes 64 KiB at most */

/* *out = what the meta in a list (at least one; the first is of the first samples) say together. Inputs that differ only in how
 * many samples there are, from which index on and by what history are of one kind; one kind alone leaves the first meta as it is,
 * but for "count". Where there are too many kinds, a key that most of them are due to becomes null for all. */
int rd_joined_new(json_t **out, const json_t *list, struct rd_err *e) RD_MUST;

/* A new array: the meta of each kind, as of an input by itself; of a meta that is not joined, that alone. Values are shared with
 * meta. NULL only without memory. */
json_t *rd_joined_parts(const json_t *meta);

/* Of how many kinds of meta the key is true. RD_JOINED_SOME also where they are too many to tell. */
enum rd_joined_true { RD_JOINED_NONE, RD_JOINED_SOME, RD_JOINED_ALL };
int rd_joined_true(enum rd_joined_true *out, const json_t *meta, const char *key, struct rd_err *e) RD_MUST;

/* *out = a copy of meta, changed as if each kind were by itself: keys of theirs are set or deleted; then they are joined again. */
int rd_joined_each(json_t **out, const json_t *meta, void (*change)(json_t *part, const void *ctx), const void *ctx,
                   struct rd_err *e) RD_MUST;

#endif
