/* y = a act(b), da = act(b) dy, db = a act'(b) dy: at every pixel of x a's run of channels, then b's. */
#include "kernels/cuda/actmath.h"

template <class T, int V> static __global__ void fwd_kernel(int64_t rows, int64_t c, enum rd_act act, const T *x, T *y)
{
	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step())
		for (int64_t j = threadIdx.x * V; j < c; j += blockDim.x * V) {
			float a[V], b[V];

			rd_load<T, V>(a, x + r * 2 * c + j);
			rd_load<T, V>(b, x + r * 2 * c + c + j);
			RD_UNROLL
			for (int i = 0; i < V; i++)
				a[i] *= rd_act_value(act, b[i]);
			rd_store<T, V>(y + r * c + j, a);
		}
}

template <class T, int V>
static __global__ void bwd_kernel(int64_t rows, int64_t c, enum rd_act act, const T *x, const T *dy, T *dx, int acc)
{
	for (int64_t r = rd_row_first(); r < rows; r += rd_row_step())
		for (int64_t j = threadIdx.x * V; j < c; j += blockDim.x * V) {
			int64_t at = r * 2 * c + j;
			float a[V], b[V], g[V];

			rd_load<T, V>(a, x + at);
			rd_load<T, V>(b, x + at + c);
			rd_load<T, V>(g, dy + r * c + j);
			RD_UNROLL
			for (int i = 0; i < V; i++) {
				a[i] *= g[i] * rd_act_slope(act, b[i]);
				b[i] = g[i] * rd_act_value(act, b[i]);
			}
			rd_put<T, V>(dx + at, b, acc);
			rd_put<T, V>(dx + at + c, a, acc);
		}
}

template <class T, int V>
static int fwd_v(struct rd_dev *dev, int64_t rows, int64_t c, enum rd_act act, const void *x, void *y, struct rd_err *e)
{
	rd_tiles t = rd_tile(rows, c / V);

	return RD_LAUNCH(dev, e, (fwd_kernel<T, V>), t.grid, t.block, 0, rows, c, act, (const T *)x, (T *)y);
}

template <class T>
static int forward(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, void *y, struct rd_err *e)
{
	return RD_BY_WIDTH(T, d.c, fwd_v, dev, d.n * d.h * d.w, d.c, act, x, y, e);
}

template <class T, int V>
static int bwd_v(struct rd_dev *dev, int64_t rows, int64_t c, enum rd_act act, const void *x, const void *dy, void *dx,
                 int acc_dx, struct rd_err *e)
{
	rd_tiles t = rd_tile(rows, c / V);

	return RD_LAUNCH(dev, e, (bwd_kernel<T, V>), t.grid, t.block, 0, rows, c, act, (const T *)x, (const T *)dy, (T *)dx,
	                 acc_dx);
}

template <class T>
static int backward(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, const void *dy, void *dx, int acc_dx,
                    struct rd_err *e)
{
	return RD_BY_WIDTH(T, d.c, bwd_v, dev, d.n * d.h * d.w, d.c, act, x, dy, dx, acc_dx, e);
}

int rd_cuda_gate_fwd(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, void *y, struct rd_err *e)
{
	return RD_BY_TYPE(dev, forward, dev, d, act, x, y, e);
}

int rd_cuda_gate_bwd(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, const void *dy, void *dx, int acc_dx,
                     struct rd_err *e)
{
	return RD_BY_TYPE(dev, backward, dev, d, act, x, dy, dx, acc_dx, e);
}
