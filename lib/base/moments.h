/* Statistics of a great many numbers in one pass, and how far they are from standard normal ones. */
#ifndef RD_BASE_MOMENTS_H
#define RD_BASE_MOMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/tensor.h"

/* Zeroed, it is empty. NaN and infinities are counted and otherwise left out. */
struct rd_moments {
	uint64_t n, bad;         /* finite numbers, the others */
	double mean, m2, m3, m4; /* and the sums of the powers of what they differ from it by */
	double min, max;
};

void rd_moments_add(struct rd_moments *m, const float *x, size_t n);
void rd_moments_add_any(struct rd_moments *m, enum rd_dtype t, const void *x, size_t n);

/* Of nothing: 0. The standard deviation is the population's. */
double rd_moments_mean(const struct rd_moments *m);
double rd_moments_std(const struct rd_moments *m);
double rd_moments_kurtosis(const struct rd_moments *m); /* a normal's is 3 */

/* "mean 0.1 std 1 min -4 max 4", and how many are not finite, where there are any; returns buf. */
const char *rd_moments_text(const struct rd_moments *m, char *buf, size_t cap);

/* Standard scores under the hypothesis that the numbers are independent standard normal: of mean, variance and
 * kurtosis. 0 where there are too few for one (20 for the kurtosis). */
void rd_moments_scores(const struct rd_moments *m, double z[3]);

/* For qsort of doubles, the least first. */
int rd_by_value(const void *a, const void *b);

#endif
