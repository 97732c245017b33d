/* The optimiser over the flat array of all parameters: AdamW, clipping and the moving average in one pass; and the norm. */
#include "kernels/cuda/reduce.h"

struct coef {
	float b1, b2, one_b1, one_b2, eps, grad_scale, decay, step, root; /* root = 1 / sqrt(1 - b2^t) */
	float ema, one_ema;
	int skip;
};

/* One thread, so that powers in double are taken once. */
static __global__ void coef_kernel(const struct rd_adamw *p, const double *sq, coef *out)
{
	double b1t = pow((double)p->beta1, (double)p->step), b2t = pow((double)p->beta2, (double)p->step), norm = sqrt(*sq);
	coef c;

	if (threadIdx.x)
		return;
	c.b1 = p->beta1;
	c.b2 = p->beta2;
	c.one_b1 = (float)(1.0 - (double)p->beta1);
	c.one_b2 = (float)(1.0 - (double)p->beta2);
	c.eps = p->eps;
	c.grad_scale = p->clip > 0.0 && norm > p->clip ? (float)(p->clip / norm) : 1.0f;
	c.decay = (float)(1.0 - (double)p->lr * (double)p->weight_decay);
	c.step = (float)((double)p->lr / (1.0 - b1t));
	c.root = (float)(1.0 / sqrt(1.0 - b2t));
	c.ema = p->ema;
	c.one_ema = (float)(1.0 - (double)p->ema);
	c.skip = !isfinite(*sq);
	*out = c;
}

template <int V>
static __device__ __forceinline__ void update(const coef &k, float *w, const float *g, float *m, float *v, float *ema)
{
	float fw[V], fg[V], fm[V], fv[V], fe[V];

	rd_load<float, V>(fw, w);
	rd_load<float, V>(fg, g);
	rd_load<float, V>(fm, m);
	rd_load<float, V>(fv, v);
	if (ema)
		rd_load<float, V>(fe, ema);
	RD_UNROLL
	for (int i = 0; i < V; i++) {
		float gi = fg[i] * k.grad_scale;

		fm[i] = k.b1 * fm[i] + k.one_b1 * gi;
		fv[i] = k.b2 * fv[i] + k.one_b2 * (gi * gi);
		fw[i] = fw[i] * k.decay - k.step * (fm[i] / (sqrtf(fv[i]) * k.root + k.eps));
		if (ema)
			fe[i] = fe[i] * k.ema + fw[i] * k.one_ema;
	}
	rd_store<float, V>(w, fw);
	rd_store<float, V>(m, fm);
	rd_store<float, V>(v, fv);
	if (ema)
		rd_store<float, V>(ema, fe);
}

static __global__ void adamw_kernel(const coef *c, int64_t n, float *w, const float *g, float *m, float *v, float *ema)
{
	const coef k = *c;
	int64_t step = (int64_t)gridDim.x * blockDim.x * 4;

	if (k.skip)
		return;
	for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 4; i < n; i += step)
		if (i + 4 <= n)
			update<4>(k, w + i, g + i, m + i, v + i, ema ? ema + i : ema);
		else
			for (int64_t j = i; j < n; j++)
				update<1>(k, w + j, g + j, m + j, v + j, ema ? ema + j : ema);
}

static dim3 blocks_of(int64_t n)
{
	int64_t b = (n + RD_THREADS * 4 - 1) / (RD_THREADS * 4);

	return dim3(rd_blocks(b));
}

int rd_cuda_adamw(struct rd_dev *dev, const struct rd_adamw *p, const double *sq, size_t n, float *w, const float *g,
                  float *m, float *v, float *ema, struct rd_err *e)
{
	coef *c = (coef *)dev->coef;
	int rc = RD_LAUNCH(dev, e, coef_kernel, 1, 32, 0, p, sq, c);

	return rc || !n ? rc : RD_LAUNCH(dev, e, adamw_kernel, blocks_of((int64_t)n), RD_THREADS, 0, (const coef *)c, (int64_t)n,
	                                 w, g, m, v, ema);
}

/* A chunk's sum is one number; chunks are added in an order of their own. */
enum { CHUNK = 1 << 14 };

size_t rd_cuda_sqnorm_ws_bytes(size_t n)
{
	return (n / CHUNK + 1) * sizeof(double);
}

static __global__ void chunk_kernel(int64_t n, const float *x, double *part)
{
	RD_SHARED(double, shared);
	int64_t first = (int64_t)blockIdx.x * CHUNK, last = first + CHUNK < n ? first + CHUNK : n;
	float sum = 0.0f, f[4];
	double all;

	for (int64_t i = first + threadIdx.x * 4; i < last; i += RD_THREADS * 4)
		if (i + 4 <= last) {
			rd_load<float, 4>(f, x + i);
			sum += (f[0] * f[0] + f[1] * f[1]) + (f[2] * f[2] + f[3] * f[3]);
		} else {
			for (int64_t j = i; j < last; j++)
				sum += x[j] * x[j];
		}
	all = rd_block_sum((double)sum, shared);
	if (threadIdx.x == 0)
		part[blockIdx.x] = all;
}

static __global__ void total_kernel(int64_t chunks, const double *part, double *out)
{
	RD_SHARED(double, shared);
	double sum = 0.0;

	for (int64_t i = threadIdx.x; i < chunks; i += blockDim.x)
		sum += part[i];
	sum = rd_block_sum(sum, shared);
	if (threadIdx.x == 0)
		*out = sum;
}

int rd_cuda_sqnorm(struct rd_dev *dev, size_t n, const float *x, double *out, void *ws, struct rd_err *e)
{
	int64_t chunks = ((int64_t)n + CHUNK - 1) / CHUNK;
	double *part = (double *)ws;
	int rc = RD_OK;

	if (chunks)
		rc = RD_LAUNCH(dev, e, chunk_kernel, dim3((unsigned)chunks), RD_THREADS, RD_BLOCK_SUM_BYTES, (int64_t)n, x, part);
	return rc ? rc : RD_LAUNCH(dev, e, total_kernel, 1, RD_THREADS, RD_BLOCK_SUM_BYTES, chunks, (const double *)part, out);
}
