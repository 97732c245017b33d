/* A solver that chooses its steps: Dormand and Prince's Runge-Kutta pair of orders 5 and 4, with a step length of its own for every
 * image of a batch, so that a result does not depend on what else is in the batch.
 *
 * The coordinates are u = x/r with r^2 = alpha^2 + sigma^2, against tau = asinh(alpha/sigma), the same under every form. There
 *
 *   du/dtau = s (s x0 - c eps)    c = alpha/r = tanh tau, s = sigma/r = sech tau
 *
 * tau goes as 1/n at much noise (n = sigma/alpha), so that it begins at 0 where alpha is 0, and as -ln n at little, where data have
 * detail on every scale; u is of the size of the data or of the noise throughout, so that one tolerance means the same everywhere.
 * Evaluations for rtol = atol = 1e-5 from n = 157 to 0.01, on five densities whose denoiser is known, and the largest error against
 * that tolerance: 44-79 and 0.7 for u against tau; for x/alpha against n 245-315 and 31, against ln n 120-145 and 2; for x/sigma against 1/n
 * 60-80 and 11; u against atan n 38-100 and 4.5.
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
