/* The physical layout of an activation: f32, (n, h, w, c) with c innermost, so that what works on channels (1x1
 * convolution, linear layers, attention) is a plain matrix product over rows of pixels. */
#include "kernels/cpu/common/dev.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/share.h"
#include "lib/base/size.h"

size_t rd_cpu_act_bytes(struct rd_dims d)
{
	return (size_t)rd_dims_elems(d) * sizeof(float);
}

/* dst[cols, rows] = src[rows, cols] transposed, in tiles that fit the first cache. */
static void transpose(const float *restrict src, float *restrict dst, int64_t rows, int64_t cols)
{
	enum { TILE = 32 };

	for (int64_t r0 = 0; r0 < rows; r0 += TILE) {
		int64_t r1 = r0 + TILE < rows ? r0 + TILE : rows;

		for (int64_t c0 = 0; c0 < cols; c0 += TILE) {
			int64_t c1 = c0 + TILE < cols ? c0 + TILE : cols;

			for (int64_t c = c0; c < c1; c++)
				for (int64_t r = r0; r < r1; r++)
					dst[c * rows + r] = src[r * cols + c];
		}
	}
}

/* n matrices of rows x cols. */
static void transpose_all(struct rd_dev *dev, const float *src, float *dst, int64_t n, int64_t rows, int64_t cols)
{
	int64_t elems = rows * cols;

	if (rows == 1 || cols == 1) {
		memcpy(dst, src, (size_t)(n * elems) * sizeof *dst);
		return;
	}
#pragma omp parallel for schedule(static) num_threads(dev->threads) if (n * elems >= RD_PARALLEL_MIN)
	for (int64_t i = 0; i < n; i++)
		transpose(src + i * elems, dst + i * elems, rows, cols);
}

int rd_cpu_act_import(struct rd_dev *dev, struct rd_dims d, const float *host_nchw, void *dst, struct rd_err *e)
{
	(void)e;
	transpose_all(dev, host_nchw, dst, d.n, d.c, d.h * d.w);
	return RD_OK;
}

int rd_cpu_act_export(struct rd_dev *dev, struct rd_dims d, const void *src, float *host_nchw, struct rd_err *e)
{
	(void)e;
	transpose_all(dev, src, host_nchw, d.n, d.h * d.w, d.c);
	return RD_OK;
}

/* At least elems floats in dev->stage. Only the first call for a size allocates. */
static int stage_reserve(struct rd_dev *dev, size_t elems, struct rd_err *e)
{
	void *p;
	int rc;

	if (elems <= dev->stage_elems)
		return RD_OK;
	rc = rd_alloc(&p, elems, sizeof(float), "normals of a batch", e);
	if (rc)
		return rc;
	free(dev->stage);
	dev->stage = p;
	dev->stage_elems = elems;
	return RD_OK;
}

int rd_cpu_normal(struct rd_dev *dev, struct rd_dims d, uint64_t seed, enum rd_rng_stream s, uint64_t index,
                  void *out, struct rd_err *e)
{
	int64_t pixels = d.h * d.w, elems = d.c * pixels, at_once = dev->threads;
	float *dst = out;
	int rc;

	if (d.c == 1 || pixels == 1) {
		rd_rng_normal_batch(seed, s, index, dst, (size_t)d.n, (size_t)elems);
		return RD_OK;
	}
	if (at_once > d.n)
		at_once = d.n;
	rc = stage_reserve(dev, (size_t)(at_once * elems), e);
	if (rc)
		return rc;
	for (int64_t i = 0; i < d.n; i += at_once) {
		int64_t m = i + at_once < d.n ? at_once : d.n - i;

		rd_rng_normal_batch(seed, s, index + (uint64_t)i, dev->stage, (size_t)m, (size_t)elems);
		transpose_all(dev, dev->stage, dst + i * elems, m, d.c, pixels);
	}
	return RD_OK;
}
