/* Layer normalisation: gamma and beta are parameters, the same for all images. */
#include "kernels/cuda/colsum.h"
#include "kernels/cuda/layernorm.h"

/* One by one: where parameters lie side by side, a layer's may begin anywhere. */
struct params {
	static constexpr bool centred = true;
	const float *g, *b;

	template <class T, int V> __device__ void gamma(float *out, int64_t, int64_t at) const
	{
		for (int i = 0; i < V; i++)
			out[i] = g[at + i];
	}

	template <class T, int V> __device__ void beta(float *out, int64_t, int64_t at) const
	{
		for (int i = 0; i < V; i++)
			out[i] = b[at + i];
	}
};

size_t rd_cuda_layernorm_ws_bytes(struct rd_dev *, const struct rd_layernorm_desc *p)
{
	return rd_ln_ws_bytes(rd_ln_of(p, 1));
}

int rd_cuda_layernorm_fwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *beta, void *y, float *stats, struct rd_err *e)
{
	const rd_ln_fwd_job<void, params> j = { rd_ln_of(p, 1), { gamma, beta }, x, y, stats };

	return RD_BY_TYPE(dev, rd_ln_fwd, dev, j, e);
}

int rd_cuda_layernorm_bwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                          const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, float *dbeta, void *ws,
                          struct rd_err *e)
{
	float *part = dgamma || dbeta ? (float *)ws : NULL;
	const rd_ln_bwd_job<void, params> j = { rd_ln_of(p, 1), { gamma, NULL }, x, dy, stats, dx, acc_dx, part };
	int rc = RD_BY_TYPE(dev, rd_ln_bwd, dev, j, e);

	return rc || !part ? rc : rd_cuda_total(dev, j.l.chunks, j.l.c, 2 * j.l.c, part, dbeta, dgamma, e);
}
