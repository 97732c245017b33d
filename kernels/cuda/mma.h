/* What a warp does as one: products of bf16 matrices on tensor cores, their operands from shared memory, and copies to shared
 * memory that go on while the thread does other work.
 *
 * Of a matrix each lane has a few elements (PTX ISA, "matrix fragments for mma.m16n8k16"). With g = lane / 4 and t = lane % 4:
 *   a  16 x 16, pairs along a row: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8)
 *   b  16 x 8, pairs along a column: (2t, g), (2t + 8, g)
 *   c  16 x 8, f32: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1) */
#ifndef RD_KERNELS_CUDA_MMA_H
#define RD_KERNELS_CUDA_MMA_H

#include "kernels/cuda/types.h"

/* Two elements as one word, the first one in its lower half. */
static __device__ __forceinline__ uint32_t rd_pair(float x, float y)
{
#ifdef RD_CUDA_HOST
	rd_bf16 lo, hi;

	rd_from_float(&lo, x);
	rd_from_float(&hi, y);
	return lo.bits | (uint32_t)hi.bits << 16;
#else
	uint32_t pair;

	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(y), "f"(x)); /* the first one of the two goes up */
	return pair;
#endif
}

static __device__ __forceinline__ float rd_pair_first(uint32_t pair)
{
	return rd_bits_float(pair << 16);
}

static __device__ __forceinline__ float rd_pair_second(uint32_t pair)
{
	return rd_bits_float(pair & 0xffff0000u);
}

/* c += a b */
static __device__ __forceinline__ void rd_mma(float *c, const uint32_t *a, const uint32_t *b)
{
#ifdef RD_CUDA_HOST
	rd_shim_mma(c, a, b);
#else
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	             : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* Four matrices of 8 x 8, of which lanes 8 i to 8 i + 7 point to the rows of the i-th, 16 bytes each in shared memory: a lane gets
 * element (g, 2t) and the next of its row; TRANSPOSED: (2t, g) and the next of its column. */
template <bool TRANSPOSED> static __device__ __forceinline__ void rd_load_matrices(uint32_t *out, const rd_bf16 *row)
{
#ifdef RD_CUDA_HOST
	rd_shim_load_matrices(out, row, TRANSPOSED);
#else
	unsigned at = (unsigned)__cvta_generic_to_shared(row);

	if (TRANSPOSED)
		asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
		             : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(at) : "memory");
	else
		asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
		             : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(at) : "memory");
#endif
}

/* 16 bytes from global to shared memory, or 16 zeros; both pointers valid and aligned to that. They are there for this thread after
 * rd_copies_wait, for the block after a barrier more. */
static __device__ __forceinline__ void rd_copy_async(void *to, const void *from, bool there)
{
#ifdef RD_CUDA_HOST
	rd_shim_copy_async(to, from, there);
#else
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
	             :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(there ? 16 : 0) : "memory");
#endif
}

/* This thread's copies since the last call are a group, which may be empty. */
static __device__ __forceinline__ void rd_copies_commit()
{
#ifdef RD_CUDA_HOST
	rd_shim_copies_commit();
#else
	asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* For all of this thread's groups but the last N. */
template <int N> static __device__ __forceinline__ void rd_copies_wait()
{
#ifdef RD_CUDA_HOST
	rd_shim_copies_wait(N);
#else
	asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
#endif
}

#endif
