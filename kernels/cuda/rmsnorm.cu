/* Normalisation by the root mean square: gamma is a parameter, the same for all images, and beta is 0. */
#include "kernels/cuda/colsum.h"
#include "kernels/cuda/layernorm.h"

struct gains {
	static constexpr bool centred = false;
	const float *g;

	template <class T, int V> __device__ void gamma(float *out, int64_t, int64_t at) const
	{
		for (int i = 0; i < V; i++)
			out[i] = g[at + i];
	}

	template <class T, int V> __device__ void beta(float *out, int64_t, int64_t) const
	{
		for (int i = 0; i < V; i++)
			out[i] = 0.0f;
	}
};

size_t rd_cuda_rmsnorm_ws_bytes(struct rd_dev *, const struct rd_layernorm_desc *p)
{
	return rd_ln_ws_bytes(rd_ln_of(p, 1));
}

int rd_cuda_rmsnorm_fwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma, void *y,
                        float *stats, struct rd_err *e)
{
	const rd_ln_fwd_job<void, gains> j = { rd_ln_of(p, 1), { gamma }, x, y, stats };

	return RD_BY_TYPE(dev, rd_ln_fwd, dev, j, e);
}

int rd_cuda_rmsnorm_bwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
                        const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, void *ws, struct rd_err *e)
{
	float *part = dgamma ? (float *)ws : NULL;
	const rd_ln_bwd_job<void, gains> j = { rd_ln_of(p, 1), { gamma }, x, dy, stats, dx, acc_dx, part };
	int rc = RD_BY_TYPE(dev, rd_ln_bwd, dev, j, e);

	return rc || !part ? rc : rd_cuda_total(dev, j.l.chunks, j.l.c, 2 * j.l.c, part + j.l.c, dgamma, NULL, e);
}
