/* What the files of the CUDA backend share: the device, launches, and memory that operations borrow.
 *
 * Everything runs on one stream, so what an operation borrows is free again for the next one. Nothing here is atomic: a
 * result depends on the shapes alone, not on the device's size or on which block comes first. */
#ifndef RD_KERNELS_CUDA_DEV_H
#define RD_KERNELS_CUDA_DEV_H

#include <cuda_runtime.h>

#include "kernels/cuda/ops.h"

struct rd_blas; /* blas.cu */
struct rd_dnn;  /* dnn.cu */
struct rd_stage;

struct rd_dev {
	int index;
	enum rd_precision precision;
	cudaStream_t stream, copy; /* all work; the way of host data to the device */
	struct rd_stage *stage;
	struct rd_block *scratch;  /* the newest, which is the largest, first: recordings may name the others */
	struct rd_replay *recording;
	bool no_graphs;            /* recordings are refused */
	void (*note)(const char *line); /* of rd_dev_opts */
	struct rd_blas *blas;
	struct rd_dnn *dnn;        /* NULL: not there */
	void *coef;                /* 256 bytes for adamw.cu */
	char text[192];
};

extern "C" {
int rd_cuda_check(cudaError_t rc, const char *what, struct rd_err *e);
/* A line for whoever opened the device. */
void rd_cuda_note(struct rd_dev *dev, const char *fmt, ...) RD_PRINTF(2, 3);
/* bytes of device memory until the next operation. RD_EDEVICE while recording, where no call before wanted as much. */
int rd_cuda_scratch(struct rd_dev *dev, size_t bytes, void **out, struct rd_err *e);
}

static inline bool rd_is_bf16(const struct rd_dev *dev)
{
	return dev->precision == RD_PRECISION_BF16;
}

static inline size_t rd_align(size_t bytes)
{
	return (bytes + 255) & ~(size_t)255;
}

#ifndef RD_CUDA_HOST
#define RD_LAUNCH(dev, e, kernel, grid, block, shared, ...) \
	(kernel<<<(grid), (block), (shared), (dev)->stream>>>(__VA_ARGS__), rd_cuda_check(cudaGetLastError(), #kernel, (e)))
/* The block's shared memory, all of it given at the launch. */
#define RD_SHARED(type, name) \
	extern __shared__ uint4 rd_shared_bytes[]; \
	type *name = reinterpret_cast<type *>(rd_shared_bytes)
#endif

/* f<T> with T the type of an activation. */
#define RD_BY_TYPE(dev, f, ...) (rd_is_bf16(dev) ? f<rd_bf16>(__VA_ARGS__) : f<float>(__VA_ARGS__))

#endif
