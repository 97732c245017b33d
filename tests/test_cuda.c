/* The CUDA backend above single operations: whole networks against the CPU, training, recordings, sampling, large copies.
 * Runs its kernels on the CPU (tests/cuda), and on a device where there is one. */
#include "tests/kernels.h"
#include "tests/graphs.h"
#include "tests/trainers.h"

#include "lib/graph/exec.h"
#include "lib/graph/routine.h"
#include "lib/sample/sampler.h"

static const struct rd_backend *cpu;
static struct rd_dev *cpu_dev;

/* How far from the CPU's in f32: relative to the largest value, after some ten layers. */
static const double bounds[] = {1e-4, 1e-2, 1e-1};

static double far_from(const float *a, const float *b, size_t n)
{
	double worst = 0, top = 0;

	for (size_t i = 0; i < n; i++) {
		double v = fabs((double)a[i] - (double)b[i]);

		worst = v <= worst ? worst : v;
		top = fmax(top, fabs((double)b[i]));
	}
	return worst / top;
}

/* --- networks ----------------------------------------------------------------------------------------------------- */

struct passed {
	size_t n_y, n_x, n_w;
	float *y, *dx, *dw;
};

static float *floats(size_t n, unsigned seed)
{
	float *p = calloc(n, sizeof *p);

	for (size_t i = 0; seed && i < n; i += 1024)
		rd_rng_normal(seed, RD_RNG_DATA, i, p + i, n - i < 1024 ? n - i : 1024);
	return p;
}

static const struct rd_exec_opts training_opts = {.training = true, .input_grad = true, .seed = 5},
                                 recompute_opts = {.training = true, .input_grad = true, .recompute = true, .seed = 5},
                                 vjp_opts = {.vjp = true};

struct run {
	struct rd_exec *x;
	float *dw;
};

static int forward(void *ctx, struct rd_err *err)
{
	return rd_exec_forward(((struct run *)ctx)->x, err);
}

static int backward(void *ctx, struct rd_err *err)
{
	return rd_exec_backward(((struct run *)ctx)->x, ((struct run *)ctx)->dw, err);
}

/* Forward and backward (of vjp, twice) of g with the same weights and inputs on any device; `times` times, the last of which counts, as
 * the work that is recorded. */
static struct passed pass_of(const struct rd_graph *g, const struct rd_backend *b, struct rd_dev *on, struct rd_exec_opts o, int times)
{
	static const float t[] = {1, 17.5f, 400};
	static const int32_t classes[] = {3, 0, 3};
	struct rd_dims dx = rd_graph_dims(g, g->x), dy = rd_graph_dims(g, g->y);
	struct passed p = {.n_y = (size_t)rd_dims_elems(dy), .n_x = (size_t)rd_dims_elems(dx), .n_w = g->n_flat};
	float *w = floats(p.n_w, 1), *x = floats(p.n_x, 2), *up = floats(p.n_y, 3), *d_w, *d_g;
	struct rd_routine there = {.be = b, .dev = on}, back = there;
	struct rd_exec *ex;
	struct run r;

	for (size_t i = 0; i < p.n_w; i++)
		w[i] *= 0.2f;
	p.y = floats(p.n_y, 0);
	p.dx = floats(p.n_x, 0);
	p.dw = floats(p.n_w, 0);
	CHECK_OK(rd_exec_new(&ex, g, b, on, o, &e), &e);
	CHECK_OK(b->alloc(on, (void **)&d_w, p.n_w * sizeof *d_w, &e), &e);
	CHECK_OK(b->alloc(on, (void **)&d_g, p.n_w * sizeof *d_g, &e), &e);
	CHECK_OK(b->put(on, d_w, w, p.n_w * sizeof *d_w, &e), &e);
	CHECK_OK(rd_exec_load(ex, d_w, &e), &e);
	CHECK_OK(rd_exec_set_draw(ex, 1000, &e), &e);
	r = (struct run){ex, o.vjp ? NULL : d_g};
	for (int i = 0; i < times; i++) {
		CHECK_OK(b->zero(on, d_g, p.n_w * sizeof *d_g, &e), &e);
		CHECK_OK(b->sample_import(on, dx, x, rd_exec_value(ex, g->x), &e), &e);
		if (g->t != RD_NONE)
			CHECK_OK(rd_exec_put_times(ex, t, &e), &e);
		CHECK_OK(rd_exec_put_labels(ex, classes, &e), &e);
		CHECK_OK(rd_routine_run(&there, forward, &r, &e), &e);
		CHECK_OK(b->sample_export(on, dy, rd_exec_value(ex, g->y), p.y, &e), &e);
		CHECK_OK(b->sample_import(on, dy, up, rd_exec_grad(ex, g->y), &e), &e);
		for (int j = 0; j < (o.vjp ? 2 : 1); j++)
			CHECK_OK(rd_routine_run(&back, backward, &r, &e), &e);
	}
	CHECK_OK(b->get(on, p.dw, d_g, p.n_w * sizeof *d_g, &e), &e);
	CHECK_OK(b->sample_export(on, dx, rd_exec_grad(ex, g->x), p.dx, &e), &e);
	rd_routine_free(&there);
	rd_routine_free(&back);
	b->release(on, d_w);
	b->release(on, d_g);
	rd_exec_free(ex);
	free(w);
	free(x);
	free(up);
	return p;
}

static void passed_free(struct passed *p)
{
	free(p->y);
	free(p->dx);
	free(p->dw);
}

static void network(struct kt *k, const char *name, struct rd_graph *g, enum rd_precision precision)
{
	struct passed want = pass_of(g, cpu, cpu_dev, training_opts, 1), got = pass_of(g, k->be, k->dev, training_opts, 1),
	              again = pass_of(g, k->be, k->dev, recompute_opts, 3), product = pass_of(g, cpu, cpu_dev, vjp_opts, 1),
	              got_product = pass_of(g, k->be, k->dev, vjp_opts, 2);
	double y = far_from(got.y, want.y, want.n_y), dx = far_from(got.dx, want.dx, want.n_x),
	       dw = far_from(got.dw, want.dw, want.n_w);

	printf("  %s, %s: from the CPU y %.1g, dx %.1g, dw %.1g\n", k->be->describe(k->dev), name, y, dx, dw);
	CHECK(y < bounds[precision] && dx < bounds[precision] && dw < bounds[precision]);
	CHECK(!memcmp(got.dw, again.dw, got.n_w * sizeof *got.dw) && !memcmp(got.dx, again.dx, got.n_x * sizeof *got.dx));
	CHECK(!memcmp(got.y, again.y, got.n_y * sizeof *got.y) && !kt_graphs_off);
	CHECK(far_from(got_product.y, product.y, want.n_y) < bounds[precision]);
	CHECK(far_from(got_product.dx, product.dx, want.n_x) < bounds[precision]);
	passed_free(&want);
	passed_free(&got);
	passed_free(&again);
	passed_free(&product);
	passed_free(&got_product);
	rd_graph_free(g);
}

/* --- training ----------------------------------------------------------------------------------------------------- */

/* Losses of `steps` steps, and the state after them. */
static struct rd_train_state trained(const struct rd_model *m, int rank, const struct rd_backend *b, struct rd_dev *on, int steps,
                                     const struct rd_train_state *from, double *loss)
{
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(8, 4);
	struct rd_trainer *t;
	struct rd_train_state s;

	o.lora.rank = rank;
	CHECK_OK(rd_trainer_new(&t, m, &d, NULL, b, on, &o, &e), &e);
	if (from)
		CHECK_OK(rd_trainer_set(t, from, &e), &e);
	CHECK_OK(rd_trainer_rehearse(t, &e), &e);
	for (int i = 0; i < steps; i++)
		loss[i] = step(t).loss;
	s = state_of(t, m);
	rd_trainer_free(t);
	return s;
}

/* Recorded steps have the bits of steps that are not, a run that was cut those of one that was not, and both are near the
 * CPU's. rank: of adapters, 0 without. */
static void training(struct kt *k, int rank, enum rd_precision precision)
{
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_backend plain = *k->be;
	double want[6], got[6], other[6];
	struct rd_train_state a, b, c, half, whole;

	plain.record_begin = NULL;
	a = trained(&m, rank, cpu, cpu_dev, 6, NULL, want);
	b = trained(&m, rank, k->be, k->dev, 6, NULL, got);
	c = trained(&m, rank, &plain, k->dev, 6, NULL, other);
	CHECK(same_state(&b, &c) && !memcmp(got, other, sizeof got));
	for (int i = 0; i < 6; i++)
		CHECK_NEAR(got[i], want[i], bounds[precision] * want[i]);
	CHECK(far_from(b.w, a.w, a.n) < 10 * bounds[precision]);
	half = trained(&m, rank, k->be, k->dev, 3, NULL, other);
	whole = trained(&m, rank, k->be, k->dev, 3, &half, other);
	CHECK(same_state(&whole, &b));
	rd_train_state_free(&a);
	rd_train_state_free(&b);
	rd_train_state_free(&c);
	rd_train_state_free(&half);
	rd_train_state_free(&whole);
	rd_model_free(&m);
}

/* A loss that is not finite stops a recorded step too, with everything as it was. */
static void not_finite(struct kt *k)
{
	struct rd_model m = model_of("vp", "sample");
	struct rd_dataset d = data_of(true, true);
	struct rd_train_opts o = opts_of(10, 2);
	struct rd_train_state before, after;
	struct rd_step_report r;
	struct rd_trainer *t;

	CHECK_OK(rd_trainer_new(&t, &m, &d, NULL, k->be, k->dev, &o, &e), &e);
	for (int i = 0; i < 3; i++)
		step(t);
	before = state_of(t, &m);
	for (int i = 0; i < N * DIM; i++)
		sample[i] = 1e30f;
	step(t); /* whose batch is there already */
	rd_train_state_free(&before);
	before = state_of(t, &m);
	CHECK(rd_trainer_step(t, &r, &e) == RD_EFAIL && strstr(e.msg, "step 5"));
	after = state_of(t, &m);
	CHECK(same_state(&before, &after));
	rd_train_state_free(&before);
	rd_train_state_free(&after);
	rd_trainer_free(t);
	rd_model_free(&m);
}

/* --- sampling ----------------------------------------------------------------------------------------------------- */

enum { IMAGES = 4 };

/* Four batches, of other noise and labels each, the last one short; with guidance also by halves: then the errors
 * follow the images. */
static void sampled(const struct rd_model *m, const struct rd_backend *b, struct rd_dev *on, int solver,
                    double guidance, float *out)
{
	struct rd_sampler_opts o = rd_sampler_defaults(&m->scheduler, false);
	struct rd_sampler *s;

	o.solver = rd_solver_named(solver);
	o.solver.rtol = o.solver.atol = 1e-6;
	o.grid.steps = 5;
	o.denoise.guidance = guidance;
	o.denoise.null_class = 3;
	o.halving = guidance > 1 && !rd_solver_chooses_steps(&o.solver);
	CHECK_OK(rd_sampler_new(&s, m, b, on, &o, &e), &e);
	for (int i = 0; i < 4; i++, out += IMAGES * (DIM + 1)) {
		struct rd_record rec = {.error = out + IMAGES * DIM};
		float noise[IMAGES * DIM];
		int32_t classes[IMAGES] = {i % 3, 1, (i + 1) % 3, 2};

		rd_rng_normal(9, RD_RNG_NOISE, (uint64_t)i, noise, IMAGES * DIM);
		CHECK_OK(rd_sampler_run(s, i < 3 ? IMAGES : 1, noise, classes, out, &rec, &e), &e);
		CHECK((rec.error[0] > 0) == o.halving);
	}
	rd_sampler_free(s);
}

/* Which steps are taken hangs on errors, and those on the last bits: two runs then agree within what the solver leaves. */
static double own_error(int solver)
{
	struct rd_solver s = rd_solver_named(solver);

	return rd_solver_chooses_steps(&s) ? 2e-3 : 0;
}

static void sampling(struct kt *k, enum rd_precision precision)
{
	struct rd_model m = model_of("ddpm", "v_prediction");
	struct rd_backend plain = *k->be;
	enum { ALL = 4 * IMAGES * (DIM + 1) };
	static float want[ALL], got[ALL], other[ALL];

	plain.record_begin = NULL;
	for (int solver = 0; rd_solver_names[solver]; solver += k->sparse ? 7 : 1)
		for (int guided = 0; guided < 2; guided++) {
			memset(want, 0, sizeof want);
			memset(got, 0, sizeof got);
			memset(other, 0, sizeof other);
			sampled(&m, cpu, cpu_dev, solver, 1 + guided, want);
			sampled(&m, k->be, k->dev, solver, 1 + guided, got);
			sampled(&m, &plain, k->dev, solver, 1 + guided, other);
			CHECK(!memcmp(got, other, sizeof got));
			CHECK(far_from(got, want, LEN(got)) < fmax(own_error(solver), 2 * bounds[precision]));
		}
	rd_model_free(&m);
}

/* Densities of two batches, the second one short; by both traces. */
static void densities(const struct rd_model *m, const struct rd_backend *b, struct rd_dev *on, enum rd_trace_kind kind, double guidance,
                      double *logp)
{
	static const int32_t classes[IMAGES] = {0, 2, 1, 2};
	struct rd_sampler_opts o = rd_sampler_defaults(&m->scheduler, false);
	float data[IMAGES * DIM], noise[IMAGES * DIM];
	struct rd_sampler *s;

	o.solver = (struct rd_solver){.family = RD_RK4};
	o.reverse = true;
	o.grid.steps = 5;
	o.denoise.guidance = guidance;
	o.denoise.null_class = 3;
	o.denoise.trace = (struct rd_trace_opts){.kind = kind, .probes = 3, .seed = 1};
	CHECK_OK(rd_sampler_new(&s, m, b, on, &o, &e), &e);
	rd_rng_normal(9, RD_RNG_DATA, 0, data, LEN(data));
	CHECK_OK(rd_sampler_run(s, IMAGES, data, classes, noise, &(struct rd_record){.logp = logp}, &e), &e);
	CHECK_OK(rd_sampler_run(s, 1, data, classes, noise, &(struct rd_record){.logp = logp + IMAGES, .first = IMAGES}, &e), &e);
	rd_sampler_free(s);
}

static void likelihoods(struct kt *k, enum rd_precision precision)
{
	struct rd_model m = model_of("fm", "flow_prediction");

	for (int guided = 0; guided < 2; guided++)
		for (int kind = RD_TRACE_EXACT; kind <= RD_TRACE_HUTCHINSON; kind++) {
			double want[IMAGES + 1], got[IMAGES + 1];

			densities(&m, cpu, cpu_dev, (enum rd_trace_kind)kind, 1 + guided, want);
			densities(&m, k->be, k->dev, (enum rd_trace_kind)kind, 1 + guided, got);
			for (int i = 0; i <= IMAGES; i++)
				CHECK_NEAR(got[i], want[i], 3 * bounds[precision] * fmax(1, fabs(want[i])));
		}
	rd_model_free(&m);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Beyond a staging slot; many puts in a row, whose host memory is reused at once, from a word to more than an argument holds. */
static void copies(struct kt *k)
{
	enum { ROWS = 200, ROW = 1100 };
	int wrong = 0;
	struct rd_dims d = {9, 3, 256, 257};
	size_t n = (size_t)rd_dims_elems(d);
	float *x = kt_random(k, (int64_t)n, 4), *y = kt_host(k, n, sizeof *y), *dev_x = kt_flat(k, (int64_t)n, x);
	static const int lengths[] = {1, 63, 64, 65, 999, 1000, 1001, ROW};
	float *rows = kt_poison(k, ROWS * ROW * sizeof *rows), *got = kt_host(k, ROWS * ROW, sizeof *got);

	CHECK_OK(k->be->get(k->dev, y, dev_x, n * sizeof *y, &e), &e);
	CHECK(!memcmp(x, y, n * sizeof *x));
	y = kt_get_sample(k, d, kt_sample(k, d, x));
	CHECK(!memcmp(x, y, n * sizeof *x));
	for (int i = 0; i < ROWS; i++) {
		int length = lengths[i % 8];
		float v[ROW];

		for (int j = 0; j < length; j++)
			v[j] = (float)(i + j);
		CHECK_OK(k->be->put(k->dev, rows + i * ROW, v, (size_t)length * sizeof *v, &e), &e);
	}
	CHECK_OK(k->be->copy(k->dev, dev_x, rows, ROWS * ROW * sizeof *rows, &e), &e);
	CHECK_OK(k->be->get(k->dev, got, dev_x, ROWS * ROW * sizeof *rows, &e), &e);
	for (int i = 0; i < ROWS * ROW; i++)
		wrong += !(i % ROW < lengths[i / ROW % 8] ? got[i] == (float)(i / ROW + i % ROW) : isnan(got[i]));
	CHECK(!wrong);
	kt_free(k);
}

/* A recording holds what put was given; what waits for the device is refused in it; one that failed leaves nothing. */
static void recordings(struct kt *k)
{
	struct rd_dims d = {1, 3, 1, 1};
	enum { MANY = 5000 };
	float *a = kt_flat(k, 3, (float[]){0, 0, 0}), *one = kt_flat(k, 1, (float[]){2}), v[3] = {1, 2, 3};
	float *many = kt_random(k, MANY, 1), *b = kt_poison(k, MANY * sizeof *b), *got = kt_host(k, MANY, sizeof *got);
	struct rd_replay *r;

	CHECK_OK(k->be->record_begin(k->dev, &e), &e);
	CHECK_OK(k->be->put(k->dev, a, v, sizeof v, &e), &e);
	CHECK_OK(k->be->put(k->dev, b, many, MANY * sizeof *many, &e), &e);
	CHECK(k->be->get(k->dev, v, a, sizeof v, &k->e) < 0 && k->be->sample_import(k->dev, d, v, a, &k->e) < 0);
	CHECK_OK(k->be->combine(k->dev, d, one, a, NULL, NULL, a, &e), &e);
	CHECK_OK(k->be->record_end(k->dev, &r, &e), &e);
	v[0] = 100;
	CHECK_OK(k->be->get(k->dev, v, a, sizeof v, &e), &e);
	CHECK(v[0] == 0 && v[2] == 0);
	for (int i = 0; i < 2; i++) {
		CHECK_OK(k->be->replay(k->dev, r, &e), &e);
		CHECK_OK(k->be->get(k->dev, v, a, sizeof v, &e), &e);
		CHECK(v[0] == 2 && v[1] == 4 && v[2] == 6);
		CHECK_OK(k->be->get(k->dev, got, b, MANY * sizeof *got, &e), &e);
		CHECK(!memcmp(got, many, MANY * sizeof *got));
		CHECK_OK(k->be->zero(k->dev, b, MANY * sizeof *b, &e), &e);
	}
	k->be->replay_free(k->dev, r);
	CHECK_OK(k->be->record_begin(k->dev, &e), &e);
	k->be->record_drop(k->dev, NULL);
	CHECK_OK(k->be->get(k->dev, v, a, sizeof v, &e), &e);
	kt_free(k);
}

/* What there is no memory for is an error of its own call, not of the next one. */
static void no_memory(struct kt *k)
{
	struct rd_dims huge = {1, 1, INT64_C(1) << 30, INT64_C(1) << 28}, d = {1, 3, 1, 1};
	float *a = kt_flat(k, 3, (float[]){1, 2, 3}), v[3] = {0};

	CHECK(k->be->sample_import(k->dev, huge, v, a, &k->e) < 0);
	CHECK_OK(k->be->clamp(k->dev, d, 0, 2, a, &e), &e);
	CHECK_OK(k->be->get(k->dev, v, a, sizeof v, &e), &e);
	CHECK(v[0] == 1 && v[2] == 2);
	kt_free(k);
}

/* --- without recordings, or with short ones ------------------------------------------------------------------------- */

static int graphs_off; /* times that the device's note said so */

static void listen(const char *line)
{
	graphs_off += strstr(line, "CUDA graph") != NULL;
}

/* Six steps of training and four samplings on a device of its own. */
static struct rd_train_state worked(const struct rd_backend *b, enum rd_precision precision, double *loss, float *samples)
{
	const struct rd_dev_opts o = {.precision = precision, .note = listen};
	struct rd_model m = model_of("fm", "flow_prediction");
	struct rd_train_state s;
	struct rd_dev *on;

	graphs_off = 0;
	CHECK_OK(b->open(&on, &o, &e), &e);
	s = trained(&m, 0, b, on, 6, NULL, loss);
	sampled(&m, b, on, 0, 2, samples);
	b->close(on);
	rd_model_free(&m);
	return s;
}

/* Whichever call of a recording fails, work goes on without one, with the same result and a word about it; so it does where the user
 * wants none. */
static void not_recorded(const struct rd_backend *b, enum rd_precision precision)
{
	static const struct {
		const char *name, *value;
	} env[] = {{"RD_SHIM_FAIL", ""},       {"RD_SHIM_FAIL", "capture"}, {"RD_SHIM_FAIL", "end"}, {"RD_SHIM_FAIL", "instantiate"},
	           {"RD_SHIM_FAIL", "launch"}, {"RECTDIFF_NO_GRAPHS", "1"}};
	enum { ALL = 4 * IMAGES * (DIM + 1) };
	static float want[ALL], got[ALL];
	double loss[6], other[6];
	struct rd_train_state s[2];

	for (int i = 0; i < LEN(env); i++) {
		setenv(env[i].name, env[i].value, 1);
		s[i > 0] = worked(b, precision, i ? other : loss, i ? got : want);
		unsetenv(env[i].name);
		CHECK(graphs_off == (i > 0));
		CHECK(!i || (same_state(&s[0], &s[1]) && !memcmp(loss, other, sizeof loss) && !memcmp(want, got, sizeof want)));
		if (i)
			rd_train_state_free(&s[1]);
	}
	rd_train_state_free(&s[0]);
}

/* However many steps a sampling has, a recording holds one pass of the network. */
static void long_sampling(const struct rd_backend *b)
{
	const struct rd_dev_opts o = {.note = listen};
	static const char *const most[] = {"100", "3"};
	struct rd_model m = model_of("ddpm", "v_prediction");
	struct rd_sampler_opts so = rd_sampler_defaults(&m.scheduler, false);
	float noise[IMAGES * DIM], out[IMAGES * DIM];
	struct rd_sampler *s;
	struct rd_dev *on;

	so.grid.steps = 60;
	so.denoise.guidance = 2;
	so.denoise.null_class = 3;
	rd_rng_normal(9, RD_RNG_NOISE, 0, noise, LEN(noise));
	for (int i = 0; i < LEN(most); i++) {
		setenv("RD_SHIM_NODES", most[i], 1);
		graphs_off = 0;
		CHECK_OK(b->open(&on, &o, &e), &e);
		CHECK_OK(rd_sampler_new(&s, &m, b, on, &so, &e), &e);
		for (int j = 0; j < 3; j++)
			CHECK_OK(rd_sampler_run(s, IMAGES, noise, (int32_t[IMAGES]){0, 1, 2, 2}, out, NULL, &e), &e);
		rd_sampler_free(s);
		b->close(on);
		unsetenv("RD_SHIM_NODES");
		CHECK(graphs_off == i);
	}
	rd_model_free(&m);
}

/* A driver that is too old is told with the numbers that say what would do. */
static void old_driver(const struct rd_backend *b)
{
	const struct rd_dev_opts o = {.precision = RD_PRECISION_F32};
	struct rd_dev *on;

	setenv("RD_SHIM_FAIL", "driver", 1);
	CHECK(b->open(&on, &o, &e) == RD_EDEVICE && strstr(e.msg, "CUDA up to 12.4") && strstr(e.msg, "built with CUDA 13.0"));
	setenv("RD_SHIM_FAIL", "no driver", 1);
	CHECK(b->open(&on, &o, &e) == RD_EDEVICE && !strcmp(e.msg, "device cuda: no driver is installed"));
	unsetenv("RD_SHIM_FAIL");
}

static void all(struct kt *k)
{
	enum rd_precision p = k->bf16 ? RD_PRECISION_BF16 : k->factor > kt_factors[0] ? RD_PRECISION_TF32 : RD_PRECISION_F32;

	copies(k);
	no_memory(k);
	recordings(k);
	network(k, "every operation", graphs_every_op(3, 0.3f), p);
	network(k, "mlp", graphs_build(graphs_mlp, 3), p);
	network(k, "unet", graphs_build(graphs_unet, 3), p);
	network(k, "condition", graphs_build(graphs_condition, 3), p);
	network(k, "dit", graphs_build(graphs_dit, 3), p);
	network(k, "sd3", graphs_build(graphs_sd3, 3), p);
	network(k, "adapters", graphs_adapted(graphs_condition, 3, (struct rd_lora){2, RD_LORA_ALL}), p);
	network(k, "adapters of attention", graphs_adapted(graphs_unet, 3, (struct rd_lora){2, RD_LORA_ATTENTION}), p);
	network(k, "classifier", graphs_classifier(3), p);
	training(k, 0, p);
	training(k, 2, p);
	not_finite(k);
	sampling(k, p);
	likelihoods(k, p);
	CHECK(!kt_graphs_off); /* else recorded was compared with what was not */
}

int main(void)
{
	const struct rd_plugin *host = kt_cuda_on_host();

	trainers_begin();
	cpu = be;
	cpu_dev = dev;
	for (int p = RD_PRECISION_F32; p <= RD_PRECISION_BF16; p++) {
		if (host && p != RD_PRECISION_TF32)
			kt_cuda(all, host->backend((enum rd_precision)p), (enum rd_precision)p);
		kt_cuda(all, NULL, (enum rd_precision)p);
	}
	if (host) {
		not_recorded(host->backend(RD_PRECISION_F32), RD_PRECISION_F32);
		not_recorded(host->backend(RD_PRECISION_BF16), RD_PRECISION_BF16);
		long_sampling(host->backend(RD_PRECISION_F32));
		old_driver(host->backend(RD_PRECISION_F32));
	}
	trainers_end();
	return check_report("cuda");
}
