/* The optimiser: AdamW and the moving average of the weights in one pass, and the norm that clipping needs. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

#include <math.h>

struct coef {
	float b1, b2, one_b1, one_b2, eps, grad_scale, decay, step, root; /* root = 1 / sqrt(1 - b2^t) */
	float ema, one_ema;
};

static void update(const struct coef *c, float *w, const float *g, float *m, float *v, int64_t n)
{
	const struct coef k = *c;

	RD_SIMD
	for (int64_t i = 0; i < n; i++) {
		float gi = g[i] * k.grad_scale;
		float mi = k.b1 * m[i] + k.one_b1 * gi;
		float vi = k.b2 * v[i] + k.one_b2 * (gi * gi);

		m[i] = mi;
		v[i] = vi;
		w[i] = w[i] * k.decay - k.step * (mi / (sqrtf(vi) * k.root + k.eps));
	}
}

static void average(const struct coef *c, const float *w, float *ema, int64_t n)
{
	float keep = c->ema, take = c->one_ema;

	RD_SIMD
	for (int64_t i = 0; i < n; i++)
		ema[i] = ema[i] * keep + w[i] * take;
}

int RD_SYM(adamw)(struct rd_dev *dev, const struct rd_adamw *p, const double *sq, size_t n, float *w, const float *g,
                  float *m, float *v, float *ema, struct rd_err *e)
{
	double norm = sqrt(*sq);
	double b1t = pow((double)p->beta1, (double)p->step), b2t = pow((double)p->beta2, (double)p->step);
	const struct coef c = {
		.b1 = p->beta1,
		.b2 = p->beta2,
		.one_b1 = (float)(1.0 - (double)p->beta1),
		.one_b2 = (float)(1.0 - (double)p->beta2),
		.eps = p->eps,
		.grad_scale = p->clip > 0.0 && norm > p->clip ? (float)(p->clip / norm) : 1.0f,
		.decay = (float)(1.0 - (double)p->lr * (double)p->weight_decay),
		.step = (float)((double)p->lr / (1.0 - b1t)),
		.root = (float)(1.0 / sqrt(1.0 - b2t)),
		.ema = p->ema,
		.one_ema = (float)(1.0 - (double)p->ema),
	};
	enum { BLOCK = 2048 }; /* small enough that the average finds the weights in the first cache */

	(void)e;
	if (!isfinite(*sq))
		return RD_OK;
#pragma omp parallel num_threads(dev->threads) if (n >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share((int64_t)n, BLOCK);

		for (int64_t i = r.lo; i < r.hi; i += BLOCK) {
			int64_t len = r.hi - i < BLOCK ? r.hi - i : BLOCK;

			update(&c, w + i, g + i, m + i, v + i, len);
			if (ema)
				average(&c, w + i, ema + i, len);
		}
	}
	return RD_OK;
}

/* A chunk's sum is one number; chunks are added in order. */
enum { CHUNK = 1 << 16, LANES = 256 };

size_t RD_SYM(sqnorm_ws_bytes)(size_t n)
{
	return (n / CHUNK + 1) * sizeof(double);
}

static double chunk_sqnorm(const float *x, int64_t n)
{
	float lane[LANES] = { 0.0f };
	double sum = 0.0;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		RD_SIMD
		for (int64_t l = 0; l < LANES; l++)
			lane[l] += x[i + l] * x[i + l];
	}
	for (; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	for (int64_t l = 0; l < LANES; l++)
		sum += (double)lane[l];
	return sum;
}

int RD_SYM(sqnorm)(struct rd_dev *dev, size_t n, const float *x, double *out, void *ws, struct rd_err *e)
{
	int64_t len = (int64_t)n, chunks = (len + CHUNK - 1) / CHUNK;
	double *part = ws, sum = 0.0;

	(void)e;
#pragma omp parallel for schedule(static) num_threads(dev->threads) if (chunks > 1)
	for (int64_t i = 0; i < chunks; i++)
		part[i] = chunk_sqnorm(x + i * CHUNK, len - i * CHUNK < CHUNK ? len - i * CHUNK : CHUNK);
	for (int64_t i = 0; i < chunks; i++)
		sum += part[i];
	*out = sum;
	return RD_OK;
}
