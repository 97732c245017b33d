/* Adaptive layer normalisation: what stands for gamma and beta is 1 + scale and shift, an image's own. */
#include "kernels/cuda/colsum.h"
#include "kernels/cuda/layernorm.h"

struct modulation {
	static constexpr bool centred = true;
	const void *ss; /* [n][2][c]: shift, scale */
	int64_t c;

	template <class T, int V> __device__ void gamma(float *out, int64_t image, int64_t at) const
	{
		rd_load<T, V>(out, (const T *)ss + (2 * image + 1) * c + at);
		for (int i = 0; i < V; i++)
			out[i] += 1.0f;
	}

	template <class T, int V> __device__ void beta(float *out, int64_t image, int64_t at) const
	{
		rd_load<T, V>(out, (const T *)ss + 2 * image * c + at);
	}
};

size_t rd_cuda_adanorm_ws_bytes(struct rd_dev *, const struct rd_layernorm_desc *p)
{
	return rd_ln_ws_bytes(rd_ln_of(p, p->d.n));
}

int rd_cuda_adanorm_fwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const void *shift_scale, void *y,
                        float *stats, struct rd_err *e)
{
	const rd_ln_fwd_job<void, modulation> j = { rd_ln_of(p, p->d.n), { shift_scale, p->d.c }, x, y, stats };

	return RD_BY_TYPE(dev, rd_ln_fwd, dev, j, e);
}

int rd_cuda_adanorm_bwd(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const void *shift_scale,
                        const float *stats, const void *dy, void *dx, int acc_dx, void *dshift_scale, int acc_dss, void *ws,
                        struct rd_err *e)
{
	float *part = dshift_scale ? (float *)ws : NULL;
	const rd_ln_bwd_job<void, modulation> j = { rd_ln_of(p, p->d.n), { shift_scale, p->d.c }, x, dy, stats, dx, acc_dx, part };
	int rc = RD_BY_TYPE(dev, rd_ln_bwd, dev, j, e);

	return rc || !part ? rc : rd_cuda_image_totals(dev, p->d.n, j.l.chunks, 2 * j.l.c, part, dshift_scale, acc_dss, e);
}
