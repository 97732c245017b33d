/* First-order paths: x_t = alpha_t x0 + sigma_t eps with one x0 and one eps. */
#ifndef RD_LIB_ODE_PATH_H
#define RD_LIB_ODE_PATH_H

#include "lib/ode/grid.h"

/* The path through a state x_s at node s and x_p at node p: x0 = x0_s x_s + x0_p x_p, eps = eps_s x_s + eps_p x_p. There is
 * exactly one where the nodes differ in sigma/alpha; not finite where they do not. Of a node only alpha and sigma count. */
struct rd_path_coef {
	double x0_s, x0_p, eps_s, eps_p;
};
struct rd_path_coef rd_path_through(const struct rd_node *s, const struct rd_node *p);

/* The state of that path at a node: *on_s x_s + *on_p x_p. */
void rd_path_at(const struct rd_path_coef *c, const struct rd_node *n, double *on_s, double *on_p);

#endif
