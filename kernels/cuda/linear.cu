/* A matrix product at every pixel: x [rows, c], W [out_c, c], y = x W^T + b [rows, out_c]. */
#include "kernels/cuda/linear.h"

#include "kernels/cuda/blas.h"
#include "kernels/cuda/colsum.h"

int rd_linear_apply(struct rd_dev *dev, rd_linear l, const void *x, const void *w, const void *b, void *y, int acc,
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
	p.beta = acc ? 1.0f : 0.0f;
	return rd_blas_product(dev, &p, x, w, b, y, e);
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

/* w and b as products take them: themselves, or copies in scratch. */
static int operands(struct rd_dev *dev, rd_linear l, const float **w, const float **b, struct rd_err *e)
{
	size_t w_bytes = rd_align((size_t)(l.out_c * l.c) * sizeof(rd_bf16));
	void *p;
	int rc;

	if (!rd_is_bf16(dev))
		return RD_OK;
	rc = rd_cuda_scratch(dev, w_bytes + (size_t)l.out_c * sizeof(rd_bf16), &p, e);
	if (!rc)
		rc = rd_cuda_cast(dev, l.out_c * l.c, *w, p, e);
	*w = (const float *)p;
	if (!rc && *b) {
		p = (char *)p + w_bytes;
		rc = rd_cuda_cast(dev, l.out_c, *b, p, e);
		*b = (const float *)p;
	}
	return rc;
}

int rd_cuda_linear_fwd(struct rd_dev *dev, struct rd_dims dx, int64_t out_c, const void *x, const float *w, const float *b,
                       void *y, int accumulate, struct rd_err *e)
{
	rd_linear l = { dx.n * dx.h * dx.w, dx.c, out_c };
	int rc = operands(dev, l, &w, &b, e);

	return rc ? rc : rd_linear_apply(dev, l, x, w, b, y, accumulate, e);
}

int rd_cuda_linear_bwd(struct rd_dev *dev, struct rd_dims d, int64_t out_c, const void *x, const float *w, const void *dy,
                       void *dx, int acc_dx, float *dw, float *db, struct rd_err *e)
{
	rd_linear l = { d.n * d.h * d.w, d.c, out_c };
	const float *none = NULL;
	int rc = dx ? operands(dev, l, &w, &none, e) : RD_OK;

	if (!rc)
		rc = rd_linear_back(dev, l, x, w, dy, dx, acc_dx, dw, e);
	return rc || !db ? rc : rd_cuda_colsum(dev, l.rows, out_c, dy, db, e);
}
