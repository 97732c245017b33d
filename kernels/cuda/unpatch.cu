/* Pixels from their patches' channels. At pixel (i, j) of x stand its patch's rows a, each a run of p c elements; in y such a
 * run is p pixels of row p i + a. So runs [i][j][a] become runs [i][a][j]. */
#include "kernels/cuda/types.h"

/* x has h x w patches of p rows, which are runs of `run` elements; rows: of y's runs. */
struct patches {
	int64_t rows, w, p, run;
};

/* BACK: from the pixels to the patches. */
template <class T, int V, int BACK> static __global__ void runs_kernel(patches s, const T *from, T *to, int acc)
{
	for (int64_t r = rd_row_first(); r < s.rows; r += rd_row_step()) {
		int64_t line = r / s.w, j = r % s.w, i = line / s.p, a = line % s.p; /* i: of all images' rows of patches */
		int64_t pixels = r * s.run, patch = ((i * s.w + j) * s.p + a) * s.run;

		for (int64_t k = threadIdx.x * V; k < s.run; k += blockDim.x * V) {
			float v[V];

			rd_load<T, V>(v, from + (BACK ? pixels : patch) + k);
			rd_put<T, V>(to + (BACK ? patch : pixels) + k, v, acc);
		}
	}
}

template <class T, int V>
static int runs_v(struct rd_dev *dev, const patches &s, bool back, const void *from, void *to, int acc, struct rd_err *e)
{
	rd_tiles t = rd_tile(s.rows, s.run / V);

	if (back)
		return RD_LAUNCH(dev, e, (runs_kernel<T, V, 1>), t.grid, t.block, 0, s, (const T *)from, (T *)to, acc);
	return RD_LAUNCH(dev, e, (runs_kernel<T, V, 0>), t.grid, t.block, 0, s, (const T *)from, (T *)to, acc);
}

template <class T>
static int runs(struct rd_dev *dev, struct rd_dims d, int patch, bool back, const void *from, void *to, int acc,
                struct rd_err *e)
{
	const patches s = { d.n * d.h * patch * d.w, d.w, patch, d.c / patch };

	return RD_BY_WIDTH(T, s.run, runs_v, dev, s, back, from, to, acc, e);
}

int rd_cuda_unpatch_fwd(struct rd_dev *dev, struct rd_dims d, int patch, const void *x, void *y, struct rd_err *e)
{
	return RD_BY_TYPE(dev, runs, dev, d, patch, false, x, y, 0, e);
}

int rd_cuda_unpatch_bwd(struct rd_dev *dev, struct rd_dims d, int patch, const void *dy, void *dx, int acc, struct rd_err *e)
{
	return RD_BY_TYPE(dev, runs, dev, d, patch, true, dy, dx, acc, e);
}
