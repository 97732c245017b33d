/* Distances between two sets of samples, each with a bootstrap standard error. For a seed the result is the same number
 * whatever the thread count.
 *
 *	sliced   sliced Wasserstein distance of order 2: the root of the mean, over random directions, of the squared W2
 *	         between the projections, which is exact (also for unequal counts). Biased upwards at small counts.
 *	energy   energy distance 2E|a-b| - E|a-a'| - E|b-b'| (Euclidean), unbiased, so it can be negative.
 *	mmd      squared maximum mean discrepancy, kernel exp(-|a-b|^2 / 2s^2), s the median distance of the pooled
 *	         samples; unbiased.
 *	paired   mean squared difference: |a_i - b_i|^2/d of sample i of one set and sample i of the other, over the samples;
 *	         only for equal counts.
 *
 * The first three take at most `max` samples of each set, drawn without replacement; work grows with it for sliced, with
 * its square (memory too) for energy and mmd. */
#ifndef RD_LIB_MEASURE_METRICS_H
#define RD_LIB_MEASURE_METRICS_H

#include <stdbool.h>

#include "lib/data/points.h"

enum rd_metric { RD_METRIC_SLICED, RD_METRIC_ENERGY, RD_METRIC_MMD, RD_METRIC_PAIRED, RD_N_METRICS };
extern const char *const rd_metric_names[RD_N_METRICS + 1]; /* the words above, and NULL */

#define RD_METRICS_MAX_LINEAR 10000 /* the default for sliced */
#define RD_METRICS_MAX_SQUARE 2000  /* for energy and mmd */

struct rd_metrics_opts {
	bool want[RD_N_METRICS];
	int projections; /* directions of sliced */
	int bootstrap;   /* resamples behind a standard error, >= 2 */
	int64_t max;     /* 0: the defaults */
	uint64_t seed;
};

struct rd_metric_value {
	bool there;       /* wanted, and defined for these sets */
	double value, se;
	int64_t n_a, n_b; /* samples used */
};

struct rd_metrics {
	struct rd_metric_value m[RD_N_METRICS];
	double bandwidth; /* s of mmd */
};

/* RD_ESHAPE where the dimensions differ, RD_EINPUT where a set has less than two samples. */
int rd_metrics_compute(const struct rd_points *a, const struct rd_points *b, const struct rd_metrics_opts *o,
                       struct rd_metrics *out, struct rd_err *e) RD_MUST;

#endif
