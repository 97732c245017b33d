/* Shared by solver.c (the loop, first order, exponential integrators) and rk.c (Runge-Kutta). */
#ifndef RD_LIB_ODE_SOLVER_IMPL_H
#define RD_LIB_ODE_SOLVER_IMPL_H

#include "lib/ode/lincomb.h"
#include "lib/ode/solver.h"

#define RD_N_HISTORY (RD_MAX_ORDER + 1) /* unipc's corrector has one more */

struct rd_ode {
	struct rd_lincomb lin;
	void *x0, *eps, *tmp;        /* activations; x0 and eps: the network's word at the step's start */
	void *history[RD_N_HISTORY]; /* outputs of the last nodes, the newest first; Runge-Kutta: slopes */
	void *base;                  /* singlestep: x where the cycle began; unipc: x, corrected, of the last node */
};

struct rd_walk {
	struct rd_ode *o;
	const struct rd_solver *s;
	const struct rd_grid *g;
	void *x;
	rd_denoise_fn denoise;
	void *ctx;
	int order; /* of the last step (unipc), or the place within the cycle (singlestep) */
};

/* x_t = alpha_t x0 + sigma_t eps: what every solver does where its own coordinates end. */
int rd_ddim_step(struct rd_walk *r, int k, struct rd_err *e);
int rd_rk_step(struct rd_walk *r, int k, struct rd_err *e); /* heun and rk4 */
int rd_rk_evaluations(const struct rd_solver *s, const struct rd_node *from, const struct rd_node *to);

#endif
