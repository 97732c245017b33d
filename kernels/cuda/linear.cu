/* A matrix product at every pixel: x [rows, c], W [out_c, c], y = x W^T + b + add [rows, out_c]. */
#include "kernels/cuda/linear.h"

#include "kernels/cuda/blas.h"

int rd_linear_apply(struct rd_dev *dev, rd_linear l, const void *x, const void *w, const void *b, const void *add, void *y,
                    struct rd_err *e)
{
	struct rd_product p = {};

	p.m = l.rows;
	p.n = l.out_c;
	p.k = p.lda = p.ldb = l.c;
	p.ldc = l.out_c;
	p.tb = true;
	p.bf16_in = p.bf16_out = rd_is_bf16(dev);
	p.alpha = 1.0f;
	p.beta = add ? 1.0f : 0.0f;
	return rd_blas_product_to(dev, &p, x, w, b, add ? add : y, y, e);
}

int rd_linear_back(struct rd_dev *dev, rd_linear l, const void *x, const void *w, const void *dy, void *dx, int acc_dx,
                   float *dw, struct rd_err *e)
{
	struct rd_product p = {};
	int rc = RD_OK;

	p.alpha = 1.0f;
	p.bf16_in = rd_is_bf16(dev);
	if (dx) { /* dy [rows, out_c] w [out_c, c] */
		p.m = l.rows;
		p.k = p.lda = l.out_c;
		p.n = p.ldb = p.ldc = l.c;
		p.bf16_out = p.bf16_in;
		p.beta = acc_dx ? 1.0f : 0.0f;
		rc = rd_blas_product(dev, &p, dy, w, NULL, dx, e);
	}
	if (!rc && dw) { /* dy^T [out_c, rows] x [rows, c] */
		p.m = p.lda = l.out_c;
		p.k = l.rows;
		p.n = p.ldb = p.ldc = l.c;
		p.ta = true;
		p.bf16_out = false;
		p.beta = 1.0f;
		rc = rd_blas_product(dev, &p, dy, x, NULL, dw, e);
	}
	return rc;
}
