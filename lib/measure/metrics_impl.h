/* Private to metrics*.c: subsets of points, and resamples. */
#ifndef RD_LIB_MEASURE_METRICS_IMPL_H
#define RD_LIB_MEASURE_METRICS_IMPL_H

#include "lib/measure/metrics.h"

/* A subset of points, by reference. */
struct rd_rows {
	const float **at;
	int64_t n;
	size_t d;
};

/* Uses of RD_RNG_METRIC: the upper bits of the sample index keep them apart. */
enum rd_draw { RD_DRAW_DIRECTION = 1, RD_DRAW_SUBSET, RD_DRAW_RESAMPLE };
static inline uint64_t rd_draw_index(enum rd_draw what, int side, uint64_t i)
{
	return (uint64_t)what << 56 | (uint64_t)side << 48 | i;
}

/* Resample r of n samples, drawn with replacement: how often each was drawn is at count[r * n ..]. Free count. */
struct rd_boot {
	int replicates;
	int64_t n;
	uint32_t *count;
};
int rd_boot_new(struct rd_boot *b, int64_t n, int side, const struct rd_metrics_opts *o, struct rd_err *e) RD_MUST;

/* Standard deviation of v[0 .. n-1]. */
double rd_boot_se(const double *v, int n);

/* The mean of one number per sample and its error, by resamples of the set on that side (0: a, 1: b). */
int rd_boot_mean(const double *v, int64_t n, int side, const struct rd_metrics_opts *o, struct rd_metric_value *out,
                 struct rd_err *e) RD_MUST;

int rd_metrics_sliced(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                      struct rd_metrics *out, struct rd_err *e) RD_MUST;
/* energy, mmd and kid, which share the matrices over pairs */
int rd_metrics_pairwise(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                        struct rd_metrics *out, struct rd_err *e) RD_MUST;
int rd_metrics_frechet(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                       struct rd_metrics *out, struct rd_err *e) RD_MUST;
/* precision, recall, density and coverage: those wanted */
int rd_metrics_manifold(const struct rd_rows *a, const struct rd_rows *b, const struct rd_metrics_opts *o,
                        struct rd_metrics *out, struct rd_err *e) RD_MUST;

#endif
