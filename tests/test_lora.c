/* Low-rank adapters against the network that has their products in its weights: its output is theirs, and of the gradient G by a
 * weight W = W0 + B A the gradients by A and B are B' G and G A'. */
#include <stdlib.h>
#include <string.h>

#include "lib/graph/exec.h"
#include "lib/sample/denoiser.h"
#include "tests/check.h"
#include "tests/device.h"
#include "tests/graphs.h"

#define BATCH 3
#define RANK 3
#define CANARY 64 /* floats behind what is to be written */

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;

struct result {
	float *y, *dw; /* output, and the gradient of a sum of the outputs with random weights */
	size_t n_y;
};

static float *numbers(size_t n, uint64_t stream, float scale)
{
	float *p = calloc(n + CANARY, sizeof *p);

	rd_rng_normal(5, RD_RNG_DATA, stream, p, n);
	for (size_t i = 0; i < n; i++)
		p[i] *= scale;
	return p;
}

/* Forward and backward of g with these parameters (n_flat floats on the host). */
static struct result run(const struct rd_graph *g, const float *params, struct rd_exec_opts o)
{
	static const float t[BATCH] = {0.25f, 17.5f, 999};
	static const int32_t label[BATCH] = {2, 0, 2};
	const struct rd_dims dx = rd_graph_dims(g, g->x), dy = rd_graph_dims(g, g->y);
	struct result r = {.n_y = (size_t)rd_dims_elems(dy)};
	float *x = numbers((size_t)rd_dims_elems(dx), 1, 1), *weight = numbers(r.n_y, 2, 1), *w, *grads;
	const size_t back = (g->n_trained + CANARY) * sizeof(float);
	struct rd_exec *exec;

	r.y = calloc(r.n_y, sizeof *r.y);
	r.dw = calloc(1, back);
	CHECK_OK(rd_exec_new(&exec, g, be, dev, o, &e), &e);
	CHECK_OK(be->alloc(dev, (void **)&w, g->n_flat * sizeof *w, &e), &e);
	CHECK_OK(be->alloc(dev, (void **)&grads, back, &e), &e);
	CHECK_OK(be->zero(dev, grads, back, &e), &e);
	CHECK_OK(be->put(dev, w, params, g->n_flat * sizeof *w, &e), &e);
	CHECK_OK(rd_exec_load(exec, w, &e), &e);
	CHECK_OK(be->sample_import(dev, dx, x, rd_exec_value(exec, g->x), &e), &e);
	CHECK_OK(rd_exec_put_times(exec, t, &e), &e);
	CHECK_OK(rd_exec_put_labels(exec, label, &e), &e);
	CHECK_OK(rd_exec_forward(exec, &e), &e);
	CHECK_OK(be->sample_export(dev, dy, rd_exec_value(exec, g->y), r.y, &e), &e);
	CHECK_OK(be->sample_import(dev, dy, weight, rd_exec_grad(exec, g->y), &e), &e);
	CHECK_OK(rd_exec_backward(exec, grads, &e), &e);
	CHECK_OK(be->get(dev, r.dw, grads, back, &e), &e);
	be->release(dev, w);
	be->release(dev, grads);
	rd_exec_free(exec);
	free(x);
	free(weight);
	return r;
}

static void result_free(struct result *r)
{
	free(r->y);
	free(r->dw);
}

/* |a - b| over |b| */
static double distance(const float *a, const float *b, size_t n)
{
	double d = 0, norm = 0;

	for (size_t i = 0; i < n; i++) {
		d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
		norm += (double)b[i] * (double)b[i];
	}
	return sqrt(d / (norm > 0 ? norm : 1));
}

static const struct rd_param *named(const struct rd_graph *g, const char *layer, const char *leaf)
{
	char name[RD_PARAM_NAME + 16];

	snprintf(name, sizeof name, "%s.%s", layer, leaf);
	for (int i = 0; i < g->n_params; i++)
		if (!strcmp(g->param[i].name, name))
			return &g->param[i];
	return NULL;
}

/* to [rows, cols] = a' b, with a [k, rows] and b [k, cols], or a b' with a [rows, k] and b [cols, k] */
static void product(bool first, const float *a, const float *b, size_t rows, size_t cols, size_t k, float *to)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++) {
			double s = 0;

			for (size_t l = 0; l < k; l++)
				s += first ? (double)a[l * rows + i] * (double)b[l * cols + j] : (double)a[i * k + l] * (double)b[j * k + l];
			to[i * cols + j] = (float)s;
		}
}

/* The layer whose weight is w, with what the gradients of its adapter should be by that of the merged weight. */
static double gradient_error(const struct rd_graph *g, const struct rd_graph *merged, const struct rd_param *w, const float *params,
                             const float *dw, const float *dmerged)
{
	char layer[RD_PARAM_NAME];
	const struct rd_param *a, *b;
	size_t out, in;
	float *want;
	double worst;

	snprintf(layer, sizeof layer, "%.*s", (int)(strrchr(w->name, '.') - w->name), w->name);
	a = named(g, layer, "lora_A.weight");
	b = named(g, layer, "lora_B.weight");
	if (!a || !b)
		return -1;
	CHECK(named(merged, layer, "weight")->offset == w->offset - g->n_adapters);
	out = (size_t)w->shape.d[0];
	in = w->n_elems / out;
	want = calloc(RANK * (out + in), sizeof *want);
	product(true, params + b->offset, dmerged + w->offset - g->n_adapters, RANK, in, out, want);
	worst = distance(dw + a->offset, want, RANK * in);
	product(false, dmerged + w->offset - g->n_adapters, params + a->offset, out, RANK, in, want);
	worst = fmax(worst, distance(dw + b->offset, want, RANK * out));
	free(want);
	return worst;
}

static void check(const char *name, const char *config, enum rd_lora_layers layers)
{
	struct rd_graph *g = graphs_adapted(config, BATCH, (struct rd_lora){RANK, layers}), *merged = graphs_build(config, BATCH);
	const size_t n = g->n_adapters;
	float *params = numbers(g->n_flat, 3, 0.2f), *flat;
	struct result a, again, b;
	double worst = 0;
	int adapted = 0;

	CHECK(n == g->n_trained && g->n_flat == n + merged->n_flat && rd_graph_param_count(g) == rd_graph_param_count(merged));
	CHECK(rd_graph_tensor_count(g) == rd_graph_tensor_count(merged) && rd_graph_adapter_count(merged) == 0);
	rd_graph_compute_params(g, params);
	flat = calloc(merged->n_flat, sizeof *flat);
	memcpy(flat, params + n, merged->n_flat * sizeof *flat);
	rd_graph_merge_adapters(g, params, flat);
	a = run(g, params, (struct rd_exec_opts){.training = true});
	again = run(g, params, (struct rd_exec_opts){.training = true, .recompute = true});
	b = run(merged, flat, (struct rd_exec_opts){.training = true});
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *w = &g->param[i];
		double error = -1;

		CHECK(w->frozen == !w->adapter && (w->offset < n) == w->adapter);
		if (!w->adapter && w->shape.nd > 1 && strrchr(w->name, '.'))
			error = gradient_error(g, merged, w, params, a.dw, b.dw);
		adapted += error >= 0;
		worst = fmax(worst, error);
	}
	for (size_t i = 0; i < CANARY; i++)
		CHECK(a.dw[n + i] == 0);
	CHECK(!memcmp(a.dw, again.dw, n * sizeof *a.dw) && !memcmp(a.y, again.y, a.n_y * sizeof *a.y));
	printf("  %s, %s: %d layers with adapters; output %.1g, gradients at worst %.1g\n", name, layers ? "attention" : "all", adapted,
	       distance(a.y, b.y, a.n_y), worst);
	CHECK(distance(a.y, b.y, a.n_y) < test_bound(2e-5) && worst < test_bound(2e-4) && worst > 0);
	CHECK(adapted >= 4);
	result_free(&a);
	result_free(&again);
	result_free(&b);
	free(params);
	free(flat);
	rd_graph_free(g);
	rd_graph_free(merged);
}

/* New adapters do nothing: B is 0, and A is not. Another seed draws others; what is behind them is not touched. */
static void fresh(void)
{
	struct rd_graph *g = graphs_adapted(graphs_unet, BATCH, (struct rd_lora){RANK, RD_LORA_ALL}), *plain = graphs_build(graphs_unet, BATCH);
	float *params = numbers(g->n_flat, 3, 0.2f), *other = numbers(g->n_flat, 3, 0.2f);
	struct result a, b;

	rd_graph_init_adapters(g, 1, params);
	rd_graph_init_adapters(g, 2, other);
	CHECK(!memcmp(params + g->n_adapters, other + g->n_adapters, plain->n_flat * sizeof *params));
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];
		size_t zeros = 0, same = 0;

		for (size_t k = 0; k < p->n_elems && p->adapter; k++) {
			zeros += params[p->offset + k] == 0;
			same += params[p->offset + k] == other[p->offset + k];
		}
		if (p->adapter)
			CHECK(strstr(p->name, "lora_B") ? zeros == p->n_elems : zeros + same < p->n_elems / 2);
	}
	a = run(g, params, (struct rd_exec_opts){.training = true});
	b = run(plain, params + g->n_adapters, (struct rd_exec_opts){.training = true});
	CHECK(!memcmp(a.y, b.y, a.n_y * sizeof *a.y));
	result_free(&a);
	result_free(&b);
	free(params);
	free(other);
	rd_graph_free(g);
	rd_graph_free(plain);
}

/* x0 of a few images at one node. */
static float *denoised(struct rd_denoiser *d, const struct rd_model *m)
{
	static const int32_t label[BATCH] = {1, 0, 4};
	const struct rd_dims dims = rd_denoiser_dims(d);
	const struct rd_node node = rd_node_at(&m->scheduler.schedule, 400);
	const size_t n = (size_t)rd_dims_elems(dims), bytes = be->sample_bytes(dims);
	float *host = numbers(n, 6, 1);
	void *x, *x0, *eps;

	CHECK_OK(be->alloc(dev, &x, bytes, &e), &e);
	CHECK_OK(be->alloc(dev, &x0, bytes, &e), &e);
	CHECK_OK(be->alloc(dev, &eps, bytes, &e), &e);
	CHECK_OK(be->sample_import(dev, dims, host, x, &e), &e);
	CHECK_OK(rd_denoiser_labels(d, label, &e), &e);
	CHECK_OK(rd_denoiser_eval(d, &node, x, x0, eps, &e), &e);
	CHECK_OK(be->sample_export(dev, dims, x0, host, &e), &e);
	be->release(dev, x);
	be->release(dev, x0);
	be->release(dev, eps);
	return host;
}

/* A denoiser of a model with adapters is at first the model's own; given others, one of the model that has those in its weights. */
static void denoisers(void)
{
	const struct rd_denoiser_opts plain = {.guidance = 1, .null_class = -1},
	                              adapted = {.guidance = 1, .null_class = -1, .lora = {RANK, RD_LORA_ALL}};
	struct rd_denoiser *d;
	struct rd_graph *g;
	struct rd_model m;
	float *adapters, *on_device, *own, *same, *other, *merged;
	size_t n;

	CHECK_OK(rd_model_load(&m, "tests/golden/class-scale-shift/model", &e), &e);
	CHECK_OK(rd_net_build_adapted(&m.net, 1, adapted.lora, &g, &e), &e);
	adapters = numbers(g->n_adapters, 4, 0.2f);
	CHECK_OK(be->alloc(dev, (void **)&on_device, g->n_adapters * sizeof *on_device, &e), &e);
	CHECK_OK(be->put(dev, on_device, adapters, g->n_adapters * sizeof *on_device, &e), &e);
	CHECK_OK(rd_denoiser_new(&d, &m, be, dev, BATCH, &adapted, &e), &e);
	n = (size_t)rd_dims_elems(rd_denoiser_dims(d));
	same = denoised(d, &m);
	CHECK_OK(rd_denoiser_load(d, on_device, &e), &e);
	other = denoised(d, &m);
	rd_denoiser_free(d);
	CHECK_OK(rd_denoiser_new(&d, &m, be, dev, BATCH, &plain, &e), &e);
	own = denoised(d, &m);
	rd_denoiser_free(d);
	rd_graph_merge_adapters(g, adapters, m.w);
	CHECK_OK(rd_denoiser_new(&d, &m, be, dev, BATCH, &plain, &e), &e);
	merged = denoised(d, &m);
	rd_denoiser_free(d);
	CHECK(!memcmp(same, own, n * sizeof *own));
	CHECK(distance(other, merged, n) < test_bound(2e-5) && distance(other, own, n) > 0.1);
	be->release(dev, on_device);
	free(adapters);
	free(own);
	free(same);
	free(other);
	free(merged);
	rd_graph_free(g);
	rd_model_free(&m);
}

int main(void)
{
	CHECK_OK(test_open(&be, &dev, 1, &e), &e);
	check("mlp", graphs_mlp, RD_LORA_ALL);
	check("unet", graphs_unet, RD_LORA_ALL);
	check("unet", graphs_unet, RD_LORA_ATTENTION);
	check("condition", graphs_condition, RD_LORA_ALL);
	check("condition", graphs_condition, RD_LORA_ATTENTION);
	check("dit", graphs_dit, RD_LORA_ALL);
	check("dit", graphs_dit, RD_LORA_ATTENTION);
	check("sd3", graphs_sd3, RD_LORA_ALL);
	check("sd3", graphs_sd3, RD_LORA_ATTENTION);
	fresh();
	denoisers();
	be->close(dev);
	return check_report("lora");
}
