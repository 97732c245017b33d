/* Solvers on equations whose solution is known. Data distributed as N(mu, s^2) has
 *
 *	x0(x) = mu + s^2 alpha (x - alpha mu)/(alpha^2 s^2 + sigma^2)
 *
 * as its best guess of x0, and the flow maps quantiles to quantiles: (x - alpha mu)/sqrt(alpha^2 s^2 + sigma^2) stays
 * as it is. The error at the end, over step halvings, gives each solver's order under each form. */
#include <stdlib.h>
#include <string.h>

#include "lib/ode/weights.h"
#include "tests/check.h"

#define N_X 8 /* values solved for at once, as many images of one pixel */
#define MAX_STEPS 256
#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_ode *ode;
static const struct rd_dims dims = {N_X, 1, 1, 1};
static struct rd_err e;

/* --- equations ---------------------------------------------------------------------------------------------------- */

struct equation {
	double mu, s;              /* gaussian */
	double x0[N_X], eps[N_X];  /* first order: the constants */
	int calls, fail_at;        /* fail_at: the call, from 1, that gives an error */
};

/* x of a quantile z at a node. */
static double gaussian_x(const struct equation *q, const struct rd_node *n, double z)
{
	return n->alpha * q->mu + z * sqrt(n->alpha * n->alpha * q->s * q->s + n->sigma * n->sigma);
}

static int give(const float *x0, const float *eps, void *d_x0, void *d_eps, struct rd_err *err)
{
	int rc = be->sample_import(dev, dims, x0, d_x0, err);

	return rc ? rc : be->sample_import(dev, dims, eps, d_eps, err);
}

static int gaussian(void *ctx, const struct rd_node *n, const void *d_x, void *d_x0, void *d_eps, struct rd_err *err)
{
	struct equation *q = ctx;
	double s2 = q->s * q->s, var = n->alpha * n->alpha * s2 + n->sigma * n->sigma, guess;
	float x[N_X], x0[N_X], eps[N_X];
	int rc = be->sample_export(dev, dims, d_x, x, err);

	if (++q->calls == q->fail_at)
		return rd_fail(err, RD_EFAIL, "asked to fail");
	for (int i = 0; i < N_X; i++) {
		guess = q->mu + s2 * n->alpha * ((double)x[i] - n->alpha * q->mu) / var;
		x0[i] = (float)guess;
		eps[i] = (float)(((double)x[i] - n->alpha * guess) / n->sigma);
	}
	return rc ? rc : give(x0, eps, d_x0, d_eps, err);
}

/* eps is constant along the trajectory; x0 follows from x wherever x says something of it. */
static int first_order(void *ctx, const struct rd_node *n, const void *d_x, void *d_x0, void *d_eps, struct rd_err *err)
{
	struct equation *q = ctx;
	float x[N_X], x0[N_X], eps[N_X];
	int rc = be->sample_export(dev, dims, d_x, x, err);

	q->calls++;
	for (int i = 0; i < N_X; i++) {
		eps[i] = (float)q->eps[i];
		x0[i] = (float)(n->alpha > 0 ? ((double)x[i] - n->sigma * q->eps[i]) / n->alpha : q->x0[i]);
	}
	return rc ? rc : give(x0, eps, d_x0, d_eps, err);
}

static double quantile(int i)
{
	return -2.1 + 0.6 * i;
}

/* --- grids -------------------------------------------------------------------------------------------------------- */

/* Steps between the nodes k = 0 .. steps, each from the end of the one before. */
static struct rd_grid join(const struct rd_schedule *s, const struct rd_node *node, int steps)
{
	static struct rd_node from[MAX_STEPS], to[MAX_STEPS];

	memcpy(from, node, (size_t)steps * sizeof *from);
	memcpy(to, node + 1, (size_t)steps * sizeof *to);
	return (struct rd_grid){steps, from, to, 1, s};
}

/* Steps in ln(sigma/alpha), `steps` of them (an even number): equal, or alternately of one and two parts. */
static struct rd_grid in_log(const struct rd_schedule *s, double n_hi, double n_lo, int steps, bool uneven)
{
	static struct rd_node node[MAX_STEPS + 1];

	for (int k = 0; k <= steps; k++) {
		double f = (k - (uneven && k % 2 ? 1 / 3.0 : 0)) / steps;

		node[k] = rd_node_at(s, s->form->t_of_n(s, n_hi * pow(n_lo / n_hi, f)));
	}
	return join(s, node, steps);
}

static struct rd_grid even_in_t(const struct rd_schedule *s, double t_hi, double t_lo, int steps)
{
	static struct rd_node node[MAX_STEPS + 1];

	for (int k = 0; k <= steps; k++)
		node[k] = rd_node_at(s, t_hi + (t_lo - t_hi) * k / steps);
	return join(s, node, steps);
}

/* The solver after v of those that walk a grid; test_dopri5 is about the other kind. */
static int next_solver(int v)
{
	struct rd_solver s;

	do {
		v++;
		if (rd_solver_names[v])
			s = rd_solver_named(v);
	} while (rd_solver_names[v] && rd_solver_chooses_steps(&s));
	return v;
}

static int by_name(const char *name)
{
	int i = 0;

	while (strcmp(rd_solver_names[i], name))
		i++;
	return i;
}

/* The slope to expect of a whole run; 0 where single precision or a change of sign hides it, and then only the size of the error
 * is looked at. (Each formula's own order is tested in double precision by local_orders.) unipc's corrector adds one; a run
 * of order 3 that begins with a step of order 1 is of order 2. */
/* --- orders ------------------------------------------------------------------------------------------------------- */

static enum rd_solver_type type;
static bool keep_order; /* no lowering of the order at the end of short runs */

static void solve(int solver, const struct rd_grid *g, rd_denoise_fn f, struct equation *q, float *x)
{
	struct rd_solver v = rd_solver_named(solver);
	void *d_x;

	v.high_order_final = keep_order;
	if (type)
		CHECK_OK(rd_solver_set_type(&v, type, &e), &e);

	CHECK_OK(be->alloc(dev, &d_x, be->sample_bytes(dims), &e), &e);
	CHECK_OK(be->sample_import(dev, dims, x, d_x, &e), &e);
	q->calls = 0;
	CHECK_OK(rd_ode_solve(ode, &v, g, d_x, f, NULL, q, &e), &e);
	CHECK(q->calls == rd_solver_nfe(&v, g));
	CHECK_OK(be->sample_export(dev, dims, d_x, x, &e), &e);
	be->release(dev, d_x);
}

/* Root mean square of the error at the end. */
static double error_of(int solver, const struct rd_grid *g, struct equation *q)
{
	float x[N_X];
	double sq = 0;

	for (int i = 0; i < N_X; i++)
		x[i] = (float)gaussian_x(q, &g->from[0], quantile(i));
	solve(solver, g, gaussian, q, x);
	for (int i = 0; i < N_X; i++)
		sq += pow((double)x[i] - gaussian_x(q, &g->to[g->steps - 1], quantile(i)), 2);
	return sqrt(sq / N_X);
}

/* The slope of log2(error) by least squares, each point half the step of the one before. */
static double fit_order(const double *error, int n)
{
	double num = 0, den = 0;

	for (int i = 0; i < n; i++) {
		double at = i - (n - 1) / 2.0;

		num -= at * log2(error[i]);
		den += at * at;
	}
	return num / den;
}

static const int step_counts[] = {32, 64, 128, 256};

static int order_of(int solver)
{
	struct rd_solver v = rd_solver_named(solver);

	if (v.family == RD_UNIPC)
		return v.order == 1 ? 2 : 0;
	if (v.family == RD_RK4)
		return 0;
	if (v.order == 3 || (v.singlestep && !v.data))
		return 0;
	return v.family == RD_HEUN ? 2 : v.order ? v.order : 1;
}

static void check_order(const char *name, int solver, const double *error)
{
	double order = fit_order(error, LEN(step_counts));

	printf("  %-12s %-8s", name, rd_solver_names[solver]);
	for (int i = 0; i < LEN(step_counts); i++)
		printf(" %9.2e", error[i]);
	printf("  %5.2f\n", order);
	if (order_of(solver))
		CHECK_NEAR(order, order_of(solver), 0.2);
	CHECK(error[LEN(step_counts) - 1] < (order_of(solver) == 1 ? 0.02 : 5e-4));
	if (!order_of(solver))
		CHECK(error[0] < 2e-3 + 8e-3 * rd_solver_named(solver).singlestep && error[LEN(step_counts) - 1] < 2e-4);
}

static void print_head(void)
{
	printf("  %-12s %-8s", "form", "solver");
	for (int i = 0; i < LEN(step_counts); i++)
		printf(" %3d steps", step_counts[i]);
	printf("  order\n");
}

static void orders_in_log(const char *name, const char *form, bool uneven)
{
	struct equation q = {.mu = 0.7, .s = 0.5};
	double error[LEN(step_counts)];
	struct rd_schedule s;

	CHECK_OK(rd_schedule_init(&s, form, &e), &e);
	for (int v = next_solver(-1); rd_solver_names[v]; v = next_solver(v)) {
		for (int i = 0; i < LEN(step_counts); i++) {
			struct rd_grid g = in_log(&s, 60, 0.05, step_counts[i], uneven);
			error[i] = error_of(v, &g, &q);
		}
		check_order(name, v, error);
	}
	rd_schedule_free(&s);
}

/* rk4 is as exact as single precision in a hundred steps; its order shows in fewer. */
static void order_of_rk4(void)
{
	static const enum rd_solver_type types[] = {RD_TYPE_NOISE, RD_TYPE_DATA};
	struct equation q = {.mu = 0.7, .s = 0.5};
	struct rd_schedule s;
	double error[3];

	CHECK_OK(rd_schedule_init(&s, "vp", &e), &e);
	for (int k = 0; k < LEN(types); k++) {
		for (int i = 0; i < 3; i++) {
			struct rd_grid g = in_log(&s, 20, 0.1, 6 << i, false);

			type = types[k];
			error[i] = error_of(by_name("rk4"), &g, &q);
			type = RD_TYPE_DEFAULT;
		}
		printf("  vp           rk4 %s: %9.2e %9.2e %9.2e in 6, 12, 24 steps  %5.2f\n", rd_solver_type_names[types[k]], error[0], error[1],
		       error[2], fit_order(error, 3));
		CHECK_NEAR(fit_order(error, 3), 4, 0.4);
	}
}

/* From alpha = 0, where there is no x/alpha and no log-SNR: the first step is ddim's, and the order is kept. */
static void orders_from_alpha_0(void)
{
	struct equation q = {.mu = 0.7, .s = 0.5};
	struct rd_schedule s;
	double error[LEN(step_counts)];

	CHECK_OK(rd_schedule_init(&s, "fm", &e), &e);
	for (int v = next_solver(-1); rd_solver_names[v]; v = next_solver(v)) {
		for (int i = 0; i < LEN(step_counts); i++) {
			struct rd_grid g = even_in_t(&s, 1, 0.1, step_counts[i]);

			CHECK(g.from[0].alpha == 0);
			error[i] = error_of(v, &g, &q);
		}
		check_order("fm, t=1", v, error);
	}
}

/* One step from alpha = 0: x_t = alpha_t E[x0] + sigma_t x, whatever the solver. */
static void one_step_from_alpha_0(void)
{
	struct equation q = {.mu = 0.7, .s = 0.5};
	struct rd_schedule s;
	float x[N_X];

	CHECK_OK(rd_schedule_init(&s, "fm", &e), &e);
	for (int v = next_solver(-1); rd_solver_names[v]; v = next_solver(v))
		for (int end = 0; end < 2; end++) {
			struct rd_grid g = even_in_t(&s, 1, end ? 0 : 0.4, 1);

			for (int i = 0; i < N_X; i++)
				x[i] = (float)quantile(i);
			solve(v, &g, gaussian, &q, x);
			CHECK(q.calls == 1);
			for (int i = 0; i < N_X; i++)
				CHECK_NEAR(x[i], g.to[0].alpha * 0.7 + g.to[0].sigma * quantile(i), 1e-6);
		}
}

/* Where eps is constant the solution is the forward form itself, and every solver finds it in however few steps. */
static void first_order_is_exact(const struct rd_schedule *s, int solver, int steps, double end)
{
	struct equation q;
	struct rd_grid g = even_in_t(s, s->t_hi, end, steps);
	struct rd_node *a = &g.from[0], *b = &g.to[steps - 1];
	float x[N_X];
	double tol;

	if (end <= s->t_lo) /* on to the data itself */
		*b = (struct rd_node){0, 0, 1, 0};
	for (int i = 0; i < N_X; i++) {
		q.x0[i] = 0.3 + 0.2 * i;
		q.eps[i] = (double)(float)quantile(i);
		x[i] = (float)(a->alpha * q.x0[i] + a->sigma * q.eps[i]);
	}
	/* a rounding of x to f32 is one of x0 times the size of x over alpha */
	tol = 2e-6 + (a->alpha > 0 ? 6e-7 * fmax(1, a->sigma) / a->alpha : 0);
	solve(solver, &g, first_order, &q, x);
	for (int i = 0; i < N_X; i++)
		CHECK_NEAR(x[i], b->alpha * q.x0[i] + b->sigma * q.eps[i], tol);
}

static void first_order_forms(void)
{
	for (int f = 0; rd_form_names[f]; f++) {
		struct rd_schedule s;

		CHECK_OK(rd_schedule_init(&s, rd_form_names[f], &e), &e);
		for (int v = next_solver(-1); rd_solver_names[v]; v = next_solver(v))
			for (int steps = 1; steps < 6; steps += 2) {
				first_order_is_exact(&s, v, steps, s.t_lo);
				first_order_is_exact(&s, v, steps, s.t_lo + 0.3 * (s.t_hi - s.t_lo));
			}
		rd_schedule_free(&s);
	}
}

static double log_snr(const struct rd_node *n)
{
	return log(n->alpha / n->sigma);
}

/* x0 is linear in log-SNR, whatever x is; eps is nothing, for dpm++2m does not look at it. */
static int linear_x0(void *ctx, const struct rd_node *n, const void *d_x, void *d_x0, void *d_eps, struct rd_err *err)
{
	float x0[N_X], eps[N_X];

	(void)d_x;
	((struct equation *)ctx)->calls++;
	for (int i = 0; i < N_X; i++) {
		x0[i] = (float)(0.3 * log_snr(n) + i);
		eps[i] = NAN;
	}
	return give(x0, eps, d_x0, d_eps, err);
}

/* dpm++2m carries x0 on to the middle of a step, in log-SNR, by the line through its last two values; steps of any two
 * lengths. (Its order alone would not tell: the errors of a wrong ratio of lengths cancel from step to step.) */
static void history_of_dpmpp2m(void)
{
	static const double n_of[] = {4, 1, 0.7, 0.1}; /* sigma/alpha */
	struct equation q = {.calls = 0};
	struct rd_node node[4];
	struct rd_schedule s;
	struct rd_grid g;
	float x[N_X];

	CHECK_OK(rd_schedule_init(&s, "vp", &e), &e);
	for (int k = 0; k < 4; k++)
		node[k] = rd_node_at(&s, s.form->t_of_n(&s, n_of[k]));
	g = join(&s, node, 3);
	for (int i = 0; i < N_X; i++)
		x[i] = (float)quantile(i);
	keep_order = true;
	solve(by_name("dpm++2m"), &g, linear_x0, &q, x);
	keep_order = false;
	for (int i = 0; i < N_X; i++) {
		double want = quantile(i);

		for (int k = 0; k < 3; k++) {
			const struct rd_node *a = &node[k], *b = &node[k + 1];
			double at = k ? (log_snr(a) + log_snr(b)) / 2 : log_snr(a);

			want = b->sigma / a->sigma * want + b->alpha * (1 - exp(log_snr(a) - log_snr(b))) * (0.3 * at + i);
		}
		CHECK_NEAR(x[i], want, 5e-6);
	}
}

/* --- each formula's order, in double precision -------------------------------------------------------------------- */

/* Data N(mu, s^2) under vp, at a quantile: the exact state at lambda, and x0 or eps there. */
static struct rd_node at_lambda(double lambda)
{
	double n = exp(-lambda);

	return (struct rd_node){0, 0, 1 / sqrt(1 + n * n), n / sqrt(1 + n * n)};
}

static double exact_output(const struct equation *q, const struct rd_node *n, double z, bool data)
{
	double x = gaussian_x(q, n, z), s2 = q->s * q->s, var = n->alpha * n->alpha * s2 + n->sigma * n->sigma;
	double x0 = q->mu + s2 * n->alpha * (x - n->alpha * q->mu) / var;

	return data ? x0 : (x - n->alpha * x0) / n->sigma;
}

enum formula { PREDICT, CORRECT };

/* The error of one step from lambda that has exact outputs to look at, the nodes h apart (the history's spacing is 1.3 h). */
static double local_error(const struct rd_solver *v, enum formula what, double lambda, double h)
{
	struct equation q = {.mu = 0.7, .s = 0.5};
	struct rd_node t = at_lambda(lambda + h), node[RD_MAX_ORDER];
	const struct rd_node *s[RD_MAX_ORDER];
	int base = v->singlestep ? v->order - 1 : 0;
	struct rd_step_weights w;
	double z = 0.8, x;

	for (int i = 0; i < RD_MAX_ORDER; i++) {
		node[i] = at_lambda(lambda - 1.3 * h * i);
		s[i] = &node[i];
	}
	if (v->family == RD_DEIS)
		rd_deis_weights(&w, v->order, &t, s);
	else if (v->family == RD_DPM)
		rd_dpm_weights(&w, v, v->order, &t, s);
	else if (what == PREDICT)
		rd_unipc_predict(&w, v, v->order, &t, s);
	else
		rd_unipc_correct(&w, v, v->order, &t, s);
	x = w.x * gaussian_x(&q, s[base], z);
	for (int i = 0; i < w.n; i++) {
		const struct rd_node *n = what == PREDICT ? s[i] : i ? s[i - 1] : &t;

		x += w.m[i] * exact_output(&q, n, z, v->data || v->family == RD_UNIPC);
	}
	return fabs(x - gaussian_x(&q, &t, z));
}

static void local_order(const char *name, const struct rd_solver *v, enum formula what, int want)
{
	double error[3], order;

	for (int i = 0; i < 3; i++) {
		error[i] = 0;
		for (int k = 0; k < 9; k++) /* in many places: an error may happen to vanish in one */
			error[i] += local_error(v, what, -2 + 0.5 * k, 0.02 / (1 << i)) / 9;
	}
	order = fit_order(error, 3) - 1;
	printf("  %-8s %-9s %-9s %9.2e %9.2e %9.2e  %5.2f\n", name, rd_solver_type_names[v->type],
	       what == CORRECT ? "corrector" : "", error[0], error[1], error[2], order);
	CHECK_NEAR(order, want, 0.2);
}

/* A step's error goes as h^(p+1). Two formulas that are called third-order are not, here as in their authors' code and in diffusers:
 * multistep DPM-Solver takes half of the second derivative, and singlestep "midpoint" none, which is right only with its newest
 * node at two thirds of the step. */
static int order_of_formula(const struct rd_solver *v)
{
	bool half = v->family == RD_DPM && v->order == 3 && (!v->singlestep || v->type == RD_TYPE_MIDPOINT);

	return half ? 2 : v->order;
}

static void local_orders(void)
{
	static const enum rd_solver_type types[] = {RD_TYPE_MIDPOINT, RD_TYPE_HEUN, RD_TYPE_BH2, RD_TYPE_BH1};

	printf("  solver   type                   h=0.02    h=0.01   h=0.005  order\n");
	for (int i = 0; rd_solver_names[i]; i++)
		for (int k = 0; k < LEN(types); k++) {
			struct rd_solver v = rd_solver_named(i);

			if (!v.order || (v.family == RD_DEIS && k) || (v.family != RD_DEIS && rd_solver_set_type(&v, types[k], &e)))
				continue;
			local_order(rd_solver_names[i], &v, PREDICT, order_of_formula(&v));
			if (v.family == RD_UNIPC)
				local_order(rd_solver_names[i], &v, CORRECT, v.order + 1);
		}
}

/* --- the rest of the contract ------------------------------------------------------------------------------------- */

/* Heun evaluates twice a step but for the last one, to sigma = 0. */
static void evaluations(void)
{
	struct rd_schedule s;
	struct rd_grid g;

	CHECK_OK(rd_schedule_init(&s, "vp", &e), &e);
	g = even_in_t(&s, 1, 0.1, 5);
	for (int v = next_solver(-1); rd_solver_names[v]; v = next_solver(v)) {
		struct rd_solver solver = rd_solver_named(v);

		g.to[4].sigma = 0.1;
		CHECK(rd_solver_nfe(&solver, &g) == (solver.family == RD_HEUN ? 10 : solver.family == RD_RK4 ? 20 : 5));
		g.to[4].sigma = 0;
		CHECK(rd_solver_nfe(&solver, &g) == (solver.family == RD_HEUN ? 9 : solver.family == RD_RK4 ? 17 : 5));
	}
}

struct watch {
	struct equation q; /* first: the equations are given the same pointer */
	const struct rd_grid *g;
	int seen, wrong;
	float first, last;
};

static int observe(void *ctx, int k, const struct rd_node *node, const void *d_x, const void *x0, const void *eps,
                   struct rd_err *err)
{
	struct watch *w = ctx;
	bool end = k == w->g->steps;
	float x[N_X];
	int rc = be->sample_export(dev, dims, d_x, x, err);

	w->wrong += k != w->seen || node != (end ? &w->g->to[k - 1] : &w->g->from[k]) || !x0 != end || !eps != end;
	if (k == 0)
		w->first = x[0];
	w->last = x[0];
	w->seen++;
	return rc;
}

/* Every state once, in order, the last without a prediction; an error of the equation stops the run and comes out. */
static void observers_and_errors(void)
{
	struct watch w = {.q = {.mu = 0.7, .s = 0.5}};
	struct rd_schedule s;
	struct rd_grid g;
	float x[N_X];
	void *d_x;

	CHECK_OK(rd_schedule_init(&s, "vp", &e), &e);
	CHECK_OK(be->alloc(dev, &d_x, be->sample_bytes(dims), &e), &e);
	g = even_in_t(&s, 1, 0.1, 6);
	w.g = &g;
	for (int v = next_solver(-1); rd_solver_names[v]; v = next_solver(v)) {
		struct rd_solver solver = rd_solver_named(v);

		for (int i = 0; i < N_X; i++)
			x[i] = (float)(i + 1);
		CHECK_OK(be->sample_import(dev, dims, x, d_x, &e), &e);
		w.seen = 0;
		w.q.fail_at = 0;
		CHECK_OK(rd_ode_solve(ode, &solver, &g, d_x, gaussian, observe, &w, &e), &e);
		CHECK_OK(be->sample_export(dev, dims, d_x, x, &e), &e);
		CHECK(w.seen == 7 && !w.wrong && w.first == 1 && w.last == x[0]);
		w.q.calls = 0;
		w.q.fail_at = solver.family == RD_HEUN ? 6 : solver.family == RD_RK4 ? 10 : 3; /* heun: the second evaluation of step 3 */
		CHECK(rd_ode_solve(ode, &solver, &g, d_x, gaussian, NULL, &w, &e) == RD_EFAIL);
		CHECK(!strcmp(e.msg, "asked to fail") && w.q.calls == w.q.fail_at);
	}
	be->release(dev, d_x);
}

int main(void)
{
	CHECK_OK(rd_device_open("cpu", 1, &be, &dev, &e), &e);
	CHECK_OK(rd_ode_new(&ode, be, dev, dims, &e), &e);
	print_head();
	for (int f = 0; rd_form_names[f]; f++)
		orders_in_log(rd_form_names[f], rd_form_names[f], false);
	orders_in_log("vp, uneven", "vp", true);
	orders_from_alpha_0();
	order_of_rk4();
	one_step_from_alpha_0();
	first_order_forms();
	local_orders();
	history_of_dpmpp2m();
	evaluations();
	observers_and_errors();
	rd_ode_free(ode);
	be->close(dev);
	return check_report("solver");
}
