/* Layer normalisation, pixel by pixel, with one gain and offset for all. */
#include "kernels/cpu/layernorm_params.h"
#include "kernels/cpu/ops.h"

size_t RD_SYM(layernorm_ws_bytes)(struct rd_dev *dev, const struct rd_layernorm_desc *p)
{
	return rd_lp_ws_bytes(dev, p);
}

int RD_SYM(layernorm_fwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *beta, void *y, float *stats, struct rd_err *e)
{
	(void)e;
	rd_lp_fwd(dev, p, RD_LN_PLAIN, x, gamma, beta, y, stats);
	return RD_OK;
}

int RD_SYM(layernorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, float *dbeta, void *ws,
                          struct rd_err *e)
{
	const struct rd_lp l = rd_lp_of(p);
	const struct rd_ln_rows all = { x, dy, dx, stats, gamma, l.rows, l.c, acc_dx };

	(void)e;
	rd_lp_bwd(dev, &l, RD_LN_PLAIN, &all, dgamma, dbeta, ws);
	return RD_OK;
}
