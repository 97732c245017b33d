/* A solver that chooses its steps: Dormand and Prince's Runge-Kutta pair of orders 5 and 4, with a step length of its own for every
 * image of a batch, so that a result does not depend on what else is in the batch.
 *
 * The coordinates are u = x/r with r^2 = alpha^2 + sigma^2, against tau = asinh(K/n) with n = sigma/alpha and K = 100, the same
 * under every form. There
 *
 *   du/dtau = s (s^2/K^2 + c^2)^(1/2) (s x0 - c eps)    c = alpha/r, s = sigma/r
 *
 * u is of the size of the data or of the noise throughout, so that one tolerance means the same everywhere. tau is 0 where alpha is, with
 * nothing singular there, goes as K/n where there is nothing but noise, and as -ln n below. Where it turns was measured:
 *
 *   rtol = atol                   1e-3: models/fashion-ddpm          1e-5: 8gaussians
 *   K = 1                          52 evaluations, RMS error 0.14    55
 *   K = 10                         51                        0.05
 *   K = 100                        51                        0.016   85
 *
 * since what a network says of much noise decides what the picture is of, and an early error is multiplied. x/alpha against ln n
 * takes half as many evaluations again, and against n three times as many (1e-5, densities).
 *
 * At sigma = 0 a network says nothing. A grid that ends there is integrated to the schedule's least noise, and the rest is a step
 * of order 1 with the x0 and eps of that point, which are known from the last step's last evaluation. */
#ifndef RD_LIB_ODE_DOPRI5_H
#define RD_LIB_ODE_DOPRI5_H

#include "lib/ode/solver.h"

/* x0 and eps where image i is at node[i]; in no order of nodes. */
typedef int (*rd_denoise_each_fn)(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e);

struct rd_effort {
	int accepted, rejected; /* steps */
};
/* Network evaluations that they took: the last of a step that is accepted is the first of the next. */
int rd_dopri5_nfe(const struct rd_effort *f);

/* Device scratch for one shape; reused from run to run. */
struct rd_dopri5;
int rd_dopri5_new(struct rd_dopri5 **out, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d, struct rd_err *e) RD_MUST;
void rd_dopri5_free(struct rd_dopri5 *o);

/* Integrates the first n images of the device buffer x in place, from the first node of the grid to its last; effort [n] is
 * what each took. A step passes where the RMS over the image of the error of u is at most atol + rtol times the RMS of u. RD_EFAIL
 * where an image has tried s->max_steps steps, or is no number any more. */
int rd_dopri5_solve(struct rd_dopri5 *o, const struct rd_solver *s, const struct rd_grid *g, int64_t n, void *x,
                    rd_denoise_each_fn denoise, void *ctx, struct rd_effort *effort, struct rd_err *e) RD_MUST;

#endif
