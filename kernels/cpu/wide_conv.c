/* Convolution with sums in double. A patch is what one pixel of a result is made of: for each tap the channels of one pixel of the
 * source, or zeros where that lies outside; results are products of patches with the weights. Forward's source is x and
 * backward's dy, whose pixels lie stride apart; the weights' gradient is dy^T times forward's patches. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/vec.h"
#include "kernels/cpu/wide.h"

enum { BLOCK = 64 /* pixels whose patches are worked on together */ };

struct patches {
	struct rd_dims of;   /* the result */
	struct rd_dims from; /* the source */
	int kernel, pad, up, down; /* source = (result * up + tap) / down where that has no rest; pad: see source */
	const float *src;
};

static struct patches forward(const struct rd_conv2d_desc *d, const float *x)
{
	return (struct patches){
		.of = rd_conv2d_out(d), .from = d->in, .kernel = d->kernel, .pad = d->pad_lo, .up = d->stride, .down = 1, .src = x,
	};
}

static struct patches backward(const struct rd_conv2d_desc *d, const float *dy)
{
	return (struct patches){
		.of = d->in, .from = rd_conv2d_out(d), .kernel = d->kernel, .pad = d->kernel - 1 - d->pad_lo, .up = 1,
		.down = d->stride, .src = dy,
	};
}

/* The row (or column) of the source, of n, that tap k of row `at` of the result reads; -1 for none. */
static int64_t source(const struct patches *p, int64_t at, int64_t k, int64_t n)
{
	int64_t to = at * p->up + k - p->pad;

	return to < 0 || to % p->down || to / p->down >= n ? -1 : to / p->down;
}

static int64_t pixels(struct rd_dims d)
{
	return d.n * d.h * d.w;
}

/* The source's pixel of tap `tap` of the result's pixel i, NULL for none. */
static const float *pixel(const struct patches *p, int64_t i, int64_t tap)
{
	int64_t x = i % p->of.w, y = i / p->of.w % p->of.h, image = i / (p->of.w * p->of.h);
	int64_t sy = source(p, y, tap / p->kernel, p->from.h), sx = source(p, x, tap % p->kernel, p->from.w);

	return sy < 0 || sx < 0 ? NULL : p->src + ((image * p->from.h + sy) * p->from.w + sx) * p->from.c;
}

static void put_channels(float *to, const float *from, int64_t n)
{
	if (from)
		memcpy(to, from, (size_t)n * sizeof *to);
	else
		memset(to, 0, (size_t)n * sizeof *to);
}

static int64_t patch_elems(const struct patches *p)
{
	return p->kernel * p->kernel * p->from.c;
}

/* Packed weights are [patch, channels of the result]: forward's [tap][in_c][out_c], backward's [mirrored tap][out_c][in_c]. */
static int64_t weight_elems(const struct rd_conv2d_desc *d)
{
	return d->out_c * d->in.c * d->kernel * d->kernel;
}

size_t RD_SYM(wide_conv_packed_bytes)(const struct rd_conv2d_desc *d, int training)
{
	return (size_t)(weight_elems(d) * (training ? 2 : 1)) * sizeof(float);
}

void RD_SYM(wide_conv_pack)(const struct rd_conv2d_desc *d, int training, const float *w, float *packed)
{
	int64_t taps = d->kernel * d->kernel, ic = d->in.c, oc = d->out_c;
	float *back = packed + weight_elems(d);

	for (int64_t o = 0; o < oc; o++)
		for (int64_t i = 0; i < ic; i++)
			for (int64_t t = 0; t < taps; t++) {
				float v = w[(o * ic + i) * taps + t];

				packed[(t * ic + i) * oc + o] = v;
				if (training)
					back[((taps - 1 - t) * oc + o) * ic + i] = v;
			}
}

/* Every thread has the patches of a block of pixels; for the weights' gradient a panel of all pixels. */
size_t RD_SYM(wide_conv_ws_bytes)(const struct rd_conv2d_desc *d, int threads, int training)
{
	const struct patches f = forward(d, NULL), b = backward(d, NULL);
	int64_t fwd = BLOCK * patch_elems(&f), data = BLOCK * patch_elems(&b), weights = pixels(f.of) * RD_VW;
	int64_t most = !training || fwd > data ? fwd : data;

	if (training && weights > most)
		most = weights;
	return (size_t)(threads * most) * sizeof(float);
}

/* y = patches w + b */
static void convolve(struct rd_dev *dev, const struct patches *p, const float *w, const float *b, float *y, int acc, float *ws)
{
	int64_t n = pixels(p->of), width = patch_elems(p), taps = p->kernel * p->kernel;

#pragma omp parallel for schedule(static) num_threads(dev->threads) if (n * width >= RD_PARALLEL_MIN)
	for (int64_t i0 = 0; i0 < n; i0 += BLOCK) {
		float *own = ws + omp_get_thread_num() * BLOCK * width;
		const struct rd_wide g = {
			.m = n - i0 < BLOCK ? n - i0 : BLOCK,
			.n = p->of.c,
			.k = width,
			.a = own,
			.ars = width,
			.acs = 1,
			.b = w,
			.brs = p->of.c,
			.bcs = 1,
			.bias = b,
			.alpha = 1.0f,
			.acc = acc,
			.c = y + i0 * p->of.c,
			.crs = p->of.c,
			.ccs = 1,
		};

		for (int64_t i = 0; i < g.m; i++)
			for (int64_t t = 0; t < taps; t++)
				put_channels(own + i * width + t * p->from.c, pixel(p, i0 + i, t), p->from.c);
		RD_SYM(wide_product)(&g);
	}
}

void RD_SYM(wide_conv_fwd)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *packed, const float *b,
                           const float *x, float *y, int accumulate, float *ws)
{
	const struct patches p = forward(d, x);

	convolve(dev, &p, packed, b, y, accumulate, ws);
}

void RD_SYM(wide_conv_bwd_data)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *packed, const float *dy,
                                float *dx, int acc_dx, float *ws)
{
	const struct patches p = backward(d, dy);

	convolve(dev, &p, packed + weight_elems(d), NULL, dx, acc_dx, ws);
}

/* Of tap t, channels c0.. of the source: dw OIHW there. */
static void weights_panel(const struct patches *p, int64_t t, int64_t c0, const float *dy, float *dw, float *own)
{
	int64_t n = pixels(p->of), taps = p->kernel * p->kernel, cols = p->from.c - c0 < RD_VW ? p->from.c - c0 : RD_VW;
	const struct rd_wide g = {
		.m = p->of.c,
		.n = cols,
		.k = n,
		.a = dy,
		.ars = 1,
		.acs = p->of.c,
		.b = own,
		.brs = cols,
		.bcs = 1,
		.alpha = 1.0f,
		.acc = 1,
		.c = dw + c0 * taps + t,
		.crs = p->from.c * taps,
		.ccs = taps,
	};

	for (int64_t i = 0; i < n; i++) {
		const float *from = pixel(p, i, t);

		put_channels(own + i * cols, from ? from + c0 : NULL, cols);
	}
	RD_SYM(wide_product)(&g);
}

void RD_SYM(wide_conv_bwd_weights)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *x, const float *dy,
                                   float *dw, float *ws)
{
	const struct patches p = forward(d, x);
	int64_t panels = (d->in.c + RD_VW - 1) / RD_VW, n = panels * d->kernel * d->kernel;

#pragma omp parallel for schedule(static) num_threads(dev->threads) if (pixels(p.of) * weight_elems(d) >= RD_PARALLEL_MIN)
	for (int64_t i = 0; i < n; i++)
		weights_panel(&p, i / panels, i % panels * RD_VW, dy, dw, ws + omp_get_thread_num() * pixels(p.of) * RD_VW);
}
