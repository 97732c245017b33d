/* A run of an activation's channels, and its gradient's way back into all of them. */
#include "kernels/cuda/strips.h"

int rd_cuda_slice_fwd(struct rd_dev *dev, struct rd_dims d, int64_t xc, int64_t first, const void *x, void *y, struct rd_err *e)
{
	const rd_strip s = { x, y, d.c, xc, first, d.c, 0, 0 };

	return rd_strips(dev, d.n * d.h * d.w, &s, 1, e);
}

int rd_cuda_slice_bwd(struct rd_dev *dev, struct rd_dims d, int64_t xc, int64_t first, const void *dy, void *dx, int acc,
                      struct rd_err *e)
{
	const rd_strip s = { dy, dx, d.c, d.c, 0, xc, first, acc };
	size_t elem = rd_is_bf16(dev) ? sizeof(rd_bf16) : sizeof(float);
	int rc = acc ? RD_OK : rd_cuda_zero(dev, dx, (size_t)(d.n * xc * d.h * d.w) * elem, e);

	return rc ? rc : rd_strips(dev, d.n * d.h * d.w, &s, 1, e);
}
