/* A file as idx, for the tests: rd_idx_read of its path. */
#ifndef RD_TESTS_IDX_H
#define RD_TESTS_IDX_H

#include <string.h>

#include "formats/idx.h"

static inline int idx_load(const char *path, struct rd_array *a, struct rd_err *e)
{
	struct rd_in *in;
	int rc;

	memset(a, 0, sizeof *a);
	rc = rd_in_open(&in, path, e);
	if (rc)
		return rc;
	rc = rd_idx_read(in, a, e);
	rd_in_close(in);
	return rc;
}

#endif
