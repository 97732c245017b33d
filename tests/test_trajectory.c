/* What is measured on trajectories, against closed forms. With arguments FILE ROLE DIM it writes a stream for
 * trajdump.bats: trajectories of 8 steps of fm of which sample i of 40 has the first-order defect (i/40)^2, at every
 * node too, and the one-step error 4. */
#include "lib/measure/chords.h"
#include "lib/measure/trajsource.h"
#include "lib/measure/trajstats.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/data/batch.h"
#include "lib/ode/grid.h"
#include "tests/check.h"

enum { STEPS = 32, DIM = 6 };
static const double pi = 3.14159265358979323846;

struct fixture {
	double t[STEPS + 1], alpha[STEPS + 1], sigma[STEPS + 1];
	float x[(STEPS + 1) * DIM], x0[STEPS * DIM], eps[STEPS * DIM];
	double out[RD_TRAJ_N], node[STEPS];
};

static void measure(struct fixture *f, int steps, size_t dim)
{
	struct rd_traj_grid g = { steps, f->t, f->alpha, f->sigma };
	struct rd_traj p = { 0, dim, f->x, f->x0, f->eps };

	rd_traj_measure(&g, &p, f->out, f->node);
}

/* A first-order trajectory: constant x0 and eps, x the forward form between them. */
static void first_order(struct fixture *f, int steps)
{
	float a[DIM], b[DIM];

	rd_rng_normal(1, RD_RNG_DATA, 0, a, DIM);
	rd_rng_normal(1, RD_RNG_NOISE, 0, b, DIM);
	for (int k = 0; k <= steps; k++)
		for (int j = 0; j < DIM; j++) {
			f->x[k * DIM + j] = (float)(f->alpha[k] * (double)a[j] + f->sigma[k] * (double)b[j]);
			if (k < steps) {
				f->x0[k * DIM + j] = a[j];
				f->eps[k * DIM + j] = b[j];
			}
		}
}

static void grid_of(struct fixture *f, const char *form, enum rd_spacing spacing)
{
	struct rd_grid_opts o = { .steps = STEPS, .spacing = spacing };
	struct rd_schedule s;
	struct rd_grid g;
	struct rd_err e;

	CHECK_OK(rd_schedule_init(&s, form, &e), &e);
	CHECK_OK(rd_grid_init(&g, &s, &o, &e), &e);
	for (int k = 0; k <= STEPS; k++) {
		const struct rd_node *n = k < STEPS ? &g.from[k] : &g.to[k - 1];

		f->t[k] = n->t;
		f->alpha[k] = n->alpha;
		f->sigma[k] = n->sigma;
	}
	rd_grid_free(&g);
	rd_schedule_free(&s);
}

/* Every form calls its own straight line straight; in x it is one only under fm and ve. */
static void forms(void)
{
	static const enum rd_spacing spacing[] = { RD_SPACING_TRAILING, RD_SPACING_LEADING, RD_SPACING_LINSPACE };
	struct fixture f;

	for (int i = 0; rd_form_names[i]; i++)
		for (size_t q = 0; q < sizeof spacing / sizeof spacing[0]; q++) {
			bool line = !strcmp(rd_form_names[i], "fm") || !strcmp(rd_form_names[i], "ve");

			grid_of(&f, rd_form_names[i], spacing[q]);
			first_order(&f, STEPS);
			measure(&f, STEPS, DIM);
			CHECK(f.out[RD_TRAJ_DEFECT] == 0);
			CHECK_NEAR(f.out[RD_TRAJ_CURVATURE], 0, 1e-13);
			CHECK_NEAR(f.out[RD_TRAJ_ONE_STEP], 0, 1e-13);
			if (line)
				CHECK_NEAR(f.out[RD_TRAJ_STRAIGHTNESS], 0, 1e-7);
			else
				CHECK(f.out[RD_TRAJ_STRAIGHTNESS] > 0.05);
		}
}

/* eps +1 and -1 in turn: its mean is 0, its mean square 1. x0_0 is off by 3 in one element of DIM. */
static void defect_and_one_step(void)
{
	struct fixture f;

	grid_of(&f, "fm", RD_SPACING_TRAILING);
	first_order(&f, STEPS);
	for (int k = 0; k < STEPS; k++)
		for (int j = 0; j < DIM; j++)
			f.eps[k * DIM + j] = k % 2 ? 1 : -1;
	for (int j = 0; j < DIM; j++)
		f.x0[j] = f.x[STEPS * DIM + j] + (j == 2 ? 3.0f : 0.0f);
	measure(&f, STEPS, DIM);
	CHECK(f.out[RD_TRAJ_DEFECT] == 1);
	CHECK_NEAR(f.out[RD_TRAJ_ONE_STEP], 9.0 / DIM, 1e-6);
	for (int k = 0; k < STEPS; k++)
		CHECK_NEAR(f.node[k], 1, 1e-12);
	/* one of them 4 off in one element of DIM: 4 (K-1)/K from the mean there, the others 4/K */
	first_order(&f, STEPS);
	f.eps[5 * DIM + 1] += 4;
	measure(&f, STEPS, DIM);
	for (int k = 0; k < STEPS; k++)
		CHECK_NEAR(f.node[k], pow(k == 5 ? 4 - 4.0 / STEPS : 4.0 / STEPS, 2) / DIM, 1e-6);
	CHECK_NEAR(f.out[RD_TRAJ_DEFECT], 16.0 * (STEPS - 1) / STEPS / STEPS / DIM, 1e-6);
}

/* A grid that ends with noise: one step is to end there too, not at x0. */
static void one_step_to_noise(void)
{
	struct fixture f;

	grid_of(&f, "ddpm", RD_SPACING_TRAILING);
	f.alpha[STEPS] = f.alpha[STEPS - 1];
	f.sigma[STEPS] = f.sigma[STEPS - 1];
	first_order(&f, STEPS);
	measure(&f, STEPS, DIM);
	CHECK(f.sigma[STEPS] > 0.1);
	CHECK_NEAR(f.out[RD_TRAJ_ONE_STEP], 0, 1e-12);
	f.x[STEPS * DIM] += 2;
	measure(&f, STEPS, DIM);
	CHECK_NEAR(f.out[RD_TRAJ_ONE_STEP], 4.0 / DIM, 1e-6);
}

/* A quarter of the unit circle at constant speed: mean |v|^2 - |chord|^2 = (pi/2)^2 - 2 for the curve itself; for a
 * polygon of its points, the sum of squared sides over their weights in place of the first. Times at t_of(k/K). */
static void circle(double (*t_of)(double), double t_scale)
{
	struct fixture f;
	double sides = 0;

	for (int k = 0; k <= STEPS; k++) {
		double s = t_of((double)k / STEPS);

		f.t[k] = t_scale * (1 - s);
		f.alpha[k] = s;
		f.sigma[k] = 1 - s;
		f.x[2 * k] = (float)cos(s * pi / 2);
		f.x[2 * k + 1] = (float)sin(s * pi / 2);
		if (k)
			sides += pow(2 * sin((s - t_of((k - 1.0) / STEPS)) * pi / 4), 2) / (s - t_of((k - 1.0) / STEPS));
	}
	memset(f.x0, 0, sizeof f.x0);
	memset(f.eps, 0, sizeof f.eps);
	measure(&f, STEPS, 2);
	CHECK_NEAR(f.out[RD_TRAJ_STRAIGHTNESS], (sides - 2) / 2, 1e-6);
	CHECK_NEAR(f.out[RD_TRAJ_STRAIGHTNESS], (pi * pi / 4 - 2) / 2, 3e-3);
	CHECK(f.out[RD_TRAJ_DEFECT] == 0);
	CHECK_NEAR(f.out[RD_TRAJ_ONE_STEP], 0.5, 1e-6); /* from the origin to (0, 1) */
}

static double even(double u)
{
	return u;
}

static double late(double u)
{
	return u * u * (2 - u);
}

/* Of what bow makes: with one chord h |sin 2 theta| in one of two elements; with two, whose knot is the node at theta_m, where
 * u is h sin 2 theta_m more than the long chord, that less the path from 0 there: sin(theta)/sin(theta_m) on one side of it,
 * sin(pi/2 - theta)/sin(pi/2 - theta_m) on the other. */
static void bow_chords(struct fixture *f, double h)
{
	struct rd_traj_grid g = { STEPS, f->t, f->alpha, f->sigma };
	struct rd_traj p = { 0, 2, f->x, f->x0, f->eps };
	const double middle = atan2(f->sigma[STEPS / 2], f->alpha[STEPS / 2]);
	double sum[2] = { 0, 0 };
	struct rd_chords c;
	struct rd_err e;

	for (int k = 1; k < STEPS; k++) {
		const double theta = atan2(f->sigma[k], f->alpha[k]);
		const double part = theta > middle ? cos(theta) / cos(middle) : sin(theta) / sin(middle);

		sum[0] += h / sqrt(2) * fabs(sin(2 * theta));
		if (k != STEPS / 2)
			sum[1] += h / sqrt(2) * fabs(sin(2 * theta) - part * sin(2 * middle));
	}
	for (int m = 1; m <= 2; m++) {
		CHECK_OK(rd_chords_init(&c, &g, m, &e), &e);
		CHECK_NEAR(rd_chords_distance(&c, &g, &p), sum[m - 1] / (STEPS - m), 1e-6);
		CHECK(sum[m - 1] / STEPS > 0.02);
		rd_chords_free(&c);
	}
	CHECK_OK(rd_chords_init(&c, &g, STEPS, &e), &e);
	CHECK(rd_chords_distance(&c, &g, &p) == 0);
	rd_chords_free(&c);
	CHECK(rd_chords_init(&c, &g, 5, &e) == RD_EUSAGE && strstr(e.msg, "32 steps"));
	f->alpha[STEPS / 2] = 3 * f->alpha[STEPS / 4]; /* the second of four phases ends as it began */
	f->sigma[STEPS / 2] = 3 * f->sigma[STEPS / 4];
	CHECK(rd_chords_init(&c, &g, 4, &e) == RD_EDOMAIN && strstr(e.msg, "nodes 8 and 16") && !c.w);
}

/* u(theta) = chord + h sin 2 theta in one of two elements: the mean of h^2 sin^2 / 2 is h^2/4. With grow,
 * alpha, sigma and x are all multiplied by a number of the node's own: another form with the same y against n. */
static void bow(double (*s_of)(double), double grow, double tolerance)
{
	struct fixture f;
	const double h = 0.3;

	for (int k = 0; k <= STEPS; k++) {
		double theta = pi / 2 * (1 - s_of((double)k / STEPS)), scale = 1 + grow * k;

		f.t[k] = -k;
		f.alpha[k] = k == STEPS ? scale : scale * cos(theta);
		f.sigma[k] = k == STEPS ? 0 : scale * sin(theta);
		f.x[2 * k] = (float)(f.alpha[k] * 0.7 - f.sigma[k] * 1.3);
		f.x[2 * k + 1] = (float)(f.alpha[k] * 2 + f.sigma[k] + h * scale * sin(2 * theta));
	}
	memset(f.x0, 0, sizeof f.x0);
	memset(f.eps, 0, sizeof f.eps);
	measure(&f, STEPS, 2);
	CHECK_NEAR(f.out[RD_TRAJ_CURVATURE], h * h / 4, tolerance);
	bow_chords(&f, h);
}

/* One step: nothing to bend, nothing to vary. */
static void one_step(void)
{
	struct fixture f;

	f.t[0] = 1;
	f.t[1] = 0;
	f.alpha[0] = f.sigma[1] = 0;
	f.alpha[1] = f.sigma[0] = 1;
	first_order(&f, 1);
	measure(&f, 1, DIM);
	for (int q = 0; q < RD_TRAJ_N; q++)
		CHECK_NEAR(f.out[q], 0, 1e-13);
	/* no way at all: finite all the same */
	f.t[1] = 1;
	f.alpha[1] = 0;
	f.sigma[1] = 1;
	measure(&f, 1, DIM);
	CHECK(f.out[RD_TRAJ_STRAIGHTNESS] == 0 && f.out[RD_TRAJ_CURVATURE] == 0);
}

static double member(const json_t *o, const char *number, const char *key)
{
	return json_number_value(json_object_get(json_object_get(o, number), key));
}

static void no_samples(const struct rd_traj_grid *g)
{
	struct rd_traj_stats s = { .nodes = 2 };
	struct rd_traj_summary m;
	struct rd_err e;
	json_t *o;

	CHECK_OK(rd_traj_stats_json(&s, g, &o, &e), &e);
	CHECK(json_is_null(json_object_get(o, "curvature")));
	CHECK(json_is_null(json_array_get(json_object_get(json_object_get(o, "defect_by_node"), "p50"), 1)));
	json_decref(o);
	CHECK_OK(rd_traj_stats_number(&s, RD_TRAJ_DEFECT, &m, &e), &e);
	CHECK(isnan(m.mean) && isnan(m.q[0]));
}

static void stats(void)
{
	double t[] = { 1, 0.5, 0 }, alpha[] = { 0, 0.5, 1 }, sigma[] = { 1, 0.25, 0 };
	const struct rd_traj_grid g = { 2, t, alpha, sigma };
	struct rd_traj_stats s = { .nodes = 2 };
	struct rd_traj_summary m;
	struct rd_err e;
	json_t *o, *by;

	no_samples(&g);
	for (int i = 0; i <= 1000; i++) { /* 0 .. 1000 in another order */
		double v[RD_TRAJ_N] = { i * 8 % 1001, 1, 2, -i }, node[2] = { 7, 2 * (i * 9 % 1001) };

		CHECK_OK(rd_traj_stats_add(&s, (uint64_t)i, v, node, &e), &e);
	}
	CHECK_OK(rd_traj_stats_json(&s, &g, &o, &e), &e);
	CHECK_NEAR(member(o, "first_order_defect", "mean"), 500, 1e-9);
	CHECK_NEAR(member(o, "first_order_defect", "sd"), sqrt(1001.0 * 1002 / 12), 1e-9);
	CHECK_NEAR(member(o, "first_order_defect", "p05"), 50, 1e-9);
	CHECK_NEAR(member(o, "first_order_defect", "p25"), 250, 1e-9);
	CHECK_NEAR(member(o, "first_order_defect", "p95"), 950, 1e-9);
	CHECK_NEAR(member(o, "curvature", "sd"), 0, 1e-9);
	CHECK_NEAR(member(o, "straightness", "p50"), 1, 0);
	CHECK_NEAR(member(o, "one_step_error", "p75"), -250, 1e-9);
	by = json_object_get(o, "defect_by_node");
	CHECK(json_array_size(json_object_get(by, "t")) == 2 && json_array_size(json_object_get(by, "p95")) == 2);
	CHECK(json_is_null(json_array_get(json_object_get(by, "n"), 0)));
	CHECK_NEAR(json_real_value(json_array_get(json_object_get(by, "n"), 1)), 0.5, 0);
	CHECK_NEAR(json_real_value(json_array_get(json_object_get(by, "p95"), 0)), 7, 0);
	CHECK_NEAR(json_real_value(json_array_get(json_object_get(by, "p95"), 1)), 1900, 1e-9);
	CHECK_NEAR(json_real_value(json_array_get(json_object_get(by, "mean"), 1)), 1000, 1e-9);
	json_decref(o);
	CHECK_OK(rd_traj_stats_node(&s, 1, &m, &e), &e);
	CHECK_NEAR(m.q[1], 500, 1e-9);
	CHECK(rd_traj_stats_add(&s, 17, (double[RD_TRAJ_N]){ 0, 0, NAN, 0 }, (double[]){ 0, 0 }, &e) == RD_EDOMAIN);
	CHECK(strstr(e.msg, "17") && strstr(e.msg, "curvature"));
	rd_traj_stats_free(&s);
}

/* The formula's trajectory: first-order under every form, of the numbers asked for, and over once it has been read. */
static void exact(void)
{
	const struct rd_exact_opts o = { .dim = 3, .x0 = { 0, 1, -2 }, .eps = { 1, 1, 0.5f }, .steps = 40, .sigma_max = 10 };
	struct rd_err e;

	for (int i = 0; rd_form_names[i]; i++) {
		char spec[64];
		double v[RD_TRAJ_N];
		struct rd_trajsource *s;
		struct rd_traj t;
		const struct rd_traj_grid *g;

		snprintf(spec, sizeof spec, "a name=exact:%s", rd_form_names[i]);
		CHECK_OK(rd_trajsource_open(&s, spec, &o, &e), &e);
		CHECK(!strcmp(rd_trajsource_name(s), "a name") && rd_trajsource_is_exact(spec));
		CHECK(rd_trajsource_next(s, &t, &e) == 1);
		g = rd_trajsource_grid(s);
		CHECK(t.dim == 3 && g->steps == 40 && g->alpha[40] == 1 && g->sigma[40] == 0);
		for (int k = 0; k <= 40; k++)
			CHECK_NEAR((double)t.x[3 * k + 2], g->sigma[k] / 2 - 2 * g->alpha[k], 1e-6);
		rd_traj_measure(g, &t, v, NULL);
		CHECK(v[RD_TRAJ_DEFECT] == 0);
		CHECK_NEAR(v[RD_TRAJ_CURVATURE], 0, 1e-13);
		if (!strcmp(rd_form_names[i], "ve"))
			CHECK_NEAR(g->sigma[0], 10, 1e-9);
		CHECK(rd_trajsource_next(s, &t, &e) == 0);
		rd_trajsource_close(s);
	}
	CHECK(!rd_trajsource_is_exact("exact") && !rd_trajsource_is_exact("./a=exact:fm"));
	struct rd_trajsource *none;
	CHECK(rd_trajsource_open(&none, "exact:nothing", &o, &e) != RD_OK && strstr(e.msg, "nothing") && !none);
}

static void parse(const char *text, const char *complaint)
{
	json_t *meta = json_loads(text, 0, NULL);
	struct rd_traj_grid g;
	struct rd_err e;
	int rc = rd_traj_grid_parse(&g, meta, &e);

	CHECK(meta);
	if (complaint)
		CHECK(rc == RD_EINPUT && strstr(e.msg, complaint));
	else
		CHECK_OK(rc, &e);
	rd_traj_grid_free(&g);
	json_decref(meta);
}

static void grids(void)
{
	parse("{\"grid\":{\"t\":[9,4,0,0],\"alpha\":[0,0.5,0.9,1],\"sigma\":[1,0.5,0.1,0]}}", NULL);
	parse("{\"grid\":{\"t\":[0,1],\"alpha\":[1,0],\"sigma\":[0,1]}}", NULL);
	parse("{}", "meta.grid.t");
	parse("{\"grid\":3}", "meta.grid.t");
	parse("{\"grid\":{\"t\":[1],\"alpha\":[1],\"sigma\":[0]}}", "2 to");
	parse("{\"grid\":{\"t\":[1,0],\"alpha\":[1],\"sigma\":[0,1]}}", "alpha");
	parse("{\"grid\":{\"t\":[1,0],\"alpha\":[0,1],\"sigma\":[1,\"0\"]}}", "sigma");
	parse("{\"grid\":{\"t\":[1,0],\"alpha\":[0,1],\"sigma\":[0,0]}}", "node 0");
	parse("{\"grid\":{\"t\":[1,0],\"alpha\":[0,1],\"sigma\":[-1,0]}}", "node 0");
	parse("{\"grid\":{\"t\":[2,0,1],\"alpha\":[0,1,1],\"sigma\":[1,1,0]}}", "turns back");
}

enum { STREAM_N = 40, STREAM_STEPS = 8 };

static json_t *stream_meta(void)
{
	json_t *t = json_array(), *alpha = json_array(), *sigma = json_array();

	for (int k = 0; k <= STREAM_STEPS; k++) {
		double u = 1 - (double)k / STREAM_STEPS;

		json_array_append_new(t, json_real(u));
		json_array_append_new(alpha, json_real(1 - u));
		json_array_append_new(sigma, json_real(u));
	}
	return json_pack("{s:{s:o, s:o, s:o}, s:s, s:s, s:s, s:i}", "grid", "t", t, "alpha", alpha, "sigma", sigma,
	                 "form", "fm", "solver", "ddim", "model", "<a&b>", "seed", 1000004);
}

/* noise, x, x0, eps of sample i at [i] of the arrays. */
static void stream_sample(struct rd_batch *b, size_t i, size_t dim)
{
	float *noise = (float *)b->f[0].data + i * dim, *x = (float *)b->f[1].data + i * (STREAM_STEPS + 1) * dim;
	float *x0 = (float *)b->f[2].data + i * STREAM_STEPS * dim, *eps = (float *)b->f[3].data + i * STREAM_STEPS * dim;
	float end[64];

	rd_rng_normal(0, RD_RNG_NOISE, i, noise, dim);
	rd_rng_normal(0, RD_RNG_DATA, i, end, dim);
	for (size_t k = 0; k <= STREAM_STEPS; k++)
		for (size_t j = 0; j < dim; j++) {
			float u = 1 - (float)k / STREAM_STEPS;

			x[k * dim + j] = (1 - u) * end[j] + u * noise[j];
			if (k == STREAM_STEPS)
				continue;
			x0[k * dim + j] = end[j] + (k ? 0.0f : 2.0f);
			eps[k * dim + j] = noise[j] + (k % 2 ? 1.0f : -1.0f) * (float)i / STREAM_N;
		}
}

static int write_stream(const char *path, const char *role, int64_t dim)
{
	static const char *const fields[] = { "noise", "x", "x0", "eps" };
	struct rd_batch b = { .n = STREAM_N };
	struct rd_stream s;
	struct rd_sink *sink = NULL;
	struct rd_err e;
	int rc = RD_OK;

	rd_stream_init(&s, role, stream_meta());
	for (int k = 0; !rc && k < 4; k++) {
		int64_t nodes = k == 0 ? 1 : k == 1 ? STREAM_STEPS + 1 : STREAM_STEPS;
		struct rd_shape shape = { .nd = 3, .d = { STREAM_N, nodes, dim } };

		rc = rd_stream_add(&s, fields[k], &e);
		if (!rc)
			rc = rd_array_init(&b.f[k], RD_F32, &shape, 0, &e);
	}
	for (size_t i = 0; !rc && i < STREAM_N; i++)
		stream_sample(&b, i, (size_t)dim);
	if (!rc)
		rc = rd_sink_open(&sink, path, 0, &s, &e);
	if (!rc)
		rc = rd_sink_write(sink, &b, &e);
	if (!rc)
		rc = rd_sink_finish(sink, NULL, &e);
	if (rc)
		fprintf(stderr, "%s\n", e.msg);
	rd_batch_free(&b);
	rd_stream_free(&s);
	return rc != RD_OK;
}

int main(int argc, char **argv)
{
	if (argc == 4)
		return write_stream(argv[1], argv[2], strtol(argv[3], NULL, 10) % 65);
	forms();
	defect_and_one_step();
	circle(even, 1);
	circle(late, 1);
	circle(late, 999);
	bow(even, 0, 1e-7);
	bow(even, 2, 1e-7);
	bow(late, 0, 1e-3);
	bow(late, 0.5, 1e-3);
	one_step();
	one_step_to_noise();
	stats();
	exact();
	grids();
	return check_report("test_trajectory");
}
