#include "kernels/kernels.h"

struct rd_dims rd_conv2d_out(const struct rd_conv2d_desc *d)
{
	int64_t pad = d->pad_lo + d->pad_hi;

	return (struct rd_dims){
		.n = d->in.n,
		.c = d->out_c,
		.h = (d->in.h + pad - d->kernel) / d->stride + 1,
		.w = (d->in.w + pad - d->kernel) / d->stride + 1,
	};
}
