/* Log-densities along the ODE: against closed forms where there are any, and the traces of networks against differences of
 * the denoiser. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/json.h"
#include "formats/out.h"
#include "lib/base/size.h"
#include "lib/sample/likelihood.h"
#include "lib/sample/sampler.h"
#include "tests/check.h"
#include "tests/device.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;

static const struct rd_trace_opts exact = {.kind = RD_TRACE_EXACT};

static struct rd_trace_opts hutchinson(int probes, uint64_t seed)
{
	return (struct rd_trace_opts){.kind = RD_TRACE_HUTCHINSON, .probes = probes, .seed = seed};
}

static struct rd_solver solver(enum rd_solver_family family, enum rd_solver_type type)
{
	return (struct rd_solver){.family = family, .type = type};
}

static struct rd_sampler_opts backwards(const struct rd_model *m, struct rd_solver s, int steps, enum rd_spacing spacing,
                                        struct rd_trace_opts trace)
{
	struct rd_sampler_opts o = rd_sampler_defaults(&m->scheduler, false);

	o.reverse = true;
	o.solver = s;
	o.grid = (struct rd_grid_opts){.steps = steps, .spacing = spacing};
	o.denoise.trace = trace;
	return o;
}

/* logp of n samples, as images first, first + 1, ... */
static void likelihood(const struct rd_model *m, struct rd_sampler_opts o, uint64_t first, int64_t n, const float *data,
                       const int32_t *label, double *logp)
{
	size_t dim;
	struct rd_sampler *s;
	float *noise;

	CHECK_OK(rd_shape_elems(&m->net.sample, &dim, &e), &e);
	noise = calloc((size_t)n * dim, sizeof *noise);
	CHECK_OK(rd_sampler_new(&s, m, be, dev, &o, &e), &e);
	CHECK_OK(rd_sampler_run(s, n, data, label, noise, &(struct rd_record){.logp = logp, .first = first}, &e), &e);
	rd_sampler_free(s);
	free(noise);
}

/* --- closed forms ------------------------------------------------------------------------------------------------- */

#define MU 0.5
#define S 0.5
#define GAUSS_N 40
#define GAUSS_DIM 3

static double log_normal(double x, double mean, double std)
{
	return -(x - mean) * (x - mean) / (2 * std * std) - log(std) - log(2 * M_PI) / 2;
}

/* What the exact flow makes of standard normal noise times the start's scale. It is affine: deviations of x/alpha from the mean go
 * as the deviation sqrt(s^2 + n^2) does. At alpha = 0, x is the limit of alpha times that. */
static double pushed(const struct rd_model *m, const struct rd_sampler_opts *o, const float *x)
{
	const struct rd_node *a, *b;
	struct rd_sampler *s;
	double dev_a, dev_b, start, factor, sum = 0;

	CHECK_OK(rd_sampler_new(&s, m, be, dev, o, &e), &e);
	a = &rd_sampler_grid(s)->from[0];
	b = &rd_sampler_grid(s)->to[rd_sampler_grid(s)->steps - 1];
	dev_a = hypot(S, a->sigma / a->alpha);
	dev_b = hypot(S * b->alpha, b->sigma); /* of x itself */
	start = rd_sampler_grid(s)->start_scale;
	factor = dev_b / dev_a / start;
	for (int j = 0; j < GAUSS_DIM; j++)
		sum += log_normal(b->alpha * MU / start + factor * ((double)x[j] - MU), 0, 1) + log(factor);
	rd_sampler_free(s);
	return sum;
}

struct distances {
	double pushed, density; /* mean absolute distance to what the flow makes, and to the density itself */
};

static struct distances gauss_distances(const char *form, struct rd_solver s, int steps, enum rd_spacing spacing,
                                        struct rd_trace_opts t)
{
	struct distances d = {0, 0};
	float x[GAUSS_N * GAUSS_DIM];
	double logp[GAUSS_N];
	struct rd_sampler_opts o;
	struct rd_model m;
	char name[64];

	snprintf(name, sizeof name, "analytic:gauss,dim=%d,form=%s", GAUSS_DIM, form);
	CHECK_OK(rd_model_load(&m, name, &e), &e);
	rd_rng_normal(4, RD_RNG_DATA, 0, x, LEN(x));
	for (size_t i = 0; i < LEN(x); i++)
		x[i] = (float)MU + (float)S * x[i];
	o = backwards(&m, s, steps, spacing, t);
	likelihood(&m, o, 0, GAUSS_N, x, NULL, logp);
	for (int i = 0; i < GAUSS_N; i++) {
		double want = 0;

		for (int j = 0; j < GAUSS_DIM; j++)
			want += log_normal((double)x[i * GAUSS_DIM + j], MU, S);
		d.density += fabs(logp[i] - want) / GAUSS_N;
		d.pushed += fabs(logp[i] - pushed(&m, &o, x + (size_t)i * GAUSS_DIM)) / GAUSS_N;
	}
	rd_model_free(&m);
	return d;
}

/* Every form, rule and coordinate; the mean of |logp| is about 2.5. The Jacobian is a multiple of the identity, so a probe finds
 * the trace too. */
static void gauss(void)
{
	static const char *const forms[] = {"ddpm", "vp", "subvp", "ve", "fm"};
	const struct rd_solver rk4 = solver(RD_RK4, RD_TYPE_NOISE), heun = solver(RD_HEUN, RD_TYPE_NOISE);
	struct distances d;

	for (size_t f = 0; f < LEN(forms); f++) {
		bool fm = !strcmp(forms[f], "fm"); /* its range ends at alpha = 0 */

		d = gauss_distances(forms[f], rk4, 150, RD_SPACING_TRAILING, exact);
		CHECK_NEAR(d.pushed, 0, 5e-4);
		CHECK_NEAR(d.density, 0, 0.01);
		d = gauss_distances(forms[f], rk4, 150, RD_SPACING_TRAILING, hutchinson(1, 3));
		CHECK_NEAR(d.pushed, 0, 5e-4);
		d = gauss_distances(forms[f], heun, 900, fm ? RD_SPACING_LINSPACE : RD_SPACING_EXPONENTIAL, exact);
		CHECK_NEAR(d.pushed, 0, 2e-3);
		if (!fm) {
			d = gauss_distances(forms[f], solver(RD_RK4, RD_TYPE_DATA), 150, RD_SPACING_EXPONENTIAL, exact);
			CHECK_NEAR(d.pushed, 0, 5e-4);
		}
	}
	d = gauss_distances("fm", solver(RD_HEUN, RD_TYPE_VELOCITY), 150, RD_SPACING_TRAILING, exact);
	CHECK_NEAR(d.pushed, 0, 2e-3);
}

/* Halved steps: a quarter of the error by Heun's rule, a sixteenth by rk4. */
static void orders(void)
{
	const struct rd_solver rk4 = solver(RD_RK4, RD_TYPE_NOISE), heun = solver(RD_HEUN, RD_TYPE_NOISE);

	for (int steps = 40; steps <= 80; steps *= 2) {
		double a = gauss_distances("vp", heun, steps, RD_SPACING_EXPONENTIAL, exact).pushed,
		       b = gauss_distances("vp", heun, 2 * steps, RD_SPACING_EXPONENTIAL, exact).pushed;

		CHECK_NEAR(log2(a / b), 2, 0.25);
		a = gauss_distances("vp", rk4, steps / 4, RD_SPACING_EXPONENTIAL, exact).pushed;
		b = gauss_distances("vp", rk4, steps / 2, RD_SPACING_EXPONENTIAL, exact).pushed;
		CHECK_NEAR(log2(a / b), 4, 0.7);
	}
}

/* A density sums to one over a grid, and is the mixture's. */
static void mixture(void)
{
	enum { SIDE = 105 };
	const double step = 0.05, lo = -2.6;
	static float x[SIDE * SIDE][2];
	static double logp[SIDE * SIDE];
	double sum = 0, worst = 0;
	struct rd_model m;

	for (int i = 0; i < SIDE * SIDE; i++) {
		x[i][0] = (float)(lo + step * (i % SIDE));
		x[i][1] = (float)(lo + step * (i / SIDE));
	}
	CHECK_OK(rd_model_load(&m, "analytic:mixture", &e), &e);
	likelihood(&m, backwards(&m, solver(RD_RK4, RD_TYPE_NOISE), 60, RD_SPACING_EXPONENTIAL, exact), 0, SIDE * SIDE, x[0], NULL,
	           logp);
	for (int i = 0; i < SIDE * SIDE; i++) {
		double p = 0, q = 0;

		sum += exp(logp[i]) * step * step;
		p = log_normal((double)x[i][0], 1, 0.3) + log_normal((double)x[i][1], 1, 0.3);
		q = log_normal((double)x[i][0], -1, 0.3) + log_normal((double)x[i][1], -1, 0.3);
		p = exp(p) / 3 + exp(q) * 2 / 3;
		if (p > 1e-4)
			worst = fmax(worst, fabs(logp[i] - log(p)));
	}
	CHECK_NEAR(sum, 1, 1e-3);
	CHECK_NEAR(worst, 0, 0.05);
	rd_model_free(&m);
}

/* Many images of one sample have probes of their own: their mean is the exact value, and it is not found by chance. */
static void many_probes(void)
{
	enum { COPIES = 2000 };
	static float x[COPIES][2];
	static double logp[COPIES];
	const struct rd_solver rk4 = solver(RD_RK4, RD_TYPE_NOISE);
	double want, sum = 0, square = 0, var[2];
	struct rd_model m;

	CHECK_OK(rd_model_load(&m, "analytic:mixture,form=vp", &e), &e);
	for (int i = 0; i < COPIES; i++) {
		x[i][0] = 0.35f;
		x[i][1] = -0.2f;
	}
	likelihood(&m, backwards(&m, rk4, 30, RD_SPACING_EXPONENTIAL, exact), 0, 1, x[0], NULL, &want);
	for (int p = 0; p < 2; p++) {
		likelihood(&m, backwards(&m, rk4, 30, RD_SPACING_EXPONENTIAL, hutchinson(p ? 8 : 1, 7)), 0, COPIES, x[0], NULL,
		           logp);
		sum = square = 0;
		for (int i = 0; i < COPIES; i++) {
			sum += logp[i] / COPIES;
			square += logp[i] * logp[i] / COPIES;
		}
		var[p] = square - sum * sum;
		CHECK(var[p] > 1e-3);
		CHECK_NEAR(sum, want, 4 * sqrt(var[p] / COPIES));
	}
	CHECK_NEAR(var[0] / var[1], 8, 1.5); /* a mean of eight */
	rd_model_free(&m);
}

/* --- networks ----------------------------------------------------------------------------------------------------- */

static const char mlp[] =
	"{\"unet\": {\"_class_name\": \"MLPModel\", \"sample_shape\": [3], \"hidden_dim\": 16, \"num_layers\": 2,"
	" \"time_embedding_dim\": 8, \"num_class_embeds\": 4},"
	" \"scheduler\": {\"_class_name\": \"RectdiffScheduler\", \"form\": \"%s\", \"prediction_type\": \"%s\"}}";

/* With attention, and a dropout that must not be heard of. */
static const char unet[] =
	"{\"unet\": {\"_class_name\": \"UNet2DModel\", \"sample_size\": 8, \"in_channels\": 1, \"out_channels\": 1,"
	" \"block_out_channels\": [8, 16], \"layers_per_block\": 1, \"norm_num_groups\": 4, \"attention_head_dim\": 8,"
	" \"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\"], \"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"],"
	" \"num_class_embeds\": 4, \"dropout\": 0.3},"
	" \"scheduler\": {\"_class_name\": \"RectdiffScheduler\", \"form\": \"%s\", \"prediction_type\": \"%s\"}}";

static struct rd_model network(const char *config, const char *form, const char *prediction)
{
	char path[300], text[2048];
	const char *tmp = getenv("TMPDIR");
	struct rd_model m;

	snprintf(path, sizeof path, "%s/rd_likelihood.%ld.json", tmp ? tmp : "/tmp", (long)getpid());
	snprintf(text, sizeof text, config, form, prediction);
	CHECK_OK(rd_out_file(path, text, strlen(text), &e), &e);
	CHECK_OK(rd_model_from_config(&m, path, &e), &e);
	unlink(path);
	CHECK_OK(rd_model_init_weights(&m, 5, &e), &e);
	for (int k = 0; k < m.params->n_params; k++) { /* new ones make some layers nothing */
		struct rd_param *p = &m.params->param[k];

		rd_rng_normal(6, RD_RNG_INIT, (uint64_t)k, m.w + p->offset, p->n_elems);
		for (size_t i = 0; i < p->n_elems; i++)
			m.w[p->offset + i] *= (float)(p->fan_in > 0 ? 1.5 / sqrt(p->fan_in) : 0.5);
	}
	m.null_class = m.net.classes - 1;
	return m;
}

enum { BATCH = 4, MAX_DIM = 64 };

struct evaluation {
	float x0[BATCH * MAX_DIM], eps[BATCH * MAX_DIM];
	double tr_x0[BATCH], tr_eps[BATCH];
};

static struct evaluation evaluate(const struct rd_model *m, const struct rd_node *node, const struct rd_denoiser_opts *o,
                                  uint64_t first, const float *x)
{
	static const int32_t label[BATCH] = {0, 1, 2, 0};
	struct evaluation r = {0};
	struct rd_denoiser *d;
	struct rd_dims dims;
	void *dx, *dx0, *deps;

	CHECK_OK(rd_denoiser_new(&d, m, be, dev, BATCH, o, &e), &e);
	dims = rd_denoiser_dims(d);
	CHECK_OK(be->alloc(dev, &dx, be->sample_bytes(dims), &e), &e);
	CHECK_OK(be->alloc(dev, &dx0, be->sample_bytes(dims), &e), &e);
	CHECK_OK(be->alloc(dev, &deps, be->sample_bytes(dims), &e), &e);
	CHECK_OK(rd_denoiser_labels(d, label, &e), &e);
	rd_denoiser_trace(d, true, first);
	CHECK_OK(be->sample_import(dev, dims, x, dx, &e), &e);
	CHECK_OK(rd_denoiser_eval(d, node, dx, dx0, deps, &e), &e);
	CHECK_OK(be->sample_export(dev, dims, dx0, r.x0, &e), &e);
	CHECK_OK(be->sample_export(dev, dims, deps, r.eps, &e), &e);
	if (o->trace.kind != RD_TRACE_NONE) {
		rd_denoiser_add_traces(d, 1, 0, r.tr_x0);
		rd_denoiser_add_traces(d, 0, 1, r.tr_eps);
	}
	be->release(dev, dx);
	be->release(dev, dx0);
	be->release(dev, deps);
	rd_denoiser_free(d);
	return r;
}

/* The trace by central differences, to fourth order, one coordinate of all images after another. */
static void differences(const struct rd_model *m, const struct rd_node *node, struct rd_denoiser_opts o, const float *x, size_t dim,
                        double *tr_x0, double *tr_eps)
{
	static const double h = 0.02, weight[] = {1, -8, 8, -1}, place[] = {-2, -1, 1, 2};
	float moved[BATCH * MAX_DIM];

	o.trace = (struct rd_trace_opts){.kind = RD_TRACE_NONE};
	for (size_t j = 0; j < dim; j++)
		for (int k = 0; k < 4; k++) {
			struct evaluation r;

			memcpy(moved, x, BATCH * dim * sizeof *moved);
			for (size_t i = 0; i < BATCH; i++)
				moved[i * dim + j] += (float)(place[k] * h);
			r = evaluate(m, node, &o, 0, moved);
			for (size_t i = 0; i < BATCH; i++) {
				tr_x0[i] += weight[k] * (double)r.x0[i * dim + j] / (12 * h);
				tr_eps[i] += weight[k] * (double)r.eps[i * dim + j] / (12 * h);
			}
		}
}

/* Traces at one node: exact against differences; hutchinson's mean over many probes against exact. */
static void traces(const char *config, const char *form, const char *prediction, double guidance, double t)
{
	struct rd_model m = network(config, form, prediction);
	struct rd_node node = rd_node_at(&m.scheduler.schedule, t);
	struct rd_denoiser_opts o = {.guidance = guidance, .null_class = -1, .trace = exact};
	double fd_x0[BATCH] = {0}, fd_eps[BATCH] = {0}, scale = 0;
	float x[BATCH * MAX_DIM];
	struct evaluation r, h, plain;
	size_t dim;

	CHECK_OK(rd_shape_elems(&m.net.sample, &dim, &e), &e);
	rd_rng_normal(8, RD_RNG_DATA, 0, x, BATCH * dim);
	r = evaluate(&m, &node, &o, 0, x);
	differences(&m, &node, o, x, dim, fd_x0, fd_eps);
	for (int i = 0; i < BATCH; i++)
		scale = fmax(scale, fmax(fabs(fd_x0[i]), fabs(fd_eps[i])));
	for (int i = 0; i < BATCH; i++) {
		CHECK_NEAR(r.tr_x0[i], fd_x0[i], test_bound(3e-4) * scale);
		CHECK_NEAR(r.tr_eps[i], fd_eps[i], test_bound(3e-4) * scale);
		CHECK_NEAR(node.alpha * r.tr_x0[i] + node.sigma * r.tr_eps[i], (double)dim, 1e-4 * (double)dim * fmax(1, scale));
	}
	o.trace = (struct rd_trace_opts){.kind = RD_TRACE_NONE};
	plain = evaluate(&m, &node, &o, 0, x);
	for (size_t i = 0; i < BATCH * dim; i++)
		CHECK_NEAR(plain.eps[i], r.eps[i], test_bound(1e-5) * fmax(1, fabs((double)r.eps[i])));
	o.trace = hutchinson(1000, 11);
	h = evaluate(&m, &node, &o, 0, x);
	for (int i = 0; i < BATCH; i++)
		CHECK_NEAR(h.tr_eps[i], r.tr_eps[i], 0.25 * scale);
	rd_model_free(&m);
}

/* An image's probes are its own, whatever the batch that it is in; another seed gives others. */
static void batches(void)
{
	enum { IMAGES = 6 };
	static const int32_t label[IMAGES] = {0, 1, 2, 0, 1, 2};
	struct rd_model m = network(mlp, "fm", "flow_prediction");
	double all[IMAGES], one, other[IMAGES];
	struct rd_sampler_opts o = backwards(&m, solver(RD_HEUN, RD_TYPE_NOISE), 8, RD_SPACING_TRAILING, hutchinson(1, 1));
	float x[IMAGES * 3];
	int differ = 0;

	rd_rng_normal(2, RD_RNG_DATA, 0, x, LEN(x));
	likelihood(&m, o, 10, IMAGES, x, label, all);
	for (int i = 0; i < IMAGES; i++) {
		likelihood(&m, o, (uint64_t)(10 + i), 1, x + (size_t)i * 3, label + i, &one);
		CHECK_NEAR(one, all[i], test_bound(1e-4) * fmax(1, fabs(all[i])));
	}
	o.denoise.trace.seed = 4;
	likelihood(&m, o, 10, IMAGES, x, label, other);
	for (int i = 0; i < IMAGES; i++)
		differ += fabs(other[i] - all[i]) > 1e-3;
	CHECK(differ >= IMAGES / 2); /* of three signs, one and its negative are the same trace */
	rd_model_free(&m);
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static void refused(const struct rd_model *m, struct rd_sampler_opts o, const char *word)
{
	float x[128] = {0}, noise[128];
	struct rd_sampler *s;
	double logp;
	int rc = rd_sampler_new(&s, m, be, dev, &o, &e);

	if (!rc) {
		rc = rd_sampler_run(s, 1, x, NULL, noise, &(struct rd_record){.logp = &logp}, &e);
		rd_sampler_free(s);
	}
	CHECK(rc == RD_EUSAGE && strstr(e.msg, word));
}

static void refusals(void)
{
	struct rd_sampler_opts o;
	struct rd_model m, wide;

	CHECK_OK(rd_model_load(&m, "analytic:gauss,dim=100", &e), &e);
	o = backwards(&m, solver(RD_RK4, RD_TYPE_NOISE), 5, RD_SPACING_TRAILING, exact);
	o.solver = (struct rd_solver){.family = RD_DPM, .order = 2};
	refused(&m, o, "heun and rk4");
	o.solver = solver(RD_RK4, RD_TYPE_NOISE);
	o.denoise.trace.kind = RD_TRACE_NONE;
	refused(&m, o, "trace");
	o.denoise.trace = exact;
	o.reverse = false;
	refused(&m, o, "reverse");
	o.reverse = o.denoise.clip = true;
	refused(&m, o, "clamped");
	rd_model_free(&m);
	wide = network("{\"unet\": {\"_class_name\": \"MLPModel\", \"sample_shape\": [65]},"
	               " \"scheduler\": {\"_class_name\": \"RectdiffScheduler\", \"form\": \"%s\", \"prediction_type\": \"%s\"}}", "vp", "epsilon");
	refused(&wide, backwards(&wide, solver(RD_RK4, RD_TYPE_NOISE), 5, RD_SPACING_TRAILING, exact), "65 numbers");
	rd_model_free(&wide);
}

/* A seed is recorded as it was given, though JSON's integers end at 2^63 - 1. */
static void recorded(void)
{
	static const uint64_t seeds[] = {0, 5, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};

	for (size_t i = 0; i < LEN(seeds); i++) {
		struct rd_likelihood l = {.trace = hutchinson(2, seeds[i])};
		json_t *j = rd_likelihood_json(&l);
		uint64_t seed = 1;

		CHECK(rd_json_to_u64(json_object_get(j, "seed"), &seed) && seed == seeds[i]);
		json_decref(j);
	}
}

int main(void)
{
	CHECK_OK(test_open(&be, &dev, 1, &e), &e);
	gauss();
	orders();
	mixture();
	many_probes();
	traces(mlp, "vp", "epsilon", 1, 0.4);
	traces(mlp, "ve", "edm", 1, 1.5);
	traces(mlp, "fm", "flow_prediction", 2.5, 0.3);
	traces(unet, "vp", "v_prediction", 1, 0.5);
	traces(unet, "fm", "sample", 3, 0.7);
	batches();
	refusals();
	recorded();
	be->close(dev);
	return check_report("likelihood");
}
