/* Memory that grows, for data that may be larger than what the machine has: by itself, or in a file without a name, which the
 * kernel keeps in memory as far as there is room. */
#ifndef RD_BASE_BLOCK_H
#define RD_BASE_BLOCK_H

#include <stddef.h>

#include "lib/base/err.h"

struct rd_block {
	void *p;
	size_t bytes;
	const char *dir; /* where the file is; NULL: in memory. Set before the first resize, borrowed */
	int fd;          /* of the file plus 1; 0: none */
};

/* A zeroed block, but for dir, is empty. Contents are kept up to the smaller size; the rest is undefined. RD_ENOMEM, or RD_EIO naming
 * dir where there is no room for the file, which is all reserved at once. */
int rd_block_resize(struct rd_block *b, size_t bytes, const char *what, struct rd_err *e) RD_MUST;
void rd_block_free(struct rd_block *b); /* leaves a zeroed one */

#endif
