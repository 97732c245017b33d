/* All samples of a source in memory, as points of a space. */
#ifndef RD_LIB_DATA_POINTS_H
#define RD_LIB_DATA_POINTS_H

#include "lib/data/batch.h"

struct rd_points {
	float *x; /* [n, d] */
	int64_t n;
	size_t d;
	struct rd_shape sample; /* of one */
	int32_t *label;         /* [n]; NULL where the source has none */
};

/* The field of that name, with the labels that are there, to the end of the source (rd_source_open says what inputs may be).
 * RD_EINPUT where it is not there, or a number is not finite. */
int rd_points_load(struct rd_points *p, const char *const *paths, int n_paths, const char *field, struct rd_err *e) RD_MUST;
void rd_points_free(struct rd_points *p); /* NULL-safe */

#endif
