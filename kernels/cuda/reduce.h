/* Sums over a block's threads in an order that its shape alone decides. */
#ifndef RD_KERNELS_CUDA_REDUCE_H
#define RD_KERNELS_CUDA_REDUCE_H

#include "kernels/cuda/types.h"

/* For all of a warp's 32 lanes. */
template <class A> static __device__ __forceinline__ A rd_warp_sum(A v)
{
	for (int lanes = 16; lanes; lanes /= 2)
		v += __shfl_xor_sync(0xffffffffu, v, lanes);
	return v;
}

static __device__ __forceinline__ float rd_warp_max(float v)
{
	for (int lanes = 16; lanes; lanes /= 2) {
		float o = __shfl_xor_sync(0xffffffffu, v, lanes);

		v = o > v ? o : v;
	}
	return v;
}

/* op over the warps of a block of N threads in one dimension, all of which have their warp's v. shared: N / 32. */
template <int N, class A, class Op> static __device__ __forceinline__ A rd_block_all(A v, A *shared, Op op)
{
	if (threadIdx.x % 32 == 0)
		shared[threadIdx.x / 32] = v;
	__syncthreads();
	v = shared[0];
	RD_UNROLL
	for (int i = 1; i < N / 32; i++)
		v = op(v, shared[i]);
	__syncthreads(); /* before it is written again */
	return v;
}

struct rd_plus {
	template <class A> __device__ A operator()(A a, A b) const
	{
		return a + b;
	}
};

struct rd_larger {
	__device__ float operator()(float a, float b) const
	{
		return b > a ? b : a;
	}
};

/* Of a block of N threads in one dimension; every thread has the sum. */
template <int N = RD_THREADS, class A> static __device__ __forceinline__ A rd_block_sum(A v, A *shared)
{
	return rd_block_all<N>(rd_warp_sum(v), shared, rd_plus());
}

template <int N> static __device__ __forceinline__ float rd_block_max(float v, float *shared)
{
	return rd_block_all<N>(rd_warp_max(v), shared, rd_larger());
}

enum { RD_BLOCK_SUM_BYTES = RD_THREADS / 32 * sizeof(double) };

/* Of a block of RD_THREADS, x along packs of V channels and y along rows: N sums of each of its channels. A thread brings
 * mine[s V + i]; out[s pitch + l] is for the block's first n channels, or is added to. shared: rd_rows_bytes. */
template <int V, int N>
static __device__ __forceinline__ void rd_rows_sum(const float *mine, float *shared, float *out, int64_t pitch, int64_t n,
                                                   bool add = false)
{
	int x = (int)blockDim.x, step = RD_THREADS + x; /* so that threads side by side read other banks */

	RD_UNROLL
	for (int k = 0; k < V * N; k++)
		shared[k * step + (int)threadIdx.y * x + (int)threadIdx.x] = mine[k];
	__syncthreads();
	for (int i = (int)threadIdx.y * x + (int)threadIdx.x; i < V * N * x; i += RD_THREADS) {
		int k = i / x, l = i % x * V + k % V;
		float sum = 0.0f;

		RD_UNROLL_4
		for (int at = k * step + i % x; at < k * step + RD_THREADS; at += x)
			sum += shared[at];
		if (l < n)
			out[k / V * pitch + l] = add ? out[k / V * pitch + l] + sum : sum;
	}
	__syncthreads();
}

static inline size_t rd_rows_bytes(unsigned x, int v, int n_sums)
{
	return (RD_THREADS + x) * (size_t)(v * n_sums) * sizeof(float);
}

#endif
