/* Runs of channels from one activation to another, pixel by pixel. */
#ifndef RD_KERNELS_CUDA_STRIPS_H
#define RD_KERNELS_CUDA_STRIPS_H

#include "kernels/cuda/types.h"

/* to[row][to_at + j] (+)= from[row][from_at + j], j < cols; rows of from_c and to_c elements. */
struct rd_strip {
	const void *from;
	void *to;
	int64_t cols, from_c, from_at, to_c, to_at;
	int acc;
};

/* The grid's second dimension is the strip, its third parts of a row: a row may be as long as an image. */
template <class T, int V> static __global__ void rd_strips_kernel(int64_t rows, rd_strip first, rd_strip second)
{
	const rd_strip s = blockIdx.y ? second : first;

	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step())
		for (int64_t j = (blockIdx.z * blockDim.x + threadIdx.x) * V; j < s.cols; j += gridDim.z * blockDim.x * V) {
			float v[V];

			rd_load<T, V>(v, (const T *)s.from + r * s.from_c + s.from_at + j);
			rd_put<T, V>((T *)s.to + r * s.to_c + s.to_at + j, v, s.acc);
		}
}

template <class T, int V> static int rd_strips_v(struct rd_dev *dev, int64_t rows, const rd_strip *s, unsigned n, struct rd_err *e)
{
	enum { EACH = 8 }; /* packs of a thread, of a long row */
	int64_t most = (n > 1 && s[1].cols > s[0].cols ? s[1].cols : s[0].cols) / V, parts = most / (RD_THREADS * EACH);
	rd_tiles t = rd_tile(rows, most);

	t.grid.y = n;
	t.grid.z = parts < 1 ? 1 : parts < 1 << 10 ? (unsigned)parts : 1u << 10;
	return RD_LAUNCH(dev, e, (rd_strips_kernel<T, V>), t.grid, t.block, 0, rows, s[0], s[n - 1]);
}

template <class T> static int rd_strips_t(struct rd_dev *dev, int64_t rows, const rd_strip *s, unsigned n, struct rd_err *e)
{
	int64_t sizes = 0; /* a width, a power of two, divides this where it divides each */

	for (unsigned i = 0; i < n; i++)
		sizes |= s[i].cols | s[i].from_c | s[i].from_at | s[i].to_c | s[i].to_at;
	return RD_BY_WIDTH(T, sizes, rd_strips_v, dev, rows, s, n, e);
}

/* One or two strips, in one launch. */
static inline int rd_strips(struct rd_dev *dev, int64_t rows, const rd_strip *s, unsigned n, struct rd_err *e)
{
	return RD_BY_TYPE(dev, rd_strips_t, dev, rows, s, n, e);
}

#endif
