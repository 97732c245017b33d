/* Sizes that come from input are multiplied and added here, and nowhere else. */
#ifndef RD_BASE_SIZE_H
#define RD_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

/* *out = a * b, a + b. False, with *out untouched, where it would overflow. */
bool rd_mul(size_t a, size_t b, size_t *out) RD_MUST;
bool rd_add(size_t a, size_t b, size_t *out) RD_MUST;

/* n * size bytes in *out, aligned to 64, uninitialised; free() releases it. RD_ENOMEM on overflow or where
 * the memory is not there; `what` names it in the message. n = 0 gives a valid pointer. */
int rd_alloc(void **out, size_t n, size_t size, const char *what, struct rd_err *e) RD_MUST;

/* The same, zeroed. */
int rd_alloc0(void **out, size_t n, size_t size, const char *what, struct rd_err *e) RD_MUST;

/* Memory for n bytes that arrive piece by piece, from a header that may lie about n: *room bytes at *p (at first NULL and
 * 0) become more, n in the end, with their contents kept. free() releases *p, also after an error. */
int rd_grow(void **p, size_t *room, size_t n, const char *what, struct rd_err *e) RD_MUST;

/* Room for n items of `size` bytes at *p, which has room for *room of them (at first NULL and 0): where they do not fit, for twice as
 * many at least, so that adding n of them one by one moves fewer than 2n. RD_ENOMEM leaves both as they were. free() releases *p.
 * Arrays of one length may share a *room: each gets a copy of it, and they all come to the same. */
int rd_reserve(void **p, size_t *room, size_t n, size_t size, const char *what, struct rd_err *e) RD_MUST;

#endif
