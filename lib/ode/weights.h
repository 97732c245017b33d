/* The weights of a step of an exponential integrator: x_t = x of `base` times .x + sum over i of .m[i] times output i,
 * where output 0 is the newest. Outputs are x0 (data form) or eps (noise form) of the nodes s[0], s[1], ... */
#ifndef RD_LIB_ODE_WEIGHTS_H
#define RD_LIB_ODE_WEIGHTS_H

#include "lib/ode/solver.h"

struct rd_step_weights {
	double x, m[RD_MAX_ORDER + 1];
	int n; /* outputs that have one */
};

/* All nodes with alpha, sigma > 0. dpm multistep: from s[0]; singlestep: from s[order - 1], the cycle's start. */
void rd_dpm_weights(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                    const struct rd_node *const *s);
void rd_deis_weights(struct rd_step_weights *w, int order, const struct rd_node *t, const struct rd_node *const *s);
/* The predictor, from s[0]; and the corrector, from s[0] too, with the output at t as m[0] and that of s[i] as m[i + 1]. */
void rd_unipc_predict(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                      const struct rd_node *const *s);
void rd_unipc_correct(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                      const struct rd_node *const *s);

#endif
