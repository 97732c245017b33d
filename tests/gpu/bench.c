/* Images a second of training and sampling on a CUDA device, in each precision, and what the device itself gives in the
 * same run; where a step's time goes; which engines were chosen. Prints a table, and rows of JSON into the file named. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "formats/out.h"
#include "lib/sample/sampler.h"
#include "lib/train/train.h"
#include "tests/gpu/bench.h"

struct rd_err e;
static FILE *json, *row;
static char *row_text;
static size_t row_bytes;
static int rows;

void bench_die(const char *what)
{
	fprintf(stderr, "bench_gpu: %s: %s\n", what, e.msg);
	exit(1);
}

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

FILE *bench_row(void)
{
	row = open_memstream(&row_text, &row_bytes);
	if (!row)
		exit(1);
	fputc('{', row);
	return row;
}

/* Whole, or not at all: a run that is stopped leaves the rows before. */
void bench_end_row(void)
{
	if (fclose(row))
		exit(1);
	fprintf(json, "%s%s}", rows++ ? ",\n" : "[", row_text);
	free(row_text);
	fflush(json);
	fflush(stdout);
}

/* --- networks ----------------------------------------------------------------------------------------------------- */

static const char unet[] =
	"{\"unet\": {\"_class_name\": \"UNet2DModel\", \"sample_size\": %d, \"in_channels\": 3, \"out_channels\": 3,"
	" \"block_out_channels\": [%s], \"layers_per_block\": 2, \"attention_head_dim\": null,"
	" \"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\", \"DownBlock2D\", \"DownBlock2D\"],"
	" \"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\", \"AttnUpBlock2D\", \"UpBlock2D\"],"
	" \"norm_num_groups\": 32, \"norm_eps\": 1e-6, \"downsample_padding\": 0, \"flip_sin_to_cos\": false,"
	" \"freq_shift\": 1},"
	" \"scheduler\": {\"_class_name\": \"DDIMScheduler\", \"timestep_spacing\": \"trailing\"}}";

/* Stable Diffusion 1's, or a small one of its kind. */
static const char latent[] =
	"{\"unet\": {\"_class_name\": \"UNet2DConditionModel\", \"sample_size\": %d, \"block_out_channels\": [%s],"
	" \"cross_attention_dim\": 768},"
	" \"scheduler\": {\"_class_name\": \"DDIMScheduler\", \"timestep_spacing\": \"trailing\"}}";

/* Of DiT-B's width, patches of 2. */
static const char dit[] =
	"{\"transformer\": {\"_class_name\": \"DiTTransformer2DModel\", \"sample_size\": %d, \"num_attention_heads\": 12,"
	" \"attention_head_dim\": 64, \"num_layers\": %s},"
	" \"scheduler\": {\"_class_name\": \"DDIMScheduler\", \"timestep_spacing\": \"trailing\"}}";

static struct rd_contexts contexts(void)
{
	enum { ROWS = 2, TOKENS = 77, DIM = 768 };
	static float numbers[ROWS * TOKENS * DIM];

	rd_rng_normal(1, RD_RNG_DATA, 0, numbers, sizeof numbers / sizeof *numbers);
	return (struct rd_contexts){.rows = ROWS, .tokens = TOKENS, .dim = DIM, .type = RD_F32, .data = numbers};
}

/* Operations of one forward pass over the graph's batch, and the bytes that its values take when each is written once and
 * read once. */
static void count(const struct rd_graph *g, size_t elem, double *flops, double *bytes)
{
	*flops = *bytes = 0;
	for (int i = 0; i < g->n_nodes; i++) {
		const struct rd_node_op *n = &g->node[i];
		struct rd_dims d = rd_graph_dims(g, n->out);

		*bytes += 2.0 * (double)rd_dims_elems(d) * (double)elem;
		if (n->op == RD_OP_CONV)
			*flops += 2.0 * (double)rd_dims_elems(d) * (double)(n->u.conv.in.c * n->u.conv.kernel * n->u.conv.kernel);
		else if (n->op == RD_OP_ATTENTION)
			*flops += 4.0 * (double)rd_dims_elems(d) * (double)n->u.attention.keys;
	}
}

struct result {
	const char *network, *work;
	int64_t batch;
	double seconds, flops, bytes; /* of one batch */
	double setup;                 /* seconds until the first one was done: memory, plans, kernels compiled */
	size_t memory;
};

static void report(const struct target *t, const struct result *r)
{
	double rate = (double)r->batch / r->seconds, share = r->flops / r->seconds / t->flops;
	double memory = r->bytes / r->seconds / t->bytes;
	FILE *f;

	printf("%-8s %-5s %-8s batch %4lld %10.1f images/s  %7.2f ms  %5.1f%% of the product's rate  %5.1f%% of the copy's\n",
	       r->network, rd_precision_names[t->precision], r->work, (long long)r->batch, rate, 1e3 * r->seconds, 100 * share,
	       100 * memory);
	f = bench_row();
	fprintf(f, "\"network\":\"%s\",\"precision\":\"%s\",\"work\":\"%s\",\"batch\":%lld,\"images_per_second\":%.6g,"
	        "\"ms\":%.6g,\"tflops\":%.6g,\"share_of_product\":%.4g,\"share_of_copy\":%.4g,\"product_tflops\":%.6g,"
	        "\"copy_gbs\":%.6g,\"setup_seconds\":%.4g,\"device_bytes\":%zu,\"describe\":\"%s\"",
	        r->network, rd_precision_names[t->precision], r->work, (long long)r->batch, rate, 1e3 * r->seconds,
	        1e-12 * r->flops / r->seconds, share, memory, 1e-12 * t->flops, 1e-9 * t->bytes, r->setup, r->memory,
	        t->be->describe(t->dev));
	bench_end_row();
}

static void bench_training(const struct target *t, struct rd_model *m, struct result r)
{
	size_t dim = (size_t)rd_dims_elems(rd_graph_dims(m->params, m->params->x)) / (size_t)m->params->batch;
	size_t n = 2 * (size_t)r.batch;
	float *noise = malloc(n * dim * sizeof *noise), *data = malloc(n * dim * sizeof *data);
	int32_t *label = calloc(n, sizeof *label);
	struct rd_dataset d = {.n = (int64_t)n, .dim = dim, .sample = data, .eps = noise, .label = m->net.classes ? label : NULL,
	                       .hash = "0123456789abcdef"};
	struct rd_train_opts o = {.steps = 1000000, .batch = r.batch, .lr = 1e-5, .beta1 = 0.9, .beta2 = 0.999,
	                          .adam_eps = 1e-8, .clip = 1, .ema = {.kind = RD_EMA_CONSTANT, .a = {0.999}}, .guidance = 1,
	                          .null_class = -1};
	struct rd_step_report s;
	struct rd_trainer *tr;
	double from;
	int steps = 0;

	rd_rng_normal_batch(1, RD_RNG_NOISE, 0, noise, n, dim);
	rd_rng_normal_batch(1, RD_RNG_DATA, 0, data, n, dim);
	from = bench_now();
	OK(rd_trainer_new(&tr, m, &d, NULL, t->be, t->dev, &o, &e));
	OK(rd_trainer_step(tr, &s, &e));
	r.setup = bench_now() - from;
	for (int i = 0; i < (t->quick ? 1 : 4); i++)
		OK(rd_trainer_step(tr, &s, &e));
	for (from = bench_now(); !steps || (!t->quick && bench_now() - from < 3); steps++)
		OK(rd_trainer_step(tr, &s, &e));
	r.seconds = (bench_now() - from) / steps;
	r.work = "training";
	r.flops *= 3;
	r.bytes *= 3;
	r.memory = rd_trainer_bytes(tr);
	report(t, &r);
	rd_trainer_free(tr);
	free(noise);
	free(data);
	free(label);
}

static void bench_sampling(const struct target *t, struct rd_model *m, struct result r)
{
	size_t dim = (size_t)rd_dims_elems(rd_graph_dims(m->params, m->params->x)) / (size_t)m->params->batch;
	float *noise = malloc((size_t)r.batch * dim * sizeof *noise), *out = malloc((size_t)r.batch * dim * sizeof *out);
	int32_t *label = calloc((size_t)r.batch, sizeof *label);
	struct rd_sampler_opts o = rd_sampler_defaults(&m->scheduler, false);
	struct rd_sampler *s;
	double from;
	int runs = 0;

	o.grid.steps = 10;
	rd_rng_normal_batch(1, RD_RNG_NOISE, 0, noise, (size_t)r.batch, dim);
	from = bench_now();
	OK(rd_sampler_new(&s, m, t->be, t->dev, &o, &e));
	OK(rd_sampler_run(s, r.batch, noise, m->net.classes ? label : NULL, out, NULL, &e));
	r.setup = bench_now() - from;
	for (int i = 0; i < (t->quick ? 1 : 3); i++)
		OK(rd_sampler_run(s, r.batch, noise, m->net.classes ? label : NULL, out, NULL, &e));
	for (from = bench_now(); !runs || (!t->quick && bench_now() - from < 2); runs++)
		OK(rd_sampler_run(s, r.batch, noise, m->net.classes ? label : NULL, out, NULL, &e));
	r.seconds = (bench_now() - from) / runs;
	r.work = "10 steps";
	r.flops *= rd_sampler_nfe(s);
	r.bytes *= rd_sampler_nfe(s);
	report(t, &r);
	rd_sampler_free(s);
	free(noise);
	free(out);
	free(label);
}

static void network(const struct target *t, const char *name, struct rd_model *m, int64_t batch)
{
	struct result r = {.network = name, .batch = batch};
	struct rd_graph *g;

	OK(rd_net_build(&m->net, batch, &g, &e));
	count(g, t->precision == RD_PRECISION_BF16 ? 2 : 4, &r.flops, &r.bytes);
	rd_graph_free(g);
	bench_training(t, m, r);
	bench_sampling(t, m, r);
	bench_profile(t, name, m, batch);
}

/* At its batch, and in bf16 also at one that does not fill a device, where launches and the host show. */
static void batches(const struct target *t, const char *name, struct rd_model *m, int64_t batch)
{
	network(t, name, m, batch);
	if (t->precision == RD_PRECISION_BF16)
		network(t, name, m, t->quick ? 1 : 8);
}

static void made(const struct target *t, const char *name, const char *config, int size, const char *channels, int64_t batch)
{
	const struct rd_contexts c = contexts();
	char text[2048], path[] = "/tmp/rd_bench.XXXXXX";
	struct rd_model m;
	int fd = mkstemp(path);

	if (fd < 0)
		exit(1);
	close(fd);
	snprintf(text, sizeof text, config, size, channels);
	OK(rd_out_file(path, text, strlen(text), &e));
	OK(rd_model_from_config(&m, path, &e));
	unlink(path);
	OK(rd_model_init_weights(&m, 1, &e));
	if (m.net.cond == RD_COND_CONTEXT)
		OK(rd_net_set_contexts(&m.net, &c, "contexts", &e));
	batches(t, name, &m, batch);
	rd_model_free(&m);
}

static void engines(const struct target *t)
{
	const char *line = t->be->engines ? t->be->engines(t->dev) : "";
	FILE *f = bench_row();

	fprintf(f, "\"precision\":\"%s\",\"work\":\"engines\",\"engines\":[", rd_precision_names[t->precision]);
	for (int n = 0; *line; n++) {
		int len = (int)strcspn(line, "\n");

		fprintf(f, "%s\n\"%.*s\"", n ? "," : "", len, line);
		line += len + (line[len] != 0);
	}
	fputc(']', f);
	bench_end_row();
}

static void tell_note(const char *line)
{
	fprintf(stderr, "bench_gpu: %s\n", line);
}

static void bench(struct target *t)
{
	struct rd_model m;

	t->flops = bench_product_rate(t);
	t->bytes = bench_copy_rate(t);
	printf("%s: product %.1f TFLOP/s, copy %.0f GB/s\n", t->be->describe(t->dev), 1e-12 * t->flops, 1e-9 * t->bytes);
	if (t->quick) {
		made(t, "quick", unet, 8, "32, 32, 32, 32", 2);
		made(t, "quick text", latent, 8, "32, 32, 32, 32", 2);
		made(t, "quick dit", dit, 8, "1", 2);
	} else {
		made(t, "cifar", unet, 32, "128, 256, 256, 256", 128);
		OK(rd_model_load(&m, "models/fashion-ddpm", &e));
		batches(t, "fashion", &m, 512);
		rd_model_free(&m);
		made(t, "64x64", unet, 64, "128, 256, 384, 512", 64);
		if (t->precision == RD_PRECISION_BF16) {
			made(t, "latent", latent, 64, "320, 640, 1280, 1280", 16);
			made(t, "dit", dit, 32, "12", 64);
		}
	}
	engines(t);
}

int main(int argc, char **argv)
{
	static const enum rd_precision order[] = {RD_PRECISION_BF16, RD_PRECISION_TF32, RD_PRECISION_F32};
	const char *device = argc > 2 ? argv[2] : "cuda";
	bool cpu = !strncmp(device, "cpu", 3);

	json = argc > 1 ? fopen(argv[1], "w") : NULL;
	if (!json || (argc > 3 && strcmp(argv[3], "quick"))) {
		fprintf(stderr, "usage: bench_gpu FILE.json [DEVICE [quick]]\n");
		return 2;
	}
	for (size_t i = cpu ? 2 : 0; i < sizeof order / sizeof *order; i++) {
		struct target t = {.precision = order[i], .quick = argc > 3};

		if (rd_device_open_with(device, (struct rd_dev_opts){.precision = order[i], .note = tell_note}, &t.be, &t.dev, &e))
			bench_die("device");
		bench(&t);
		t.be->close(t.dev);
	}
	fprintf(json, "]\n");
	return fclose(json) ? 1 : 0;
}
