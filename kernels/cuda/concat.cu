/* Channels of two activations side by side: at every pixel a's run of channels, then b's. */
#include "kernels/cuda/strips.h"

int rd_cuda_concat_fwd(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *xa, const void *xb, void *y,
                       struct rd_err *e)
{
	int64_t c = a.c + bc;
	const rd_strip s[] = { { xa, y, a.c, a.c, 0, c, 0, 0 }, { xb, y, bc, bc, 0, c, a.c, 0 } };

	return rd_strips(dev, a.n * a.h * a.w, s, 2, e);
}

int rd_cuda_concat_bwd(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *dy, void *da, int acc_a, void *db,
                       int acc_b, struct rd_err *e)
{
	int64_t c = a.c + bc;
	rd_strip s[2] = {};
	unsigned n = 0;

	if (da)
		s[n++] = { dy, da, a.c, c, 0, a.c, 0, acc_a };
	if (db)
		s[n++] = { dy, db, bc, c, a.c, bc, 0, acc_b };
	return n ? rd_strips(dev, a.n * a.h * a.w, s, n, e) : RD_OK;
}
