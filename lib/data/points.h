/* All samples of a source in memory, as points of a space. */
#ifndef RD_LIB_DATA_POINTS_H
#define RD_LIB_DATA_POINTS_H

#include "lib/data/batch.h"

struct rd_points {
	float *x; /* [n, d] */
	int64_t n;
	size_t d;
	struct rd_shape sample; /* of one */
};

/* The field of that name, to the end of the source. RD_EINPUT where it is not there, or a number is not finite. */
int rd_points_load(struct rd_points *p, const char *path, const char *field, struct rd_err *e) RD_MUST;
void rd_points_free(struct rd_points *p); /* NULL-safe */

#endif
