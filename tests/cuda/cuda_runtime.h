/* The part of the CUDA runtime that kernels/cuda uses, on the CPU, so that its files compile with a C++ compiler and their
 * kernels run where there is no GPU. Found in place of the real header by the include path.
 *
 * A kernel's block runs as fibers, one for each thread that meets a barrier, so that __syncthreads, __syncwarp and shuffles
 * do what they do on a device; what a device leaves undefined (a barrier that not all threads of a block reach, a shuffle
 * from a lane that is gone) ends the program. Shared memory is poisoned before each block.
 *
 * Streams are lazy: nothing that is asynchronous happens before somebody waits for it, so that a missing wait shows.
 *
 * RD_SHIM_FAIL in the environment makes one thing fail, as often as it is asked for: "driver" (too old), "no driver", "launch" (of a
 * graph), "instantiate", "end" (of a capture), "capture" (its fifth work is refused); RD_SHIM_NODES is the most works that a graph
 * may have. */
#ifndef RD_TESTS_CUDA_RUNTIME_H
#define RD_TESTS_CUDA_RUNTIME_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <utility>

#define RD_CUDA_HOST 1 /* for the few lines that differ */
#define CUDART_VERSION 13000

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
	unsigned x, y, z;
	dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

struct alignas(16) uint4 {
	unsigned x, y, z, w;
};

struct alignas(8) uint2 {
	unsigned x, y;
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

void *rd_shim_shared(void);
void __syncthreads(void);
void __syncwarp(unsigned mask = 0xffffffffu);
uint64_t rd_shim_shuffle(uint64_t bits, unsigned mask, int from); /* from: a lane */
int rd_shim_lane(void);
/* The instructions of kernels/cuda/mma.h, whose comments say what they do. A copy that nobody waits for ends the
 * program. */
void rd_shim_mma(float *c, const uint32_t *a, const uint32_t *b);
void rd_shim_load_matrices(uint32_t *out, const void *row, bool transposed);
void rd_shim_copy_async(void *to, const void *from, bool there);
void rd_shim_copies_commit(void);
void rd_shim_copies_wait(unsigned groups);

template <class T> T __shfl_xor_sync(unsigned mask, T v, int lanes)
{
	union {
		T t;
		uint64_t u;
	} x = {};

	x.t = v;
	x.u = rd_shim_shuffle(x.u, mask, rd_shim_lane() ^ lanes);
	return x.t;
}

template <class T> T __shfl_sync(unsigned mask, T v, int lane)
{
	union {
		T t;
		uint64_t u;
	} x = {};

	x.t = v;
	x.u = rd_shim_shuffle(x.u, mask, lane);
	return x.t;
}

/* --- the host's side ---------------------------------------------------------------------------------------------- */

enum cudaError_t {
	cudaSuccess,
	cudaErrorInvalidValue,
	cudaErrorMemoryAllocation,
	cudaErrorInvalidDevice,
	cudaErrorInsufficientDriver,
	cudaErrorStreamCaptureUnsupported,
	cudaErrorStreamCaptureInvalidated
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed };
#define cudaStreamNonBlocking 1u
#define cudaEventDisableTiming 2u

typedef struct rd_shim_stream *cudaStream_t;
typedef struct rd_shim_event *cudaEvent_t;
typedef struct rd_shim_graph *cudaGraph_t, *cudaGraphExec_t;

struct cudaDeviceProp {
	char name[256];
	size_t totalGlobalMem;
	int major, minor, multiProcessorCount;
};

const char *cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError(void);
cudaError_t cudaGetDeviceCount(int *);
cudaError_t cudaDriverGetVersion(int *);
cudaError_t cudaRuntimeGetVersion(int *);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *, int);
cudaError_t cudaMalloc(void **, size_t);
cudaError_t cudaFree(void *);
cudaError_t cudaMallocHost(void **, size_t);
cudaError_t cudaFreeHost(void *);
cudaError_t cudaMemcpyAsync(void *, const void *, size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaMemsetAsync(void *, int, size_t, cudaStream_t);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned);
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode);
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *, unsigned);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *, cudaGraph_t, unsigned long long);
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t cudaGraphDestroy(cudaGraph_t);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t);

/* Work for a stream: recorded where the stream is being captured, else done when somebody waits. */
void rd_shim_enqueue(cudaStream_t s, std::function<void()> f);
void rd_shim_grid(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread);

template <class... P, class... A>
void rd_shim_launch(cudaStream_t s, dim3 grid, dim3 block, size_t shared, void (*kernel)(P...), A... args)
{
	std::tuple<P...> bound(args...);

	rd_shim_enqueue(s, [=] { rd_shim_grid(grid, block, shared, [&] { std::apply(kernel, bound); }); });
}

/* As on a device, an error that nobody asked about is the next launch's. */
#define RD_LAUNCH(dev, e, kernel, grid, block, shared, ...) \
	(rd_shim_launch((dev)->stream, (grid), (block), (shared), (kernel), __VA_ARGS__), \
	 rd_cuda_check(cudaGetLastError(), #kernel, (e)))
#define RD_SHARED(type, name) type *name = (type *)rd_shim_shared()

#endif
