#include "kernels/cuda/colsum.h"

#include "kernels/cuda/reduce.h"

enum { CHUNK = 512, ROWS = 4 }; /* rows of a chunk, whose sums are f32; rows that a thread reads at once */
enum { TOTAL_X = 8, TOTAL_Y = RD_THREADS / TOTAL_X };

/* part[chunk][cols], or where `add` a single chunk's is added to: threads x along packs of V columns, y along rows. */
template <class T, int V> static __global__ void part_kernel(int64_t rows, int64_t cols, const T *x, float *part, bool add)
{
	RD_SHARED(float, shared);
	int64_t first = (int64_t)blockIdx.y * blockDim.x * V, j = first + threadIdx.x * V, lo = (int64_t)blockIdx.x * CHUNK;
	int64_t hi = j >= cols ? 0 : lo + CHUNK < rows ? lo + CHUNK : rows, step = blockDim.y;
	float sum[V], v[ROWS][V];

	for (int i = 0; i < V; i++)
		sum[i] = 0.0f;
	for (int64_t r = lo + threadIdx.y; r < hi; r += ROWS * step) {
		rd_load_rows<T, V, ROWS>(v, x + j, cols, r, step, hi);
		RD_UNROLL
		for (int u = 0; u < ROWS; u++)
			for (int i = 0; i < V; i++)
				sum[i] += r + u * step < hi ? v[u][i] : 0.0f;
	}
	rd_rows_sum<V, 1>(sum, shared, part + blockIdx.x * cols + first, cols, cols - first, add);
}

/* Threads x along columns, y along rows: thread y adds rows y, y + TOTAL_Y, ..., the first one those sums, in that order. */
static __global__ void total_kernel(int64_t rows, int64_t cols, int64_t pitch, const float *part, float *a, float *b)
{
	RD_SHARED(double, shared);
	int64_t j = (int64_t)blockIdx.x * TOTAL_X + threadIdx.x, end = j < cols ? rows : 0;
	const float *in = part + blockIdx.y * cols + j;
	float *out = blockIdx.y ? b : a;
	double sum = 0.0;

	for (int64_t r = threadIdx.y; r < end; r += TOTAL_Y)
		sum += (double)in[r * pitch];
	shared[threadIdx.y * TOTAL_X + threadIdx.x] = sum;
	__syncthreads();
	if (threadIdx.y || j >= cols || !out)
		return;
	for (int y = 1; y < TOTAL_Y; y++)
		sum += shared[y * TOTAL_X + threadIdx.x];
	out[j] += (float)sum;
}

int rd_cuda_total(struct rd_dev *dev, int64_t rows, int64_t cols, int64_t pitch, const float *part, float *a, float *b,
                  struct rd_err *e)
{
	dim3 grid((unsigned)((cols + TOTAL_X - 1) / TOTAL_X), b ? 2 : 1);

	return RD_LAUNCH(dev, e, total_kernel, grid, dim3(TOTAL_X, TOTAL_Y), RD_THREADS * sizeof(double), rows, cols, pitch, part,
	                 a, b);
}

template <class T>
static __global__ void image_totals_kernel(int64_t images, int64_t rows, int64_t cols, const float *part, T *out, int acc)
{
	int64_t step = (int64_t)gridDim.x * blockDim.x;

	for (int64_t k = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; k < images * cols; k += step) {
		const float *in = part + k / cols * rows * cols + k % cols;
		double sum = 0.0;
		float total;

		RD_UNROLL_4
		for (int64_t r = 0; r < rows; r++)
			sum += (double)in[r * cols];
		total = (float)sum;
		rd_put<T, 1>(out + k, &total, acc);
	}
}

template <class T>
static int image_totals(struct rd_dev *dev, int64_t images, int64_t rows, int64_t cols, const float *part, void *out, int acc,
                        struct rd_err *e)
{
	dim3 grid(rd_blocks((images * cols + RD_THREADS - 1) / RD_THREADS));

	return RD_LAUNCH(dev, e, image_totals_kernel<T>, grid, RD_THREADS, 0, images, rows, cols, part, (T *)out, acc);
}

int rd_cuda_image_totals(struct rd_dev *dev, int64_t images, int64_t rows, int64_t cols, const float *part, void *out, int acc,
                         struct rd_err *e)
{
	return RD_BY_TYPE(dev, image_totals, dev, images, rows, cols, part, out, acc, e);
}

template <class T, int V>
static int parts_v(struct rd_dev *dev, int64_t rows, int64_t cols, const void *x, float *part, bool add, struct rd_err *e)
{
	unsigned w = rd_side_by_side(cols / V);

	return RD_LAUNCH(dev, e, (part_kernel<T, V>),
	                 dim3((unsigned)((rows + CHUNK - 1) / CHUNK), (unsigned)((cols / V + w - 1) / w)), dim3(w, RD_THREADS / w),
	                 rd_rows_bytes(w, V, 1), rows, cols, (const T *)x, part, add);
}

template <class T>
static int parts(struct rd_dev *dev, int64_t rows, int64_t cols, const void *x, float *part, bool add, struct rd_err *e)
{
	return RD_BY_WIDTH(T, cols, parts_v, dev, rows, cols, x, part, add, e);
}

int rd_cuda_colsum(struct rd_dev *dev, int64_t rows, int64_t cols, const void *x, float *out, struct rd_err *e)
{
	int64_t chunks = (rows + CHUNK - 1) / CHUNK;
	void *part;
	int rc;

	if (chunks == 1) /* whose sum is the total */
		return RD_BY_TYPE(dev, parts, dev, rows, cols, x, out, true, e);
	rc = rd_cuda_scratch(dev, (size_t)(chunks * cols) * sizeof(float), &part, e);
	if (!rc)
		rc = RD_BY_TYPE(dev, parts, dev, rows, cols, x, (float *)part, false, e);
	return rc ? rc : rd_cuda_total(dev, chunks, cols, cols, (const float *)part, out, NULL, e);
}
