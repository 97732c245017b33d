/* A matrix product at every pixel: x [rows, c], W [out_c, c], y = x W^T + b [rows, out_c]. */
#include "kernels/cpu/linear.h"

#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/wide.h"

struct product {
	char tb;
	int64_t rows, n, k;     /* y [rows, n] = a [rows, k] op(w) */
	const float *a, *w, *b; /* b [n] or NULL */
	float *y;
	int accumulate;
};

/* y += b, on a part of y. */
static void add_bias(float *y, const float *b, int64_t rows, int64_t cols, int64_t stride)
{
	for (int64_t r = 0; r < rows; r++)
		RD_SYM(put)(y + r * stride, b, cols, 1);
}

/* The same part of it in double. */
static void wide_part(const struct product *p, struct rd_range r, struct rd_range c)
{
	const struct rd_wide g = {
		.m = r.hi - r.lo,
		.n = c.hi - c.lo,
		.k = p->k,
		.a = p->a + r.lo * p->k,
		.ars = p->k,
		.acs = 1,
		.b = p->tb == 'T' ? p->w + c.lo * p->k : p->w + c.lo,
		.brs = p->tb == 'T' ? 1 : p->n,
		.bcs = p->tb == 'T' ? p->k : 1,
		.bias = p->b ? p->b + c.lo : NULL,
		.alpha = 1.0f,
		.acc = p->accumulate,
		.c = p->y + r.lo * p->n + c.lo,
		.crs = p->n,
		.ccs = 1,
	};

	RD_SYM(wide_product)(&g);
}

/* Rows r and columns c of the product, on the calling thread when it is in a parallel region. In blocks of rows: few enough that
 * the bias of a narrow y finds it in the cache, many enough that w, which every call packs anew, is packed rarely. */
static int part(const struct product *p, struct rd_range r, struct rd_range c, struct rd_err *e)
{
	enum { ROWS = 1024 };
	int64_t cols = c.hi - c.lo, ldw = p->tb == 'T' ? p->k : p->n;
	const float *w = p->tb == 'T' ? p->w + c.lo * p->k : p->w + c.lo;

	for (int64_t i = r.lo; i < r.hi && cols > 0; i += ROWS) {
		int64_t rows = r.hi - i < ROWS ? r.hi - i : ROWS;
		float *y = p->y + i * p->n + c.lo;
		int rc = rd_dnnl_sgemm('N', p->tb, rows, cols, p->k, 1.0f, p->a + i * p->k, p->k, w, ldw, p->accumulate ? 1.0f : 0.0f,
		                       y, p->n, e);

		if (rc)
			return rc;
		if (p->b)
			add_bias(y, p->b + c.lo, rows, cols, p->n);
	}
	return RD_OK;
}

/* Divided by rows where there are enough of them, else by columns. */
static int product(struct rd_dev *dev, const struct product *p, struct rd_err *e)
{
	int by_rows = p->rows >= 8 * dev->threads, rc = RD_OK;

#pragma omp parallel num_threads(dev->threads) if (p->rows * p->n * p->k >= 8 * RD_PARALLEL_MIN)
	{
		struct rd_range rows = { 0, p->rows }, cols = { 0, p->n };
		struct rd_err mine;
		int my_rc;

		if (by_rows)
			rows = rd_share(p->rows, 1);
		else
			cols = rd_share(p->n, 16);
		my_rc = RD_OK;
		if (dev->wide)
			wide_part(p, rows, cols);
		else
			my_rc = part(p, rows, cols, &mine);
		if (my_rc) {
#pragma omp critical(rd_cpu_linear)
			{
				*e = mine;
				rc = my_rc;
			}
		}
	}
	return rc;
}

int RD_SYM(linear_fwd)(struct rd_dev *dev, struct rd_dims d, int64_t out_c, const float *x, const float *w, const float *b,
                       float *y, int accumulate, struct rd_err *e)
{
	const struct product p = {
		.tb = 'T',
		.rows = d.n * d.h * d.w,
		.n = out_c,
		.k = d.c,
		.a = x,
		.w = w,
		.b = b,
		.y = y,
		.accumulate = accumulate,
	};

	return product(dev, &p, e);
}

/* dw [out_c, c] += dy^T x */
static int weights_gradient(struct rd_dev *dev, int64_t rows, int64_t out_c, int64_t c, const float *dy, const float *x,
                            float *dw, struct rd_err *e)
{
	if (!dev->wide)
		return rd_dnnl_sgemm('T', 'N', out_c, c, rows, 1.0f, dy, out_c, x, c, 1.0f, dw, c, e);
#pragma omp parallel num_threads(dev->threads) if (rows * out_c * c >= RD_PARALLEL_MIN)
	{
		struct rd_range mine = rd_share(out_c, 1);
		const struct rd_wide g = {
			.m = mine.hi - mine.lo,
			.n = c,
			.k = rows,
			.a = dy + mine.lo,
			.ars = 1,
			.acs = out_c,
			.b = x,
			.brs = c,
			.bcs = 1,
			.alpha = 1.0f,
			.acc = 1,
			.c = dw + mine.lo * c,
			.crs = c,
			.ccs = 1,
		};

		RD_SYM(wide_product)(&g);
	}
	return RD_OK;
}

int RD_SYM(linear_bwd)(struct rd_dev *dev, struct rd_dims d, int64_t out_c, const float *x, const float *w, const float *dy,
                       float *dx, int acc_dx, float *dw, float *db, struct rd_err *e)
{
	int64_t rows = d.n * d.h * d.w;
	const struct product p = {
		.tb = 'N',
		.rows = rows,
		.n = d.c,
		.k = out_c,
		.a = dy,
		.w = w,
		.y = dx,
		.accumulate = acc_dx,
	};
	int rc = RD_OK;

	rd_cpu_enter(dev);
	if (dx)
		rc = product(dev, &p, e);
	if (!rc && dw)
		rc = weights_gradient(dev, rows, out_c, d.c, dy, x, dw, e);
	if (!rc && db)
		RD_SYM(colsum)(dev, rows, out_c, dy, db);
	return rc;
}
