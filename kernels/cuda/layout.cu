/* The physical layout: (n, h, w, c) with c innermost, f32 or bf16. Import and export by way of the staging slots, as many
 * images at a time as a slot takes; the conversion happens on the device. */
#include "kernels/cuda/map.h"
#include "kernels/cuda/stage.h"

size_t rd_cuda_bytes_f32(struct rd_dims d)
{
	return (size_t)rd_dims_elems(d) * sizeof(float);
}

size_t rd_cuda_bytes_bf16(struct rd_dims d)
{
	return (size_t)rd_dims_elems(d) * sizeof(rd_bf16);
}

/* Threads along the channels of a pixel; few of them where it matters (images). */
template <class T> static __global__ void to_nhwc_kernel(int64_t n, int64_t c, int64_t pixels, const float *x, T *y)
{
	for (int64_t r = rd_row_first(); r < n * pixels; r += rd_row_step())
		for (int64_t j = threadIdx.x; j < c; j += blockDim.x)
			rd_from_float(&y[r * c + j], x[(r / pixels * c + j) * pixels + r % pixels]);
}

template <class T> static __global__ void to_nchw_kernel(int64_t n, int64_t c, int64_t pixels, const T *x, float *y)
{
	for (int64_t r = rd_row_first(); r < n * pixels; r += rd_row_step())
		for (int64_t j = threadIdx.x; j < c; j += blockDim.x)
			y[(r / pixels * c + j) * pixels + r % pixels] = rd_to_float(x[r * c + j]);
}

/* Images in one slot. */
static int64_t at_once(int64_t elems)
{
	int64_t n = RD_PIECE / (int64_t)sizeof(float) / elems;

	return n > 0 ? n : 1;
}

template <class T> static int import(struct rd_dev *dev, struct rd_dims d, const float *host, T *dst, struct rd_err *e)
{
	int64_t elems = d.c * d.h * d.w, step = at_once(elems);
	int rc = RD_OK;

	for (int64_t i = 0; i < d.n && !rc; i += step) {
		int64_t n = d.n - i < step ? d.n - i : step;
		rd_tiles t = rd_tile(n * d.h * d.w, d.c);
		struct rd_slot *s;

		rc = rd_stage_in(dev, host + i * elems, (size_t)(n * elems) * sizeof *host, &s, e);
		if (!rc)
			rc = RD_LAUNCH(dev, e, to_nhwc_kernel<T>, t.grid, t.block, 0, n, d.c, d.h * d.w, (const float *)s->device,
			               dst + i * elems);
		if (!rc)
			rc = rd_stage_used(dev, s, e);
	}
	return rc;
}

template <class T> static int do_export(struct rd_dev *dev, struct rd_dims d, const T *src, float *host, struct rd_err *e)
{
	int64_t elems = d.c * d.h * d.w, step = at_once(elems);
	int rc = RD_OK;

	for (int64_t i = 0; i < d.n && !rc; i += step) {
		int64_t n = d.n - i < step ? d.n - i : step;
		size_t bytes = (size_t)(n * elems) * sizeof *host;
		rd_tiles t = rd_tile(n * d.h * d.w, d.c);
		struct rd_slot *s;

		rc = rd_stage_take(dev, bytes, &s, e);
		if (!rc)
			rc = RD_LAUNCH(dev, e, to_nchw_kernel<T>, t.grid, t.block, 0, n, d.c, d.h * d.w, src + i * elems,
			               (float *)s->device);
		if (!rc)
			rc = rd_stage_out(dev, s, host + i * elems, bytes, e);
	}
	return rc;
}

int rd_cuda_sample_import(struct rd_dev *dev, struct rd_dims d, const float *host_nchw, void *dst, struct rd_err *e)
{
	return import(dev, d, host_nchw, (float *)dst, e);
}

int rd_cuda_sample_export(struct rd_dev *dev, struct rd_dims d, const void *src, float *host_nchw, struct rd_err *e)
{
	return do_export(dev, d, (const float *)src, host_nchw, e);
}

int rd_cuda_act_import(struct rd_dev *dev, struct rd_dims d, const float *host_nchw, void *dst, struct rd_err *e)
{
	return rd_is_bf16(dev) ? import(dev, d, host_nchw, (rd_bf16 *)dst, e) : import(dev, d, host_nchw, (float *)dst, e);
}

int rd_cuda_act_export(struct rd_dev *dev, struct rd_dims d, const void *src, float *host_nchw, struct rd_err *e)
{
	return rd_is_bf16(dev) ? do_export(dev, d, (const rd_bf16 *)src, host_nchw, e)
	                       : do_export(dev, d, (const float *)src, host_nchw, e);
}

struct same_op {
	__device__ float operator()(int64_t, int64_t, float x, float) const
	{
		return x;
	}
};

int rd_cuda_narrow(struct rd_dev *dev, struct rd_dims d, const void *sample, void *act, struct rd_err *e)
{
	return rd_map<float, rd_bf16>(dev, same_op{}, 1, rd_dims_elems(d), sample, NULL, act, 0, e);
}

int rd_cuda_widen(struct rd_dev *dev, struct rd_dims d, const void *act, void *sample, struct rd_err *e)
{
	return rd_map<rd_bf16, float>(dev, same_op{}, 1, rd_dims_elems(d), act, NULL, sample, 0, e);
}
