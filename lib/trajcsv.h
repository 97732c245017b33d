/* Trajectories as comma-separated values, one row per sample and node:
 *
 *   i,k,t,alpha,sigma,x.0,x.1,...,x0.0,...,eps.0,...      samples of up to 16 numbers
 *   i,k,t,alpha,sigma,x.norm,x0.norm,eps.norm             longer ones: sqrt(sum of squares / d)
 *
 * The last node of a sample has no prediction: its x0 and eps are empty. Numbers read back as the same value. */
#ifndef RD_LIB_TRAJCSV_H
#define RD_LIB_TRAJCSV_H

#include "formats/out.h"
#include "lib/trajectory.h"

enum { RD_TRAJCSV_MAX_DIM = 16 };

int rd_trajcsv_header(struct rd_out *o, size_t dim, struct rd_err *e) RD_MUST;
int rd_trajcsv_rows(struct rd_out *o, const struct rd_traj_grid *g, const struct rd_traj *p, struct rd_err *e) RD_MUST;

#endif
