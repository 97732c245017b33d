/* Matrix products by cuBLASLt. */
#ifndef RD_KERNELS_CUDA_BLAS_H
#define RD_KERNELS_CUDA_BLAS_H

#include "kernels/cuda/dev.h"

/* c[m,n] = alpha op(a) op(b) + beta c + bias, row-major with the row lengths lda, ldb, ldc: op(a) [m,k] is a, or its
 * transpose where ta; op(b) [k,n] likewise. bias [n] or NULL. Sums are f32. With batch > 1 matrices that are a_step, b_step
 * and c_step elements apart. Set to 0 what is not said: batch is then 1. Plans are found by all of its bytes: there is no padding. */
struct rd_product {
	int64_t m, n, k, lda, ldb, ldc;
	int32_t ta, tb;
	int32_t bf16_in, bf16_out; /* a and b; c and bias. Else f32 */
	float alpha, beta;
	int64_t batch, a_step, b_step, c_step;
};
static_assert(sizeof(struct rd_product) == 10 * 8 + 6 * 4, "padding in rd_product");

/* The product lies without gaps, so that it may be copied, or have its bias added, as one matrix. */
static inline bool rd_product_is_flat(const struct rd_product *p)
{
	return p->batch <= 1 && p->ldc == p->n;
}

extern "C" {
int rd_blas_new(struct rd_blas **out, struct rd_dev *dev, struct rd_err *e);
void rd_blas_free(struct rd_blas *b);
int rd_blas_product(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias, void *c,
                    struct rd_err *e);
/* The same to d, which lies as c does. */
int rd_blas_product_to(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias,
                       const void *c, void *d, struct rd_err *e);

/* For product.cu: the same as the library does it. *none: it has no algorithm for it (with this bias, or with c that is not
 * d), and nothing was done. */
int rd_blas_multiply(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias,
                     const void *c, void *d, bool *none, struct rd_err *e);
}

#endif
