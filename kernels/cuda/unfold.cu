#include "kernels/cuda/unfold.h"

#include "kernels/cuda/types.h"

template <class T, int V> static __global__ void unfold_kernel(struct rd_unfold u, const T *x, T *cols)
{
	int64_t rows = u.n * u.oh * u.ow, c = u.d.in.c, k = u.d.kernel, width = k * k * c;

	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		int64_t image = r / (u.oh * u.ow), oy = r / u.ow % u.oh, ox = r % u.ow;
		int64_t y0 = oy * u.d.stride - u.d.pad_lo, x0 = ox * u.d.stride - u.d.pad_lo;
		const T *from = x + (u.from + image) * u.d.in.h * u.d.in.w * c;

		for (int64_t j = threadIdx.x * V; j < width; j += blockDim.x * V) {
			int64_t tap = j / c, iy = y0 + tap / k, ix = x0 + tap % k;
			float v[V];

			if (iy >= 0 && iy < u.d.in.h && ix >= 0 && ix < u.d.in.w)
				rd_load<T, V>(v, from + (iy * u.d.in.w + ix) * c + j % c);
			else
				for (int i = 0; i < V; i++)
					v[i] = 0.0f;
			rd_store<T, V>(cols + r * width + j, v);
		}
	}
}

template <class T, int V> static __global__ void fold_kernel(struct rd_unfold u, const T *cols, T *dx, int acc)
{
	int64_t h = u.d.in.h, w = u.d.in.w, c = u.d.in.c, s = u.d.stride, rows = u.n * h * w;
	int k = u.d.kernel;

	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step()) {
		int64_t image = r / (h * w), y = r / w % h + u.d.pad_lo, x = r % w + u.d.pad_lo;

		for (int64_t j = threadIdx.x * V; j < c; j += blockDim.x * V) {
			T *to = dx + (u.from * h * w + r) * c + j;
			float sum[V], v[V];

			for (int i = 0; i < V; i++)
				sum[i] = 0.0f;
			if (acc)
				rd_load<T, V>(sum, to);
			for (int tap = 0; tap < k * k; tap++) {
				int64_t oy = y - tap / k, ox = x - tap % k;

				if (oy < 0 || ox < 0 || oy % s || ox % s || oy / s >= u.oh || ox / s >= u.ow)
					continue;
				rd_load<T, V>(v, cols + (((image * u.oh + oy / s) * u.ow + ox / s) * k * k + tap) * c + j);
				for (int i = 0; i < V; i++)
					sum[i] += v[i];
			}
			rd_store<T, V>(to, sum);
		}
	}
}

template <class T, int V>
static int unfold_v(struct rd_dev *dev, const struct rd_unfold *u, const void *x, void *cols, struct rd_err *e)
{
	rd_tiles t = rd_tile(u->n * u->oh * u->ow, u->d.kernel * u->d.kernel * u->d.in.c / V);

	return RD_LAUNCH(dev, e, (unfold_kernel<T, V>), t.grid, t.block, 0, *u, (const T *)x, (T *)cols);
}

template <class T>
static int unfold(struct rd_dev *dev, const struct rd_unfold *u, const void *x, void *cols, struct rd_err *e)
{
	return RD_BY_WIDTH(T, u->d.in.c, unfold_v, dev, u, x, cols, e);
}

int rd_unfold_images(struct rd_dev *dev, const struct rd_unfold *u, const void *x, void *cols, struct rd_err *e)
{
	return RD_BY_TYPE(dev, unfold, dev, u, x, cols, e);
}

template <class T, int V>
static int fold_v(struct rd_dev *dev, const struct rd_unfold *u, const void *cols, void *dx, int acc, struct rd_err *e)
{
	rd_tiles t = rd_tile(u->n * u->d.in.h * u->d.in.w, u->d.in.c / V);

	return RD_LAUNCH(dev, e, (fold_kernel<T, V>), t.grid, t.block, 0, *u, (const T *)cols, (T *)dx, acc);
}

template <class T>
static int fold(struct rd_dev *dev, const struct rd_unfold *u, const void *cols, void *dx, int acc, struct rd_err *e)
{
	return RD_BY_WIDTH(T, u->d.in.c, fold_v, dev, u, cols, dx, acc, e);
}

int rd_fold_images(struct rd_dev *dev, const struct rd_unfold *u, const void *cols, void *dx, int acc, struct rd_err *e)
{
	return RD_BY_TYPE(dev, fold, dev, u, cols, dx, acc, e);
}
