/* The ops that solvers and the trainer use: combine, clamp, losses, AdamW, the norm, the normals; and the device. */
#include "tests/kernels.h"

#define TOL 1e-6

static void combine(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d), image = n / d.n;
	float *a = kt_random(k, d.n, 1), *b = kt_random(k, d.n, 2), *x = kt_random(k, n, 3), *y = kt_random(k, n, 4);
	double *ax = kt_zeros(k, n), *both = kt_zeros(k, n);
	void *dx = kt_sample(k, d, x), *dy = kt_sample(k, d, y), *out = kt_poison(k, k->be->sample_bytes(d));
	float *da = kt_flat(k, d.n, a), *db = kt_flat(k, d.n, b);

	for (int64_t i = 0; i < n; i++) {
		ax[i] = (double)a[i / image] * (double)x[i];
		both[i] = ax[i] + (double)b[i / image] * (double)y[i];
	}
	CHECK_OK(k->be->combine(k->dev, d, da, dx, NULL, NULL, out, &k->e), &k->e);
	kt_near(k, "combine of one", kt_get_sample(k, d, out), ax, n, TOL);
	CHECK_OK(k->be->combine(k->dev, d, da, dx, db, dy, out, &k->e), &k->e);
	kt_near(k, "combine", kt_get_sample(k, d, out), both, n, TOL);
	CHECK_OK(k->be->combine(k->dev, d, da, dx, db, dy, dy, &k->e), &k->e);
	kt_near(k, "combine onto y", kt_get_sample(k, d, dy), both, n, TOL);
	CHECK_OK(k->be->combine(k->dev, d, da, dx, NULL, NULL, dx, &k->e), &k->e);
	kt_near(k, "combine onto x", kt_get_sample(k, d, dx), ax, n, TOL);
	kt_free(k);
}

static void clamp(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d);
	float *x = kt_random(k, n, 1);
	double *want = kt_zeros(k, n);
	void *dx = kt_sample(k, d, x);

	for (int64_t i = 0; i < n; i++)
		want[i] = fmin(fmax((double)x[i], -0.25), 0.5);
	CHECK_OK(k->be->clamp(k->dev, d, -0.25f, 0.5f, dx, &k->e), &k->e);
	kt_near(k, "clamp", kt_get_sample(k, d, dx), want, n, TOL);
	kt_free(k);
}

/* |r|^2 of an image */
static double squares(const float *pred, const float *target, int64_t at, int64_t image, double scale)
{
	double sum = 0.0;

	for (int64_t i = at * image; i < (at + 1) * image; i++)
		sum += scale * scale * ((double)pred[i] - (double)target[i]) * ((double)pred[i] - (double)target[i]);
	return sum;
}

static void loss(struct kt *k, struct rd_dims d, enum rd_loss kind, float c, float closeness)
{
	struct rd_loss_desc p = { .d = d, .kind = kind, .c = c };
	int64_t n = rd_dims_elems(d), image = n / d.n;
	float *pred = kt_random(k, n, 1), *target = kt_random(k, n, 2);
	float *scale = kt_random(k, d.n, 3), *weight = kt_random(k, d.n, 4);
	float *per = kt_poison(k, (size_t)d.n * sizeof *per), *per2 = kt_poison(k, (size_t)d.n * sizeof *per2);
	double *want = kt_zeros(k, d.n), *grad = kt_zeros(k, n);
	void *dpred = kt_poison(k, k->be->sample_bytes(d)), *ap, *at;

	for (int64_t i = 0; i < n; i++)
		target[i] = pred[i] + closeness * target[i];
	for (int64_t i = 0; i < d.n; i++)
		weight[i] *= (float)n; /* gradients of about 1 */
	for (int64_t i = 0; i < n; i++) {
		double s = (double)scale[i / image], r = s * ((double)pred[i] - (double)target[i]), cc = (double)c * (double)c;
		double root = sqrt((kind == RD_LOSS_HUBER_IMAGE ? squares(pred, target, i / image, image, s) : r * r) + cc);

		want[i / image] += (kind == RD_LOSS_L2 ? r * r : (root - (double)c) / (kind == RD_LOSS_HUBER ? 1.0 : (double)image)) /
		                   (double)image;
		grad[i] = (double)weight[i / image] / (double)n * s * (kind == RD_LOSS_L2 ? 2.0 * r : r / root);
	}
	ap = kt_sample(k, d, pred);
	at = kt_sample(k, d, target);
	scale = kt_flat(k, d.n, scale);
	CHECK_OK(k->be->loss(k->dev, &p, ap, at, scale, kt_flat(k, d.n, weight), per, dpred, &k->e), &k->e);
	CHECK_OK(k->be->loss(k->dev, &p, ap, at, scale, NULL, per2, NULL, &k->e), &k->e);
	for (int64_t i = 0; i < d.n; i++) {
		CHECK_NEAR(kt_get(k, d.n, per)[i], want[i], 2e-6 * want[i] * k->factor);
		CHECK_NEAR(kt_get(k, d.n, per2)[i], want[i], 2e-6 * want[i] * k->factor);
	}
	kt_near(k, "loss dpred", kt_get_sample(k, d, dpred), grad, n, TOL);
	kt_free(k);
}

static void loss_refuses(struct kt *k)
{
	struct rd_loss_desc p = { .d = { 1, 1, 1, 1 }, .kind = RD_LOSS_HUBER };
	float *one = kt_flat(k, 1, (float[]){ 1.0f }), *out = kt_flat(k, 1, (float[]){ 1.0f });
	void *x = kt_sample(k, p.d, (float[]){ 1.0f });

	CHECK(k->be->loss(k->dev, &p, x, x, one, one, out, NULL, &k->e) == RD_EDOMAIN);
	p.kind = RD_LOSS_HUBER_IMAGE;
	CHECK(k->be->loss(k->dev, &p, x, x, one, one, out, NULL, &k->e) == RD_EDOMAIN);
	kt_free(k);
}

/* Steps of torch.optim.AdamW's formula in double. */
static void adamw(struct kt *k, int64_t n, int with_ema)
{
	struct rd_adamw p = { 1e-2f, 0.9f, 0.999f, 1e-8f, 1e-1f, 0.9f, 1, 2.0 }, *dp = kt_alloc(k, sizeof p);
	double sq = 16.0, scale = 0.5, *dsq = kt_alloc(k, sizeof sq); /* norm 4, to be clipped to 2 */
	float *w0 = kt_random(k, n, 1), *w = kt_flat(k, n, w0), *zero = kt_host(k, (size_t)n, sizeof *zero);
	float *m = kt_flat(k, n, zero), *v = kt_flat(k, n, zero), *ema = with_ema ? kt_flat(k, n, w0) : NULL;
	double *wd = kt_zeros(k, n), *md = kt_zeros(k, n), *vd = kt_zeros(k, n), *ed = kt_zeros(k, n);

	for (int64_t i = 0; i < n; i++)
		ed[i] = wd[i] = (double)w0[i];
	for (p.step = 1; p.step <= 5; p.step++) {
		float *g = kt_random(k, n, 10 + (unsigned)p.step);
		double c1 = 1.0 - pow((double)p.beta1, (double)p.step), c2 = 1.0 - pow((double)p.beta2, (double)p.step);

		CHECK_OK(k->be->put(k->dev, dp, &p, sizeof p, &k->e), &k->e);
		CHECK_OK(k->be->put(k->dev, dsq, &sq, sizeof sq, &k->e), &k->e);
		CHECK_OK(k->be->adamw(k->dev, dp, dsq, (size_t)n, w, kt_flat(k, n, g), m, v, ema, &k->e), &k->e);
		for (int64_t i = 0; i < n; i++) {
			double gi = scale * (double)g[i], lr = (double)p.lr;

			md[i] = (double)p.beta1 * md[i] + (1.0 - (double)p.beta1) * gi;
			vd[i] = (double)p.beta2 * vd[i] + (1.0 - (double)p.beta2) * gi * gi;
			wd[i] -= lr * (md[i] / c1 / (sqrt(vd[i] / c2) + (double)p.eps) + (double)p.weight_decay * wd[i]);
			ed[i] = ed[i] * (double)p.ema + wd[i] * (1.0 - (double)p.ema);
		}
	}
	sq = NAN; /* changes nothing */
	CHECK_OK(k->be->put(k->dev, dsq, &sq, sizeof sq, &k->e), &k->e);
	CHECK_OK(k->be->adamw(k->dev, dp, dsq, (size_t)n, w, kt_flat(k, n, w0), m, v, ema, &k->e), &k->e);
	kt_near(k, "adamw w", kt_get(k, n, w), wd, n, TOL);
	kt_near(k, "adamw m", kt_get(k, n, m), md, n, TOL);
	kt_near(k, "adamw v", kt_get(k, n, v), vd, n, TOL);
	if (ema)
		kt_near(k, "adamw ema", kt_get(k, n, ema), ed, n, TOL);
	kt_free(k);
}

/* The first backend's sum of each length, bit for bit what the others must find: the order depends on n alone. */
static void sqnorm(struct kt *k, int64_t n, double *first)
{
	float *x = kt_random(k, n, 1), *dx = kt_flat(k, n ? n : 1, x);
	double want = 0.0, got = NAN, *out = kt_poison(k, sizeof got);
	void *ws = kt_poison(k, k->be->sqnorm_ws_bytes((size_t)n) + 1);

	for (int64_t i = 0; i < n; i++)
		want += (double)x[i] * (double)x[i];
	CHECK_OK(k->be->sqnorm(k->dev, (size_t)n, dx, out, ws, &k->e), &k->e);
	CHECK_OK(k->be->get(k->dev, &got, out, sizeof got, &k->e), &k->e);
	CHECK_NEAR(got, want, 1e-6 * want);
	if (*first == 0.0)
		*first = got;
	else if (k->factor <= 1.0)
		CHECK(memcmp(first, &got, sizeof got) == 0);
	kt_free(k);
}

static void normal(struct kt *k, struct rd_dims d)
{
	int64_t n = rd_dims_elems(d), image = n / d.n;
	float *want = kt_host(k, (size_t)n, sizeof *want), *got;
	void *x = kt_poison(k, k->be->sample_bytes(d));

	CHECK_OK(k->be->normal(k->dev, d, 7, RD_RNG_NOISE, 1000, x, &k->e), &k->e);
	for (int64_t i = 0; i < d.n; i++)
		rd_rng_normal(7, RD_RNG_NOISE, 1000 + (uint64_t)i, want + i * image, (size_t)image);
	got = kt_get_sample(k, d, x);
	CHECK(memcmp(want, got, (size_t)n * sizeof *want) == 0);
	kt_free(k);
}

static void all(struct kt *k)
{
	static const struct rd_dims shapes[] = {
		{ 1, 1, 1, 1 }, { 3, 5, 1, 1 }, { 7, 3, 7, 8 }, { 2, 17, 3, 3 }, { 4, 3, 64, 64 },
	};
	static const int64_t sizes[] = { 1, 17, 255, 4097, 65536, 200001 };
	static double first[KT_N(sizes)];

	for (size_t i = 0; i < KT_N(shapes); i++) {
		combine(k, shapes[i]);
		clamp(k, shapes[i]);
		normal(k, shapes[i]);
		for (float closeness = 1e-4f; closeness < 2.0f; closeness *= 100.0f) {
			loss(k, shapes[i], RD_LOSS_L2, 0.0f, closeness);
			loss(k, shapes[i], RD_LOSS_HUBER, 1e-3f, closeness);
			loss(k, shapes[i], RD_LOSS_HUBER_IMAGE, 1e-2f, closeness);
		}
	}
	loss_refuses(k);
	for (size_t i = 0; i < KT_N(sizes); i++) {
		adamw(k, sizes[i], i % 2 == 0);
		sqnorm(k, sizes[i], &first[i]);
	}
	sqnorm(k, 0, &(double){ 0.0 });
}

static void devices(void)
{
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_err e;
	void *p;

	CHECK_OK(rd_device_open("cpu", 2, &be, &dev, &e), &e);
	CHECK(strcmp(be->name, "cpu") == 0);
	CHECK(strncmp(be->describe(dev), "cpu, 2 threads, ", 16) == 0);
	CHECK_OK(be->alloc(dev, &p, 0, &e), &e);
	CHECK(p && (uintptr_t)p % 64 == 0);
	be->release(dev, p);
	CHECK(be->alloc(dev, &p, SIZE_MAX - 10, &e) == RD_ENOMEM && !p);
	CHECK_OK(be->sync(dev, &e), &e);
	be->close(dev);
	CHECK_OK(rd_device_open("auto", 0, &be, &dev, &e), &e);
	be->close(dev);
	CHECK(rd_device_open("gpu", 0, &be, &dev, &e) == RD_EUSAGE && !be && !dev && strstr(e.msg, "gpu"));
	CHECK(rd_device_open("cuda:x", 0, &be, &dev, &e) == RD_EUSAGE);
	CHECK(rd_device_open("cpu", -1, &be, &dev, &e) == RD_EUSAGE);
}

int main(void)
{
	devices();
	kt_each(all);
	return check_report("kernels_train");
}
