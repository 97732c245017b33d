/* idx and idx.gz (MNIST's format): unsigned bytes, any rank; at most 1 GiB. gzip is undone by zlib, which checks its CRC
 * (libarchive's filter does not). */
#ifndef RD_FORMATS_IDX_H
#define RD_FORMATS_IDX_H

#include <stdbool.h>

#include "formats/in.h"
#include "lib/base/tensor.h"

/* All of in, which must end there; dtype RD_U8. RD_EINPUT where size and header disagree. */
int rd_idx_read(struct rd_in *in, struct rd_array *a, struct rd_err *e) RD_MUST;

/* True where the first n bytes look like idx of unsigned bytes, or gzip. */
bool rd_idx_sniff(const void *buf, size_t n);

#endif
