/* In place of blas.cu: matrix products by plain loops. */
#include "kernels/cuda/blas.h"
#include "kernels/cuda/types.h"

int rd_blas_new(struct rd_blas **out, struct rd_dev *, struct rd_err *)
{
	*out = nullptr;
	return RD_OK;
}

void rd_blas_free(struct rd_blas *) {}

static float get(const void *p, bool bf16, int64_t i)
{
	return bf16 ? rd_to_float(((const rd_bf16 *)p)[i]) : ((const float *)p)[i];
}

static void product(const rd_product &p, const void *a, const void *b, const void *bias, const void *c, void *d, int64_t unit)
{
	int64_t ao = unit * p.a_step, bo = unit * p.b_step, co = unit * p.c_step;

	for (int64_t i = 0; i < p.m; i++)
		for (int64_t j = 0; j < p.n; j++) {
			int64_t at = co + i * p.ldc + j;
			double sum = 0;

			for (int64_t l = 0; l < p.k; l++)
				sum += (double)get(a, p.bf16_in, ao + (p.ta ? l * p.lda + i : i * p.lda + l)) *
				       (double)get(b, p.bf16_in, bo + (p.tb ? j * p.ldb + l : l * p.ldb + j));
			sum *= (double)p.alpha;
			if (p.beta != 0.0f) /* else c may hold anything */
				sum += (double)p.beta * (double)get(c, p.bf16_out, at);
			if (bias)
				sum += (double)get(bias, p.bf16_out, j);
			if (p.bf16_out)
				rd_from_float((rd_bf16 *)d + at, (float)sum);
			else
				((float *)d)[at] = (float)sum;
		}
}

/* As cuBLASLt may: no bias where a matrix has a single row or column, nothing out of place where rows are an even number, and nothing
 * at all where all three sizes are odd. */
int rd_blas_multiply(struct rd_dev *dev, const struct rd_product *q, const void *a, const void *b, const void *bias,
                     const void *c, void *d, bool *none, struct rd_err *)
{
	const rd_product p = *q;

	*none = (bias && (p.m == 1 || p.n == 1 || p.k == 1)) || (c != d && p.m % 2 == 0) || (p.m & p.n & p.k & 1);
	if (*none)
		return RD_OK;
	rd_shim_enqueue(dev->stream, [=] {
		for (int64_t i = 0; i < (p.batch ? p.batch : 1); i++)
			product(p, a, b, bias, c, d, i);
	});
	return RD_OK;
}
