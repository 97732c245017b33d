/* Solvers of the probability-flow ODE. A solver sees x, (alpha, sigma) and a function that returns (x0, eps); it knows
 * neither the form nor the prediction type.
 *
 *   ddim     x_t = alpha_t x0 + sigma_t eps: exact for a first-order ODE, order 1 (arXiv 2010.02502)
 *   euler    Euler's rule on y = x/alpha against n = sigma/alpha: the same step as ddim in exact arithmetic, computed from y
 *   heun     the trapezoidal rule on the same axes, order 2, two evaluations a step, the last step to sigma = 0 is Euler's
 *   dpm++2m  DPM-Solver++(2M), order 2 on log-SNR, one evaluation a step (arXiv 2211.01095); first step and a step to
 *            sigma = 0 are of order 1 */
#ifndef RD_LIB_ODE_SOLVER_H
#define RD_LIB_ODE_SOLVER_H

#include "kernels/kernels.h"
#include "lib/ode/grid.h"

enum rd_solver { RD_SOLVER_DDIM, RD_SOLVER_EULER, RD_SOLVER_HEUN, RD_SOLVER_DPMPP2M };
extern const char *const rd_solver_names[];

/* Network evaluations that a run takes (before guidance doubles them). */
int rd_solver_nfe(enum rd_solver s, const struct rd_grid *g);

/* x0 and eps (device buffers of the solver's dims) at x under node; called in the order of the steps. */
typedef int (*rd_denoise_fn)(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e);

/* Told after each evaluation that starts a step: step k, its node, the state and the prediction there; and once after the
 * last with k = steps, x0 = eps = NULL. */
typedef int (*rd_observe_fn)(void *ctx, int k, const struct rd_node *node, const void *x, const void *x0, const void *eps,
                             struct rd_err *e);

/* Device scratch of a solver for one shape; reused from run to run. */
struct rd_ode;
int rd_ode_new(struct rd_ode **out, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d, struct rd_err *e) RD_MUST;
void rd_ode_free(struct rd_ode *o);

/* Integrates the device buffer x in place over the grid. observe may be NULL. */
int rd_ode_solve(struct rd_ode *o, enum rd_solver s, const struct rd_grid *g, void *x, rd_denoise_fn denoise,
                 rd_observe_fn observe, void *ctx, struct rd_err *e) RD_MUST;

#endif
