/* The schedule cut into phases, each with a first-order path of its own (PeRFlow, arXiv 2405.07510, for any form: section 3.3 of
 * arXiv 2410.07303). Through a state at the noisy end s of a phase and one at its other end p runs exactly one path
 * x_t = alpha_t x0 + sigma_t eps; its x0 and eps are what the network is to say all along the phase. In the last phase, which
 * ends at the data, they are the sample and the pair's epsilon; in the others x0 is a mere point of the line. */
#ifndef RD_LIB_TRAIN_PHASES_H
#define RD_LIB_TRAIN_PHASES_H

#include <jansson.h>

#include "lib/ode/grid.h"

struct rd_phases {
	int n;                /* 0: none */
	struct rd_node *knot; /* [n + 1], from the noise to the data */
};

/* n phases of as many steps of a grid each. */
int rd_phases_of_grid(struct rd_phases *p, const struct rd_grid *g, int n, struct rd_err *e) RD_MUST;
/* Those at whose knots the trajectories of pairs were recorded, from their meta's object "knots"; RD_EINPUT where it is none. */
int rd_phases_recorded(struct rd_phases *p, const json_t *meta, struct rd_err *e) RD_MUST;
void rd_phases_free(struct rd_phases *p);

/* The phase from knot[i] to knot[i + 1] that a node lies in, its noisy end included. */
int rd_phases_at(const struct rd_phases *p, const struct rd_node *n);

#endif
