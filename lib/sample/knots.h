/* The knots of phased training: M + 1 nodes that part a schedule into M phases, from the noise end to the data. The M of
 * them that a trajectory reaches from the first on are those of trailing spacing in M steps; a grid of more steps has the
 * same as nodes of its own where their number is a multiple of M. */
#ifndef RD_LIB_SAMPLE_KNOTS_H
#define RD_LIB_SAMPLE_KNOTS_H

#include <jansson.h>

#include "lib/ode/solver.h"

#define RD_MAX_PHASES 1000

/* Among the states of a walk over g: where knot j is, 0 <= j <= phases. The state at `first` is knot 0, that at
 * first + stride knot 1. */
struct rd_knots {
	int phases;        /* 0: no knots */
	int first, stride; /* stride < 0: the walk is from the data to the noise */
};

/* RD_EUSAGE, with the reason, where the states at the knots are not there, or are no points of the trajectory. o is what g was made
 * of; reversed: by rd_grid_reverse after that. */
int rd_knots_init(struct rd_knots *k, int phases, const struct rd_solver *s, const struct rd_grid *g, const struct rd_grid_opts *o,
                  bool reversed, struct rd_err *e) RD_MUST;

/* j where the state after `step` steps is knot j; -1 where it is none. */
int rd_knots_at(const struct rd_knots *k, int step);

/* {"t":[M+1],"time":[M+1],"alpha":[M+1],"sigma":[M+1]}, from noise to data; the same of all nodes of g, in the order of the walk. */
json_t *rd_knots_json(const struct rd_knots *k, const struct rd_grid *g);
json_t *rd_nodes_json(const struct rd_grid *g);

#endif
