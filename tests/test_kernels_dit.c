/* A gain for each channel of an image, slices of channels and pixels from patches, of every backend, against plain loops; on the
 * CPU the same bits with every instruction set and any number of threads. */
#include "tests/kernels.h"

#define TOL 1e-6

/* Single channels and packs of them, more than a warp's; pixels of one block and of several, the last of fewer. */
static const struct rd_dims shapes[] = {
	{ 1, 1, 1, 1 },  { 3, 5, 1, 1 },    { 2, 3, 7, 8 },  { 3, 17, 3, 7 },  { 2, 24, 8, 7 },   { 1, 32, 8, 8 },
	{ 70, 8, 2, 1 }, { 5, 1, 28, 28 },  { 3, 48, 9, 9 }, { 2, 300, 3, 7 }, { 1, 1283, 2, 3 }, { 2, 1160, 5, 5 },
	{ 1, 4, 70, 70 }, { 3, 16, 40, 41 },
};

struct gain {
	struct rd_dims d, of; /* of: the gains' */
	const float *x, *gain, *dy;
	double *y, *dx, *dgain; /* the reference */
};

static struct gain gain_case(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d), px = d.h * d.w;
	struct gain r = {
		.d = d,
		.of = { d.n, d.c, 1, 1 },
		.x = kt_random(k, n, 1),
		.gain = kt_random(k, d.n * d.c, 2),
		.dy = kt_random(k, n, 3),
		.y = kt_zeros(k, n),
		.dx = kt_zeros(k, n),
		.dgain = kt_zeros(k, d.n * d.c),
	};

	for (int64_t i = 0; i < n; i++) {
		r.y[i] = (double)r.gain[i / px] * (double)r.x[i];
		r.dx[i] = (double)r.gain[i / px] * (double)r.dy[i];
		r.dgain[i / px] += (double)r.dy[i] * (double)r.x[i];
	}
	return r;
}

static void gain_fwd(struct kt *k, const struct gain *r, const void *x, const void *gain, int acc)
{
	int64_t n = rd_dims_elems(r->d);
	float *y0 = kt_random(k, n, 20);
	double *want = memcpy(kt_zeros(k, n), r->y, (size_t)n * sizeof *want);
	void *y = kt_out(k, r->d, acc, y0);

	CHECK_OK(k->be->gain_fwd(k->dev, r->d, x, gain, y, acc, &k->e), &k->e);
	kt_acc(want, y0, n, acc);
	kt_near(k, acc ? "gain y +=" : "gain y", kt_get_act(k, r->d, y), want, n, TOL);
}

/* mask: 1 dx, 2 dgain, 4 dx is added to, 8 dgain is. */
static void gain_bwd(struct kt *k, const struct gain *r, const void *x, const void *gain, const void *dy, int mask)
{
	int64_t n = rd_dims_elems(r->d), ng = rd_dims_elems(r->of);
	int acc_dx = mask >> 2 & 1, acc_dgain = mask >> 3;
	float *x0 = kt_random(k, n, 20), *g0 = kt_random(k, ng, 21);
	double *wx = memcpy(kt_zeros(k, n), r->dx, (size_t)n * sizeof *wx);
	double *wg = memcpy(kt_zeros(k, ng), r->dgain, (size_t)ng * sizeof *wg);
	void *dx = mask & 1 ? kt_out(k, r->d, acc_dx, x0) : NULL, *dgain = mask & 2 ? kt_out(k, r->of, acc_dgain, g0) : NULL;
	void *ws = kt_poison(k, k->be->gain_ws_bytes(k->dev, r->d));

	CHECK_OK(k->be->gain_bwd(k->dev, r->d, x, gain, dy, dx, acc_dx, dgain, acc_dgain, ws, &k->e), &k->e);
	kt_acc(wx, x0, n, acc_dx);
	kt_acc(wg, g0, ng, acc_dgain);
	if (dx)
		kt_near(k, acc_dx ? "gain dx +=" : "gain dx", kt_get_act(k, r->d, dx), wx, n, TOL);
	if (dgain)
		kt_near(k, acc_dgain ? "gain dgain +=" : "gain dgain", kt_get_act(k, r->of, dgain), wg, ng, TOL);
}

static void gain(struct kt *k, struct rd_dims d)
{
	const struct gain r = gain_case(k, d);
	void *x = kt_act(k, d, r.x), *g = kt_act(k, r.of, r.gain), *dy = kt_act(k, d, r.dy);

	for (int acc = 0; acc < 2; acc++)
		gain_fwd(k, &r, x, g, acc);
	for (int mask = 1; mask < 16; mask++)
		gain_bwd(k, &r, x, g, dy, mask);
	kt_free(k);
}

/* dx and dgain of one case, of the CPU's first device for the others. */
static void same_bits(struct kt *k)
{
	static float *first;
	const struct gain r = gain_case(k, (struct rd_dims){ 3, 203, 40, 41 });
	int64_t n = rd_dims_elems(r.d), ng = rd_dims_elems(r.of);
	size_t all = (size_t)(n + ng) * sizeof(float);
	void *dx = kt_out(k, r.d, 0, NULL), *dgain = kt_out(k, r.of, 0, NULL);
	void *ws = kt_poison(k, k->be->gain_ws_bytes(k->dev, r.d));
	float *got = malloc(all);

	CHECK_OK(k->be->gain_bwd(k->dev, r.d, kt_act(k, r.d, r.x), kt_act(k, r.of, r.gain), kt_act(k, r.d, r.dy), dx, 0, dgain, 0, ws,
	                         &k->e), &k->e);
	if (!got)
		exit(1);
	memcpy(got, kt_get_act(k, r.d, dx), (size_t)n * sizeof *got);
	memcpy(got + n, kt_get_act(k, r.of, dgain), (size_t)ng * sizeof *got);
	if (!first)
		first = got;
	CHECK(memcmp(first, got, all) == 0);
	if (first != got)
		free(got);
	kt_free(k);
}

static void slice(struct kt *k, struct rd_dims d, int64_t xc, int64_t first)
{
	struct rd_dims dx = { d.n, xc, d.h, d.w };
	int64_t n = rd_dims_elems(d), nx = rd_dims_elems(dx), image = n / d.n, px = d.h * d.w;
	float *x = kt_random(k, nx, 1), *g = kt_random(k, n, 2), *start = kt_random(k, nx, 3);
	double *y = kt_zeros(k, n), *want = kt_zeros(k, nx);
	void *ay = kt_out(k, d, 0, NULL), *ag = kt_act(k, d, g);

	for (int64_t i = 0; i < n; i++) {
		int64_t at = (i / image * xc + first) * px + i % image;

		y[i] = (double)x[at];
		want[at] = (double)g[i];
	}
	CHECK_OK(k->be->slice_fwd(k->dev, d, xc, first, kt_act(k, dx, x), ay, &k->e), &k->e);
	kt_near(k, "slice y", kt_get_act(k, d, ay), y, n, 0);
	for (int acc = 0; acc < 2; acc++) {
		void *o = kt_out(k, dx, acc, start);

		CHECK_OK(k->be->slice_bwd(k->dev, d, xc, first, ag, o, acc, &k->e), &k->e);
		kt_acc(want, start, nx, acc);
		kt_near(k, acc ? "slice dx +=" : "slice dx", kt_get_act(k, dx, o), want, nx, TOL);
	}
	kt_free(k);
}

/* c channels in patches of p x p pixels, h x w of them. */
static void unpatch(struct kt *k, int64_t n, int64_t c, int64_t h, int64_t w, int p)
{
	struct rd_dims d = { n, p * p * c, h, w }, o = { n, c, p * h, p * w };
	int64_t all = rd_dims_elems(d);
	float *x = kt_random(k, all, 1), *g = kt_random(k, all, 2), *start = kt_random(k, all, 3);
	double *y = kt_zeros(k, all), *dx = kt_zeros(k, all);
	void *ay = kt_out(k, o, 0, NULL), *ag = kt_act(k, o, g);

	for (int64_t at = 0; at < all; at++) {
		int64_t j = at % w, i = at / w % h, l = at / (w * h) % d.c, image = at / (w * h * d.c);
		int64_t a = l / (p * c), b = l / c % p, to = ((image * c + l % c) * o.h + p * i + a) * o.w + p * j + b;

		y[to] = (double)x[at];
		dx[at] = (double)g[to];
	}
	CHECK_OK(k->be->unpatch_fwd(k->dev, d, p, kt_act(k, d, x), ay, &k->e), &k->e);
	kt_near(k, "unpatch y", kt_get_act(k, o, ay), y, all, 0);
	for (int acc = 0; acc < 2; acc++) {
		void *out = kt_out(k, d, acc, start);

		CHECK_OK(k->be->unpatch_bwd(k->dev, d, p, ag, out, acc, &k->e), &k->e);
		kt_acc(dx, start, all, acc);
		kt_near(k, acc ? "unpatch dx +=" : "unpatch dx", kt_get_act(k, d, out), dx, all, TOL);
	}
	kt_free(k);
}

/* Channels, those of x, and the first: in packs and one by one, with others before them, behind them, both or neither; as many as
 * a block's threads and more side by side, and rows in parts. */
static const struct {
	struct rd_dims d;
	int64_t xc, first;
} slices[] = {
	{ { 1, 1, 1, 1 }, 1, 0 },     { { 3, 5, 1, 1 }, 7, 2 },       { { 2, 3, 7, 8 }, 6, 0 },     { { 2, 3, 7, 8 }, 6, 3 },
	{ { 4, 16, 1, 1 }, 48, 32 },  { { 3, 32, 5, 5 }, 96, 16 },    { { 2, 8, 5, 3 }, 24, 4 },    { { 1, 4, 33, 31 }, 8, 0 },
	{ { 2, 1160, 1, 1 }, 3480, 1160 }, { { 2, 2304, 1, 1 }, 6912, 0 }, { { 2, 300, 1, 3 }, 601, 301 }, { { 3, 8, 4, 4 }, 17, 8 },
	{ { 2, 70000, 1, 1 }, 70020, 12 },
};

static void all(struct kt *k)
{
	static const int64_t channels[] = { 1, 3, 4, 8, 17 };

	for (size_t i = 0; i < KT_N(shapes); i++)
		gain(k, shapes[i]);
	if (k->threads)
		same_bits(k);
	for (size_t i = 0; i < KT_N(slices); i++)
		slice(k, slices[i].d, slices[i].xc, slices[i].first);
	for (int p = 1; p <= 8; p *= 2)
		for (size_t i = 0; i < KT_N(channels); i++)
			unpatch(k, 1 + (int64_t)i % 3, channels[i], 3 + (int64_t)i, 5 - (int64_t)i % 4, p);
	unpatch(k, 2, 5, 3, 2, 3);
	unpatch(k, 2, 8, 16, 16, 2);
}

int main(void)
{
	kt_each(all);
	return check_report("kernels_dit");
}
