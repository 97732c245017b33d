/* Convolution, linear layers among it, of every backend against sums in double. Bounds are relative to the largest value. */
#include "tests/kernels.h"

#define TOL (k->wide ? 1e-7 : 2e-6)   /* forward, and gradients of the input; where sums are double, their rounding */
#define TOL_W (k->wide ? 4e-7 : 4e-6) /* gradients of parameters: longer sums */

struct ref {
	double *y, *dx, *dw, *db;
};

/* y, and the gradients from dy, by the definition. */
static struct ref reference(struct kt *k, const struct rd_conv2d_desc *d, const float *x, const float *w,
                            const float *b, const float *dy)
{
	struct rd_dims i = d->in, o = rd_conv2d_out(d);
	int64_t ks = d->kernel;
	struct ref r = {
		kt_zeros(k, rd_dims_elems(o)),
		kt_zeros(k, rd_dims_elems(i)),
		kt_zeros(k, o.c * i.c * ks * ks),
		kt_zeros(k, o.c),
	};

	for (int64_t at = 0; at < rd_dims_elems(o); at++) {
		int64_t ox = at % o.w, oy = at / o.w % o.h, oc = at / (o.w * o.h) % o.c, n = at / (o.w * o.h * o.c);
		double g = (double)dy[at], sum = b ? (double)b[oc] : 0.0;

		r.db[oc] += g;
		for (int64_t ic = 0; ic < i.c; ic++)
			for (int64_t t = 0; t < ks * ks; t++) {
				int64_t iy = oy * d->stride - d->pad_lo + t / ks, ix = ox * d->stride - d->pad_lo + t % ks;
				int64_t xi = ((n * i.c + ic) * i.h + iy) * i.w + ix, wi = (oc * i.c + ic) * ks * ks + t;

				if (iy < 0 || iy >= i.h || ix < 0 || ix >= i.w)
					continue;
				sum += (double)x[xi] * (double)w[wi];
				r.dx[xi] += (double)w[wi] * g;
				r.dw[wi] += (double)x[xi] * g;
			}
		r.y[at] = sum;
	}
	return r;
}

struct conv_case {
	struct rd_conv2d_desc d;
	float *x, *w, *b, *dy, *y0; /* host */
	void *dx_, *ddy, *ws;
	struct rd_conv2d *plan;
	struct rd_conv2d_params par;
	struct ref r;
};

static void forward(struct kt *k, struct conv_case *c)
{
	struct rd_dims o = rd_conv2d_out(&c->d);
	int64_t n = rd_dims_elems(o);
	void *y = kt_out(k, o, 0, NULL), *y0 = kt_act(k, o, c->y0);
	float *kept = kt_get_act(k, o, y0);

	CHECK_OK(k->be->conv2d_fwd(k->dev, c->plan, &c->par, c->dx_, y, NULL, c->ws, &k->e), &k->e);
	kt_near(k, "conv y", kt_get_act(k, o, y), c->r.y, n, TOL);
	kt_acc(c->r.y, c->y0, n, 1);
	y = kt_out(k, o, 0, NULL);
	CHECK_OK(k->be->conv2d_fwd(k->dev, c->plan, &c->par, c->dx_, y, y0, c->ws, &k->e), &k->e);
	kt_near(k, "conv y0 +", kt_get_act(k, o, y), c->r.y, n, TOL);
	CHECK(memcmp(kept, kt_get_act(k, o, y0), (size_t)n * sizeof *kept) == 0);
	CHECK_OK(k->be->conv2d_fwd(k->dev, c->plan, &c->par, c->dx_, y0, y0, c->ws, &k->e), &k->e);
	kt_near(k, "conv y +=", kt_get_act(k, o, y0), c->r.y, n, TOL);
}

/* n floats, `odd` of them after where a buffer begins. */
static float *odd_flat(struct kt *k, int64_t n, const float *host, int odd)
{
	float *all = kt_host(k, (size_t)(n + odd), sizeof *all);

	memcpy(all + odd, host, (size_t)n * sizeof *all);
	return kt_flat(k, n + odd, all) + odd;
}

/* which: bits dx, acc_dx, dw, db, dw from an odd float on */
static void backward(struct kt *k, struct conv_case *c, int which)
{
	struct rd_dims i = c->d.in;
	int64_t nx = rd_dims_elems(i), nw = c->d.out_c * i.c * c->d.kernel * c->d.kernel;
	int acc = which >> 1 & 1;
	float *x0 = kt_random(k, nx, 77), *w0 = kt_random(k, nw, 78), *b0 = kt_random(k, c->d.out_c, 79);
	void *dx = which & 1 ? kt_out(k, i, acc, x0) : NULL;
	float *dw = which & 4 ? odd_flat(k, nw, w0, which >> 4 & 1) : NULL, *db = which & 8 ? kt_flat(k, c->d.out_c, b0) : NULL;
	struct ref r = c->r;

	CHECK_OK(k->be->conv2d_bwd(k->dev, c->plan, &c->par, c->dx_, c->ddy, dx, acc, dw, db, c->ws, &k->e), &k->e);
	r.dx = memcpy(kt_zeros(k, nx), r.dx, (size_t)nx * sizeof *r.dx);
	r.dw = memcpy(kt_zeros(k, nw), r.dw, (size_t)nw * sizeof *r.dw);
	r.db = memcpy(kt_zeros(k, c->d.out_c), r.db, (size_t)c->d.out_c * sizeof *r.db);
	kt_acc(r.dx, x0, nx, acc);
	kt_acc(r.dw, w0, nw, 1);
	kt_acc(r.db, b0, c->d.out_c, 1);
	if (dx)
		kt_near(k, acc ? "conv dx +=" : "conv dx", kt_get_act(k, i, dx), r.dx, nx, TOL);
	if (dw)
		kt_near(k, "conv dw", kt_get(k, nw, dw), r.dw, nw, TOL_W);
	if (db)
		kt_near(k, "conv db", kt_get(k, c->d.out_c, db), r.db, c->d.out_c, TOL_W);
}

/* A buffer for what a plan packs, NULL where that is nothing. */
static void *packed(struct kt *k, const struct rd_conv2d *plan)
{
	size_t bytes = k->be->conv2d_packed_bytes(plan);

	return bytes ? kt_poison(k, bytes) : NULL;
}

static void conv(struct kt *k, const struct rd_conv2d_desc *d, int with_bias)
{
	static const int gradients[] = { 1 + 4 + 8, 1 + 2 + 4 + 8, 1, 4 + 16, 8, 2 + 1 + 8, 4 + 8 };
	struct rd_dims o = rd_conv2d_out(d);
	struct conv_case c = { .d = *d };
	size_t ws;

	c.x = kt_random(k, rd_dims_elems(d->in), 1);
	c.w = kt_random(k, o.c * d->in.c * d->kernel * d->kernel, 2);
	c.b = with_bias ? kt_random(k, o.c, 3) : NULL;
	c.dy = kt_random(k, rd_dims_elems(o), 4);
	c.y0 = kt_random(k, rd_dims_elems(o), 5);
	c.r = reference(k, d, c.x, c.w, c.b, c.dy);
	c.dx_ = kt_act(k, d->in, c.x);
	c.ddy = kt_act(k, o, c.dy);
	c.par.w = kt_flat(k, o.c * d->in.c * d->kernel * d->kernel, c.w);
	c.par.b = c.b ? kt_flat(k, o.c, c.b) : NULL;
	CHECK_OK(k->be->conv2d_new(k->dev, d, RD_CONV_ALL, &c.plan, &k->e), &k->e);
	if (!c.plan) {
		kt_free(k);
		return;
	}
	c.par.packed = packed(k, c.plan);
	ws = k->be->conv2d_ws_bytes(c.plan);
	c.ws = kt_poison(k, ws ? ws : 1);
	CHECK_OK(k->be->conv2d_pack(k->dev, 1, &c.plan, &c.par, &k->e), &k->e);
	forward(k, &c);
	for (size_t i = 0; i < KT_N(gradients); i++)
		backward(k, &c, gradients[i]);
	k->be->conv2d_free(c.plan);
	kt_free(k);
}

/* A plan without training gives the same forward and refuses backward. */
static void conv_inference(struct kt *k)
{
	struct rd_conv2d_desc d = { .in = { 2, 24, 7, 8 }, .out_c = 17, .kernel = 3, .stride = 1, .pad_lo = 1, .pad_hi = 1 };
	struct rd_dims o = rd_conv2d_out(&d);
	float *x = kt_random(k, rd_dims_elems(d.in), 1), *w = kt_random(k, 17 * 24 * 9, 2);
	struct ref r = reference(k, &d, x, w, NULL, kt_random(k, rd_dims_elems(o), 3));
	struct rd_conv2d_params par = { .w = kt_flat(k, 17 * 24 * 9, w) };
	struct rd_conv2d *p;
	void *ws, *y = kt_out(k, o, 0, NULL), *dx = kt_act(k, d.in, x);

	CHECK_OK(k->be->conv2d_new(k->dev, &d, RD_CONV_FORWARD, &p, &k->e), &k->e);
	par.packed = packed(k, p);
	ws = kt_poison(k, k->be->conv2d_ws_bytes(p) + 1);
	CHECK_OK(k->be->conv2d_pack(k->dev, 1, &p, &par, &k->e), &k->e);
	CHECK_OK(k->be->conv2d_fwd(k->dev, p, &par, dx, y, 0, ws, &k->e), &k->e);
	kt_near(k, "conv y", kt_get_act(k, o, y), r.y, rd_dims_elems(o), TOL);
	CHECK(k->be->conv2d_bwd(k->dev, p, &par, dx, y, dx, 0, NULL, NULL, ws, &k->e) < 0);
	k->be->conv2d_free(p);
	d.in.h = 0;
	CHECK(k->be->conv2d_new(k->dev, &d, RD_CONV_FORWARD, &p, &k->e) == RD_ESHAPE && !p);
	kt_free(k);
}

/* Recorded as it is done, by a plan for training and one without it of the same convolution, side by side. */
static void conv_recorded(struct kt *k)
{
	struct rd_conv2d_desc d = { .in = { 2, 12, 6, 5 }, .out_c = 10, .kernel = 3, .stride = 1, .pad_lo = 1, .pad_hi = 1 };
	struct rd_dims o = rd_conv2d_out(&d);
	int64_t n = rd_dims_elems(o);
	void *x = kt_act(k, d.in, kt_random(k, rd_dims_elems(d.in), 1)), *y[3], *ws[2];
	struct rd_conv2d_params par = { .w = kt_flat(k, 10 * 12 * 9, kt_random(k, 10 * 12 * 9, 2)),
	                                .b = kt_flat(k, 10, kt_random(k, 10, 3)) };
	float *want;
	struct rd_replay *r = NULL;
	struct rd_conv2d *p[2];

	if (!k->be->record_begin) {
		kt_free(k);
		return;
	}
	for (int i = 0; i < 2; i++) {
		CHECK_OK(k->be->conv2d_new(k->dev, &d, i ? RD_CONV_ALL : RD_CONV_Y_BIAS, &p[i], &k->e), &k->e);
		ws[i] = kt_poison(k, k->be->conv2d_ws_bytes(p[i]) + 1);
	}
	for (int i = 0; i < 3; i++)
		y[i] = kt_out(k, o, 0, NULL);
	par.packed = packed(k, p[0]);
	CHECK_OK(k->be->conv2d_pack(k->dev, 1, p, &par, &k->e), &k->e);
	CHECK_OK(k->be->conv2d_fwd(k->dev, p[0], &par, x, y[0], 0, ws[0], &k->e), &k->e);
	CHECK_OK(k->be->record_begin(k->dev, &k->e), &k->e);
	for (int i = 0; i < 2; i++)
		CHECK_OK(k->be->conv2d_fwd(k->dev, p[i], &par, x, y[1 + i], 0, ws[i], &k->e), &k->e);
	CHECK_OK(k->be->record_end(k->dev, &r, &k->e), &k->e);
	CHECK_OK(k->be->replay(k->dev, r, &k->e), &k->e);
	want = kt_get_act(k, o, y[0]);
	for (int i = 1; i < 3; i++)
		CHECK(memcmp(want, kt_get_act(k, o, y[i]), (size_t)n * sizeof *want) == 0);
	k->be->replay_free(k->dev, r);
	for (int i = 0; i < 2; i++)
		k->be->conv2d_free(p[i]);
	kt_free(k);
}

static void convs(struct kt *k)
{
	static const struct {
		int kernel, stride, lo, hi;
	} shapes[] = { { 3, 1, 1, 1 }, { 3, 2, 1, 1 }, { 3, 2, 0, 1 }, { 1, 2, 0, 0 }, { 3, 1, 0, 0 } };

	static const struct rd_conv2d_desc large_narrow = {
		.in = { 3, 32, 16, 16 },
		.out_c = 3,
		.kernel = 3,
		.stride = 1,
		.pad_lo = 1,
		.pad_hi = 1,
	};
	int i = 0;

	for (size_t s = 0; s < KT_N(shapes); s++)
		for (size_t ic = 0; ic < KT_N(kt_channels); ic++)
			for (size_t h = 0; h < KT_N(kt_sizes); h++) {
				struct rd_conv2d_desc d = {
					.in = { 1 + (int64_t)(ic + h) % 3, kt_channels[ic], kt_sizes[h], kt_sizes[(h + ic) % KT_N(kt_sizes)] },
					.out_c = kt_channels[(ic * 3 + h) % KT_N(kt_channels)],
					.kernel = shapes[s].kernel,
					.stride = shapes[s].stride,
					.pad_lo = shapes[s].lo,
					.pad_hi = shapes[s].hi,
				};

				if (!kt_skip_conv(k, i++) && d.in.h + d.pad_lo + d.pad_hi >= d.kernel && d.in.w + d.pad_lo + d.pad_hi >= d.kernel)
					conv(k, &d, (ic + h + s) % 2 == 0);
			}
	conv(k, &large_narrow, 1);
	conv_inference(k);
	conv_recorded(k);
}

/* Patches of an image to a pixel each; where one does not fit any more the image's last rows or columns belong to none. By the
 * stand-in for cuDNN and, of two images, without it (tests/cuda/cudnn.cpp). */
static void patches(struct kt *k)
{
	static const int64_t channels[] = { 3, 4, 16 };
	int i = 0;

	for (int p = 2; p <= 8; p *= 2)
		for (size_t ic = 0; ic < KT_N(channels); ic++)
			for (int64_t n = 1; n <= 2; n++, i++) {
				struct rd_conv2d_desc d = {
					.in = { n, channels[ic], 3 * p + i % 2, 2 * p + i / 2 % 2 },
					.out_c = i % 4 < 2 ? 40 : 17,
					.kernel = p,
					.stride = p,
				};

				if (k->on_host || !kt_skip_conv(k, i))
					conv(k, &d, i % 6 != 5);
			}
}

/* Gradients of weights that CUDA takes apart: more channels than a warp has at once, more output channels than a block, and
 * kernels of more taps than are in shared memory at once, whether channels go by fours or by one. The last four have an engine of
 * the stand-in for cuDNN in bf16 too, those of them whose stride is the kernel for one image only. */
static void wide(struct kt *k)
{
	static const struct rd_conv2d_desc d[] = {
		{ { 0, 132, 4, 3 }, 70, 3, 1, 1, 1 }, { { 0, 260, 3, 3 }, 9, 3, 1, 1, 1 }, { { 0, 37, 4, 3 }, 17, 3, 1, 1, 1 },
		{ { 0, 132, 4, 4 }, 5, 4, 4, 0, 0 },  { { 0, 8, 9, 9 }, 9, 9, 9, 0, 0 },    { { 0, 34, 18, 18 }, 9, 18, 18, 0, 0 },
		{ { 0, 3, 18, 18 }, 3, 18, 1, 0, 0 },   { { 0, 136, 4, 3 }, 72, 3, 1, 1, 1 }, { { 0, 264, 3, 3 }, 16, 3, 1, 1, 1 },
		{ { 0, 8, 9, 9 }, 8, 9, 9, 0, 0 },      { { 0, 40, 18, 18 }, 8, 18, 18, 0, 0 },
	};

	for (size_t i = 0; i < KT_N(d); i++)
		for (int64_t n = 1; n <= 2 && !k->threads; n++) {
			struct rd_conv2d_desc c = d[i];

			c.in.n = n;
			conv(k, &c, i % 2);
		}
}

static void linear(struct kt *k, struct rd_dims d, int64_t out_c, int with_bias)
{
	const struct rd_conv2d_desc c = { .in = d, .out_c = out_c, .kernel = 1, .stride = 1 };

	conv(k, &c, with_bias);
}

static void linears(struct kt *k)
{
	int i = 0;

	for (size_t ic = 0; ic < KT_N(kt_channels); ic++)
		for (size_t oc = 0; oc < KT_N(kt_channels); oc++)
			for (size_t h = 0; h < KT_N(kt_sizes); h++) {
				int64_t n = 1 + (int64_t)(ic + h) % 3, size = kt_sizes[h];

				if (!kt_skip(k, i++))
					linear(k, (struct rd_dims){ n, kt_channels[ic], size, size }, kt_channels[oc], (ic + oc + h) % 2 == 0);
			}
	linear(k, (struct rd_dims){ 33, 64, 1, 1 }, 256, 1);
	linear(k, (struct rd_dims){ 5, 96, 16, 16 }, 96, 1);
	linear(k, (struct rd_dims){ 5, 1, 58, 58 }, 9, 1); /* CUDA: db of more chunks than a block's threads take at once */
}

/* What a plan packed, on the host. */
static char *packed_bits(struct kt *k, const struct rd_conv2d *plan, const void *from)
{
	size_t bytes = k->be->conv2d_packed_bytes(plan);
	char *p = kt_host(k, bytes, 1);

	CHECK_OK(k->be->get(k->dev, p, from, bytes, &k->e), &k->e);
	return p;
}

/* Many plans packed at once, some of them absent, have the bits of each packed by itself. */
static void packs(struct kt *k)
{
	enum { N = 80, W = 24 * 48 * 9 };
	const float *w = kt_flat(k, W + N, kt_random(k, W + N, 1));
	struct rd_conv2d *plan[N] = { NULL };
	struct rd_conv2d_params one[N] = { { 0 } }, all[N] = { { 0 } };

	for (int i = 0; i < N; i++) {
		struct rd_conv2d_desc d = { { 2, kt_channels[i % 5], 4, 4 }, kt_channels[i % 7], .kernel = i % 3 ? 3 : 1, .stride = 1 };

		if (i % 4 == 3)
			continue;
		CHECK_OK(k->be->conv2d_new(k->dev, &d, i % 2 ? RD_CONV_ALL : RD_CONV_FORWARD, &plan[i], &k->e), &k->e);
		one[i] = (struct rd_conv2d_params){ w + i, i % 5 ? w + N - i : NULL, packed(k, plan[i]) };
		all[i] = (struct rd_conv2d_params){ one[i].w, one[i].b, packed(k, plan[i]) };
		CHECK_OK(k->be->conv2d_pack(k->dev, 1, &plan[i], &one[i], &k->e), &k->e);
	}
	CHECK_OK(k->be->conv2d_pack(k->dev, N, plan, all, &k->e), &k->e);
	for (int i = 0; i < N; i++)
		if (plan[i] && one[i].packed)
			CHECK(memcmp(packed_bits(k, plan[i], one[i].packed), packed_bits(k, plan[i], all[i].packed),
			             k->be->conv2d_packed_bytes(plan[i])) == 0);
	for (int i = 0; i < N; i++)
		k->be->conv2d_free(plan[i]);
	kt_free(k);
}

/* The same numbers on every call: nothing depends on which thread comes first. */
static void repeatable(struct kt *k)
{
	for (int kernel = 1; kernel <= 3; kernel += 2) {
		struct rd_conv2d_desc d = { { 8, 32, 14, 14 }, 48, kernel, 1, kernel / 2, kernel / 2 };
		struct rd_dims o = rd_conv2d_out(&d);
		const struct rd_conv2d_params par = { 0 }; /* the gradient by the weights needs none */
		int64_t nw = 48 * 32 * kernel * kernel;
		void *x = kt_act(k, d.in, kt_random(k, rd_dims_elems(d.in), 1));
		void *dy = kt_act(k, o, kt_random(k, rd_dims_elems(o), 2)), *ws;
		float *zero = kt_host(k, (size_t)nw, sizeof *zero), *first = NULL;
		struct rd_conv2d *p;

		CHECK_OK(k->be->conv2d_new(k->dev, &d, RD_CONV_ALL, &p, &k->e), &k->e);
		ws = kt_poison(k, k->be->conv2d_ws_bytes(p) + 1);
		for (int i = 0; i < 5; i++) {
			float *dw = kt_flat(k, nw, zero), *got;

			CHECK_OK(k->be->conv2d_bwd(k->dev, p, &par, x, dy, NULL, 0, dw, NULL, ws, &k->e), &k->e);
			got = kt_get(k, nw, dw);
			CHECK(i == 0 || memcmp(first, got, (size_t)nw * sizeof *got) == 0);
			first = i == 0 ? got : first;
		}
		k->be->conv2d_free(p);
		kt_free(k);
	}
}

int main(void)
{
	kt_each(convs);
	kt_each(patches);
	kt_each(wide);
	kt_each(linears);
	kt_each(packs);
	kt_each(repeatable);
	return check_report("kernels_conv");
}
