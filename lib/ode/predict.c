#include "lib/ode/predict.h"

#include <math.h>
#include <stddef.h>

const char *const rd_pred_names[] = {"epsilon", "sample", "v", "flow", "edm", "edm_v", NULL};

int rd_pred_coef(struct rd_prediction p, double alpha, double sigma, struct rd_pred_coef *c, struct rd_err *e)
{
	double d = p.sigma_data, r, s;

	switch (p.type) {
	case RD_PRED_EPSILON:
		if (!(alpha > 0))
			return rd_fail(e, RD_EDOMAIN, "epsilon-prediction says nothing of x0 at alpha = 0 (the start of this "
			                              "schedule): use a v, sample or flow model, or start later");
		*c = (struct rd_pred_coef){1 / alpha, -sigma / alpha, 0, 1};
		return RD_OK;
	case RD_PRED_SAMPLE:
		if (!(sigma > 0))
			return rd_fail(e, RD_EDOMAIN, "sample-prediction says nothing of epsilon at sigma = 0");
		*c = (struct rd_pred_coef){0, 1, 1 / sigma, -alpha / sigma};
		return RD_OK;
	case RD_PRED_V:
		r = alpha * alpha + sigma * sigma;
		*c = (struct rd_pred_coef){alpha / r, -sigma / r, sigma / r, alpha / r};
		return RD_OK;
	case RD_PRED_FLOW:
		r = alpha + sigma;
		*c = (struct rd_pred_coef){1 / r, -sigma / r, 1 / r, alpha / r};
		return RD_OK;
	default: /* eps = (x - alpha x0)/sigma, with sigma taken out of 1 - alpha c_skip and of c_out */
		s = hypot(alpha * d, sigma);
		r = p.type == RD_PRED_EDM ? 1 : -1;
		*c = (struct rd_pred_coef){alpha * d * d / (s * s), r * sigma * d / s, sigma / (s * s), -r * alpha * d / s};
		return RD_OK;
	}
}

void rd_pred_target(struct rd_prediction p, double alpha, double sigma, double *on_x0, double *on_eps)
{
	double s = hypot(alpha * p.sigma_data, sigma), r = p.type == RD_PRED_EDM ? 1 : -1;

	switch (p.type) {
	case RD_PRED_EPSILON:
		*on_x0 = 0;
		*on_eps = 1;
		break;
	case RD_PRED_SAMPLE:
		*on_x0 = 1;
		*on_eps = 0;
		break;
	case RD_PRED_V:
		*on_x0 = -sigma;
		*on_eps = alpha;
		break;
	case RD_PRED_FLOW:
		*on_x0 = -1;
		*on_eps = 1;
		break;
	default:
		*on_x0 = r * sigma / (p.sigma_data * s);
		*on_eps = -r * alpha * p.sigma_data / s;
	}
}
