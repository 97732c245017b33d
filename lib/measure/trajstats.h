/* The numbers of many trajectories on one grid: means, standard deviations, quantiles, as they stand and as JSON. */
#ifndef RD_LIB_MEASURE_TRAJSTATS_H
#define RD_LIB_MEASURE_TRAJSTATS_H

#include "lib/measure/trajectory.h"

/* Quantiles are linear between order statistics; sd has n-1 in its denominator, and is 0 for one sample. */
enum { RD_TRAJ_QUANTILES = 5 };
extern const double rd_traj_quantiles[RD_TRAJ_QUANTILES];            /* 0.05, 0.25, 0.5, 0.75, 0.95 */
extern const char *const rd_traj_quantile_names[RD_TRAJ_QUANTILES];  /* "p05", ... */
struct rd_traj_summary {
	double mean, sd, q[RD_TRAJ_QUANTILES];
};

/* Start from a zeroed struct with chords and nodes set: 0, or K where the defect at each node is to be kept too. */
struct rd_traj_stats {
	int nodes;
	bool chords; /* the numbers include the chord */
	size_t n, room;
	double *v;    /* [n][RD_TRAJ_N] */
	double *node; /* [n][nodes] */
};

/* RD_EDOMAIN where a number is not finite. node: [nodes]. */
int rd_traj_stats_add(struct rd_traj_stats *s, uint64_t index, const double v[RD_TRAJ_N], const double *node,
                      struct rd_err *e) RD_MUST;
void rd_traj_stats_free(struct rd_traj_stats *s);

/* Of a number, of the defect at node k; all NaN without samples. */
int rd_traj_stats_number(const struct rd_traj_stats *s, enum rd_traj_number q, struct rd_traj_summary *out,
                         struct rd_err *e) RD_MUST;
int rd_traj_stats_node(const struct rd_traj_stats *s, int k, struct rd_traj_summary *out, struct rd_err *e) RD_MUST;

/* {"first_order_defect":{"mean":..,"sd":..,"p05":..,"p25":..,"p50":..,"p75":..,"p95":..}, ...} over the samples,
 * and with nodes "defect_by_node":{"t":[K],"n":[K],"mean":[K],"sd":[K],"p05":[K],...}, where n = sigma/alpha is null
 * at alpha = 0. Values are null without samples; RD_ENOMEM only. */
int rd_traj_stats_json(const struct rd_traj_stats *s, const struct rd_traj_grid *g, json_t **out,
                       struct rd_err *e) RD_MUST;

#endif
