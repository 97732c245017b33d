/* Sums over rows (pixels) of a matrix with channels innermost: the gradient of a bias. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

enum { COLS = 64, ROWS = 64 }; /* f32 sums are at most ROWS long, the rest is added in double */

/* total[j] += sum of rows of x[., j], cols <= COLS. */
static void block(const float *x, int64_t rows, int64_t cols, int64_t stride, double *total)
{
	float sum[COLS] = { 0.0f };
	int64_t r = 0;

	for (; r + 4 <= rows; r += 4) {
		const float *p = x + r * stride, *q = p + 2 * stride;

		RD_SIMD
		for (int64_t j = 0; j < cols; j++)
			sum[j] += (p[j] + p[j + stride]) + (q[j] + q[j + stride]);
	}
	for (; r < rows; r++) {
		RD_SIMD
		for (int64_t j = 0; j < cols; j++)
			sum[j] += x[r * stride + j];
	}
	for (int64_t j = 0; j < cols; j++)
		total[j] += (double)sum[j];
}

void RD_SYM(colsum)(struct rd_dev *dev, int64_t rows, int64_t cols, const float *x, float *out)
{
#pragma omp parallel for schedule(static) num_threads(dev->threads) if (rows * cols >= RD_PARALLEL_MIN && cols > COLS)
	for (int64_t j0 = 0; j0 < cols; j0 += COLS) {
		int64_t n = cols - j0 < COLS ? cols - j0 : COLS;
		double total[COLS] = { 0.0 };

		for (int64_t r = 0; r < rows; r += ROWS)
			block(x + r * cols + j0, rows - r < ROWS ? rows - r : ROWS, n, cols, total);
		for (int64_t j = 0; j < n; j++)
			out[j0 + j] += (float)total[j];
	}
}
