/* What the device itself gives: the bounds that networks are measured by. */
#include "tests/gpu/bench.h"

void *bench_sample(const struct target *t, struct rd_dims d)
{
	void *p;

	OK(t->be->alloc(t->dev, &p, t->be->sample_bytes(d), &e));
	OK(t->be->normal(t->dev, d, 1, RD_RNG_DATA, 0, p, &e));
	return p;
}

void *bench_act(const struct target *t, struct rd_dims d)
{
	void *s = bench_sample(t, d), *p;

	if (!t->be->narrow)
		return s;
	OK(t->be->alloc(t->dev, &p, t->be->act_bytes(d), &e));
	OK(t->be->narrow(t->dev, d, s, p, &e));
	OK(t->be->sync(t->dev, &e));
	t->be->release(t->dev, s);
	return p;
}

/* As a convolution by one pixel, whose weights are packed once: the product and nothing else. */
double bench_product_rate(const struct target *t)
{
	const int64_t n = t->quick ? 64 : 8192;
	const int calls = 10;
	struct rd_dims d = {n, n, 1, 1};
	const struct rd_conv2d_desc one = {.in = d, .out_c = n, .kernel = 1, .stride = 1};
	void *x = bench_act(t, d), *y = bench_act(t, d), *w = bench_sample(t, d), *ws;
	struct rd_conv2d_params par = {.w = w};
	struct rd_conv2d *p;
	double best = 1e9;

	OK(t->be->conv2d_new(t->dev, &one, RD_CONV_Y, &p, &e));
	OK(t->be->alloc(t->dev, &par.packed, t->be->conv2d_packed_bytes(p), &e));
	OK(t->be->alloc(t->dev, &ws, t->be->conv2d_ws_bytes(p), &e));
	OK(t->be->conv2d_pack(t->dev, 1, &p, &par, &e));
	for (int run = 0; run < (t->quick ? 2 : 4); run++) {
		double from = bench_now();

		for (int i = 0; i < calls; i++)
			OK(t->be->conv2d_fwd(t->dev, p, &par, x, y, 0, ws, &e));
		OK(t->be->sync(t->dev, &e));
		if (run && bench_now() - from < best)
			best = bench_now() - from;
	}
	t->be->conv2d_free(p);
	void *all[] = {x, y, w, par.packed, ws};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		t->be->release(t->dev, all[i]);
	return 2.0 * (double)n * (double)n * (double)n * calls / best;
}

double bench_copy_rate(const struct target *t)
{
	const struct rd_dims d = {t->quick ? 16 : 1024, 256, 32, 32}; /* 1 GiB */
	const size_t bytes = (size_t)rd_dims_elems(d) * sizeof(float);
	const int calls = 10;
	void *x = bench_sample(t, d), *y = bench_sample(t, d);
	double best = 1e9;

	for (int run = 0; run < (t->quick ? 2 : 4); run++) {
		double from = bench_now();

		for (int i = 0; i < calls; i++)
			OK(t->be->copy(t->dev, y, x, bytes, &e));
		OK(t->be->sync(t->dev, &e));
		if (run && bench_now() - from < best)
			best = bench_now() - from;
	}
	t->be->release(t->dev, x);
	t->be->release(t->dev, y);
	return 2.0 * (double)bytes * calls / best;
}
