/* What is told of trajectories: every state as CSV, the numbers of trajectory.h over all samples as JSON or TSV. */
#ifndef RD_LIB_MEASURE_TRAJREPORT_H
#define RD_LIB_MEASURE_TRAJREPORT_H

#include "formats/out.h"
#include "lib/measure/trajectory.h"

enum { RD_TRAJ_CSV_MAX_DIM = 16 };

/* One row per sample and node:
 *
 *   i,k,t,alpha,sigma,x.0,x.1,...,x0.0,...,eps.0,...      samples of up to 16 numbers
 *   i,k,t,alpha,sigma,x.norm,x0.norm,eps.norm             longer ones: sqrt(sum of squares / d)
 *
 * The last node of a sample has no prediction: its x0 and eps are empty. Numbers read back as the same value. */
int rd_traj_csv_header(struct rd_out *o, size_t dim, struct rd_err *e) RD_MUST;
int rd_traj_csv_rows(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj *p, struct rd_err *e) RD_MUST;

/* {"samples":..,"steps":..,"dim":..,"first_order_defect":{...},...,"meta":the stream's, without its grid}, a line. */
int rd_traj_report_json(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj_stats *s, size_t dim,
                        const json_t *meta, struct rd_err *e) RD_MUST;

/* A line of names and one of values: name, samples, steps, and the mean of each number. */
int rd_traj_report_tsv(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj_stats *s, const char *name,
                       struct rd_err *e) RD_MUST;

#endif
