/* What is told of trajectories: every state, the numbers of each sample, their statistics as JSON, TSV and a table. */
#ifndef RD_LIB_MEASURE_TRAJREPORT_H
#define RD_LIB_MEASURE_TRAJREPORT_H

#include "formats/out.h"
#include "lib/measure/trajstats.h"

enum { RD_TRAJ_CSV_MAX_DIM = 16 };

/* One row per sample and node, `defect` that of the node:
 *
 *   i,k,t,alpha,sigma,defect,x.0,x.1,...,x0.0,...,eps.0,...      samples of up to 16 numbers
 *   i,k,t,alpha,sigma,defect,x.norm,x0.norm,eps.norm             longer ones: sqrt(sum of squares / d)
 *
 * The last node of a sample has no prediction: its defect, x0 and eps are empty. Numbers read back as the same
 * value. */
int rd_traj_csv_header(struct rd_out *o, size_t dim, struct rd_err *e) RD_MUST;
int rd_traj_csv_rows(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj *p, const double *node,
                     struct rd_err *e) RD_MUST;

/* One row per sample: name,i and each number of trajectory.h, the chord with `chords` alone. */
int rd_traj_samples_header(struct rd_out *o, bool chords, struct rd_err *e) RD_MUST;
int rd_traj_samples_row(struct rd_out *o, const char *name, uint64_t index, const double v[RD_TRAJ_N], bool chords,
                        struct rd_err *e) RD_MUST;

/* An input whose trajectories have all been measured. */
struct rd_traj_told {
	const char *name;
	const struct rd_traj_grid *grid;
	const struct rd_traj_stats *stats;
	const json_t *meta;
	size_t dim;
	int phases; /* of its chords; 0: it has none */
};

/* {"name":..,"samples":..,"steps":..,"dim":..,"phases":..,"first_order_defect":{...},...,"meta":the stream's,
 * without its grid}, a line; phases are those of chords, where it has them. */
int rd_traj_report_json(struct rd_out *o, const struct rd_traj_told *t, struct rd_err *e) RD_MUST;

/* A line of names, and one of values for each input: name, samples, steps, with chords their phases, and the
 * mean of each number. */
int rd_traj_tsv_header(struct rd_out *o, bool chords, struct rd_err *e) RD_MUST;
int rd_traj_tsv_row(struct rd_out *o, const struct rd_traj_told *t, struct rd_err *e) RD_MUST;

/* To be read: a line that says what it is, then a line for each number with mean and quantiles. */
int rd_traj_report_text(struct rd_out *o, const struct rd_traj_told *t, struct rd_err *e) RD_MUST;

#endif
