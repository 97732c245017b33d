/* Embeddings of times and labels. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"

#include <math.h>

/* The frequency is rounded to f32 and so is its product with t, as the libraries that trained the models do it: at
 * t = 999 that rounding shows in the fifth digit of the sine. */
int RD_SYM(timestep)(struct rd_dev *dev, const struct rd_timestep_desc *p, const float *t, void *y, struct rd_err *e)
{
	int64_t half = p->dim / 2;
	int64_t sin_at = p->flip_sin_to_cos ? half : 0, cos_at = p->flip_sin_to_cos ? 0 : half;
	float span = -(float)log((double)p->max_period), steps = (float)half - p->freq_shift;
	float *out = y;

	(void)dev;
	(void)e;
	for (int64_t k = 0; k < half; k++) {
		float freq = (float)exp((double)(span * (float)k / steps));

		for (int64_t i = 0; i < p->n; i++) {
			double arg = (double)(t[i] * freq);

			out[i * p->dim + sin_at + k] = (float)sin(arg);
			out[i * p->dim + cos_at + k] = (float)cos(arg);
		}
	}
	if (p->dim % 2)
		for (int64_t i = 0; i < p->n; i++)
			out[i * p->dim + p->dim - 1] = 0.0f;
	return RD_OK;
}

/* As above, the argument is rounded to f32 at every step. */
int RD_SYM(fourier)(struct rd_dev *dev, int64_t n, int64_t dim, int log_t, const float *w, const float *t, void *y,
                    struct rd_err *e)
{
	float *out = y;

	(void)dev;
	(void)e;
	for (int64_t i = 0; i < n; i++) {
		float from = log_t ? (float)log((double)t[i]) : t[i];

		for (int64_t k = 0; k < dim; k++) {
			double arg = (double)(from * w[k] * 2.0f * (float)M_PI);

			out[2 * i * dim + k] = (float)sin(arg);
			out[(2 * i + 1) * dim + k] = (float)cos(arg);
		}
	}
	return RD_OK;
}

int RD_SYM(embed_fwd)(struct rd_dev *dev, int64_t n, int64_t dim, const float *table, const int32_t *label, void *y,
                      struct rd_err *e)
{
	float *out = y;

	(void)dev;
	(void)e;
	for (int64_t i = 0; i < n; i++)
		RD_SYM(put)(out + i * dim, table + (label ? label[i] : 0) * dim, dim, 0);
	return RD_OK;
}

/* Labels may repeat: rows are added in the order of the images, on one thread. */
int RD_SYM(embed_bwd)(struct rd_dev *dev, int64_t n, int64_t dim, const int32_t *label, const void *dy, float *dtable,
                      struct rd_err *e)
{
	const float *in = dy;

	(void)dev;
	(void)e;
	for (int64_t i = 0; i < n; i++)
		RD_SYM(put)(dtable + label[i] * dim, in + i * dim, dim, 1);
	return RD_OK;
}
