/* Resampling by two: y(n, c, oh, ow) from x(n, c, h, w), a thread for V channels of a pixel of y. */
#ifndef RD_KERNELS_CUDA_RESAMPLE_H
#define RD_KERNELS_CUDA_RESAMPLE_H

#include "kernels/cuda/types.h"

/* Adds f times the V channels of pixel (iy, ix) of an image to sum; nothing where it lies outside. */
template <class T, int V>
static __device__ __forceinline__ void rd_tap(float *sum, const T *image, int h, int w, int64_t c, int iy,
                                              int ix, float f)
{
	float v[V];

	if (iy < 0 || iy >= h || ix < 0 || ix >= w)
		return;
	rd_load<T, V>(v, image + ((int64_t)iy * w + ix) * c);
	RD_UNROLL
	for (int k = 0; k < V; k++)
		sum[k] += f * v[k];
}

/* op.at<T, V>(sum, image, h, w, c, oy, ox): the value of a pixel of y. x and y are of the same channels. */
template <class T, int V, class Op>
static __global__ void rd_resample_kernel(Op op, int64_t images, int h, int w, int oh, int ow, int64_t c, const T *x, T *y,
                                          int acc)
{
	for (int64_t image = blockIdx.y; image < images; image += gridDim.y)
		for (int64_t r = rd_row_first(); r < (int64_t)oh * ow; r += rd_row_step()) {
			unsigned oy = (unsigned)r / (unsigned)ow, ox = (unsigned)r % (unsigned)ow; /* at most 2^32 pixels */
			const T *from = x + image * h * w * c;
			T *to = y + (image * oh * ow + r) * c;

			for (int64_t j = threadIdx.x * V; j < c; j += blockDim.x * V) {
				float sum[V];

				if (acc)
					rd_load<T, V>(sum, to + j);
				else
					for (int k = 0; k < V; k++)
						sum[k] = 0.0f;
				op.template at<T, V>(sum, from + j, h, w, c, (int)oy, (int)ox);
				rd_store<T, V>(to + j, sum);
			}
		}
}

template <class T, int V, class Op>
static int rd_resample_v(struct rd_dev *dev, Op op, struct rd_dims x, int64_t oh, int64_t ow, const void *from, void *to,
                         int acc, struct rd_err *e)
{
	rd_tiles t = rd_tile_images(x.n, oh * ow, x.c / V, 1);

	if (!oh || !ow)
		return RD_OK;
	return RD_LAUNCH(dev, e, (rd_resample_kernel<T, V, Op>), t.grid, t.block, 0, op, x.n, (int)x.h, (int)x.w, (int)oh, (int)ow,
	                 x.c, (const T *)from, (T *)to, acc);
}

template <class T, class Op>
static int rd_resample_t(struct rd_dev *dev, Op op, struct rd_dims x, int64_t oh, int64_t ow, const void *from, void *to,
                         int acc, struct rd_err *e)
{
	if (x.c % rd_width<T>() == 0)
		return rd_resample_v<T, rd_width<T>()>(dev, op, x, oh, ow, from, to, acc, e);
	return rd_resample_v<T, 1>(dev, op, x, oh, ow, from, to, acc, e);
}

template <class Op>
static int rd_resample(struct rd_dev *dev, Op op, struct rd_dims x, int64_t oh, int64_t ow, const void *from, void *to,
                       int acc, struct rd_err *e)
{
	return rd_is_bf16(dev) ? rd_resample_t<rd_bf16>(dev, op, x, oh, ow, from, to, acc, e)
	                       : rd_resample_t<float>(dev, op, x, oh, ow, from, to, acc, e);
}

#endif
