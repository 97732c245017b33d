/* First-order paths through states of a trajectory itself, one for each phase: what it would be were it first-order
 * (one phase), or so between the knots (several, as a model trained with phases is).
 *
 * A grid of K steps is cut into M phases of K/M steps; knots are the nodes at which they meet, and both ends. In a
 * phase from s to p, c_k = on_s x_s + on_p x_p is the state at node k of the path x_t = alpha_t x0 + sigma_t eps through x_s
 * and x_p.
 *
 *   chord   the mean over the nodes k between the knots of sqrt(|x_k - c_k|^2 / d) / sqrt(alpha_k^2 + sigma_k^2).
 *           What it is divided by is the spread that a state there has if that of the data is 1: 1 at every node
 *           under ddpm and vp, where the number is a distance in x; the division makes it the same under every form, and
 *           keeps ve's noisy end, whose x is large, from deciding alone. 0 where there is no node between the knots. */
#ifndef RD_LIB_MEASURE_CHORDS_H
#define RD_LIB_MEASURE_CHORDS_H

#include "lib/measure/trajectory.h"

struct rd_chords {
	int phases;     /* M; 0: none */
	int each;       /* K/M, steps */
	double (*w)[2]; /* [K+1]: on_s, on_p of each node in its phase; a knot's are those of the phase that begins there */
};

/* RD_EUSAGE where K is no multiple of `phases` (which is above 0), RD_EDOMAIN where a phase ends with the sigma/alpha that
 * it began with. */
int rd_chords_init(struct rd_chords *c, const struct rd_traj_grid *g, int phases, struct rd_err *e) RD_MUST;
void rd_chords_free(struct rd_chords *c);

/* The knot at which node k's phase begins; it ends `each` nodes later. */
int rd_chords_start(const struct rd_chords *c, int k);

double rd_chords_distance(const struct rd_chords *c, const struct rd_traj_grid *g, const struct rd_traj *p);

#endif
