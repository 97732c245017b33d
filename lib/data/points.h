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
	json_t *class_names;    /* what the labels mean; NULL where the source does not say it */
	bool has_seed;          /* it says itself what seed its noise is from */
	bool mixed;             /* or that it is from several */
	uint64_t seed;
	bool has_noise;         /* the noise that the field began with is there too */
	uint64_t noise;         /* a hash of it */
	uint64_t first;         /* index of the first sample */
	uint64_t indices;       /* a hash of all indices in turn */
};

/* The field of that name, with the labels that are there, to the end of the source (rd_source_open says what inputs may be).
 * RD_EINPUT where it is not there, or a number is not finite. */
int rd_points_load(struct rd_points *p, const char *const *paths, int n_paths, const char *field, struct rd_err *e) RD_MUST;
/* Whether sample i of a may be of the same noise as sample i of b: false where what both say of seeds, indices or labels differs,
 * and then why; of several seeds, where the noise itself differs or is not there. What one of them does not say is no reason. Counts
 * are not looked at. */
bool rd_points_may_pair(const struct rd_points *a, const struct rd_points *b, char *why, size_t cap);
void rd_points_free(struct rd_points *p); /* NULL-safe */

#endif
