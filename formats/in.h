/* Buffered input from a file or a pipe that knows its name and its offset, and can be looked into. */
#ifndef RD_FORMATS_IN_H
#define RD_FORMATS_IN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_in;

/* path "-": standard input. */
int rd_in_open(struct rd_in **out, const char *path, struct rd_err *e) RD_MUST;
void rd_in_close(struct rd_in *in); /* NULL-safe */
const char *rd_in_name(const struct rd_in *in); /* the path, or "standard input" */
uint64_t rd_in_offset(const struct rd_in *in);  /* bytes consumed */

/* Up to n bytes, fewer only at the end of the input; *got may be 0. Large reads go straight to dst. */
int rd_in_read(struct rd_in *in, void *dst, size_t n, size_t *got, struct rd_err *e) RD_MUST;

/* Exactly n bytes, else RD_EINPUT "NAME: truncated at byte OFFSET". */
int rd_in_exact(struct rd_in *in, void *dst, size_t n, struct rd_err *e) RD_MUST;

/* Exactly n bytes to new memory at *out, which free() releases, also after an error. Memory is asked for as the bytes come,
 * unless the input is a file that has them: n may be a lie. */
int rd_in_new(struct rd_in *in, size_t n, void **out, struct rd_err *e) RD_MUST;

/* Makes up to n (<= 64 KiB) of the next bytes visible at *view without consuming them; *got fewer only at the end.
 * Valid until the next call on in. */
int rd_in_peek(struct rd_in *in, size_t n, const uint8_t **view, size_t *got, struct rd_err *e) RD_MUST;

/* A whole regular file, at most max bytes, NUL-terminated (the NUL not counted in *n); free() releases it. */
int rd_in_file(const char *path, size_t max, char **out, size_t *n, struct rd_err *e) RD_MUST;

#endif
