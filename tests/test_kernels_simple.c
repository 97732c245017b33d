/* The elementwise, shape, embedding, sample, loss and optimiser ops of every backend against double. */
#include "tests/kernels.h"

#define TOL 1e-6

static const struct rd_dims shapes[] = {
	{ 1, 1, 1, 1 }, { 3, 5, 1, 1 }, { 2, 3, 7, 8 }, { 3, 17, 3, 7 }, { 2, 24, 8, 7 }, { 1, 32, 8, 8 }, { 2, 48, 3, 3 },
	{ 3, 96, 7, 7 }, { 5, 1, 28, 28 }, { 4, 32, 32, 32 },
};

static void acts(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d);
	float *x = kt_random(k, n, 1), *g = kt_random(k, n, 2), *start = kt_random(k, n, 3);
	void *ax, *ag = kt_act(k, d, g);

	for (int64_t i = 0; i < n; i++)
		x[i] *= 16.0f;
	ax = kt_act(k, d, x);
	for (int a = 0; a < RD_N_ACTS; a++) {
		double *y = kt_zeros(k, n), *dx = kt_zeros(k, n), slope;
		void *out = kt_out(k, d, 0, NULL), *self = kt_act(k, d, x);

		for (int64_t i = 0; i < n; i++) {
			y[i] = kt_activation(a, (double)x[i], &slope);
			dx[i] = slope * (double)g[i];
		}
		CHECK_OK(k->be->act_fwd(k->dev, d, (enum rd_act)a, ax, out, &k->e), &k->e);
		kt_near(k, "act y", kt_get_act(k, d, out), y, n, TOL);
		CHECK_OK(k->be->act_fwd(k->dev, d, (enum rd_act)a, self, self, &k->e), &k->e);
		kt_near(k, "act y in place", kt_get_act(k, d, self), y, n, TOL);
		for (int acc = 0; acc < 2; acc++) {
			void *o = kt_out(k, d, acc, start);

			CHECK_OK(k->be->act_bwd(k->dev, d, (enum rd_act)a, ax, ag, o, acc, &k->e), &k->e);
			kt_acc(dx, start, n, acc);
			kt_near(k, "act dx", kt_get_act(k, d, o), dx, n, 2 * TOL);
		}
	}
	kt_free(k);
}

/* x has a in its first c channels and b in its last, of each image. */
static void gates(struct kt *k, struct rd_dims d)
{
	struct rd_dims dx = { d.n, 2 * d.c, d.h, d.w };
	int64_t n = rd_dims_elems(d), ic = n / d.n;
	float *x = kt_random(k, 2 * n, 1), *g = kt_random(k, n, 2), *start = kt_random(k, 2 * n, 3);
	void *ax, *ag = kt_act(k, d, g);

	for (int64_t i = 0; i < 2 * n; i++)
		x[i] *= i / ic % 2 ? 8.0f : 1.0f;
	ax = kt_act(k, dx, x);
	for (int act_kind = 0; act_kind < RD_N_ACTS; act_kind++) {
		double *y = kt_zeros(k, n), *want = kt_zeros(k, 2 * n), slope;
		void *out = kt_out(k, d, 0, NULL);

		for (int64_t i = 0; i < n; i++) {
			int64_t at = i / ic * 2 * ic + i % ic;
			double b = kt_activation(act_kind, (double)x[at + ic], &slope);

			y[i] = (double)x[at] * b;
			want[at] = (double)g[i] * b;
			want[at + ic] = (double)g[i] * (double)x[at] * slope;
		}
		CHECK_OK(k->be->gate_fwd(k->dev, d, (enum rd_act)act_kind, ax, out, &k->e), &k->e);
		kt_near(k, "gate y", kt_get_act(k, d, out), y, n, TOL);
		for (int acc = 0; acc < 2; acc++) {
			void *o = kt_out(k, dx, acc, start);

			CHECK_OK(k->be->gate_bwd(k->dev, d, (enum rd_act)act_kind, ax, ag, o, acc, &k->e), &k->e);
			kt_acc(want, start, 2 * n, acc);
			kt_near(k, "gate dx", kt_get_act(k, dx, o), want, 2 * n, 2 * TOL);
		}
	}
	kt_free(k);
}

/* Infinities, NaN, and where e^x leaves the range. */
static void act_edges(struct kt *k)
{
	static const float x[] = { -INFINITY, -1e30f, -200.0f, -104.0f, -89.0f,   -0.0f,
		                   0.0f,      1e-30f, 89.0f,   1e30f,   INFINITY, NAN };
	struct rd_dims d = { 1, 1, 1, KT_N(x) };

	for (int a = 0; a < RD_N_ACTS; a++) {
		void *y = kt_out(k, d, 0, NULL);
		float *got;

		CHECK_OK(k->be->act_fwd(k->dev, d, (enum rd_act)a, kt_act(k, d, x), y, &k->e), &k->e);
		got = kt_get_act(k, d, y);
		for (int i = 1; i < 10; i++) {
			double slope, want = kt_activation(a, (double)x[i], &slope);

			CHECK_NEAR(got[i], want, k->factor * (1e-6 * fabs(want) + 1e-6 * (a == RD_ACT_NONE ? 0 : 1)));
		}
		CHECK(isinf(got[10]) && got[10] > 0.0f);
		CHECK(isnan(got[11]));
	}
	kt_free(k);
}

static void sums(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d);
	float *a = kt_random(k, n, 1), *b = kt_random(k, n, 2);
	void *da = kt_act(k, d, a), *db = kt_act(k, d, b), *y = kt_out(k, d, 0, NULL), *z = kt_act(k, d, b);
	double *sum = kt_zeros(k, n), *half = kt_zeros(k, n), *both = kt_zeros(k, n);

	for (int64_t i = 0; i < n; i++) {
		sum[i] = (double)a[i] + (double)b[i];
		half[i] = 0.7f * (double)a[i];
		both[i] = half[i] + (double)b[i];
	}
	CHECK_OK(k->be->add(k->dev, d, da, db, y, &k->e), &k->e);
	kt_near(k, "add", kt_get_act(k, d, y), sum, n, TOL);
	CHECK_OK(k->be->add(k->dev, d, da, z, z, &k->e), &k->e);
	kt_near(k, "add in place", kt_get_act(k, d, z), sum, n, TOL);
	y = kt_out(k, d, 0, NULL);
	CHECK_OK(k->be->affine(k->dev, d, 0.7f, 0, da, y, 0, &k->e), &k->e);
	kt_near(k, "scale", kt_get_act(k, d, y), half, n, TOL);
	CHECK_OK(k->be->affine(k->dev, d, 0.7f, 0, da, db, 1, &k->e), &k->e);
	kt_near(k, "scale +=", kt_get_act(k, d, db), both, n, TOL);
	CHECK_OK(k->be->affine(k->dev, d, 0.7f, 0, da, da, 0, &k->e), &k->e);
	kt_near(k, "scale in place", kt_get_act(k, d, da), half, n, TOL);
	kt_free(k);
}

/* Import and export are inverses and NCHW on the host. */
static void round_trip(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d);
	float *x = kt_random(k, n, 1), *y = kt_get_act(k, d, kt_act(k, d, x));

	if (k->factor <= 1.0)
		CHECK(memcmp(x, y, (size_t)n * sizeof *x) == 0);
	kt_free(k);
}

static void concat(struct kt *k, struct rd_dims a, int64_t bc)
{
	struct rd_dims b = { a.n, bc, a.h, a.w }, d = { a.n, a.c + bc, a.h, a.w };
	int64_t na = rd_dims_elems(a), nb = rd_dims_elems(b), n = na + nb, ia = a.c * a.h * a.w, ib = bc * a.h * a.w;
	float *x = kt_random(k, n, 1), *xa = kt_random(k, na, 2), *xb = kt_random(k, nb, 3), *got;
	double *want = kt_zeros(k, n);
	void *y = kt_out(k, d, 0, NULL), *dy = kt_act(k, d, x);

	CHECK_OK(k->be->concat_fwd(k->dev, a, bc, kt_act(k, a, xa), kt_act(k, b, xb), y, &k->e), &k->e);
	got = kt_get_act(k, d, y);
	for (int64_t i = 0; i < n; i++) {
		int64_t image = i / (ia + ib), j = i % (ia + ib);

		want[i] = (double)(j < ia ? xa[image * ia + j] : xb[image * ib + j - ia]);
	}
	kt_near(k, "concat y", got, want, n, 0);
	for (int mask = 1; mask < 16; mask++) { /* bits: da, db, acc a, acc b */
		void *da = mask & 1 ? kt_out(k, a, mask >> 2 & 1, xa) : NULL;
		void *db = mask & 2 ? kt_out(k, b, mask >> 3 & 1, xb) : NULL;
		double *wa = kt_zeros(k, na), *wb = kt_zeros(k, nb);

		CHECK_OK(k->be->concat_bwd(k->dev, a, bc, dy, da, mask >> 2 & 1, db, mask >> 3 & 1, &k->e), &k->e);
		for (int64_t i = 0; i < na; i++)
			wa[i] = (double)x[i / ia * (ia + ib) + i % ia];
		for (int64_t i = 0; i < nb; i++)
			wb[i] = (double)x[i / ib * (ia + ib) + ia + i % ib];
		kt_acc(wa, xa, na, mask >> 2 & 1);
		kt_acc(wb, xb, nb, mask >> 3 & 1);
		if (da)
			kt_near(k, "concat da", kt_get_act(k, a, da), wa, na, TOL);
		if (db)
			kt_near(k, "concat db", kt_get_act(k, b, db), wb, nb, TOL);
	}
	kt_free(k);
}

/* Where pixel i of the small image and t of four lie in the large one: planes of w x h and 2w x 2h, or floor
 * halves. */
static int64_t fine(struct rd_dims small, struct rd_dims large, int64_t i, int t)
{
	int64_t plane = i / (small.h * small.w), y = i / small.w % small.h, x = i % small.w;

	return (plane * large.h + 2 * y + t / 2) * large.w + 2 * x + t % 2;
}

static void resample(struct kt *k, struct rd_dims d, int down)
{
	struct rd_dims up = { d.n, d.c, 2 * d.h, 2 * d.w }, half = { d.n, d.c, d.h / 2, d.w / 2 };
	struct rd_dims small = down ? half : d, large = down ? d : up, o = down ? half : up;
	int64_t n = rd_dims_elems(d), m = rd_dims_elems(o);
	float *x = kt_random(k, n, 1), *g = kt_random(k, m, 2), *start = kt_random(k, n, 3);
	double *y = kt_zeros(k, m), *dx = kt_zeros(k, n);
	void *ay = kt_out(k, o, 0, NULL), *ax = kt_act(k, d, x), *ag = kt_act(k, o, g);

	for (int64_t i = 0; i < rd_dims_elems(small); i++)
		for (int t = 0; t < 4; t++) {
			int64_t f = fine(small, large, i, t);

			if (down) {
				y[i] += 0.25 * (double)x[f];
				dx[f] += 0.25 * (double)g[i];
			} else {
				y[f] = (double)x[i];
				dx[i] += (double)g[f];
			}
		}
	CHECK_OK(down ? k->be->avgpool2_fwd(k->dev, d, ax, ay, &k->e) :
	                k->be->upsample2_fwd(k->dev, d, ax, ay, &k->e), &k->e);
	kt_near(k, down ? "avgpool y" : "upsample y", kt_get_act(k, o, ay), y, m, TOL);
	for (int acc = 0; acc < 2; acc++) {
		void *out = kt_out(k, d, acc, start);

		CHECK_OK(down ? k->be->avgpool2_bwd(k->dev, d, ag, out, acc, &k->e) :
		                k->be->upsample2_bwd(k->dev, d, ag, out, acc, &k->e), &k->e);
		kt_acc(dx, start, n, acc);
		kt_near(k, down ? "avgpool dx" : "upsample dx", kt_get_act(k, d, out), dx, n, TOL);
	}
	kt_free(k);
}

static void timestep(struct kt *k, int64_t dim, int flip, float shift)
{
	static const float t[] = { 0.0f, 1.0f, 37.5f, 999.0f };
	struct rd_timestep_desc p = {
		.n = 4,
		.dim = dim,
		.flip_sin_to_cos = flip,
		.freq_shift = shift,
		.max_period = 10000.0f,
	};
	struct rd_dims d = { 4, dim, 1, 1 };
	int64_t half = dim / 2;
	double *want = kt_zeros(k, 4 * dim);
	void *y = kt_out(k, d, 0, NULL);

	for (int i = 0; i < 4; i++)
		for (int64_t j = 0; j < half; j++) {
			double arg = (double)t[i] * exp(-log(10000.0) * (double)j / ((double)half - (double)shift));

			want[i * dim + (flip ? half : 0) + j] = sin(arg);
			want[i * dim + (flip ? 0 : half) + j] = cos(arg);
		}
	CHECK_OK(k->be->timestep(k->dev, &p, kt_flat(k, 4, t), y, &k->e), &k->e);
	kt_near(k, "timestep", kt_get_act(k, d, y), want, 4 * dim, 1.5e-4); /* f32 frequency and product, times 999 */
	kt_free(k);
}

/* Without labels every image has row 0. */
static void embed_first(struct kt *k, struct rd_dims d)
{
	int64_t px = d.h * d.w, dim = d.c * px;
	float *table = kt_random(k, 2 * dim, 1);
	double *want = kt_zeros(k, d.n * dim);
	void *y = kt_out(k, d, 0, NULL);

	for (int64_t i = 0; i < d.n * dim; i++)
		want[i] = (double)table[i % px * d.c + i % dim / px];
	CHECK_OK(k->be->embed_fwd(k->dev, d.n, dim, kt_flat(k, 2 * dim, table), NULL, y, &k->e), &k->e);
	kt_near(k, "embed without labels", kt_get_act(k, d, y), want, d.n * dim, TOL);
	kt_free(k);
}

/* A row of the table is [h, w, c]. */
static void embed(struct kt *k, struct rd_dims d)
{
	static const int32_t label[] = { 2, 0, 2, 4, 2 };
	int64_t n = d.n, px = d.h * d.w, dim = d.c * px;
	float *table = kt_random(k, 5 * dim, 1), *g = kt_random(k, n * dim, 2), *dtable = kt_flat(k, 5 * dim, table);
	int32_t *dl = kt_alloc(k, sizeof label);
	double *y = kt_zeros(k, n * dim), *dt = kt_zeros(k, 5 * dim);
	void *ay = kt_out(k, d, 0, NULL);

	CHECK_OK(k->be->put(k->dev, dl, label, sizeof label, &k->e), &k->e);
	for (int64_t i = 0; i < n * dim; i++) {
		int64_t at = label[i / dim] * dim + i % px * d.c + i % dim / px;

		y[i] = (double)table[at];
		dt[at] += (double)g[i];
	}
	CHECK_OK(k->be->embed_fwd(k->dev, n, dim, kt_flat(k, 5 * dim, table), dl, ay, &k->e), &k->e);
	kt_near(k, "embed y", kt_get_act(k, d, ay), y, n * dim, TOL);
	CHECK_OK(k->be->embed_bwd(k->dev, n, dim, dl, kt_act(k, d, g), dtable, &k->e), &k->e);
	kt_acc(dt, table, 5 * dim, 1);
	kt_near(k, "embed dtable", kt_get(k, 5 * dim, dtable), dt, 5 * dim, TOL);
	kt_free(k);
}

static void all(struct kt *k)
{
	for (size_t i = 0; i < KT_N(shapes); i++) {
		acts(k, shapes[i]);
		gates(k, shapes[i]);
		sums(k, shapes[i]);
		round_trip(k, shapes[i]);
		concat(k, shapes[i], kt_channels[i % KT_N(kt_channels)]);
		resample(k, shapes[i], 0);
		if (shapes[i].h > 1)
			resample(k, shapes[i], 1);
		embed(k, (struct rd_dims){ 1 + (int64_t)i % 5, kt_channels[i % KT_N(kt_channels)], 1, 1 });
		if (shapes[i].n <= 5)
			embed(k, shapes[i]);
		embed_first(k, shapes[i]);
	}
	gates(k, (struct rd_dims){ 2, 2064, 1, 3 }); /* more than a block's packs side by side */
	concat(k, (struct rd_dims){ 2, 96, 3, 3 }, 24);
	concat(k, (struct rd_dims){ 3, 8, 1, 3 }, 1100); /* more than a block's threads side by side */
	concat(k, (struct rd_dims){ 2, 9000, 1, 1 }, 20003); /* rows in parts */
	concat(k, (struct rd_dims){ 2, 70000, 1, 1 }, 16400);
	act_edges(k);
	timestep(k, 32, 1, 0.0f);
	timestep(k, 64, 0, 1.0f);
	timestep(k, 17, 0, 1.0f);
}

int main(void)
{
	kt_each(all);
	return check_report("kernels_simple");
}
