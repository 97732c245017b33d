/* Channels of two activations side by side: at every pixel a's run of channels, then b's. */
#include "kernels/cuda/types.h"

/* to[row][to_at + j] (+)= from[row][from_at + j], j < cols, in packs of V; rows of to_c and from_c elements. */
struct strip {
	int64_t rows, cols, from_c, from_at, to_c, to_at;
};

template <class T, int V> static __global__ void strip_kernel(strip s, const T *from, T *to, int acc)
{
	for (int64_t r = rd_row_first(); r < s.rows; r += rd_row_step())
		for (int64_t j = threadIdx.x * V; j < s.cols; j += blockDim.x * V) {
			T *p = to + r * s.to_c + s.to_at + j;
			float v[V], old[V];

			rd_load<T, V>(v, from + r * s.from_c + s.from_at + j);
			if (acc) {
				rd_load<T, V>(old, p);
				for (int k = 0; k < V; k++)
					v[k] += old[k];
			}
			rd_store<T, V>(p, v);
		}
}

template <class T, int V> static int run(struct rd_dev *dev, strip s, const void *from, void *to, int acc, struct rd_err *e)
{
	rd_tiles t = rd_tile(s.rows, s.cols / V);

	return RD_LAUNCH(dev, e, (strip_kernel<T, V>), t.grid, t.block, 0, s, (const T *)from, (T *)to, acc);
}

template <class T> static int move(struct rd_dev *dev, strip s, const void *from, void *to, int acc, struct rd_err *e)
{
	int64_t all = s.cols | s.from_c | s.from_at | s.to_c | s.to_at; /* divides by a power of two where each does */

	return RD_BY_WIDTH(T, all, run, dev, s, from, to, acc, e);
}

int rd_cuda_concat_fwd(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *xa, const void *xb, void *y,
                       struct rd_err *e)
{
	int64_t rows = a.n * a.h * a.w, c = a.c + bc;
	strip sa = { rows, a.c, a.c, 0, c, 0 }, sb = { rows, bc, bc, 0, c, a.c };
	int rc = RD_BY_TYPE(dev, move, dev, sa, xa, y, 0, e);

	return rc ? rc : RD_BY_TYPE(dev, move, dev, sb, xb, y, 0, e);
}

int rd_cuda_concat_bwd(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *dy, void *da, int acc_a, void *db,
                       int acc_b, struct rd_err *e)
{
	int64_t rows = a.n * a.h * a.w, c = a.c + bc;
	strip sa = { rows, a.c, c, 0, a.c, 0 }, sb = { rows, bc, c, a.c, bc, 0 };
	int rc = RD_OK;

	if (da)
		rc = RD_BY_TYPE(dev, move, dev, sa, dy, da, acc_a, e);
	if (!rc && db)
		rc = RD_BY_TYPE(dev, move, dev, sb, dy, db, acc_b, e);
	return rc;
}
