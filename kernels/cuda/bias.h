/* A bias that no library adds. */
#ifndef RD_KERNELS_CUDA_BIAS_H
#define RD_KERNELS_CUDA_BIAS_H

#include "kernels/cuda/types.h"

template <class T, int V, class B> static __global__ void rd_bias_kernel(int64_t rows, int64_t cols, const B *bias, T *y)
{
	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step())
		for (int64_t j = threadIdx.x * V; j < cols; j += blockDim.x * V) {
			float v[V];

			rd_load<T, V>(v, y + r * cols + j);
			for (int i = 0; i < V; i++)
				v[i] += rd_to_float(bias[j + i]);
			rd_store<T, V>(y + r * cols + j, v);
		}
}

/* y[row, j] += bias[j]; V divides cols, and where it is more than 1 a row begins at 16 bytes. */
template <class T, int V, class B>
static int rd_add_bias(struct rd_dev *dev, int64_t rows, int64_t cols, const B *bias, T *y, struct rd_err *e)
{
	rd_tiles t = rd_tile(rows, cols / V);

	return RD_LAUNCH(dev, e, (rd_bias_kernel<T, V, B>), t.grid, t.block, 0, rows, cols, bias, y);
}

#endif
