/* Embeddings of times and labels. */
#include "kernels/cuda/types.h"

/* The frequency is rounded to f32 and so is its product with t, as the libraries that trained the models do it. */
template <class T> static __global__ void timestep_kernel(struct rd_timestep_desc p, const float *t, T *y)
{
	int64_t half = p.dim / 2, sin_at = p.flip_sin_to_cos ? half : 0, cos_at = p.flip_sin_to_cos ? 0 : half;
	double step = -log((double)p.max_period) / ((double)half - (double)p.freq_shift);

	for (int64_t k = blockIdx.x * blockDim.x + threadIdx.x; k < p.n * (half + 1); k += (int64_t)gridDim.x * blockDim.x) {
		int64_t i = k / (half + 1), j = k % (half + 1);
		double arg = (double)(t[i] * (float)exp((double)(float)(step * (double)j)));

		if (j < half) {
			rd_from_float(&y[i * p.dim + sin_at + j], (float)sin(arg));
			rd_from_float(&y[i * p.dim + cos_at + j], (float)cos(arg));
		} else if (p.dim % 2) {
			rd_from_float(&y[i * p.dim + p.dim - 1], 0.0f);
		}
	}
}

/* The angle in f32, step by step, as these libraries have it. */
template <class T>
static __global__ void fourier_kernel(int64_t n, int64_t dim, int take_log, const float *w, const float *t, T *y)
{
	for (int64_t k = blockIdx.x * blockDim.x + threadIdx.x; k < n * dim; k += (int64_t)gridDim.x * blockDim.x) {
		int64_t i = k / dim, j = k % dim;
		float time = take_log ? (float)log((double)t[i]) : t[i];
		double arg = (double)(time * w[j] * 2.0f * 3.14159265f);

		rd_from_float(&y[i * 2 * dim + j], (float)sin(arg));
		rd_from_float(&y[i * 2 * dim + dim + j], (float)cos(arg));
	}
}

/* The grid's second dimension is the image: a row is as long as a whole image where it says where pixels are. */
template <class T> static __global__ void fwd_kernel(int64_t n, int64_t dim, const float *table, const int32_t *label, T *y)
{
	for (int64_t image = blockIdx.y; image < n; image += gridDim.y) {
		const float *row = table + (label ? label[image] : 0) * dim;

		for (int64_t j = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; j < dim; j += (int64_t)gridDim.x * blockDim.x)
			rd_from_float(&y[image * dim + j], row[j]);
	}
}

/* Labels may repeat: the block of a label's first image adds the rows of all its images, in their order. */
template <class T>
static __global__ void bwd_kernel(int64_t n, int64_t dim, const int32_t *label, const T *dy, float *dtable)
{
	int64_t j = (int64_t)blockIdx.y * blockDim.x + threadIdx.x, first = blockIdx.x;
	int32_t mine = label[first];
	float sum;

	for (int64_t i = 0; i < first; i++)
		if (label[i] == mine)
			return;
	if (j >= dim)
		return;
	sum = dtable[mine * dim + j];
	for (int64_t i = first; i < n; i++)
		if (label[i] == mine)
			sum += rd_to_float(dy[i * dim + j]);
	dtable[mine * dim + j] = sum;
}

static dim3 blocks_of(int64_t n)
{
	int64_t b = (n + RD_THREADS - 1) / RD_THREADS;

	return dim3(rd_blocks(b));
}

template <class T> static int timestep(struct rd_dev *dev, const struct rd_timestep_desc *p, const float *t, void *y,
                                       struct rd_err *e)
{
	return RD_LAUNCH(dev, e, timestep_kernel<T>, blocks_of(p->n * (p->dim / 2 + 1)), RD_THREADS, 0, *p, t, (T *)y);
}

template <class T> static int fourier(struct rd_dev *dev, int64_t n, int64_t dim, int log, const float *w, const float *t,
                                      void *y, struct rd_err *e)
{
	return RD_LAUNCH(dev, e, fourier_kernel<T>, blocks_of(n * dim), RD_THREADS, 0, n, dim, log, w, t, (T *)y);
}

template <class T> static int embed_fwd(struct rd_dev *dev, int64_t n, int64_t dim, const float *table, const int32_t *label,
                                        void *y, struct rd_err *e)
{
	dim3 grid = blocks_of(dim);

	grid.y = rd_blocks_y(n);
	return RD_LAUNCH(dev, e, fwd_kernel<T>, grid, RD_THREADS, 0, n, dim, table, label, (T *)y);
}

template <class T> static int embed_bwd(struct rd_dev *dev, int64_t n, int64_t dim, const int32_t *label, const void *dy,
                                        float *dtable, struct rd_err *e)
{
	dim3 grid((unsigned)n, (unsigned)((dim + RD_THREADS - 1) / RD_THREADS));

	return RD_LAUNCH(dev, e, bwd_kernel<T>, grid, RD_THREADS, 0, n, dim, label, (const T *)dy, dtable);
}

int rd_cuda_timestep(struct rd_dev *dev, const struct rd_timestep_desc *p, const float *t, void *y, struct rd_err *e)
{
	return RD_BY_TYPE(dev, timestep, dev, p, t, y, e);
}

int rd_cuda_fourier(struct rd_dev *dev, int64_t n, int64_t dim, int log, const float *w, const float *t, void *y,
                    struct rd_err *e)
{
	return RD_BY_TYPE(dev, fourier, dev, n, dim, log, w, t, y, e);
}

int rd_cuda_embed_fwd(struct rd_dev *dev, int64_t n, int64_t dim, const float *table, const int32_t *label, void *y,
                      struct rd_err *e)
{
	return RD_BY_TYPE(dev, embed_fwd, dev, n, dim, table, label, y, e);
}

int rd_cuda_embed_bwd(struct rd_dev *dev, int64_t n, int64_t dim, const int32_t *label, const void *dy, float *dtable,
                      struct rd_err *e)
{
	return RD_BY_TYPE(dev, embed_bwd, dev, n, dim, label, dy, dtable, e);
}
