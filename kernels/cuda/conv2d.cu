/* Convolution: cuDNN where it has a plan; else matrix products over unfolded images (a row for each output pixel, its taps
 * side by side), as many images at a time as a bounded work space takes. A kernel of 1 without stride or padding is a
 * matrix product as it is. Packed are the weights as (out_c, kernel, kernel, in_c), and in bf16 the bias after them; where
 * that changes nothing, neither. */
#include "kernels/cuda/bias.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/colsum.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/unfold.h"

#include <stdlib.h>

enum { UNFOLDED_BYTES = 64 << 20 };

struct rd_conv2d {
	struct rd_conv2d_desc d;
	unsigned ways; /* of enum rd_conv2d_way */
	bool linear;
	struct rd_dnn_conv *dnn;
	size_t elem;       /* bytes of an activation's element */
	int64_t taps;      /* kernel^2 in_c: a row of the unfolded images */
	int64_t at_once;   /* images unfolded together */
	size_t w_bytes, b_bytes;         /* packed weights, then bias; 0: it is taken as it is */
	size_t unfolded_bytes, dw_bytes; /* parts of the work space */
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

/* The bias may be added after the rest. */
static bool by_library(const struct rd_conv2d *p, unsigned way)
{
	switch (way) {
	case RD_CONV_Y: return rd_dnn_conv_has(p->dnn, RD_DNN_Y);
	case RD_CONV_Y_ACC: return rd_dnn_conv_has(p->dnn, RD_DNN_Y_ACC);
	case RD_CONV_Y_BIAS: return rd_dnn_conv_has(p->dnn, RD_DNN_Y_BIAS) || rd_dnn_conv_has(p->dnn, RD_DNN_Y);
	case RD_CONV_DX: return rd_dnn_conv_has(p->dnn, RD_DNN_DX);
	case RD_CONV_DX_ACC: return rd_dnn_conv_has(p->dnn, RD_DNN_DX_ACC);
	default: return rd_dnn_conv_has(p->dnn, RD_DNN_DW);
	}
}

/* Some way of it that cuDNN does not have is wanted. */
static bool unfolds(const struct rd_conv2d *p)
{
	bool missing = false;

	for (unsigned way = 1; way <= RD_CONV_ALL; way <<= 1)
		missing = missing || (p->ways & way && !by_library(p, way));
	return !p->linear && missing;
}

static void plan_work_space(struct rd_conv2d *p)
{
	struct rd_dims o = rd_conv2d_out(&p->d);
	size_t image = (size_t)(o.h * o.w * p->taps) * p->elem;

	p->at_once = image < UNFOLDED_BYTES ? (int64_t)(UNFOLDED_BYTES / image) : 1;
	if (p->at_once > p->d.in.n)
		p->at_once = p->d.in.n;
	p->unfolded_bytes = unfolds(p) ? rd_align((size_t)p->at_once * image) : 0;
	p->dw_bytes = p->ways & RD_CONV_DW && !p->linear ? rd_align((size_t)(p->d.out_c * p->taps) * sizeof(float)) : 0;
}

int rd_cuda_conv2d_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, unsigned ways, struct rd_conv2d **out,
                       struct rd_err *e)
{
	struct rd_conv2d *p;
	int rc = check_desc(d, e);

	*out = NULL;
	if (rc)
		return rc;
	p = (struct rd_conv2d *)calloc(1, sizeof *p);
	if (!p)
		return rd_fail(e, RD_ENOMEM, "no memory for a convolution's plan");
	p->d = *d;
	p->ways = ways;
	p->linear = d->kernel == 1 && d->stride == 1 && !d->pad_lo && !d->pad_hi;
	p->elem = rd_is_bf16(dev) ? 2 : 4;
	p->taps = (int64_t)d->kernel * d->kernel * d->in.c;
	p->w_bytes = p->linear && !rd_is_bf16(dev) ? 0 : rd_align((size_t)(d->out_c * p->taps) * p->elem);
	p->b_bytes = rd_is_bf16(dev) ? (size_t)d->out_c * p->elem : 0;
	if (!p->linear && dev->dnn)
		p->dnn = rd_dnn_conv_new(dev, d, ways);
	plan_work_space(p);
	*out = p;
	return RD_OK;
}

void rd_cuda_conv2d_free(struct rd_conv2d *p)
{
	free(p);
}

size_t rd_cuda_conv2d_packed_bytes(const struct rd_conv2d *p)
{
	return p->w_bytes + p->b_bytes;
}

/* ws: dw in the packed layout, then the unfolded images or cuDNN's own. */
size_t rd_cuda_conv2d_ws_bytes(const struct rd_conv2d *p)
{
	size_t dnn = p->dnn ? rd_dnn_conv_ws_bytes(p->dnn) : 0;

	return p->dw_bytes + (dnn > p->unfolded_bytes ? dnn : p->unfolded_bytes);
}

static void *rest_at(const struct rd_conv2d *p, void *ws)
{
	return (char *)ws + p->dw_bytes;
}

/* Weights and bias as products take them. */
static const void *weights_of(const struct rd_conv2d *p, const struct rd_conv2d_params *par)
{
	return p->w_bytes ? par->packed : par->w;
}

static void *packed_bias(const struct rd_conv2d *p, const struct rd_conv2d_params *par)
{
	return (char *)par->packed + p->w_bytes;
}

static const void *bias_of(const struct rd_conv2d *p, const struct rd_conv2d_params *par)
{
	return par->b && p->b_bytes ? packed_bias(p, par) : par->b;
}

int rd_cuda_conv2d_pack(struct rd_dev *dev, int n, struct rd_conv2d *const *p, const struct rd_conv2d_params *par,
                        struct rd_err *e)
{
	struct rd_packs s;
	int rc = RD_OK;

	s.n = s.most = 0;
	for (int i = 0; i < n && !rc; i++) {
		if (!p[i] || !p[i]->w_bytes)
			continue;
		rc = rd_pack_one(dev, &s, { par[i].w, par[i].packed, p[i]->d.out_c, p[i]->d.in.c, p[i]->taps / p[i]->d.in.c }, e);
		if (!rc && par[i].b && p[i]->b_bytes)
			rc = rd_pack_one(dev, &s, { par[i].b, packed_bias(p[i], &par[i]), p[i]->d.out_c, 1, 1 }, e);
	}
	return rc ? rc : rd_pack_all(dev, &s, e);
}

/* Images from..from + n - 1 of the plan. */
static struct rd_unfold part(const struct rd_conv2d *p, int64_t from)
{
	struct rd_dims o = rd_conv2d_out(&p->d);
	struct rd_unfold u = { p->d, from, p->d.in.n - from < p->at_once ? p->d.in.n - from : p->at_once, o.h, o.w };

	return u;
}

static const void *dy_of(const struct rd_conv2d *p, const struct rd_unfold &u, const void *dy)
{
	return (const char *)dy + (size_t)(u.from * u.oh * u.ow * p->d.out_c) * p->elem;
}

static int wants(const struct rd_conv2d *p, unsigned ways, struct rd_err *e)
{
	return p->ways & ways ? RD_OK : rd_fail(e, RD_EUSAGE, "convolution: the plan was made for other ways than this");
}

template <class T>
static int add_bias(struct rd_dev *dev, struct rd_dims o, const float *bias, void *y, struct rd_err *e)
{
	return RD_BY_WIDTH(T, o.c, rd_add_bias, dev, o.n * o.h * o.w, o.c, bias, (T *)y, e);
}

/* y = conv(x, w) + bias + add; b: the bias in f32. What cannot be added in the same kernel is written before and after. */
static int library_fwd(struct rd_dev *dev, struct rd_conv2d *p, const struct rd_dnn_operands *o, const float *b, void *y, void *ws,
                       struct rd_err *e)
{
	struct rd_dims d = rd_conv2d_out(&p->d);
	int rc = RD_OK;

	if (o->bias && !o->add && rd_dnn_conv_has(p->dnn, RD_DNN_Y_BIAS))
		return rd_dnn_conv_run(dev, p->dnn, RD_DNN_Y_BIAS, o, ws, e);
	if (o->bias && o->add && o->add != y && rd_dnn_conv_has(p->dnn, RD_DNN_Y_ADD_BIAS))
		return rd_dnn_conv_run(dev, p->dnn, RD_DNN_Y_ADD_BIAS, o, ws, e);
	if (o->add && o->add != y)
		rc = rd_cuda_copy(dev, y, o->add, (size_t)rd_dims_elems(d) * p->elem, e);
	if (!rc)
		rc = rd_dnn_conv_run(dev, p->dnn, o->add ? RD_DNN_Y_ACC : RD_DNN_Y, o, ws, e);
	return rc || !b ? rc : RD_BY_TYPE(dev, add_bias, dev, d, b, y, e);
}

int rd_cuda_conv2d_fwd(struct rd_dev *dev, struct rd_conv2d *p, const struct rd_conv2d_params *par, const void *x, void *y,
                       const void *add, void *ws, struct rd_err *e)
{
	struct rd_dims o = rd_conv2d_out(&p->d);
	bool acc = add != NULL;
	const void *w = weights_of(p, par), *bias = bias_of(p, par);
	unsigned way = acc ? RD_CONV_Y_ACC : par->b ? RD_CONV_Y_BIAS : RD_CONV_Y;
	void *cols = rest_at(p, ws);
	int rc = wants(p, way, e);

	if (rc)
		return rc;
	if (p->linear)
		return rd_linear_apply(dev, { o.n * o.h * o.w, p->d.in.c, o.c }, x, w, bias, add, y, e);
	if (by_library(p, way)) {
		const struct rd_dnn_operands all = { x, w, y, bias, add };

		return library_fwd(dev, p, &all, par->b, y, cols, e);
	}
	for (int64_t i = 0; i < o.n && !rc; i += p->at_once) {
		struct rd_unfold u = part(p, i);
		rd_linear l = { u.n * o.h * o.w, p->taps, o.c };

		rc = rd_unfold_images(dev, &u, x, cols, e);
		if (!rc)
			rc = rd_linear_apply(dev, l, cols, w, bias, acc ? dy_of(p, u, add) : NULL, (void *)dy_of(p, u, y), e);
	}
	return rc;
}

static int bwd_data(struct rd_dev *dev, struct rd_conv2d *p, const void *w, const void *dy, void *dx, int acc, void *rest,
                    struct rd_err *e)
{
	enum rd_dnn_kind kind = acc ? RD_DNN_DX_ACC : RD_DNN_DX;
	const struct rd_dnn_operands all = { dx, w, dy, NULL, NULL };
	int rc = RD_OK;

	if (rd_dnn_conv_has(p->dnn, kind))
		return rd_dnn_conv_run(dev, p->dnn, kind, &all, rest, e);
	for (int64_t i = 0; i < p->d.in.n && !rc; i += p->at_once) {
		struct rd_unfold u = part(p, i);
		rd_linear l = { u.n * u.oh * u.ow, p->taps, p->d.out_c };

		rc = rd_linear_back(dev, l, NULL, w, dy_of(p, u, dy), rest, 0, NULL, e);
		if (!rc)
			rc = rd_fold_images(dev, &u, rest, dx, acc, e);
	}
	return rc;
}

static int bwd_weights(struct rd_dev *dev, struct rd_conv2d *p, const void *x, const void *dy, float *dw, void *ws,
                       struct rd_err *e)
{
	void *own = ws, *rest = rest_at(p, ws);
	const struct rd_dnn_operands all = { x, own, dy, NULL, NULL };
	int rc;

	if (rd_dnn_conv_has(p->dnn, RD_DNN_DW)) {
		rc = rd_dnn_conv_run(dev, p->dnn, RD_DNN_DW, &all, rest, e);
		return rc ? rc : rd_add_weights(dev, &p->d, own, rd_is_bf16(dev), dw, e);
	}
	rc = rd_cuda_zero(dev, own, p->dw_bytes, e);
	for (int64_t i = 0; i < p->d.in.n && !rc; i += p->at_once) {
		struct rd_unfold u = part(p, i);
		rd_linear l = { u.n * u.oh * u.ow, p->taps, p->d.out_c };

		rc = rd_unfold_images(dev, &u, x, rest, e);
		if (!rc)
			rc = rd_linear_back(dev, l, rest, NULL, dy_of(p, u, dy), NULL, 0, (float *)own, e);
	}
	return rc ? rc : rd_add_weights(dev, &p->d, own, false, dw, e);
}

int rd_cuda_conv2d_bwd(struct rd_dev *dev, struct rd_conv2d *p, const struct rd_conv2d_params *par, const void *x,
                       const void *dy, void *dx, int acc_dx, float *dw, float *db, void *ws, struct rd_err *e)
{
	struct rd_dims o = rd_conv2d_out(&p->d);
	const void *w = weights_of(p, par);
	int64_t rows = o.n * o.h * o.w;
	int rc = wants(p, RD_CONV_BACKWARD, e);

	if (!rc && dx)
		rc = wants(p, acc_dx ? RD_CONV_DX_ACC : RD_CONV_DX, e);
	if (!rc && dw)
		rc = wants(p, RD_CONV_DW, e);
	if (rc)
		return rc;
	if (p->linear) {
		rc = rd_linear_back(dev, { rows, p->d.in.c, o.c }, x, w, dy, dx, acc_dx, dw, e);
	} else {
		if (dx)
			rc = bwd_data(dev, p, w, dy, dx, acc_dx, rest_at(p, ws), e);
		if (!rc && dw)
			rc = bwd_weights(dev, p, x, dy, dw, ws, e);
	}
	return rc || !db ? rc : rd_cuda_colsum(dev, rows, o.c, dy, db, e);
}
