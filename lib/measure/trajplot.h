/* The picture of a sampler's trajectories: lines from noise to data, coloured by how much of the state is noise.
 * Samples of two numbers are drawn as they are; longer ones in the principal components of their end points. */
#ifndef RD_LIB_MEASURE_TRAJPLOT_H
#define RD_LIB_MEASURE_TRAJPLOT_H

#include "formats/out.h"
#include "lib/measure/trajectory.h"

/* What is drawn: x; y = x/alpha; z = x/sigma. Under the last two a first-order trajectory is a straight line whatever
 * the form. A node where the divisor is 0 is left out. The frame is fitted to the nodes where sqrt(alpha^2 + sigma^2)
 * over the divisor is at most sqrt 10 (for y and z: where neither of alpha and sigma is beyond three times the other on
 * that side); lines leave it towards the others. */
enum rd_traj_coords { RD_TRAJ_X, RD_TRAJ_ALPHA, RD_TRAJ_SIGMA };
extern const char *const rd_traj_coords_names[]; /* "x", "alpha", "sigma", NULL */

struct rd_trajplot;

/* The grid is borrowed. At most max trajectories are kept, and no more than fit 256 MiB. */
int rd_trajplot_new(struct rd_trajplot **out, const struct rd_traj_grid *g, enum rd_traj_coords coords, size_t max,
                    struct rd_err *e) RD_MUST;
void rd_trajplot_free(struct rd_trajplot *p);

/* Keeps a copy of the states; does nothing once there are enough. RD_ESHAPE where dim is below 2; it is the
 * same in every call. */
int rd_trajplot_add(struct rd_trajplot *p, const struct rd_traj *t, struct rd_err *e) RD_MUST;

/* The whole SVG to o (borrowed). The title comes from meta (form, solver, steps, model, ...); total is how many samples
 * the stream had. */
int rd_trajplot_write(struct rd_trajplot *p, const json_t *meta, uint64_t total, struct rd_out *o,
                      struct rd_err *e) RD_MUST;

#endif
