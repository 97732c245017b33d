/* Convolution: oneDNN's direct algorithm on (n,h,w,c); a kernel of 1 without stride or padding is a linear layer,
 * and few output channels have kernels of their own; so has the device whose products are double. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/narrow.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/wide.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

struct rd_conv2d {
	struct rd_conv2d_desc d;
	int training, threads;
	int linear, wide, narrow; /* one of them, or none; narrow's gradient of x is the library's */
	struct rd_dnnl_conv *conv;       /* NULL where it has nothing to do */
	struct rd_dnnl_conv_sizes sizes; /* of conv */
	float *no_bias;                  /* zeros [out_c] */
};

static int check_desc(const struct rd_conv2d_desc *d, struct rd_err *e)
{
	struct rd_dims o;

	if (d->in.n < 1 || d->in.c < 1 || d->out_c < 1 || d->kernel < 1 || d->stride < 1 || d->pad_lo < 0 || d->pad_hi < 0)
		return rd_fail(e, RD_ESHAPE, "convolution: sizes below 1, or padding below 0");
	o = rd_conv2d_out(d);
	if (d->in.h + d->pad_lo + d->pad_hi < d->kernel || d->in.w + d->pad_lo + d->pad_hi < d->kernel || o.h < 1 || o.w < 1)
		return rd_fail(e, RD_ESHAPE, "convolution: a kernel of %d is larger than the padded input (%lld, %lld)", d->kernel,
		               (long long)(d->in.h + d->pad_lo + d->pad_hi), (long long)(d->in.w + d->pad_lo + d->pad_hi));
	return RD_OK;
}

/* What oneDNN does of the plan. */
static int library_part(struct rd_dev *dev, struct rd_conv2d *p, struct rd_err *e)
{
	void *mem;

	rd_cpu_enter(dev);
	if (rd_dnnl_conv_new(dev->dnnl, &p->d, p->training, &p->conv, e))
		return e->code;
	p->sizes = rd_dnnl_conv_sizes(p->conv);
	if (rd_alloc0(&mem, (size_t)p->d.out_c, sizeof(float), "convolution plan", e))
		return e->code;
	p->no_bias = mem;
	return RD_OK;
}

int RD_SYM(conv2d_new)(struct rd_dev *dev, const struct rd_conv2d_desc *d, unsigned ways, struct rd_conv2d **out,
                       struct rd_err *e)
{
	struct rd_conv2d *p;
	void *mem;
	int rc = check_desc(d, e);

	*out = NULL;
	if (rc)
		return rc;
	rc = rd_alloc0(&mem, 1, sizeof *p, "convolution plan", e);
	if (rc)
		return rc;
	p = mem;
	p->d = *d;
	p->training = (ways & RD_CONV_BACKWARD) != 0;
	p->threads = dev->threads;
	p->linear = d->kernel == 1 && d->stride == 1 && !d->pad_lo && !d->pad_hi;
	p->wide = dev->wide && !p->linear;
	p->narrow = !p->linear && !p->wide && RD_SYM(narrow_fits)(d);
	if (!p->linear && !p->wide && !(p->narrow && !p->training))
		rc = library_part(dev, p, e);
	if (rc)
		RD_SYM(conv2d_free)(p);
	else
		*out = p;
	return rc;
}

void RD_SYM(conv2d_free)(struct rd_conv2d *p)
{
	if (!p)
		return;
	rd_dnnl_conv_free(p->conv);
	free(p->no_bias);
	free(p);
}

/* packed: the narrow layout, then oneDNN's for forward, then its for backward; of a linear layer nothing. */
static size_t narrow_bytes(const struct rd_conv2d *p)
{
	return p->narrow ? RD_SYM(narrow_packed_bytes)(&p->d) : 0;
}

size_t RD_SYM(conv2d_packed_bytes)(const struct rd_conv2d *p)
{
	if (p->wide)
		return RD_SYM(wide_conv_packed_bytes)(&p->d, p->training);
	return narrow_bytes(p) + p->sizes.fwd_w + p->sizes.bwd_w;
}

/* ws: oneDNN's scratch, then the larger of dx (when it is to be added) and dw with db; or all of it for narrow. */
size_t RD_SYM(conv2d_ws_bytes)(const struct rd_conv2d *p)
{
	size_t dx = (size_t)rd_dims_elems(p->d.in) * sizeof(float);
	size_t dw = p->sizes.dw + (size_t)p->d.out_c * sizeof(float);
	size_t narrow = p->narrow ? RD_SYM(narrow_ws_bytes)(&p->d, p->threads, p->training) : 0;
	size_t library = p->sizes.scratch + (!p->training ? 0 : dx > dw ? dx : dw);

	if (p->linear)
		return 0;
	if (p->wide)
		return RD_SYM(wide_conv_ws_bytes)(&p->d, p->threads, p->training);
	return library > narrow ? library : narrow;
}

static int pack(struct rd_dev *dev, struct rd_conv2d *p, const float *w, void *packed, struct rd_err *e)
{
	char *to = packed;

	if (p->wide)
		RD_SYM(wide_conv_pack)(&p->d, p->training, w, packed);
	if (p->narrow)
		RD_SYM(narrow_pack)(&p->d, w, packed);
	if (!p->conv)
		return RD_OK;
	to += narrow_bytes(p);
	rd_cpu_enter(dev);
	return rd_dnnl_conv_pack(p->conv, w, to, to + p->sizes.fwd_w, e);
}

int RD_SYM(conv2d_pack)(struct rd_dev *dev, int n, struct rd_conv2d *const *p, const struct rd_conv2d_params *par,
                        struct rd_err *e)
{
	int rc = RD_OK;

	for (int i = 0; i < n && !rc; i++)
		if (p[i])
			rc = pack(dev, p[i], par[i].w, par[i].packed, e);
	return rc;
}

int RD_SYM(conv2d_fwd)(struct rd_dev *dev, struct rd_conv2d *p, const struct rd_conv2d_params *par, const void *x, void *y,
                       const void *add, void *ws, struct rd_err *e)
{
	int accumulate = add != NULL;

	if (add && add != y)
		RD_SYM(put_all)(dev, y, add, rd_dims_elems(rd_conv2d_out(&p->d)), 0);
	if (p->linear)
		return RD_SYM(linear_fwd)(dev, p->d.in, p->d.out_c, x, par->w, par->b, y, accumulate, e);
	if (p->wide || p->narrow) {
		(p->wide ? RD_SYM(wide_conv_fwd) : RD_SYM(narrow_fwd))(dev, &p->d, par->packed, par->b, x, y, accumulate, ws);
		return RD_OK;
	}
	rd_cpu_enter(dev);
	return rd_dnnl_conv_fwd(p->conv, par->packed, par->b ? par->b : p->no_bias, x, y, accumulate, ws, e);
}

static int bwd_data(struct rd_dev *dev, struct rd_conv2d *p, const void *packed, const float *dy, float *dx, int acc,
                    char *ws, struct rd_err *e)
{
	const char *w = (const char *)packed + narrow_bytes(p) + p->sizes.fwd_w;
	float *to = acc ? (float *)(void *)(ws + p->sizes.scratch) : dx;
	int rc = rd_dnnl_conv_bwd_data(p->conv, w, dy, to, ws, e);

	if (!rc && acc)
		RD_SYM(put_all)(dev, dx, to, rd_dims_elems(p->d.in), 1);
	return rc;
}

static int bwd_weights(struct rd_dev *dev, struct rd_conv2d *p, const float *x, const float *dy, float *dw, float *db,
                       char *ws, struct rd_err *e)
{
	struct rd_dims o = rd_conv2d_out(&p->d);
	char *own = ws + p->sizes.scratch;
	float *bias = (float *)(void *)(own + p->sizes.dw);
	int rc = RD_OK, by_library = dw && !p->narrow;

	if (dw && p->narrow)
		RD_SYM(narrow_bwd_weights)(dev, &p->d, x, dy, dw, (float *)(void *)ws);
	if (by_library) {
		rc = rd_dnnl_conv_bwd_weights(p->conv, x, dy, own, bias, ws, e);
		if (!rc)
			rc = rd_dnnl_conv_add_dw(p->conv, own, dw, e);
	}
	if (!rc && db && by_library)
		RD_SYM(put)(db, bias, o.c, 1);
	else if (!rc && db)
		RD_SYM(colsum)(dev, o.n * o.h * o.w, o.c, dy, db);
	return rc;
}

static int wide_bwd(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *packed, const float *x, const float *dy,
                    float *dx, int acc_dx, float *dw, float *db, float *ws)
{
	struct rd_dims o = rd_conv2d_out(d);

	if (dx)
		RD_SYM(wide_conv_bwd_data)(dev, d, packed, dy, dx, acc_dx, ws);
	if (dw)
		RD_SYM(wide_conv_bwd_weights)(dev, d, x, dy, dw, ws);
	if (db)
		RD_SYM(colsum)(dev, o.n * o.h * o.w, o.c, dy, db);
	return RD_OK;
}

int RD_SYM(conv2d_bwd)(struct rd_dev *dev, struct rd_conv2d *p, const struct rd_conv2d_params *par, const void *x,
                       const void *dy, void *dx, int acc_dx, float *dw, float *db, void *ws, struct rd_err *e)
{
	int rc = RD_OK;

	if (!p->training)
		return rd_fail(e, RD_EUSAGE, "convolution: the plan was made without training");
	if (p->linear)
		return RD_SYM(linear_bwd)(dev, p->d.in, p->d.out_c, x, par->w, dy, dx, acc_dx, dw, db, e);
	if (p->wide)
		return wide_bwd(dev, &p->d, par->packed, x, dy, dx, acc_dx, dw, db, ws);
	rd_cpu_enter(dev);
	if (dx)
		rc = bwd_data(dev, p, par->packed, dy, dx, acc_dx, ws, e);
	return rc ? rc : bwd_weights(dev, p, x, dy, dw, db, ws, e);
}
