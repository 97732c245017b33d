/* idx and idx.gz (MNIST's format): unsigned bytes, any rank; gzip is undone by libarchive. */
#ifndef RD_FORMATS_IDX_H
#define RD_FORMATS_IDX_H

#include "lib/base/tensor.h"

/* The whole file; dtype RD_U8. RD_EINPUT where size and header disagree. */
int rd_idx_load(const char *path, struct rd_array *a, struct rd_err *e) RD_MUST;

#endif
