/* What solvers do whatever the equation: they are exact where it is of first order, begin from alpha = 0, count their evaluations,
 * tell an observer of each step and stop at an error. (Their orders: test_orders.c.) Data distributed as N(mu, s^2) has
 *
 *	x0(x) = mu + s^2 alpha (x - alpha mu)/(alpha^2 s^2 + sigma^2)
 *
 * as its best guess of x0. */
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

/* --- orders ------------------------------------------------------------------------------------------------------- */

static bool keep_order; /* no lowering of the order at the end of short runs */

static void solve(int solver, const struct rd_grid *g, rd_denoise_fn f, struct equation *q, float *x)
{
	struct rd_solver v = rd_solver_named(solver);
	void *d_x;

	v.high_order_final = keep_order;

	CHECK_OK(be->alloc(dev, &d_x, be->sample_bytes(dims), &e), &e);
	CHECK_OK(be->sample_import(dev, dims, x, d_x, &e), &e);
	q->calls = 0;
	CHECK_OK(rd_ode_solve(ode, &v, g, d_x, f, NULL, q, &e), &e);
	CHECK(q->calls == rd_solver_nfe(&v, g));
	CHECK_OK(be->sample_export(dev, dims, d_x, x, &e), &e);
	be->release(dev, d_x);
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
	one_step_from_alpha_0();
	first_order_forms();
	history_of_dpmpp2m();
	evaluations();
	observers_and_errors();
	rd_ode_free(ode);
	be->close(dev);
	return check_report("solver");
}
