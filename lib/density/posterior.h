/* What a perfect model of a known density predicts: E[x0 | x] for x = alpha x0 + sigma eps, in closed form. */
#ifndef RD_LIB_DENSITY_POSTERIOR_H
#define RD_LIB_DENSITY_POSTERIOR_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_posterior;

/* SPEC is NAME[,dim=D][,mean=M][,std=S]. NAME:
 *   gauss     N(M, S^2) in every one of D coordinates; by default D 2, M 0.5, S 0.5
 *   mixture   two gaussians of standard deviation S at +M and -M in every coordinate, weights 1/3 and 2/3; D 2, M 1, S 0.3
 *   or one of rd_density_names, which has none of the options (dim is 2)
 * RD_EUSAGE for what is none of this. */
int rd_posterior_new(struct rd_posterior **out, const char *spec, struct rd_err *e) RD_MUST;
void rd_posterior_free(struct rd_posterior *p);
int64_t rd_posterior_dim(const struct rd_posterior *p);

/* x0[n][dim] from x[n][dim], each with its own alpha and sigma, >= 0 and not both 0. x0 may be x. */
void rd_posterior_mean_each(const struct rd_posterior *p, const double *alpha, const double *sigma, size_t n, const float *x, float *x0);

/* out[i] = v^T (dx0/dx) v at image i for its direction v[i][dim], whose numbers are 1 or -1; or, where v is NULL, the trace of
 * dx0/dx. The Jacobian is alpha/sigma^2 Cov[x0 | x]. */
void rd_posterior_jacobian_each(const struct rd_posterior *p, const double *alpha, const double *sigma, size_t n, const float *x,
                                const float *v, double *out);

#endif
