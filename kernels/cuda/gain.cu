/* y = gain x, dx = gain dy, dgain = sum over pixels of dy x: an image has a gain for each of its channels. Backward reads x and
 * dy once for both; a block's sums are added in the blocks' order. */
#include "kernels/cuda/colsum.h"
#include "kernels/cuda/reduce.h"

enum { ROWS = 2, DOWN = 4 }; /* rows that a thread reads at once; in backward, that it has of an image */

struct gain_job {
	int64_t n, rows, c; /* rows: of an image */
	const void *x, *gain, *dy;
	void *out; /* y or dx; in backward NULL where it is not wanted */
	int acc;
	float *part; /* [n][chunks][c] */
};

template <class T, int V> static __global__ void fwd_kernel(gain_job j)
{
	for (int64_t image = blockIdx.y; image < j.n; image += gridDim.y)
		for (int64_t at = threadIdx.x * V; at < j.c; at += blockDim.x * V) {
			const T *x = (const T *)j.x + image * j.rows * j.c + at;
			T *y = (T *)j.out + image * j.rows * j.c + at;
			int64_t step = rd_row_step();
			float g[V], v[ROWS][V], old[ROWS][V];

			rd_load<T, V>(g, (const T *)j.gain + image * j.c + at);
			for (int64_t r = rd_row_first(); r < j.rows; r += ROWS * step) {
				rd_load_rows<T, V, ROWS>(v, x, j.c, r, step, j.rows);
				if (j.acc)
					rd_load_rows<T, V, ROWS>(old, y, j.c, r, step, j.rows);
				RD_UNROLL
				for (int u = 0; u < ROWS && r + u * step < j.rows; u++) {
					for (int i = 0; i < V; i++)
						v[u][i] = g[i] * v[u][i] + (j.acc ? old[u][i] : 0.0f);
					rd_store<T, V>(y + (r + u * step) * j.c, v[u]);
				}
			}
		}
}

/* The block's V blockDim.x channels from `first` on and DOWN blockDim.y rows of an image: dx, and the sums to part. */
template <class T, int V> static __device__ __forceinline__ void bwd_block(const gain_job &j, int64_t image, float *shared)
{
	int64_t first = (int64_t)blockIdx.y * blockDim.x * V, at = first + threadIdx.x * V, step = blockDim.y;
	int64_t lo = blockIdx.x * DOWN * step, hi = at >= j.c ? 0 : lo + DOWN * step < j.rows ? lo + DOWN * step : j.rows;
	int64_t base = image * j.rows * j.c + at;
	const T *from = (const T *)j.x + base, *dfrom = (const T *)j.dy + base;
	bool add = j.out && j.acc;
	T *dx = j.out ? (T *)j.out + base : NULL;
	float g[V] = {}, x[ROWS][V], dy[ROWS][V], old[ROWS][V], sum[V];

	for (int i = 0; i < V; i++)
		sum[i] = 0.0f;
	if (at < j.c)
		rd_load<T, V>(g, (const T *)j.gain + image * j.c + at);
	for (int64_t r = lo + threadIdx.y; r < hi; r += ROWS * step) {
		rd_load_rows<T, V, ROWS>(x, from, j.c, r, step, hi);
		rd_load_rows<T, V, ROWS>(dy, dfrom, j.c, r, step, hi);
		if (add)
			rd_load_rows<T, V, ROWS>(old, dx, j.c, r, step, hi);
		RD_UNROLL
		for (int u = 0; u < ROWS && r + u * step < hi; u++) {
			for (int i = 0; i < V; i++) {
				sum[i] += dy[u][i] * x[u][i];
				dy[u][i] = g[i] * dy[u][i] + (add ? old[u][i] : 0.0f);
			}
			if (j.out)
				rd_store<T, V>(dx + (r + u * step) * j.c, dy[u]);
		}
	}
	rd_rows_sum<V, 1>(sum, shared, j.part + (image * gridDim.x + blockIdx.x) * j.c + first, j.c, j.c - first);
}

template <class T, int V> static __global__ void bwd_kernel(gain_job j)
{
	RD_SHARED(float, shared);

	for (int64_t image = blockIdx.z; image < j.n; image += gridDim.z)
		bwd_block<T, V>(j, image, shared);
}

template <class T, int V> static int fwd_v(struct rd_dev *dev, const gain_job &j, struct rd_err *e)
{
	rd_tiles t = rd_tile_images(j.n, j.rows, j.c / V, DOWN);

	return RD_LAUNCH(dev, e, (fwd_kernel<T, V>), t.grid, t.block, 0, j);
}

template <class T> static int forward(struct rd_dev *dev, const gain_job &j, struct rd_err *e)
{
	return RD_BY_WIDTH(T, j.c, fwd_v, dev, j, e);
}

static int64_t chunks_of(int64_t rows, unsigned x)
{
	int64_t chunk = DOWN * (RD_THREADS / x);

	return (rows + chunk - 1) / chunk;
}

template <class T, int V> static int bwd_v(struct rd_dev *dev, const gain_job &j, void *dgain, int acc, struct rd_err *e)
{
	unsigned x = rd_side_by_side(j.c / V);
	int64_t chunks = chunks_of(j.rows, x), columns = (j.c / V + x - 1) / x;
	int rc = RD_LAUNCH(dev, e, (bwd_kernel<T, V>), dim3((unsigned)chunks, (unsigned)columns, rd_blocks_y(j.n)),
	                   dim3(x, RD_THREADS / x), rd_rows_bytes(x, V, 1), j);

	return rc ? rc : rd_cuda_image_totals(dev, j.n, chunks, j.c, j.part, dgain, acc, e);
}

template <class T> static int backward(struct rd_dev *dev, const gain_job &j, void *dgain, int acc, struct rd_err *e)
{
	return RD_BY_WIDTH(T, j.c, bwd_v, dev, j, dgain, acc, e);
}

int rd_cuda_gain_fwd(struct rd_dev *dev, struct rd_dims d, const void *x, const void *gain, void *y, int acc, struct rd_err *e)
{
	const gain_job j = { d.n, d.h * d.w, d.c, x, gain, NULL, y, acc, NULL };

	return RD_BY_TYPE(dev, forward, dev, j, e);
}

/* Single channels side by side make the most chunks: as many as a block has rows fewer. */
size_t rd_cuda_gain_ws_bytes(struct rd_dev *, struct rd_dims d)
{
	return (size_t)(d.n * chunks_of(d.h * d.w, rd_side_by_side(d.c)) * d.c) * sizeof(float);
}

int rd_cuda_gain_bwd(struct rd_dev *dev, struct rd_dims d, const void *x, const void *gain, const void *dy, void *dx, int acc_dx,
                     void *dgain, int acc_dgain, void *ws, struct rd_err *e)
{
	const gain_job j = { d.n, d.h * d.w, d.c, x, gain, dy, dx, acc_dx, (float *)ws };

	if (!dgain)
		return dx ? rd_cuda_gain_fwd(dev, d, dy, gain, dx, acc_dx, e) : RD_OK;
	return RD_BY_TYPE(dev, backward, dev, j, dgain, acc_dgain, e);
}
