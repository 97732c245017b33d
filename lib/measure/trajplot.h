/* The picture of samplers' trajectories: lines from noise to data, coloured by how much of the state is noise. Samples
 * of two numbers are drawn as they are; longer ones in the principal components of the end points of all inputs. */
#ifndef RD_LIB_MEASURE_TRAJPLOT_H
#define RD_LIB_MEASURE_TRAJPLOT_H

#include <stdbool.h>

#include "formats/out.h"
#include "lib/measure/trajectory.h"

/* What is drawn: x; y = x/alpha; z = x/sigma. Under the last two a first-order trajectory is a straight line whatever
 * the form. A node where the divisor is 0 is left out. */
enum rd_traj_coords { RD_TRAJ_X, RD_TRAJ_ALPHA, RD_TRAJ_SIGMA, RD_TRAJ_COORDS };
extern const char *const rd_traj_coords_names[]; /* "x", "alpha", "sigma", NULL */

/* One panel for each input and coordinate: inputs are the columns, coordinates the rows. With overlay, one panel for
 * each coordinate and all inputs in it, told apart by colour.
 * A frame is fitted to the nodes where sqrt(alpha^2 + sigma^2) over the divisor is at most range (for y and z: where
 * neither of alpha and sigma is far beyond the other on that side); lines leave it towards the others. Panels that show
 * the same thing, which are those of a row, but of x only under the same form, have the same frame. */
struct rd_trajplot_opts {
	enum rd_traj_coords coords[RD_TRAJ_COORDS];
	int n_coords;
	bool overlay;
	size_t inputs; /* how many there will be */
	size_t max;    /* trajectories of each that are drawn, at most; and no more than fit 256 MiB in all */
	double range;  /* 0: sqrt 10 */
};

struct rd_chords;
struct rd_trajplot;

int rd_trajplot_new(struct rd_trajplot **out, const struct rd_trajplot_opts *o, struct rd_err *e) RD_MUST;
void rd_trajplot_free(struct rd_trajplot *p);

/* The next input: what is added from here on is its. All is borrowed until the picture is written. With chords of phases
 * (NULL or none: without) each trajectory's first-order paths are drawn with it, at the nodes of the grid; not with
 * overlay, where there would be two lines of a colour. */
int rd_trajplot_input(struct rd_trajplot *p, const char *name, const struct rd_traj_grid *g, const json_t *meta,
                      const struct rd_chords *chords, struct rd_err *e) RD_MUST;

/* Keeps a copy of the states, once there are enough only counts. RD_ESHAPE where dim is below 2 or differs from that of
 * the calls before. */
int rd_trajplot_add(struct rd_trajplot *p, const struct rd_traj *t, struct rd_err *e) RD_MUST;

/* The whole SVG to o (borrowed). */
int rd_trajplot_write(struct rd_trajplot *p, struct rd_out *o, struct rd_err *e) RD_MUST;

#endif
