/* Networks: images a second, sampled in one step and trained on, and the share of a lone convolution's rate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/out.h"
#include "lib/sample/sampler.h"
#include "lib/train/train.h"
#include "tests/bench/bench.h"

/* google/ddpm-cifar10-32: 35.7 million parameters. */
static const char cifar[] =
	"{\"unet\": {\"_class_name\": \"UNet2DModel\", \"sample_size\": 32, \"in_channels\": 3, \"out_channels\": 3,"
	" \"block_out_channels\": [128, 256, 256, 256], \"layers_per_block\": 2, \"attention_head_dim\": null,"
	" \"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\", \"DownBlock2D\", \"DownBlock2D\"],"
	" \"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\", \"AttnUpBlock2D\", \"UpBlock2D\"],"
	" \"norm_num_groups\": 32, \"norm_eps\": 1e-6, \"downsample_padding\": 0, \"flip_sin_to_cos\": false,"
	" \"freq_shift\": 1},"
	" \"scheduler\": {\"_class_name\": \"DDIMScheduler\", \"timestep_spacing\": \"trailing\"}}";

/* --- floating point operations ------------------------------------------------------------------------------------ */

static double conv_flops(const struct rd_conv2d_desc *d)
{
	struct rd_dims y = rd_conv2d_out(d);

	return 2.0 * (double)rd_dims_elems(y) * (double)(d->in.c * d->kernel * d->kernel);
}

/* One forward pass over the graph's batch. */
static double graph_flops(const struct rd_graph *g)
{
	double sum = 0;

	for (int i = 0; i < g->n_nodes; i++) {
		const struct rd_node_op *n = &g->node[i];
		struct rd_dims d = rd_graph_dims(g, n->out);

		if (n->op == RD_OP_CONV)
			sum += conv_flops(&n->u.conv);
		else if (n->op == RD_OP_ATTENTION) /* q k^T, and the probabilities by v */
			sum += 4.0 * (double)rd_dims_elems(d) * (double)(d.h * d.w);
	}
	return sum;
}

/* --- one convolution ---------------------------------------------------------------------------------------------- */

struct conv {
	const struct bench *b;
	struct rd_conv2d *plan;
	struct rd_conv2d_params par;
	void *x, *y, *dy, *dx, *ws;
	float *dw, *db;
	int calls; /* in one run, so that a run lasts */
};

static void conv_forward(void *ctx)
{
	struct conv *c = ctx;
	struct rd_err e;

	for (int i = 0; i < c->calls; i++)
		BENCH_OK(c->b->be->conv2d_fwd(c->b->dev, c->plan, &c->par, c->x, c->y, 0, c->ws, &e), &e);
}

static void conv_both(void *ctx)
{
	struct conv *c = ctx;
	struct rd_err e;

	for (int i = 0; i < c->calls; i++) {
		BENCH_OK(c->b->be->conv2d_fwd(c->b->dev, c->plan, &c->par, c->x, c->y, 0, c->ws, &e), &e);
		BENCH_OK(c->b->be->conv2d_bwd(c->b->dev, c->plan, &c->par, c->x, c->dy, c->dx, 0, c->dw, c->db, c->ws, &e), &e);
	}
}

/* A device buffer of n floats that are no zeros. */
static void *floats(const struct bench *b, size_t bytes)
{
	size_t n = bytes / sizeof(float);
	float *host = malloc(bytes + 1);
	struct rd_err e;
	void *p;

	rd_rng_normal_batch(1, RD_RNG_DATA, 0, host, 1, n);
	BENCH_OK(b->be->alloc(b->dev, &p, bytes, &e), &e);
	BENCH_OK(b->be->put(b->dev, p, host, n * sizeof *host, &e), &e);
	free(host);
	return p;
}

/* Rates in GFLOP/s of a 3x3 convolution: the best of several runs, as what a network can hope for. */
struct peak {
	double forward, both;
};

static struct peak conv_peak(const struct bench *b, int64_t batch, int64_t ch, int64_t size)
{
	struct rd_conv2d_desc d = {{batch, ch, size, size}, ch, 3, 1, 1, 1};
	struct conv c = {.b = b, .calls = 1};
	size_t act = b->be->act_bytes(d.in), n_w = (size_t)(ch * ch * 9) * sizeof(float),
	       n_b = (size_t)ch * sizeof(float);
	int runs = b->quick ? 3 : 7;
	double t[BENCH_MAX_RUNS], flops = conv_flops(&d);
	struct peak p;
	struct rd_err e;

	BENCH_OK(b->be->conv2d_new(b->dev, &d, RD_CONV_ALL, &c.plan, &e), &e);
	void **bufs[] = {&c.par.packed, &c.x, &c.y, &c.dy, &c.dx, &c.ws, (void **)&c.par.w, (void **)&c.par.b, (void **)&c.dw,
	                 (void **)&c.db};
	size_t bytes[] = {b->be->conv2d_packed_bytes(c.plan), act, act, act, act, b->be->conv2d_ws_bytes(c.plan), n_w, n_b, n_w,
	                  n_b};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		*bufs[i] = floats(b, bytes[i]);
	BENCH_OK(b->be->conv2d_pack(b->dev, 1, &c.plan, &c.par, &e), &e);
	c.calls = (int)(0.05 / (bench_time(conv_forward, &c) + 1e-6)) + 1;
	bench_times(conv_forward, &c, runs, t);
	p.forward = 1e-9 * flops * c.calls / bench_least(t, runs);
	bench_times(conv_both, &c, runs, t);
	p.both = 3e-9 * flops * c.calls / bench_least(t, runs);
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		b->be->release(b->dev, *bufs[i]);
	b->be->conv2d_free(c.plan);
	bench_print(&BENCH_ROW(.gflops = p.forward), "3x3 convolution %d to %d, %dx%d, batch %d", (int)ch, (int)ch,
	            (int)size, (int)size, (int)batch);
	bench_print(&BENCH_ROW(.gflops = p.both), "  with its backward");
	return p;
}

/* --- one network -------------------------------------------------------------------------------------------------- */

struct job {
	struct rd_sampler *s;
	struct rd_trainer *t;
	int64_t batch;
	float *noise, *sample;
	int32_t *label;
};

static void sample(void *ctx)
{
	struct job *j = ctx;
	struct rd_err e;

	BENCH_OK(rd_sampler_run(j->s, j->batch, j->noise, j->label, j->sample, NULL, &e), &e);
}

static void train(void *ctx)
{
	struct job *j = ctx;
	struct rd_step_report r;
	struct rd_err e;

	BENCH_OK(rd_trainer_step(j->t, &r, &e), &e);
}

static void report(const char *name, const char *what, int64_t batch, double seconds, double flops, double peak)
{
	double gflops = 1e-9 * flops / seconds;

	bench_print(&BENCH_ROW(.rate = (double)batch / seconds, .unit = "images/s", .gflops = gflops, .share = gflops / peak),
	            "%s, %s, batch %d", name, what, (int)batch);
}

/* m has weights; pairs of noise with noise will do: the arithmetic is the same. */
static void network(const struct bench *b, const char *name, const struct rd_model *m, int64_t batch, struct peak p)
{
	size_t dim = (size_t)(m->net.sample.d[0] * m->net.sample.d[1] * m->net.sample.d[2]), all = (size_t)batch * dim;
	struct rd_sampler_opts so = rd_sampler_defaults(&m->scheduler, false);
	struct rd_train_opts to = {.steps = 1000, .batch = batch, .lr = 1e-6, .beta1 = 0.9, .beta2 = 0.999, .adam_eps = 1e-8,
	                           .clip = 1, .ema = {.kind = RD_EMA_CONSTANT, .a = {0.999}}, .guidance = 1, .loss = RD_LOSS_HUBER, .huber_c = 1e-3, .null_class = -1};
	struct job j = {.batch = batch, .noise = malloc(all * sizeof(float)), .sample = malloc(all * sizeof(float)),
	                .label = calloc((size_t)batch, sizeof(int32_t))};
	struct rd_dataset d = {.n = batch, .dim = dim, .sample = j.noise, .eps = j.noise, .label = j.label};
	double t[BENCH_MAX_RUNS], flops;
	struct rd_graph *g;
	struct rd_err e;

	rd_rng_normal_batch(1, RD_RNG_NOISE, 0, j.noise, (size_t)batch, dim);
	BENCH_OK(rd_net_build(&m->net, batch, &g, &e), &e);
	flops = graph_flops(g);
	rd_graph_free(g);
	so.solver = (struct rd_solver){.family = RD_DDIM};
	so.grid = (struct rd_grid_opts){.steps = 1};
	BENCH_OK(rd_sampler_new(&j.s, m, b->be, b->dev, &so, &e), &e);
	bench_times(sample, &j, b->runs, t);
	report(name, "sampling in one step", batch, bench_median(t, b->runs), flops, p.forward);
	rd_sampler_free(j.s);
	BENCH_OK(rd_trainer_new(&j.t, m, &d, NULL, b->be, b->dev, &to, &e), &e);
	bench_times(train, &j, b->runs, t);
	report(name, "training", batch, bench_median(t, b->runs), 3 * flops, p.both);
	rd_trainer_free(j.t);
	free(j.noise);
	free(j.sample);
	free(j.label);
}

void bench_networks(struct bench *b)
{
	struct rd_model m;
	char path[600];
	struct peak p;
	struct rd_err e;

	p = conv_peak(b, 64, 64, 28);
	BENCH_OK(rd_model_load(&m, "models/fashion-ddpm", &e), &e);
	network(b, "Fashion U-Net, 1.1M", &m, 64, p);
	rd_model_free(&m);

	p = conv_peak(b, 8, 128, 32);
	snprintf(path, sizeof path, "%s/cifar.json", b->tmp);
	BENCH_OK(rd_out_file(path, cifar, strlen(cifar), &e), &e);
	BENCH_OK(rd_model_from_config(&m, path, &e), &e);
	BENCH_OK(rd_model_init_weights(&m, 1, &e), &e);
	network(b, "CIFAR-10 U-Net, 35.7M", &m, 8, p);
	rd_model_free(&m);
}
