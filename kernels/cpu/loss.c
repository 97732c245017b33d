/* Losses and their gradients, image by image. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

#include <math.h>

enum { LANES = 64, BLOCK = 64 * LANES }; /* f32 sums are at most 64 long, the rest is added in double */

/* Value and slope of the loss of one residual. sqrt(r^2 + c^2) - c without the cancellation. */
RD_INLINE float value(enum rd_loss kind, float r, float c)
{
	if (kind == RD_LOSS_L2)
		return r * r;
	return r * r / (sqrtf(r * r + c * c) + c);
}

RD_INLINE float slope(enum rd_loss kind, float r, float c)
{
	if (kind == RD_LOSS_L2)
		return 2.0f * r;
	return r / sqrtf(r * r + c * c);
}

RD_INLINE double sum_loop(enum rd_loss kind, float c, float scale, const float *p, const float *t, int64_t n)
{
	float lane[LANES] = { 0.0f };
	double sum = 0.0;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		RD_SIMD
		for (int64_t l = 0; l < LANES; l++)
			lane[l] += value(kind, scale * (p[i + l] - t[i + l]), c);
	}
	for (; i < n; i++)
		sum += (double)value(kind, scale * (p[i] - t[i]), c);
	for (int64_t l = 0; l < LANES; l++)
		sum += (double)lane[l];
	return sum;
}

RD_INLINE void grad_loop(enum rd_loss kind, float c, float scale, float factor, const float *p, const float *t,
                         float *dp, int64_t n)
{
	RD_SIMD
	for (int64_t i = 0; i < n; i++)
		dp[i] = factor * slope(kind, scale * (p[i] - t[i]), c);
}

/* The image's mean loss; its gradient too where dp is not NULL. */
RD_INLINE double image(enum rd_loss kind, float c, float scale, float factor, const float *p, const float *t,
                       float *dp, int64_t n)
{
	double sum = 0.0;

	for (int64_t i = 0; i < n; i += BLOCK) {
		int64_t len = n - i < BLOCK ? n - i : BLOCK;

		sum += sum_loop(kind, c, scale, p + i, t + i, len);
		if (dp)
			grad_loop(kind, c, scale, factor, p + i, t + i, dp + i, len);
	}
	return sum / (double)n;
}

static double image_l2(float c, float scale, float factor, const float *p, const float *t, float *dp, int64_t n)
{
	return image(RD_LOSS_L2, c, scale, factor, p, t, dp, n);
}

static double image_huber(float c, float scale, float factor, const float *p, const float *t, float *dp, int64_t n)
{
	return image(RD_LOSS_HUBER, c, scale, factor, p, t, dp, n);
}

/* Of the image as a whole: its slope is that of L2 over twice the root. */
static double image_huber_image(float c, float scale, float factor, const float *p, const float *t, float *dp, int64_t n)
{
	double sum = (double)n * image(RD_LOSS_L2, c, scale, factor, p, t, NULL, n), root = sqrt(sum + (double)c * (double)c);

	if (dp)
		grad_loop(RD_LOSS_L2, c, scale, (float)((double)factor / (2.0 * root)), p, t, dp, n);
	return sum / (root + (double)c) / (double)n;
}

int RD_SYM(loss)(struct rd_dev *dev, const struct rd_loss_desc *p, const void *pred, const void *target,
                 const float *scale, const float *weight, float *per_image, void *dpred, struct rd_err *e)
{
	const float *fp = pred, *ft = target;
	float *fd = dpred;
	int64_t n = p->d.n, elems = p->d.c * p->d.h * p->d.w;

	if (p->kind != RD_LOSS_L2 && !(p->c > 0.0f))
		return rd_fail(e, RD_EDOMAIN, "pseudo-Huber loss: c = %g, above 0 expected", (double)p->c);
#pragma omp parallel for schedule(static) num_threads(dev->threads) if (n * elems >= RD_PARALLEL_MIN)
	for (int64_t i = 0; i < n; i++) {
		float factor = fd ? (float)((double)weight[i] * (double)scale[i] / ((double)n * (double)elems)) : 0.0f;
		double (*f)(float, float, float, const float *, const float *, float *, int64_t) =
			p->kind == RD_LOSS_L2 ? image_l2 : p->kind == RD_LOSS_HUBER ? image_huber : image_huber_image;

		per_image[i] = (float)f(p->c, scale[i], factor, fp + i * elems, ft + i * elems, fd ? fd + i * elems : NULL, elems);
	}
	return RD_OK;
}
