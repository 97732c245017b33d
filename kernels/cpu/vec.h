/* One vector register of the instruction set at hand, for the loops that must keep their sums in registers.
 * Everything else is plain C and `omp simd`. */
#ifndef RD_KERNELS_CPU_VEC_H
#define RD_KERNELS_CPU_VEC_H

#include <string.h>

#include "kernels/cpu/isa.h"

/* RD_VW lanes; RD_MR rows of two registers each fit the register file. */
#if defined(__AVX512F__)
#include <immintrin.h>
typedef __m512 rd_vec;
enum { RD_VW = 16, RD_MR = 8 };
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
typedef __m256 rd_vec;
enum { RD_VW = 8, RD_MR = 4 };
#else
typedef float rd_vec __attribute__((vector_size(16)));
enum { RD_VW = 4, RD_MR = 4 };
#endif

#ifdef __clang__
#define RD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RD_UNROLL _Pragma("GCC unroll 16")
#endif

RD_INLINE rd_vec rd_vec_load(const float *p)
{
	rd_vec v;

	memcpy(&v, p, sizeof v);
	return v;
}

RD_INLINE void rd_vec_store(float *p, rd_vec v)
{
	memcpy(p, &v, sizeof v);
}

RD_INLINE rd_vec rd_vec_set(float x)
{
#if defined(__AVX512F__)
	return _mm512_set1_ps(x);
#elif defined(__AVX2__) && defined(__FMA__)
	return _mm256_set1_ps(x);
#else
	return (rd_vec){ x, x, x, x };
#endif
}

/* a b + c, fused where the hardware does that in one instruction. */
RD_INLINE rd_vec rd_vec_madd(rd_vec a, rd_vec b, rd_vec c)
{
#if defined(__AVX512F__)
	return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
	return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_FEATURE_FMA) && defined(__ARM_NEON)
	for (int i = 0; i < RD_VW; i++)
		c[i] = __builtin_fmaf(a[i], b[i], c[i]);
	return c;
#else
	return a * b + c;
#endif
}

#endif
