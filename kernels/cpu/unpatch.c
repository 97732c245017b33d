/* Pixels from patches: a patch's channels are its pixels, row by row, each with its channels. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

/* A row of patches, or with `back` one from its pixels. run: a row of a patch. */
static void copy_row(const float *from, float *to, int64_t w, int64_t patch, int64_t run, int back, int acc)
{
	for (int64_t j = 0; j < w; j++)
		for (int64_t a = 0; a < patch; a++) {
			int64_t patches = (j * patch + a) * run, pixels = (a * w + j) * run;

			RD_SYM(put)(to + (back ? patches : pixels), from + (back ? pixels : patches), run, acc);
		}
}

static void copy(struct rd_dev *dev, struct rd_dims d, int patch, const float *from, float *to, int back, int acc)
{
	int64_t rows = d.n * d.h, size = d.w * d.c;

#pragma omp parallel num_threads(dev->threads) if (rows * size >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(rows, 1);

		for (int64_t i = r.lo; i < r.hi; i++)
			copy_row(from + i * size, to + i * size, d.w, patch, d.c / patch, back, acc);
	}
}

int RD_SYM(unpatch_fwd)(struct rd_dev *dev, struct rd_dims d, int patch, const void *x, void *y, struct rd_err *e)
{
	(void)e;
	copy(dev, d, patch, x, y, 0, 0);
	return RD_OK;
}

int RD_SYM(unpatch_bwd)(struct rd_dev *dev, struct rd_dims d, int patch, const void *dy, void *dx, int acc, struct rd_err *e)
{
	(void)e;
	copy(dev, d, patch, dy, dx, 1, acc);
	return RD_OK;
}
