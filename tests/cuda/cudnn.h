/* The part of cuDNN that kernels/cuda/dnn.cu uses; its convolutions are in dnn.cpp. Found in place of the real header, as
 * cuda_runtime.h is. */
#ifndef RD_TESTS_CUDNN_H
#define RD_TESTS_CUDNN_H

#include <cuda_runtime.h>

enum cudnnStatus_t { CUDNN_STATUS_SUCCESS, CUDNN_STATUS_BAD_PARAM };
struct cudnnContext {
	cudaStream_t stream;
};
typedef cudnnContext *cudnnHandle_t;
typedef void *cudnnBackendDescriptor_t;

static inline size_t cudnnGetVersion(void)
{
	return 90000;
}

static inline const char *cudnnGetErrorString(cudnnStatus_t s)
{
	return s == CUDNN_STATUS_SUCCESS ? "success" : "bad parameter";
}

static inline cudnnStatus_t cudnnCreate(cudnnHandle_t *h)
{
	*h = new cudnnContext();
	return CUDNN_STATUS_SUCCESS;
}

static inline cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
	delete h;
	return CUDNN_STATUS_SUCCESS;
}

static inline cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
	h->stream = stream;
	return CUDNN_STATUS_SUCCESS;
}

#endif
