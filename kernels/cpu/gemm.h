/* Products of small matrices on one thread, where a library's set-up would cost more than the product. */
#ifndef RD_KERNELS_CPU_GEMM_H
#define RD_KERNELS_CPU_GEMM_H

#include "kernels/cpu/vec.h"

/* c[i * ldc + j] = alpha sum_l a[i * ars + l * acs] b(l, j), or += with acc; i < m, j < n, l < k. */
struct rd_gemm {
	int64_t m, n, k;
	const float *a;
	int64_t ars, acs;
	const float *b;     /* b(l, j) = b[j / RD_VW * panel + l * ldb + j % RD_VW] */
	int64_t ldb, panel; /* packed: RD_VW, k * RD_VW; a row-major matrix with n % RD_VW = 0: its row length, RD_VW */
	float alpha;
	int acc;
	int wide; /* in double, rounded once */
	float *c;
	int64_t ldc;
};
void RD_SYM(gemm)(const struct rd_gemm *g);

/* b(l, j) = src[l * rs + j * cs] in panels of RD_VW columns, the last filled up with zeros. */
void RD_SYM(gemm_pack)(float *dst, const float *src, int64_t rs, int64_t cs, int64_t k, int64_t n);

/* Floats that a packed b takes. */
static inline int64_t rd_gemm_packed(int64_t k, int64_t n)
{
	return (n + RD_VW - 1) / RD_VW * RD_VW * k;
}

#endif
