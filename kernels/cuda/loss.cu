/* Losses of samples and their gradients: a block for each image, f32 values added in double. */
#include "kernels/cuda/reduce.h"

/* Value and slope of the loss of one residual. sqrt(r^2 + c^2) - c without the cancellation. */
static __device__ __forceinline__ float value(enum rd_loss kind, float r, float c)
{
	if (kind == RD_LOSS_L2)
		return r * r;
	return r * r / (sqrtf(r * r + c * c) + c);
}

static __device__ __forceinline__ float slope(enum rd_loss kind, float r, float c)
{
	if (kind == RD_LOSS_L2)
		return 2.0f * r;
	return r / sqrtf(r * r + c * c);
}

static __global__ void loss_kernel(struct rd_loss_desc p, int64_t elems, const float *pred, const float *target,
                                   const float *scale, const float *weight, float *per_image, float *dpred)
{
	RD_SHARED(double, shared);
	int64_t at = (int64_t)blockIdx.x * elems;
	float s = scale[blockIdx.x], factor = 0.0f;
	double sum = 0.0;

	if (dpred)
		factor = (float)((double)weight[blockIdx.x] * (double)s / ((double)p.d.n * (double)elems));
	for (int64_t i = threadIdx.x; i < elems; i += blockDim.x) {
		float r = s * (pred[at + i] - target[at + i]);

		sum += (double)value(p.kind, r, p.c);
		if (dpred)
			dpred[at + i] = factor * slope(p.kind, r, p.c);
	}
	sum = rd_block_sum(sum, shared);
	if (threadIdx.x == 0)
		per_image[blockIdx.x] = (float)(sum / (double)elems);
}

/* Of each image as a whole. */
static __global__ void image_kernel(struct rd_loss_desc p, int64_t elems, const float *pred, const float *target,
                                    const float *scale, const float *weight, float *per_image, float *dpred)
{
	RD_SHARED(double, shared);
	int64_t at = (int64_t)blockIdx.x * elems;
	float s = scale[blockIdx.x], factor;
	double sum = 0.0, root, c = (double)p.c;

	for (int64_t i = threadIdx.x; i < elems; i += blockDim.x) {
		float r = s * (pred[at + i] - target[at + i]);

		sum += (double)r * (double)r;
	}
	sum = rd_block_sum(sum, shared);
	root = sqrt(sum + c * c);
	if (threadIdx.x == 0)
		per_image[blockIdx.x] = (float)(sum / (root + c) / (double)elems);
	if (!dpred)
		return;
	factor = (float)((double)weight[blockIdx.x] * (double)s / ((double)p.d.n * (double)elems * root));
	for (int64_t i = threadIdx.x; i < elems; i += blockDim.x)
		dpred[at + i] = factor * (s * (pred[at + i] - target[at + i]));
}

int rd_cuda_loss(struct rd_dev *dev, const struct rd_loss_desc *p, const void *pred, const void *target, const float *scale,
                 const float *weight, float *per_image, void *dpred, struct rd_err *e)
{
	auto kernel = p->kind == RD_LOSS_HUBER_IMAGE ? image_kernel : loss_kernel;

	if (p->kind != RD_LOSS_L2 && !(p->c > 0.0f))
		return rd_fail(e, RD_EDOMAIN, "pseudo-Huber loss: c = %g, above 0 expected", (double)p->c);
	return RD_LAUNCH(dev, e, kernel, dim3((unsigned)p->d.n), RD_THREADS, RD_BLOCK_SUM_BYTES, *p,
	                 p->d.c * p->d.h * p->d.w, (const float *)pred, (const float *)target, scale, weight, per_image,
	                 (float *)dpred);
}
