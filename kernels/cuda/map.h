/* Element by element: y[i] = op(image, i, a[i], b[i]), or y[i] += that. One pass, 16 bytes of the widest type at a time. */
#ifndef RD_KERNELS_CUDA_MAP_H
#define RD_KERNELS_CUDA_MAP_H

#include "kernels/cuda/types.h"

template <class TX, class TY, int V, class Op>
static __device__ __forceinline__ void rd_map_pack(const Op &op, int64_t image, int64_t i, const TX *a, const TX *b, TY *y,
                                                   int acc)
{
	float fa[V], fb[V] = {}, fy[V] = {};

	rd_load<TX, V>(fa, a);
	if (b)
		rd_load<TX, V>(fb, b);
	if (acc)
		rd_load<TY, V>(fy, y);
	RD_UNROLL
	for (int k = 0; k < V; k++) {
		float v = op(image, i + k, fa[k], b ? fb[k] : 0.0f);

		fy[k] = acc ? fy[k] + v : v;
	}
	rd_store<TY, V>(y, fy);
}

/* y may be a or b: a thread has read what it writes over. */
template <class TX, class TY, int V, class Op>
static __global__ void rd_map_kernel(Op op, int64_t images, int64_t n, const TX *a, const TX *b, TY *y, int acc)
{
	int64_t step = (int64_t)gridDim.x * blockDim.x * V, first = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;

	for (int64_t image = blockIdx.y; image < images; image += gridDim.y)
		for (int64_t i = first; i < n; i += step) {
			int64_t at = image * n + i;

			if (i + V <= n)
				rd_map_pack<TX, TY, V>(op, image, i, a + at, b ? b + at : b, y + at, acc);
			else
				for (int k = 0; k < n - i; k++)
					rd_map_pack<TX, TY, 1>(op, image, i + k, a + at + k, b ? b + at + k : b, y + at + k, acc);
		}
}

/* images of n elements each; one image of all of them where op does not ask for its number. b may be NULL. */
template <class TX, class TY, class Op>
static int rd_map(struct rd_dev *dev, Op op, int64_t images, int64_t n, const void *a, const void *b, void *y, int acc,
                  struct rd_err *e)
{
	constexpr int W = (int)(16 / (sizeof(TX) > sizeof(TY) ? sizeof(TX) : sizeof(TY)));
	int64_t per = RD_THREADS * (int64_t)W, blocks = (n + per - 1) / per;
	dim3 grid(rd_blocks(blocks), rd_blocks_y(images));

	if (images == 1 || n % W == 0)
		return RD_LAUNCH(dev, e, (rd_map_kernel<TX, TY, W, Op>), grid, RD_THREADS, 0, op, images, n, (const TX *)a,
		                 (const TX *)b, (TY *)y, acc);
	return RD_LAUNCH(dev, e, (rd_map_kernel<TX, TY, 1, Op>), grid, RD_THREADS, 0, op, images, n, (const TX *)a,
	                 (const TX *)b, (TY *)y, acc);
}

/* The same where all are activations. */
template <class Op>
static int rd_map_acts(struct rd_dev *dev, Op op, int64_t images, int64_t n, const void *a, const void *b, void *y, int acc,
                       struct rd_err *e)
{
	return rd_is_bf16(dev) ? rd_map<rd_bf16, rd_bf16>(dev, op, images, n, a, b, y, acc, e)
	                       : rd_map<float, float>(dev, op, images, n, a, b, y, acc, e);
}

#endif
