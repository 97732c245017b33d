/* Resampling by two with the filter [1 3 3 1]/8 in each direction. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

/* The pixels of one direction that a result is made of. */
struct taps {
	int n;
	int64_t at[4];
	float weight[4];
};

RD_INLINE void tap(struct taps *t, int64_t at, int64_t size, float weight)
{
	if (at >= 0 && at < size) {
		t->at[t->n] = at;
		t->weight[t->n++] = weight;
	}
}

static struct taps down_taps(int64_t out, int64_t size)
{
	static const float f[4] = { 0.125f, 0.375f, 0.375f, 0.125f };
	struct taps t = { .n = 0 };

	for (int k = 0; k < 4; k++)
		tap(&t, 2 * out - 1 + k, size, f[k]);
	return t;
}

/* Between pixels the nearer one has three quarters. */
static struct taps up_taps(int64_t out, int64_t size)
{
	struct taps t = { .n = 0 };

	if (out % 2) {
		tap(&t, out / 2, size, 0.75f);
		tap(&t, out / 2 + 1, size, 0.25f);
	} else {
		tap(&t, out / 2 - 1, size, 0.25f);
		tap(&t, out / 2, size, 0.75f);
	}
	return t;
}

/* One pixel's c channels. x is its image, rows of `row` floats. */
static void pixel(const struct taps *rows, const struct taps *cols, float gain, const float *x, int64_t row, int64_t c,
                  float *y, int acc)
{
	if (!acc) {
		RD_SIMD
		for (int64_t k = 0; k < c; k++)
			y[k] = 0.0f;
	}
	for (int i = 0; i < rows->n; i++)
		for (int j = 0; j < cols->n; j++) {
			const float *in = x + rows->at[i] * row + cols->at[j] * c;
			float w = gain * rows->weight[i] * cols->weight[j];

			RD_SIMD
			for (int64_t k = 0; k < c; k++)
				y[k] += w * in[k];
		}
}

/* y (n,c,oh,ow) from x of dimensions d. */
static void resample(struct rd_dev *dev, struct rd_dims d, int64_t oh, int64_t ow,
                     struct taps (*taps)(int64_t out, int64_t size), float gain, const float *x, float *y, int acc)
{
	int64_t lines = d.n * oh, row = d.w * d.c;

#pragma omp parallel num_threads(dev->threads) if (lines * ow * d.c >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(lines, 1);

		for (int64_t i = r.lo; i < r.hi; i++) {
			struct taps rows = taps(i % oh, d.h);
			const float *image = x + i / oh * d.h * row;

			for (int64_t j = 0; j < ow; j++) {
				struct taps cols = taps(j, d.w);

				pixel(&rows, &cols, gain, image, row, d.c, y + (i * ow + j) * d.c, acc);
			}
		}
	}
}

int RD_SYM(fir2_down)(struct rd_dev *dev, struct rd_dims d, float gain, const void *x, void *y, int acc,
                      struct rd_err *e)
{
	(void)e;
	resample(dev, d, d.h / 2, d.w / 2, down_taps, gain, x, y, acc);
	return RD_OK;
}

int RD_SYM(fir2_up)(struct rd_dev *dev, struct rd_dims d, float gain, const void *x, void *y, int acc, struct rd_err *e)
{
	(void)e;
	resample(dev, d, 2 * d.h, 2 * d.w, up_taps, gain, x, y, acc);
	return RD_OK;
}
