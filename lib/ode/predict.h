/* Prediction types: what a network's output F means, by algebra, for any form.
 *
 *   epsilon  F = eps                     x0 = (x - sigma F)/alpha            needs alpha > 0
 *   sample   F = x0                      eps = (x - alpha F)/sigma           needs sigma > 0
 *   v        F = alpha eps - sigma x0    x0 = (alpha x - sigma F)/(alpha^2 + sigma^2)
 *   flow     F = eps - x0                x0 = (x - sigma F)/(alpha + sigma)
 *   edm      x0 = c_skip x + c_out F     c_skip = alpha d^2/S^2, c_out = sigma d/S, S^2 = alpha^2 d^2 + sigma^2, with
 *            d = sigma_data (arXiv 2206.00364, table 1)
 *   edm_v    as edm with -c_out
 *
 * All are affine in (x, F), so a type is four numbers at a given (alpha, sigma). */
#ifndef RD_LIB_ODE_PREDICT_H
#define RD_LIB_ODE_PREDICT_H

#include <stdbool.h>

#include "lib/base/err.h"

enum rd_pred { RD_PRED_EPSILON, RD_PRED_SAMPLE, RD_PRED_V, RD_PRED_FLOW, RD_PRED_EDM, RD_PRED_EDM_V };

extern const char *const rd_pred_names[]; /* NULL-terminated; index is enum rd_pred */

struct rd_prediction {
	enum rd_pred type;
	double sigma_data; /* edm, edm_v */
};

static inline bool rd_pred_is_edm(enum rd_pred p)
{
	return p == RD_PRED_EDM || p == RD_PRED_EDM_V;
}

/* Where nobody says another: the paper's 0.5 for edm and edm_v. */
static inline double rd_pred_sigma_data(enum rd_pred p)
{
	return rd_pred_is_edm(p) ? 0.5 : 1;
}

struct rd_pred_coef {
	double x0_x, x0_f;   /* x0  = x0_x x + x0_f F */
	double eps_x, eps_f; /* eps = eps_x x + eps_f F */
};

/* RD_EDOMAIN where the formula divides by zero (epsilon at alpha = 0, sample at sigma = 0). */
int rd_pred_coef(struct rd_prediction p, double alpha, double sigma, struct rd_pred_coef *c, struct rd_err *e) RD_MUST;

/* The output that is exact for (x0, eps): F = *on_x0 x0 + *on_eps eps. */
void rd_pred_target(struct rd_prediction p, double alpha, double sigma, double *on_x0, double *on_eps);

#endif
