/* Graphs run by the executor: gradients against finite differences, the memory-saving executor against the one for
 * training. */
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
	static const float t[BATCH] = {0.25f, 17.5f, 999};
	static const int32_t label[BATCH] = {3, 0, 3};
	double loss = 0;

	CHECK_OK(be->put(dev, b->d_params, b->params, b->g->n_flat * sizeof(float), &e), &e);
	CHECK_OK(rd_exec_load(b->x, b->d_params, &e), &e);
	CHECK_OK(be->sample_import(dev, rd_graph_dims(b->g, b->g->x), b->in, rd_exec_value(b->x, b->g->x), &e), &e);
	if (b->g->t != RD_NONE)
		CHECK_OK(rd_exec_put_times(b->x, t, &e), &e);
	CHECK_OK(rd_exec_put_labels(b->x, label, &e), &e);
	CHECK_OK(rd_exec_forward(b->x, &e), &e);
	CHECK_OK(be->sample_export(dev, rd_graph_dims(b->g, b->g->y), rd_exec_value(b->x, b->g->y), b->out, &e), &e);
	for (size_t i = 0; i < b->n_y; i++)
		loss += b->r[i] * (double)b->out[i];
	return loss;
}

/* Forward of images number first, first + 1, ... that all are image 0, at one time and with one label. */
static void forward_alike(struct bench *b, uint64_t first)
{
	static const float t[BATCH] = {3, 3, 3};
	static const int32_t label[BATCH] = {1, 1, 1};

	CHECK_OK(rd_exec_set_draw(b->x, first, &e), &e);
	forward(b);
	CHECK_OK(rd_exec_put_times(b->x, t, &e), &e);
	CHECK_OK(rd_exec_put_labels(b->x, label, &e), &e);
	CHECK_OK(be->sample_import(dev, rd_graph_dims(b->g, b->g->x), b->in, rd_exec_value(b->x, b->g->x), &e), &e);
	CHECK_OK(rd_exec_forward(b->x, &e), &e);
	CHECK_OK(be->sample_export(dev, rd_graph_dims(b->g, b->g->y), rd_exec_value(b->x, b->g->y), b->out, &e), &e);
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
	struct bench b = bench_new(g, (struct rd_exec_opts){.training = true, .input_grad = true, .seed = 7});
	float *dw = calloc(g->n_flat, sizeof *dw), *dx = calloc(b.n_x, sizeof *dx);
	double worst, worst_param = 0, floor;

	zero_grads(&b);
	forward(&b);
	backward(&b, dw, dx);
	floor = 0.02 * sqrt(dot(dw, dw, g->n_flat));
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];

		if (p->frozen) {
			CHECK(dot(dw + p->offset, dw + p->offset, p->n_elems) == 0);
			continue;
		}
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
		size_t end = g->param[i].offset + g->param[i].n_elems;

		for (size_t k = end; k % RD_PARAM_ALIGN; k++)
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
	CHECK(rd_exec_bytes(inf.x) <= rd_exec_bytes(train.x)); /* as many where all that is trained is the last layer */
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

/* --- products with the Jacobian ----------------------------------------------------------------------------------- */

/* The gradient by x alone, as often as it is asked for: training's without dropout, and inference's output. */
static void products(const char *name, struct rd_graph *g, struct rd_graph *noisy)
{
	struct bench want = bench_new(g, (struct rd_exec_opts){.training = true, .input_grad = true}),
	             have = bench_new(noisy, (struct rd_exec_opts){.vjp = true});
	float *grads = calloc(g->n_flat, sizeof *grads), *dx = calloc(want.n_x, sizeof *dx), *got = calloc(want.n_x, sizeof *got);
	struct rd_dims x = rd_graph_dims(g, g->x), y = rd_graph_dims(g, g->y);
	float *dy = calloc(want.n_y, sizeof *dy);

	forward(&want);
	zero_grads(&want);
	backward(&want, grads, dx);
	forward(&have);
	CHECK(distance(have.out, want.out, want.n_y) <= test_bound(1e-6));
	for (int k = 0; k < 3; k++) {
		float factor = k == 1 ? -2 : 1; /* another direction between two that are the same */

		for (size_t i = 0; i < want.n_y; i++)
			dy[i] = factor * (float)want.r[i];
		CHECK_OK(be->sample_import(dev, y, dy, rd_exec_grad(have.x, noisy->y), &e), &e);
		CHECK_OK(rd_exec_backward(have.x, NULL, &e), &e);
		CHECK_OK(be->sample_export(dev, x, rd_exec_grad(have.x, noisy->x), got, &e), &e);
		for (size_t i = 0; i < want.n_x; i++)
			got[i] /= factor;
		if (!(distance(got, dx, want.n_x) <= test_bound(1e-5)))
			fprintf(stderr, "%s, product %d: %g\n", name, k, distance(got, dx, want.n_x));
		CHECK(distance(got, dx, want.n_x) <= test_bound(1e-5));
	}
	free(grads);
	free(dx);
	free(got);
	free(dy);
	bench_free(&want);
	bench_free(&have);
}

/* One after another at aligned places, those that are not trained at the end, the same for every batch; new weights are a
 * function of the seed. */
static void parameters(void)
{
	struct rd_graph *g = graphs_every_op(BATCH, 0.3f), *one = graphs_every_op(1, 0.3f);
	float *a = calloc(g->n_flat, sizeof *a), *b = calloc(g->n_flat, sizeof *b);
	size_t at = 0, count = 0, frozen = g->n_trained;

	CHECK(one->n_params == g->n_params && one->n_flat == g->n_flat);
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];

		CHECK(p->offset == (p->frozen ? frozen : at) && p->frozen == (p->computed || !strcmp(p->name, "frequencies.weight") || !strcmp(p->name, "grid.pos_embed")));
		CHECK(p->computed == (!strcmp(p->name, "position.table") || !strcmp(p->name, "grid.table")));
		CHECK(!strcmp(p->name, one->param[i].name) && p->offset == one->param[i].offset);
		*(p->frozen ? &frozen : &at) += (p->n_elems + RD_PARAM_ALIGN - 1) / RD_PARAM_ALIGN * RD_PARAM_ALIGN;
		count += p->computed ? 0 : p->n_elems;
	}
	CHECK(rd_graph_tensor_count(g) == g->n_params - 2);
	CHECK(at == g->n_trained && frozen == g->n_flat && at < frozen && rd_graph_param_count(g) == (int64_t)count);
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
		else if (p->init == RD_INIT_FREQUENCY)
			CHECK(mean_sq > 16 && mean_sq < 1024);
	}
	free(a);
	free(b);
	rd_graph_free(g);
	rd_graph_free(one);
}

/* Their order is that of declarations, and a U-Net's that of diffusers: the shortcut before conv2, which it is added to. */
static void declared(void)
{
	static const char *const names[] = {"a.weight", "a.bias", "b.weight", "b.bias"};
	struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE}, c1 = {1, 1, 0, 0, RD_NONE};
	struct rd_graph *g;
	rd_ref x;
	int seen = 0;

	CHECK_OK(rd_graph_new(&g, 2, &e), &e);
	x = rd_graph_input(g, 6, 4, 4);
	rd_graph_conv_declare(g, 6, "a", 4, 1);
	c1.residual = rd_graph_conv(g, x, "b", 4, c3);
	rd_graph_conv(g, x, "a", 4, c1);
	CHECK_OK(rd_graph_check(g, &e), &e);
	CHECK(g->n_params == 4 && g->n_nodes == 3);
	for (int i = 0; i < 4; i++)
		CHECK(!strcmp(g->param[i].name, names[i]));
	CHECK(g->node[1].param[0] == 2 && g->node[1].param[1] == 3 && g->node[2].param[0] == 0 && g->node[2].param[1] == 1);
	rd_graph_free(g);
	g = graphs_build(graphs_unet, 1);
	for (int i = 0; i + 2 < g->n_params; i++)
		if (strstr(g->param[i].name, "conv_shortcut.weight")) {
			CHECK(strstr(g->param[i - 1].name, "norm2.bias") && strstr(g->param[i + 2].name, "conv2.weight"));
			seen++;
		}
	CHECK(seen == 11);
	rd_graph_free(g);
}

/* --- dropout ------------------------------------------------------------------------------------------------------ */

/* Image i of a batch whose draw is `first` has the masks of image first + i, alone in a batch or not; another draw or seed
 * has others; and inference has none: the graph without dropout gives the same. */
static void masks(struct rd_graph *noisy, struct rd_graph *every)
{
	const struct rd_exec_opts train = {.training = true, .seed = 7}, other = {.training = true, .seed = 8}, infer = {0};
	struct bench b = bench_new(noisy, train), c = bench_new(noisy, other), i = bench_new(noisy, infer),
	             p = bench_new(every, infer);
	float *was = calloc(b.n_y, sizeof *was);
	size_t image = b.n_y / BATCH, in = b.n_x / BATCH, same;

	CHECK_OK(rd_exec_set_draw(b.x, 1000, &e), &e);
	forward(&b);
	memcpy(was, b.out, b.n_y * sizeof *was);
	forward(&b);
	CHECK(!memcmp(was, b.out, b.n_y * sizeof *was));
	CHECK_OK(rd_exec_set_draw(b.x, 1001, &e), &e);
	forward(&b);
	CHECK(distance(b.out, was, b.n_y) > 1e-3);
	/* with all images (and their times and labels) alike, a draw of one more is the batch moved on by one */
	same = BATCH - 1;
	for (size_t k = 1; k < BATCH; k++)
		memcpy(b.in + k * in, b.in, in * sizeof *b.in);
	forward_alike(&b, 1000);
	memcpy(was, b.out, b.n_y * sizeof *was);
	forward_alike(&b, 1001);
	CHECK(!memcmp(was + image, b.out, same * image * sizeof *was) && memcmp(was, b.out, image * sizeof *was) != 0);
	forward_alike(&c, 1000);
	CHECK(distance(c.out, was, image) > 1e-3);

	forward(&i);
	forward(&p);
	CHECK(!memcmp(i.out, p.out, p.n_y * sizeof *was));
	free(was);
	bench_free(&b);
	bench_free(&c);
	bench_free(&i);
	bench_free(&p);
}

int main(void)
{
	struct rd_graph *every = graphs_every_op(BATCH, 0), *noisy = graphs_every_op(BATCH, 0.3f), *mlp = graphs_build(graphs_mlp, BATCH),
	                *unet = graphs_build(graphs_unet, BATCH), *condition = graphs_build(graphs_condition, BATCH),
	                *dit = graphs_build(graphs_dit, BATCH), *sd3 = graphs_build(graphs_sd3, BATCH);

	CHECK_OK(test_open(&be, &dev, 1, &e), &e);
	gradients("every operation", noisy);
	gradients("mlp", mlp);
	gradients("condition", condition);
	gradients("dit", dit);
	gradients("sd3", sd3);
	for (unsigned seed = 0; seed < 12; seed++) {
		struct rd_graph *g = graphs_random(seed, BATCH, 0), *n = graphs_random(seed, BATCH, 0.3f);
		char name[32];

		snprintf(name, sizeof name, "drawn by seed %u", seed);
		gradients(name, n);
		executors(name, g);
		recomputed(g);
		products(name, g, n);
		rd_graph_free(g);
		rd_graph_free(n);
	}
	executors("every operation", every);
	executors("mlp", mlp);
	executors("unet", unet);
	executors("condition", condition);
	executors("dit", dit);
	executors("sd3", sd3);
	recomputed(every);
	recomputed(mlp);
	recomputed(unet);
	recomputed(condition);
	recomputed(dit);
	recomputed(sd3);
	recomputed(noisy);
	products("every operation", every, noisy);
	products("mlp", mlp, mlp);
	products("unet", unet, unet);
	products("condition", condition, condition);
	products("sd3", sd3, sd3);
	parameters();
	declared();
	masks(noisy, every);
	rd_graph_free(every);
	rd_graph_free(noisy);
	rd_graph_free(mlp);
	rd_graph_free(unet);
	rd_graph_free(condition);
	rd_graph_free(dit);
	rd_graph_free(sd3);
	be->close(dev);
	return check_report("graph");
}
