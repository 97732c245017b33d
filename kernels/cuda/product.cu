/* A product with a bias where the library has none: without it, and the bias after that. cuBLASLt refuses some whose matrices have a
 * single row or column. */
#include "kernels/cuda/blas.h"
#include "kernels/cuda/map.h"

template <class T> struct bias_op {
	const T *bias;
	__device__ float operator()(int64_t, int64_t j, float c, float) const
	{
		return c + rd_to_float(bias[j]);
	}
};

/* One number at a time: a row may begin anywhere. */
template <class T>
static int add_bias(struct rd_dev *dev, int64_t rows, int64_t cols, const void *bias, void *c, struct rd_err *e)
{
	bias_op<T> op = { (const T *)bias };
	dim3 grid(rd_blocks((cols + RD_THREADS - 1) / RD_THREADS), rd_blocks_y(rows));

	return RD_LAUNCH(dev, e, (rd_map_kernel<T, T, 1, bias_op<T>>), grid, RD_THREADS, 0, op, rows, cols, (const T *)c,
	                 (const T *)nullptr, (T *)c, 0);
}

int rd_blas_product_to(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias,
                       const void *c, void *d, struct rd_err *e)
{
	bool none = false;
	int rc = rd_blas_multiply(dev, p, a, b, bias, c, d, &none, e);

	if (rc || !none)
		return rc;
	if (p->batch > 1 || p->ldc != p->n)
		return rd_fail(e, RD_EDEVICE, "cuBLASLt: no product with a bias for %lld x %lld x %lld", (long long)p->m, (long long)p->n,
		               (long long)p->k);
	rc = rd_blas_multiply(dev, p, a, b, NULL, c, d, &none, e);
	if (rc)
		return rc;
	return p->bf16_out ? add_bias<rd_bf16>(dev, p->m, p->n, bias, d, e) : add_bias<float>(dev, p->m, p->n, bias, d, e);
}

int rd_blas_product(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias, void *c,
                    struct rd_err *e)
{
	return rd_blas_product_to(dev, p, a, b, bias, c, c, e);
}
