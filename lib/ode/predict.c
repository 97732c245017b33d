#include "lib/ode/predict.h"

const char *const rd_pred_names[] = {"epsilon", "sample", "v", "flow", 0};

int rd_pred_coef(enum rd_pred p, double alpha, double sigma, struct rd_pred_coef *c, struct rd_err *e)
{
	double r;

	switch (p) {
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
	default:
		r = alpha + sigma;
		*c = (struct rd_pred_coef){1 / r, -sigma / r, 1 / r, alpha / r};
		return RD_OK;
	}
}

void rd_pred_target(enum rd_pred p, double alpha, double sigma, double *on_x0, double *on_eps)
{
	*on_x0 = p == RD_PRED_SAMPLE ? 1 : p == RD_PRED_V ? -sigma : p == RD_PRED_FLOW ? -1 : 0;
	*on_eps = p == RD_PRED_SAMPLE ? 0 : p == RD_PRED_V ? alpha : 1;
}
