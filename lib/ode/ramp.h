/* Points between two noise levels. */
#ifndef RD_LIB_ODE_RAMP_H
#define RD_LIB_ODE_RAMP_H

#include "lib/ode/grid.h"

/* Point k of n from hi (k = 0) to lo (k = n - 1; with n = 1 there is only hi): karras with the exponent rho (0: 7),
 * exponential, or quantiles of Beta(0.6, 0.6). hi, lo > 0. */
double rd_ramp(enum rd_spacing kind, double hi, double lo, int k, int n, double rho);

/* The quantile function of Beta(a, a): x with I_x(a, a) = p. */
double rd_beta_quantile(double p, double a);

#endif
