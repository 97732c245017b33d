/* Graphs run by the executor: gradients against finite differences, the memory-saving executor against the one for
 * training, what a graph refuses. */
#include <stdlib.h>
#include <string.h>

#include "lib/graph/exec.h"
#include "tests/check.h"
#include "tests/device.h"
#include "tests/graphs.h"

#define BATCH 3

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;

/* --- a graph with its inputs -------------------------------------------------------------------------------------- */

struct bench {
	struct rd_graph *g;
	struct rd_exec *x;
	size_t n_x, n_y;          /* floats of input and output */
	float *params, *in, *out; /* host */
	double *r;                /* the loss is the sum of r y: its gradient by y is r */
	float *d_params, *d_grads;
};

/* n numbers in (-1, 1) that look random. */
static void fill(float *p, size_t n, unsigned seed)
{
	rd_rng_words(seed, RD_RNG_DATA, 0, (uint32_t *)(void *)p, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t w;

		memcpy(&w, p + i, sizeof w);
		p[i] = (float)(int32_t)w / 2147483648.0f;
	}
}

static float *random_floats(size_t n, unsigned seed)
{
	float *p = calloc(n, sizeof *p);

	fill(p, n, seed);
	return p;
}

static size_t elems(const struct rd_graph *g, rd_ref v)
{
	return (size_t)rd_dims_elems(rd_graph_dims(g, v));
}

static struct bench bench_new(struct rd_graph *g, struct rd_exec_opts o)
{
	struct bench b = {.g = g, .n_x = elems(g, g->x), .n_y = elems(g, g->y)};
	float *r;

	b.params = random_floats(g->n_flat, 1); /* biases and norms too, unlike new weights */
	for (size_t i = 0; i < g->n_flat; i++)
		b.params[i] *= 0.3f;
	b.in = random_floats(b.n_x, 2);
	r = random_floats(b.n_y, 3);
	b.out = calloc(b.n_y, sizeof *b.out);
	b.r = calloc(b.n_y, sizeof *b.r);
	for (size_t i = 0; i < b.n_y; i++)
		b.r[i] = (double)r[i];
	free(r);
	CHECK_OK(rd_exec_new(&b.x, g, be, dev, o, &e), &e);
	CHECK_OK(be->alloc(dev, (void **)&b.d_params, g->n_flat * sizeof(float), &e), &e);
	CHECK_OK(be->alloc(dev, (void **)&b.d_grads, g->n_flat * sizeof(float), &e), &e);
	return b;
}

static void bench_free(struct bench *b)
{
	be->release(dev, b->d_params);
	be->release(dev, b->d_grads);
	rd_exec_free(b->x);
	free(b->params);
	free(b->in);
	free(b->out);
	free(b->r);
}

/* Forward with the host's parameters and inputs; the loss. */
static double forward(struct bench *b)
{
	static const float t[BATCH] = {0, 17.5f, 999};
	static const int32_t label[BATCH] = {3, 0, 3};
	double loss = 0;

	CHECK_OK(be->put(dev, b->d_params, b->params, b->g->n_flat * sizeof(float), &e), &e);
	CHECK_OK(rd_exec_load(b->x, b->d_params, &e), &e);
	CHECK_OK(be->sample_import(dev, rd_graph_dims(b->g, b->g->x), b->in, rd_exec_value(b->x, b->g->x), &e), &e);
	if (b->g->t != RD_NONE)
		CHECK_OK(be->put(dev, rd_exec_value(b->x, b->g->t), t, sizeof t, &e), &e);
	if (b->g->label != RD_NONE)
		CHECK_OK(be->put(dev, rd_exec_value(b->x, b->g->label), label, sizeof label, &e), &e);
	CHECK_OK(rd_exec_forward(b->x, &e), &e);
	CHECK_OK(be->sample_export(dev, rd_graph_dims(b->g, b->g->y), rd_exec_value(b->x, b->g->y), b->out, &e), &e);
	for (size_t i = 0; i < b->n_y; i++)
		loss += b->r[i] * (double)b->out[i];
	return loss;
}

/* Gradients of the last forward: by the parameters, added to what d_grads holds, and by x where dx is not NULL. */
static void backward(struct bench *b, float *dparams, float *dx)
{
	float *dy = calloc(b->n_y, sizeof *dy);

	for (size_t i = 0; i < b->n_y; i++)
		dy[i] = (float)b->r[i];
	CHECK_OK(be->sample_import(dev, rd_graph_dims(b->g, b->g->y), dy, rd_exec_grad(b->x, b->g->y), &e), &e);
	CHECK_OK(rd_exec_backward(b->x, b->d_grads, &e), &e);
	CHECK_OK(be->get(dev, dparams, b->d_grads, b->g->n_flat * sizeof(float), &e), &e);
	if (dx)
		CHECK_OK(be->sample_export(dev, rd_graph_dims(b->g, b->g->x), rd_exec_grad(b->x, b->g->x), dx, &e), &e);
	free(dy);
}

static void zero_grads(struct bench *b)
{
	CHECK_OK(be->zero(dev, b->d_grads, b->g->n_flat * sizeof(float), &e), &e);
}

static double dot(const float *a, const float *b, size_t n)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += (double)a[i] * (double)b[i];
	return s;
}

/* max |a - b| over max |b| */
static double distance(const float *a, const float *b, size_t n)
{
	double d = 0, top = 0;

	for (size_t i = 0; i < n; i++) {
		double v = fabs((double)a[i] - (double)b[i]);

		d = v <= d ? d : v;
		top = fmax(top, fabs((double)b[i]));
	}
	return d / top;
}

/* --- finite differences ------------------------------------------------------------------------------------------- */

/* The loss with p[i] moved by step * dir[i]. */
static double loss_at(struct bench *b, float *p, const float *dir, size_t n, double step)
{
	float *was = malloc(n * sizeof *was);
	double loss;

	memcpy(was, p, n * sizeof *was);
	for (size_t i = 0; i < n; i++)
		p[i] = (float)((double)was[i] + step * (double)dir[i]);
	loss = forward(b);
	memcpy(p, was, n * sizeof *was);
	free(was);
	return loss;
}

/* The derivative along a unit direction, to fourth order in the step. */
static double derivative(struct bench *b, float *p, const float *dir, size_t n)
{
	const double h = 0.006;

	return (8 * (loss_at(b, p, dir, n, h) - loss_at(b, p, dir, n, -h)) -
	        (loss_at(b, p, dir, n, 2 * h) - loss_at(b, p, dir, n, -2 * h))) / (12 * h);
}

/* |derivative - gradient . direction| over the gradient's norm, the worst of three directions: the gradient's own and
 * two random ones. The floor keeps a gradient of nothing from asking for more digits than a loss in f32 has. */
static double worst_of(struct bench *b, float *p, const float *grad, size_t n, double floor)
{
	double norm = sqrt(dot(grad, grad, n)), worst = 0;
	float *dir = malloc(n * sizeof *dir);

	for (unsigned k = 0; k < 3; k++) {
		double len;

		if (k == 0)
			memcpy(dir, grad, n * sizeof *dir);
		else
			fill(dir, n, 10 + k);
		len = sqrt(dot(dir, dir, n));
		for (size_t i = 0; i < n; i++)
			dir[i] = len > 0 ? (float)((double)dir[i] / len) : 0;
		worst = fmax(worst, fabs(derivative(b, p, dir, n) - dot(grad, dir, n)) / fmax(norm, floor));
	}
	free(dir);
	return worst;
}

static void gradients(const char *name, struct rd_graph *g)
{
	struct bench b = bench_new(g, (struct rd_exec_opts){.training = true, .input_grad = true});
	float *dw = calloc(g->n_flat, sizeof *dw), *dx = calloc(b.n_x, sizeof *dx);
	double worst, worst_param = 0, floor;

	zero_grads(&b);
	forward(&b);
	backward(&b, dw, dx);
	floor = 0.02 * sqrt(dot(dw, dw, g->n_flat));
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];

		worst = worst_of(&b, b.params + p->offset, dw + p->offset, p->n_elems, floor);
		if (!(worst < 2e-3))
			fprintf(stderr, "%s: gradient by %s: error %.2g of its norm\n", name, p->name, worst);
		CHECK(worst < 2e-3);
		worst_param = fmax(worst, worst_param);
	}
	worst = worst_of(&b, b.in, dx, b.n_x, 0);
	printf("  %s: gradients against finite differences: by x %.1g, by %d parameters at worst %.1g\n", name, worst,
	       g->n_params, worst_param);
	CHECK(worst < 2e-3);
	free(dw);
	free(dx);
	bench_free(&b);
}

/* --- executors ---------------------------------------------------------------------------------------------------- */

static bool padding_is_zero(const struct rd_graph *g, const float *dw)
{
	for (int i = 0; i < g->n_params; i++) {
		size_t end = i + 1 < g->n_params ? g->param[i + 1].offset : g->n_flat;

		for (size_t k = g->param[i].offset + g->param[i].n_elems; k < end; k++)
			if (dw[k] != 0)
				return false;
	}
	return true;
}

/* Inference, in reused memory, and training give the same output, the first time and again; backward adds to what is
 * there; asking for the gradient by x changes nothing else. */
static void executors(const char *name, struct rd_graph *g)
{
	struct bench inf = bench_new(g, (struct rd_exec_opts){.training = false}),
	             train = bench_new(g, (struct rd_exec_opts){.training = true}),
	             both = bench_new(g, (struct rd_exec_opts){.training = true, .input_grad = true});
	size_t n = g->n_flat;
	float *dw = calloc(n, sizeof *dw), *twice = calloc(n, sizeof *twice), *dx = calloc(both.n_x, sizeof *dx),
	      *first = calloc(inf.n_y, sizeof *first);

	forward(&inf);
	memcpy(first, inf.out, inf.n_y * sizeof *first);
	forward(&inf);
	CHECK(!memcmp(first, inf.out, inf.n_y * sizeof *first));
	zero_grads(&train);
	forward(&train);
	CHECK(distance(train.out, inf.out, inf.n_y) < test_bound(1e-5));
	backward(&train, dw, NULL);
	forward(&train);
	backward(&train, twice, NULL);
	for (size_t i = 0; i < n; i++)
		twice[i] /= 2;
	CHECK(distance(twice, dw, n) < 1e-5);
	CHECK(padding_is_zero(g, dw));

	zero_grads(&both);
	forward(&both);
	backward(&both, twice, dx);
	CHECK(distance(twice, dw, n) < 1e-6);
	printf("  %s: %zu KiB for inference, %zu for training\n", name, rd_exec_bytes(inf.x) / 1024,
	       rd_exec_bytes(train.x) / 1024);
	CHECK(rd_exec_bytes(inf.x) < rd_exec_bytes(train.x));
	free(dw);
	free(twice);
	free(dx);
	free(first);
	bench_free(&inf);
	bench_free(&train);
	bench_free(&both);
}

/* With its activations computed a second time the gradients have the same bits, and so has the output after backward. */
static void recomputed(struct rd_graph *g)
{
	struct bench plain = bench_new(g, (struct rd_exec_opts){.training = true, .input_grad = true}),
	             again = bench_new(g, (struct rd_exec_opts){.training = true, .input_grad = true, .recompute = true});
	size_t n = g->n_flat, nx = plain.n_x;
	float *dw = calloc(2 * n, sizeof *dw), *dx = calloc(2 * nx, sizeof *dx);

	zero_grads(&plain);
	zero_grads(&again);
	for (int i = 0; i < 2; i++) { /* the second time over what the first one left */
		forward(&plain);
		backward(&plain, dw, dx);
		forward(&again);
		backward(&again, dw + n, dx + nx);
		CHECK(!memcmp(plain.out, again.out, plain.n_y * sizeof *plain.out));
		CHECK(!memcmp(dw, dw + n, n * sizeof *dw) && !memcmp(dx, dx + nx, nx * sizeof *dx));
	}
	CHECK(rd_exec_bytes(again.x) <= rd_exec_bytes(plain.x));
	free(dw);
	free(dx);
	bench_free(&plain);
	bench_free(&again);
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

/* One after another at aligned places, the same for every batch; new weights are a function of the seed. */
static void parameters(void)
{
	struct rd_graph *g = graphs_every_op(BATCH), *one = graphs_every_op(1);
	float *a = calloc(g->n_flat, sizeof *a), *b = calloc(g->n_flat, sizeof *b);
	size_t at = 0, count = 0;

	CHECK(one->n_params == g->n_params && one->n_flat == g->n_flat);
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];

		CHECK(p->offset >= at && p->offset % RD_PARAM_ALIGN == 0);
		CHECK(!strcmp(p->name, one->param[i].name) && p->offset == one->param[i].offset);
		at = p->offset + p->n_elems;
		count += p->n_elems;
	}
	CHECK(at <= g->n_flat && rd_graph_param_count(g) == (int64_t)count);
	CHECK(!strcmp(g->param[0].name, "time.weight") && !strcmp(g->param[1].name, "time.bias"));
	CHECK(g->param[0].shape.nd == 2 && g->param[0].shape.d[0] == 16 && g->param[0].shape.d[1] == 8);

	rd_graph_init_params(g, 5, a);
	rd_graph_init_params(g, 5, b);
	CHECK(!memcmp(a, b, g->n_flat * sizeof *a) && padding_is_zero(g, a));
	rd_graph_init_params(g, 6, b);
	CHECK(memcmp(a, b, g->n_flat * sizeof *a) != 0);
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];
		double mean_sq = dot(a + p->offset, a + p->offset, p->n_elems) / (double)p->n_elems;

		if (p->init == RD_INIT_FAN_IN && p->n_elems > 500) /* uniform in +-1/sqrt(fan_in) */
			CHECK_NEAR(mean_sq * p->fan_in, 1 / 3.0, 0.05);
		else if (p->init == RD_INIT_ONE || p->init == RD_INIT_ZERO)
			CHECK(mean_sq == (p->init == RD_INIT_ONE));
	}
	free(a);
	free(b);
	rd_graph_free(g);
	rd_graph_free(one);
}

/* --- what a graph refuses ----------------------------------------------------------------------------------------- */

static const struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE};

/* x has 6 channels of 4x4 pixels, v is a vector of 6. */
static void too_large_a_kernel(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)x;
	rd_graph_conv(g, v, "c", 4, (struct rd_conv_opts){3, 1, 0, 0, RD_NONE});
}

static void conv_residual(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_conv(g, x, "c", 4, (struct rd_conv_opts){3, 1, 1, 1, x});
}

static void linear_residual(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_linear(g, v, "l", 6, x);
}

static void groups(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_groupnorm(g, x, "n", (struct rd_norm_opts){4, 1e-5f, RD_ACT_NONE, RD_NONE, RD_NONE});
}

static void shift_of_an_image(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_groupnorm(g, x, "n", (struct rd_norm_opts){3, 1e-5f, RD_ACT_NONE, x, RD_NONE});
}

static void half_a_scale_shift(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_groupnorm(g, x, "n", (struct rd_norm_opts){3, 1e-5f, RD_ACT_NONE, RD_NONE, v});
}

static void heads(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_attention(g, x, x, x, 4);
}

static void attention_to_itself(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_attention(g, v, rd_graph_act(g, v, RD_ACT_SILU), v, 2);
	(void)x;
}

static void concat_of_one(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_concat(g, x, x);
}

static void attention_shapes(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_attention(g, x, v, x, 2);
}

static void sum(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_add(g, x, v);
}

static void concat(struct rd_graph *g, rd_ref x, rd_ref v)
{
	rd_graph_concat(g, x, v);
}

static void odd_embedding(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)x;
	(void)v;
	rd_graph_timestep(g, rd_graph_raw_input(g), 7, false, 0);
}

static void pool_of_a_pixel(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)x;
	rd_graph_avgpool2(g, v);
}

static void no_channels(struct rd_graph *g, rd_ref x, rd_ref v)
{
	(void)v;
	rd_graph_conv(g, x, "c", 0, c3);
}

static void long_name(struct rd_graph *g, rd_ref x, rd_ref v)
{
	char name[200];

	(void)v;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	rd_graph_conv(g, x, name, 4, c3);
}

static void refusals(void)
{
	static const struct {
		void (*make)(struct rd_graph *g, rd_ref x, rd_ref v);
		const char *says;
	} bad[] = {
		{too_large_a_kernel, "c: a 3x3 convolution does not fit 1x1"}, {conv_residual, "c: the residual"},
		{linear_residual, "l: the residual"}, {groups, "n: 6 channels do not divide into 4 groups"},
		{shift_of_an_image, "n: the time embedding"}, {half_a_scale_shift, "n: the time embedding"},
		{heads, "6 channels do not divide into 4 heads"}, {attention_shapes, "q, k and v of different shapes"},
		{attention_to_itself, "three values"}, {concat_of_one, "with itself"}, {sum, "a sum of two shapes"},
		{concat, "4x4 and 1x1"}, {odd_embedding, "time embedding of 7"}, {pool_of_a_pixel, "[1, 6, 0, 0]"},
		{no_channels, "c:"}, {long_name, "too long"},
	};
	struct rd_graph *g;
	struct rd_exec *x;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		rd_ref image, vector;
		char first[512];

		CHECK_OK(rd_graph_new(&g, 1, &e), &e);
		image = rd_graph_input(g, 6, 4, 4);
		vector = rd_graph_input(g, 6, 1, 1);
		bad[i].make(g, image, vector);
		CHECK(rd_graph_check(g, &e) == RD_ESHAPE);
		if (!strstr(e.msg, bad[i].says))
			fprintf(stderr, "'%s' does not say '%s'\n", e.msg, bad[i].says);
		CHECK(strstr(e.msg, bad[i].says));
		/* it stays the first error, whatever follows, and nothing runs */
		snprintf(first, sizeof first, "%s", e.msg);
		CHECK(rd_graph_act(g, image, RD_ACT_SILU) == RD_NONE && rd_graph_conv(g, image, "d", 0, c3) == RD_NONE);
		CHECK(rd_exec_new(&x, g, be, dev, (struct rd_exec_opts){0}, &e) == RD_ESHAPE && !x && !strcmp(e.msg, first));
		rd_graph_free(g);
	}
	CHECK_OK(rd_graph_new(&g, 0, &e), &e);
	CHECK(rd_graph_input(g, 1, 1, 1) == RD_NONE && rd_graph_check(g, &e) == RD_ESHAPE);
	rd_graph_free(g);
	CHECK_OK(rd_graph_new(&g, 1, &e), &e);
	CHECK(rd_graph_scale(g, rd_graph_input(g, 1, 1, 1), 1) == 0 && g->n_nodes == 1); /* a scale of 1 is no operation */
	rd_graph_free(g);
}

int main(void)
{
	struct rd_graph *every = graphs_every_op(BATCH), *mlp = graphs_build(graphs_mlp, BATCH),
	                *unet = graphs_build(graphs_unet, BATCH);

	CHECK_OK(test_open(&be, &dev, 1, &e), &e);
	gradients("every operation", every);
	gradients("mlp", mlp);
	for (unsigned seed = 0; seed < 12; seed++) {
		struct rd_graph *g = graphs_random(seed, BATCH);
		char name[32];

		snprintf(name, sizeof name, "drawn by seed %u", seed);
		gradients(name, g);
		executors(name, g);
		recomputed(g);
		rd_graph_free(g);
	}
	executors("every operation", every);
	executors("mlp", mlp);
	executors("unet", unet);
	recomputed(every);
	recomputed(mlp);
	recomputed(unet);
	parameters();
	refusals();
	rd_graph_free(every);
	rd_graph_free(mlp);
	rd_graph_free(unet);
	be->close(dev);
	return check_report("graph");
}
