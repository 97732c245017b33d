/* Channels of two activations side by side: at every pixel a's run of channels, then b's. */
#include "kernels/cuda/types.h"

/* to[row][to_at + j] (+)= from[row][from_at + j], j < cols; rows of from_c and to_c elements. */
struct strip {
	const void *from;
	void *to;
	int64_t cols, from_c, from_at, to_c, to_at;
	int acc;
};

/* The grid's second dimension is the strip. */
template <class T, int V> static __global__ void strips_kernel(int64_t rows, strip first, strip second)
{
	const strip s = blockIdx.y ? second : first;

	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step())
		for (int64_t j = threadIdx.x * V; j < s.cols; j += blockDim.x * V) {
			float v[V];

			rd_load<T, V>(v, (const T *)s.from + r * s.from_c + s.from_at + j);
			rd_put<T, V>((T *)s.to + r * s.to_c + s.to_at + j, v, s.acc);
		}
}

template <class T, int V> static int run(struct rd_dev *dev, int64_t rows, const strip *s, unsigned n, struct rd_err *e)
{
	rd_tiles t = rd_tile(rows, (s[0].cols > s[1].cols ? s[0].cols : s[1].cols) / V);

	t.grid.y = n;
	return RD_LAUNCH(dev, e, (strips_kernel<T, V>), t.grid, t.block, 0, rows, s[0], s[1]);
}

/* The first n of two strips. A width that divides both activations' channels divides all that the strips say. */
template <class T>
static int move(struct rd_dev *dev, int64_t rows, int64_t ac, int64_t bc, const strip *s, unsigned n, struct rd_err *e)
{
	return RD_BY_WIDTH(T, ac | bc, run, dev, rows, s, n, e);
}

int rd_cuda_concat_fwd(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *xa, const void *xb, void *y,
                       struct rd_err *e)
{
	int64_t c = a.c + bc;
	const strip s[] = { { xa, y, a.c, a.c, 0, c, 0, 0 }, { xb, y, bc, bc, 0, c, a.c, 0 } };

	return RD_BY_TYPE(dev, move, dev, a.n * a.h * a.w, a.c, bc, s, 2, e);
}

int rd_cuda_concat_bwd(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *dy, void *da, int acc_a, void *db,
                       int acc_b, struct rd_err *e)
{
	int64_t c = a.c + bc;
	strip s[2] = {};
	unsigned n = 0;

	if (da)
		s[n++] = { dy, da, a.c, c, 0, a.c, 0, acc_a };
	if (db)
		s[n++] = { dy, db, bc, c, a.c, bc, 0, acc_b };
	return n ? RD_BY_TYPE(dev, move, dev, a.n * a.h * a.w, a.c, bc, s, n, e) : RD_OK;
}
