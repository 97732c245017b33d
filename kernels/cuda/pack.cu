#include "kernels/cuda/pack.h"

#include "kernels/cuda/types.h"

/* Item blockIdx.y. A row is an output channel, a column an input channel, whose taps lie side by side: over the taps a warp
 * reads whole lines, and what it writes are runs of channels. */
template <class T> static __global__ void pack_kernel(struct rd_packs s)
{
	struct rd_pack p = s.item[blockIdx.y];
	T *to = (T *)p.to;

	for (int64_t o = rd_row_first(); o < p.out_c; o += rd_row_step())
		for (int64_t i = threadIdx.x; i < p.c; i += blockDim.x)
			for (int64_t t = 0; t < p.taps; t++)
				rd_from_float(&to[(o * p.taps + t) * p.c + i], p.from[(o * p.c + i) * p.taps + t]);
}

template <class T> static int pack(struct rd_dev *dev, const struct rd_packs *s, struct rd_err *e)
{
	enum { X = 64, Y = RD_THREADS / X };
	dim3 grid(rd_blocks((s->most + Y - 1) / Y), (unsigned)s->n);

	return RD_LAUNCH(dev, e, pack_kernel<T>, grid, dim3(X, Y), 0, *s);
}

int rd_pack_all(struct rd_dev *dev, struct rd_packs *s, struct rd_err *e)
{
	int rc = s->n ? RD_BY_TYPE(dev, pack, dev, s, e) : RD_OK;

	s->n = s->most = 0;
	return rc;
}

int rd_pack_one(struct rd_dev *dev, struct rd_packs *s, struct rd_pack p, struct rd_err *e)
{
	int rc = s->n < (int64_t)(sizeof s->item / sizeof *s->item) ? RD_OK : rd_pack_all(dev, s, e);

	s->item[s->n++] = p;
	if (p.out_c > s->most)
		s->most = p.out_c;
	return rc;
}

/* A row is an output channel; j counts (input channel, tap). */
template <class T> static __global__ void add_kernel(int64_t out_c, int64_t c, int64_t taps, const T *own, float *dw)
{
	for (int64_t o = rd_row_first(); o < out_c; o += rd_row_step())
		for (int64_t j = threadIdx.x; j < c * taps; j += blockDim.x)
			dw[o * c * taps + j] += rd_to_float(own[(o * taps + j % taps) * c + j / taps]);
}

int rd_add_weights(struct rd_dev *dev, const struct rd_conv2d_desc *d, const void *own, bool bf16, float *dw,
                   struct rd_err *e)
{
	int64_t taps = (int64_t)d->kernel * d->kernel;
	rd_tiles t = rd_tile(d->out_c, d->in.c * taps);

	if (bf16)
		return RD_LAUNCH(dev, e, add_kernel<rd_bf16>, t.grid, t.block, 0, d->out_c, d->in.c, taps, (const rd_bf16 *)own, dw);
	return RD_LAUNCH(dev, e, add_kernel<float>, t.grid, t.block, 0, d->out_c, d->in.c, taps, (const float *)own, dw);
}
