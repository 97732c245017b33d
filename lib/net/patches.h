/* What DiT and SD3 ask of their config alike: square samples that are cut into patches, each with the sinusoids of its position. */
#ifndef RD_LIB_NET_PATCHES_H
#define RD_LIB_NET_PATCHES_H

#include <stdint.h>

#include "lib/base/err.h"

struct rd_patches {
	int64_t size, patch;     /* sample_size, patch_size; size/patch patches a side */
	int64_t heads, head_dim; /* num_attention_heads, attention_head_dim; a patch becomes heads head_dim numbers */
};

/* RD_EINPUT, naming file and key, for sizes that do not divide, for more than 256 patches a side, each of which attends to all others,
 * and for widths that have no sinusoids. */
int rd_patches_check(const struct rd_patches *p, const char *file, struct rd_err *e) RD_MUST;

#endif
