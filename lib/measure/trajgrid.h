/* The grid of trajectories that came as arrays, from an array too. */
#ifndef RD_LIB_MEASURE_TRAJGRID_H
#define RD_LIB_MEASURE_TRAJGRID_H

#include "lib/data/batch.h"

/* Reads path, an .npy [K+1, 3] of t, alpha, sigma from noise to data, into the meta of src as meta.grid, as rd_traj_grid_parse wants
 * it. RD_EINPUT where it is not such a grid, where src has a grid already, or where its fields x, x0 and eps are not there or not of
 * K+1, K and K states. */
int rd_trajgrid_attach(struct rd_source *src, const char *path, struct rd_err *e) RD_MUST;

#endif
