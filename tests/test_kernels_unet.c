/* Division by image, dropout, Fourier features and filtered resampling, of every backend, against plain loops. */
#include "tests/kernels.h"

#define TOL 1e-6

static const struct rd_dims shapes[] = {
	{ 1, 1, 1, 1 }, { 3, 5, 1, 1 }, { 2, 3, 7, 8 }, { 3, 17, 3, 7 }, { 2, 24, 8, 7 }, { 1, 32, 8, 8 }, { 5, 1, 28, 28 },
	{ 3, 48, 2, 2 }, { 4, 32, 32, 32 }, { 2, 6, 3, 5 }, { 4, 9, 2, 1 }, { 5, 40, 1, 1 },
};

static void divide(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d), image = n / d.n;
	float *x = kt_random(k, n, 1), *start = kt_random(k, n, 2), *t = kt_random(k, d.n, 3);
	float *dt;

	for (int64_t i = 0; i < d.n; i++)
		t[i] = 2.0f + t[i] * (float)(i + 1);
	dt = kt_flat(k, d.n, t);
	for (int acc = 0; acc < 2; acc++) {
		void *y = kt_out(k, d, acc, start), *self = kt_act(k, d, x);
		double *want = kt_zeros(k, n);

		for (int64_t i = 0; i < n; i++)
			want[i] = (double)x[i] / (double)t[i / image];
		if (!acc) {
			CHECK_OK(k->be->divide(k->dev, d, dt, self, self, 0, &k->e), &k->e);
			kt_near(k, "divide in place", kt_get_act(k, d, self), want, n, TOL);
		}
		kt_acc(want, start, n, acc);
		CHECK_OK(k->be->divide(k->dev, d, dt, kt_act(k, d, x), y, acc, &k->e), &k->e);
		kt_near(k, "divide", kt_get_act(k, d, y), want, n, TOL);
	}
	kt_free(k);
}

/* What kernels.h says, word by word; the elements kept are counted in *kept. */
static double *dropout_reference(struct kt *k, struct rd_dims d, const struct rd_dropout_desc *p, uint64_t first,
                                 const float *x, int64_t *kept)
{
	int64_t image = d.c * d.h * d.w;
	uint32_t *word = kt_host(k, (size_t)image, sizeof *word);
	double *want = kt_zeros(k, d.n * image);

	*kept = 0;
	for (int64_t i = 0; i < d.n; i++) {
		rd_rng_words(p->seed, RD_RNG_DROPOUT, (first + (uint64_t)i) << 16 | p->layer, word, (size_t)image);
		for (int64_t j = 0; j < image; j++)
			if ((double)word[j] >= (double)p->p * 4294967296.0) {
				want[i * image + j] = (double)x[i * image + j] / (1.0 - (double)p->p);
				(*kept)++;
			}
	}
	return want;
}

static void dropout(struct kt *k, struct rd_dims d, float p, uint64_t first)
{
	struct rd_dropout_desc desc = { .p = p, .seed = 0x123456789abcdefu, .layer = 65535 };
	int64_t n = rd_dims_elems(d), kept;
	float *x = kt_random(k, n, 1), *start = kt_random(k, n, 2);
	double *want = dropout_reference(k, d, &desc, first, x, &kept);
	uint64_t *df = kt_alloc(k, sizeof first);
	void *y = kt_out(k, d, 0, NULL), *sum = kt_out(k, d, 1, start), *ax = kt_act(k, d, x);

	CHECK_OK(k->be->put(k->dev, df, &first, sizeof first, &k->e), &k->e);
	CHECK_OK(k->be->dropout(k->dev, d, &desc, df, ax, y, 0, &k->e), &k->e);
	kt_near(k, "dropout", kt_get_act(k, d, y), want, n, TOL);
	CHECK_OK(k->be->dropout(k->dev, d, &desc, df, ax, ax, 0, &k->e), &k->e);
	kt_near(k, "dropout in place", kt_get_act(k, d, ax), want, n, TOL);
	kt_acc(want, start, n, 1);
	CHECK_OK(k->be->dropout(k->dev, d, &desc, df, kt_act(k, d, x), sum, 1, &k->e), &k->e);
	kt_near(k, "dropout +=", kt_get_act(k, d, sum), want, n, TOL);
	if (n > 4096)
		CHECK_NEAR((double)kept / (double)n, 1 - p, 0.03);
	CHECK(p > 0 || kept == n);
	kt_free(k);
}

static void fourier(struct kt *k, int64_t dim, int log_t)
{
	static const float t[] = { 0.01f, 1.0f, 37.5f, 999.0f };
	struct rd_dims d = { 4, 2 * dim, 1, 1 };
	float *w = kt_random(k, dim, 1);
	double *want = kt_zeros(k, 8 * dim);
	void *y = kt_out(k, d, 0, NULL);

	for (int64_t j = 0; j < dim; j++)
		w[j] *= log_t ? 16.0f : 0.1f; /* f32 arguments of up to 700 */
	for (int i = 0; i < 4; i++)
		for (int64_t j = 0; j < dim; j++) {
			double arg = 2 * M_PI * (double)w[j] * (log_t ? log((double)t[i]) : (double)t[i]);

			want[2 * i * dim + j] = sin(arg);
			want[(2 * i + 1) * dim + j] = cos(arg);
		}
	CHECK_OK(k->be->fourier(k->dev, 4, dim, log_t, kt_flat(k, dim, w), kt_flat(k, 4, t), y, &k->e), &k->e);
	kt_near(k, "fourier", kt_get_act(k, d, y), want, 8 * dim, 1.5e-4);
	kt_free(k);
}

static const double filter[4] = { 1 / 8.0, 3 / 8.0, 3 / 8.0, 1 / 8.0 };

/* Every pair of pixels that the filter joins, p of the large plane and q of the small one; y += weight x in the direction
 * asked for. */
static void join(struct rd_dims small, int down, double gain, const float *x, double *y)
{
	int64_t H = 2 * small.h, W = 2 * small.w;

	for (int64_t plane = 0; plane < small.n * small.c; plane++)
		for (int64_t i = 0; i < small.h * small.w; i++)
			for (int kk = 0; kk < 16; kk++) {
				int64_t r = 2 * (i / small.w) - 1 + kk / 4, c = 2 * (i % small.w) - 1 + kk % 4;
				int64_t p = (plane * H + r) * W + c, q = plane * small.h * small.w + i;
				double f = gain * filter[kk / 4] * filter[kk % 4];

				if (r < 0 || r >= H || c < 0 || c >= W)
					continue;
				if (down)
					y[q] += f * (double)x[p];
				else
					y[p] += 4 * f * (double)x[q];
			}
}

static void resample(struct kt *k, struct rd_dims small, int down, float gain)
{
	struct rd_dims large = { small.n, small.c, 2 * small.h, 2 * small.w }, d = down ? large : small, o = down ? small : large;
	int64_t n = rd_dims_elems(d), m = rd_dims_elems(o);
	float *x = kt_random(k, n, 1), *start = kt_random(k, m, 2);

	for (int acc = 0; acc < 2; acc++) {
		void *y = kt_out(k, o, acc, start);
		double *want = kt_zeros(k, m);

		join(small, down, (double)gain, x, want);
		kt_acc(want, start, m, acc);
		CHECK_OK(down ? k->be->fir2_down(k->dev, d, gain, kt_act(k, d, x), y, acc, &k->e) :
		                k->be->fir2_up(k->dev, d, gain, kt_act(k, d, x), y, acc, &k->e), &k->e);
		kt_near(k, down ? "filtered down" : "filtered up", kt_get_act(k, o, y), want, m, 2 * TOL);
	}
	kt_free(k);
}

static double dot(const float *a, const float *b, int64_t n)
{
	double s = 0;

	for (int64_t i = 0; i < n; i++)
		s += (double)a[i] * (double)b[i];
	return s;
}

/* <down x, y> = <x, up y> with up's gain a quarter of down's; a constant stays what it is away from the border. */
static void adjoint(struct kt *k, struct rd_dims small)
{
	struct rd_dims large = { small.n, small.c, 2 * small.h, 2 * small.w };
	int64_t n = rd_dims_elems(large), m = rd_dims_elems(small);
	float *x = kt_random(k, n, 1), *y = kt_random(k, m, 2);
	void *dx = kt_out(k, small, 0, NULL), *uy = kt_out(k, large, 0, NULL);
	double there, back;

	CHECK_OK(k->be->fir2_down(k->dev, large, 3.0f, kt_act(k, large, x), dx, 0, &k->e), &k->e);
	CHECK_OK(k->be->fir2_up(k->dev, small, 0.75f, kt_act(k, small, y), uy, 0, &k->e), &k->e);
	there = dot(kt_get_act(k, small, dx), y, m);
	back = dot(x, kt_get_act(k, large, uy), n);
	CHECK_NEAR(there, back, 1e-5 * k->factor * (1 + sqrt((double)n)));
	kt_free(k);
}

static void all(struct kt *k)
{
	static const struct rd_dims small[] = {
		{ 1, 1, 1, 1 }, { 2, 3, 3, 4 }, { 3, 17, 2, 5 }, { 2, 24, 4, 1 }, { 1, 32, 8, 8 }, { 2, 5, 7, 7 }, { 3, 48, 16, 16 },
	};
	static const float p[] = { 0.0f, 0.1f, 0.5f, 0.999f };

	for (size_t i = 0; i < KT_N(shapes); i++) {
		divide(k, shapes[i]);
		for (size_t j = 0; j < KT_N(p); j++)
			dropout(k, shapes[i], p[j], j ? 0 : (uint64_t)1 << 40);
	}
	for (size_t i = 0; i < KT_N(small); i++) {
		for (int down = 0; down < 2; down++) {
			resample(k, small[i], down, 1.0f);
			resample(k, small[i], down, down ? 4.0f : 0.25f);
		}
		adjoint(k, small[i]);
	}
	for (int log_t = 0; log_t < 2; log_t++) {
		fourier(k, 1, log_t);
		fourier(k, 33, log_t);
	}
}

int main(void)
{
	kt_each(all);
	return check_report("kernels_unet");
}
