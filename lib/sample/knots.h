/* The knots of phased training: the M + 1 nodes of M steps of trailing spacing, from the noise end to the data, which part the
 * schedule into M phases. A trailing grid whose steps are a multiple of M has them as nodes of its own. */
#ifndef RD_LIB_SAMPLE_KNOTS_H
#define RD_LIB_SAMPLE_KNOTS_H

#include <jansson.h>

#include "lib/ode/solver.h"

#define RD_MAX_PHASES 1000

/* Where the knots are along a walk over a grid: knot j, 0 <= j <= phases, is the state after first + j stride steps. */
struct rd_knots {
	int phases;        /* 0: no knots */
	int first, stride; /* stride < 0: the walk is from the data to the noise */
};

/* RD_EUSAGE, with the reason, where the states at the knots are not there, or are no points of the trajectory. o is what g
 * was made of; reversed: by rd_grid_reverse after that. */
int rd_knots_init(struct rd_knots *k, int phases, const struct rd_solver *s, const struct rd_grid *g,
                  const struct rd_grid_opts *o, bool reversed, struct rd_err *e) RD_MUST;

/* j where the state after `step` steps is knot j; -1 where it is none. */
int rd_knots_at(const struct rd_knots *k, int step);

/* {"t":[M+1],"time":[M+1],"alpha":[M+1],"sigma":[M+1]}, from noise to data; the same of all nodes of g, in the order of the
 * walk. */
json_t *rd_knots_json(const struct rd_knots *k, const struct rd_grid *g);
json_t *rd_nodes_json(const struct rd_grid *g);

#endif
