/* Solvers of the probability-flow ODE. A solver sees x, (alpha, sigma) and a function that returns (x0, eps); it knows
 * neither the form nor the prediction type. With lambda = ln(alpha/sigma), n = sigma/alpha, y = x/alpha:
 *
 *   ddim    x_t = alpha_t x0 + sigma_t eps: exact for a first-order ODE, order 1 (arXiv 2010.02502)
 *   euler   Euler's rule on y against n, which is the same step
 *   heun    the trapezoidal rule, order 2, two evaluations a step but for a last one to sigma = 0; on y against n, or (data)
 *           on x/sigma against alpha/sigma, or (velocity) on x against sigma where alpha = 1 - sigma
 *   rk4     the classic Runge-Kutta rule, order 4, four evaluations a step; on the first two of these
 *   dpm     DPM-Solver, orders 1 to 3: exponential integrators in lambda of the noise form (arXiv 2206.00927) or, as
 *           dpm++, of the data form (arXiv 2211.01095); multistep, or singlestep in cycles of `order` evaluations
 *   deis    y against n with eps interpolated in ln n over the last `order` nodes (arXiv 2204.13902, log-rho)
 *   unipc   DPM-Solver's step corrected once the next evaluation is known (arXiv 2302.04867)
 *   dopri5  Dormand and Prince's pair of orders 5 and 4, with steps that it chooses itself: lib/ode/dopri5.h
 *
 * Wherever lambda is infinite (from alpha = 0, to sigma = 0) a step is of order 1, and nodes beyond are no history. */
#ifndef RD_LIB_ODE_SOLVER_H
#define RD_LIB_ODE_SOLVER_H

#include "kernels/kernels.h"
#include "lib/ode/grid.h"

enum rd_solver_family { RD_DDIM, RD_EULER, RD_HEUN, RD_RK4, RD_DPM, RD_DEIS, RD_UNIPC, RD_DOPRI5 };
enum rd_solver_type { RD_TYPE_DEFAULT, RD_TYPE_MIDPOINT, RD_TYPE_HEUN, RD_TYPE_BH1, RD_TYPE_BH2, RD_TYPE_NOISE, RD_TYPE_DATA,
                      RD_TYPE_VELOCITY };
#define RD_MAX_ORDER 3
#define RD_MAX_UNCORRECTED 64

struct rd_solver {
	enum rd_solver_family family;
	int order;                  /* dpm, deis, unipc */
	bool data;                  /* dpm, unipc: the history is of x0, not of eps */
	bool singlestep;            /* dpm */
	enum rd_solver_type type;   /* dpm: midpoint or heun; unipc: bh2 or bh1; heun, rk4: noise, data or (heun) velocity; the first is the default */
	bool high_order_final;      /* the last steps of a run of fewer than 15 are not lowered to orders 2 and 1 */
	bool euler_at_final;        /* dpm multistep: the last step is of order 1 however many there are */
	int n_uncorrected;          /* unipc: steps (from 0) whose result stays as predicted */
	int uncorrected[RD_MAX_UNCORRECTED];
	double rtol, atol;          /* dopri5: the error of a step, relative and absolute */
	int max_steps;              /* dopri5: an image that takes more gives it up */
};

/* Solvers by name: ddim, euler, heun, dpm1, dpm2m, ... NULL-terminated; rd_solver_named takes an index of it. */
extern const char *const rd_solver_names[];
struct rd_solver rd_solver_named(int i);
extern const char *const rd_solver_type_names[]; /* index is enum rd_solver_type */
/* The name under which a solver is known; and its type where it is not the family's default, else NULL. */
const char *rd_solver_name(const struct rd_solver *s);
const char *rd_solver_type_name(const struct rd_solver *s);
/* RD_EUSAGE where the family has no such type. */
int rd_solver_set_type(struct rd_solver *s, enum rd_solver_type type, struct rd_err *e) RD_MUST;

/* Whether it chooses its steps itself: then rd_dopri5_solve is what runs it, and all else of this file is for the others. */
bool rd_solver_chooses_steps(const struct rd_solver *s);

/* Network evaluations that a run takes (before guidance doubles them); 0 where the solver chooses its steps. */
int rd_solver_nfe(const struct rd_solver *s, const struct rd_grid *g);

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
int rd_ode_solve(struct rd_ode *o, const struct rd_solver *s, const struct rd_grid *g, void *x, rd_denoise_fn denoise,
                 rd_observe_fn observe, void *ctx, struct rd_err *e) RD_MUST;

/* How the density of x changes over a run, by the rule that moves x: ln p(x) at the start is that at the end, plus `scale` for
 * each dimension, plus the sum over the run's evaluations (rd_solver_nfe of them, in their order) of
 * on_x0 tr(dx0/dx) + on_eps tr(deps/dx). */
struct rd_divergence {
	double scale;
	struct rd_divergence_at {
		double on_x0, on_eps;
	} *at;
};

/* RD_EUSAGE for other solvers than heun and rk4: theirs is a rule for x alone. d->at is the caller's to free. */
int rd_solver_divergence(struct rd_divergence *d, const struct rd_solver *s, const struct rd_grid *g, struct rd_err *e) RD_MUST;

#endif
