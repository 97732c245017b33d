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
 *	frechet  squared Frechet (W2) distance between the Gaussians with the sets' means and covariances:
 *	         |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2). Of the numbers as they are where a sample has at
 *	         most `components` of them, else of the projections on that many principal components of b. Biased upwards
 *	         at small counts.
 *	kid      squared maximum mean discrepancy, kernel (x.y/d + 1)^3; unbiased.
 *
 * And the share of one set's samples that lie where the other's do: nearer to a sample of it than that one's k-th
 * neighbour in its own set (a copy of a sample counts). a is the generated set, b the real one.
 *
 *	precision, recall  the share of a near b; of b near a
 *	density            how many samples of b an a is near to, over k: 1 is expected of the same distribution
 *	coverage           the share of b that have an a nearer than their own k-th neighbour
 *
 * All but paired take at most `max` samples of each set, drawn without replacement; work grows with it for sliced and
 * frechet, with its square for the others (memory too for energy, mmd and kid). */
#ifndef RD_LIB_MEASURE_METRICS_H
#define RD_LIB_MEASURE_METRICS_H

#include <stdbool.h>

#include "lib/data/points.h"

enum rd_metric {
	RD_METRIC_SLICED, RD_METRIC_ENERGY, RD_METRIC_MMD, RD_METRIC_PAIRED, RD_METRIC_FRECHET, RD_METRIC_KID,
	RD_METRIC_PRECISION, RD_METRIC_RECALL, RD_METRIC_DENSITY, RD_METRIC_COVERAGE, RD_N_METRICS
};
extern const char *const rd_metric_names[RD_N_METRICS + 1]; /* the words above, and NULL */

#define RD_METRICS_MAX_LINEAR 10000 /* the default for sliced and frechet */
#define RD_METRICS_MAX_SQUARE 2000  /* for those that compare pairs */

struct rd_metrics_opts {
	bool want[RD_N_METRICS];
	int projections; /* directions of sliced */
	int bootstrap;   /* resamples behind a standard error, >= 2 */
	int components;  /* dimensions of frechet at most, >= 1 */
	int neighbours;  /* k of precision, recall, density and coverage, >= 1 */
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
	size_t dimensions; /* of frechet: a sample's numbers, or the principal components there are, at most as many as asked for */
	double variance;   /* the share of b's variance that is in them */
};

/* RD_ESHAPE where the dimensions differ, RD_EINPUT where a set has less than two samples, or no k-th neighbour; RD_EDOMAIN for numbers
 * so large or small that distances have no squares, and for a frechet on the principal components of a set that has none. */
int rd_metrics_compute(const struct rd_points *a, const struct rd_points *b, const struct rd_metrics_opts *o,
                       struct rd_metrics *out, struct rd_err *e) RD_MUST;

#endif
