/* The solver that chooses its steps, on equations whose solution is known: data distributed as N(mu, s^2), under which
 *
 *	(x - alpha mu)/sqrt(alpha^2 s^2 + sigma^2)
 *
 * stays as it is along a trajectory. An image has several pixels, of different mu and s, so that its steps are a compromise. */
#include <stdlib.h>
#include <string.h>

#include "lib/ode/dopri5.h"
#include "tests/check.h"

#define DIM 6
#define MOST 7 /* images */
#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;

/* s of pixel j of an image: the harder the image, the finer its detail. */
struct equation {
	int64_t n;
	double hard[MOST];
	int calls;
	double bad;   /* n = sigma/alpha below which it says NaN */
	int misplaced; /* evaluations asked for outside the range */
	double n_lo, n_hi;
};

static double deviation(const struct equation *q, int64_t i, int j)
{
	return 0.5 / pow(1 + q->hard[i], j / 2.0);
}

static double mean(int j)
{
	return 0.7 - 0.3 * j;
}

static double exact(const struct equation *q, const struct rd_node *n, int64_t i, int j)
{
	double s = deviation(q, i, j), z = -1.1 + 0.4 * j + 0.1 * (double)i;

	return n->alpha * mean(j) + z * sqrt(n->alpha * n->alpha * s * s + n->sigma * n->sigma);
}

static int gaussian(void *ctx, const struct rd_node *node, const void *d_x, void *d_x0, void *d_eps, struct rd_err *err)
{
	struct equation *q = ctx;
	struct rd_dims dims = {q->n, DIM, 1, 1};
	float x[MOST * DIM], x0[MOST * DIM], eps[MOST * DIM];
	int rc = be->sample_export(dev, dims, d_x, x, err);

	q->calls++;
	for (int64_t i = 0; i < q->n; i++) {
		const struct rd_node *n = &node[i];
		double ratio = n->sigma / n->alpha;

		q->misplaced += ratio < q->n_lo * (1 - 1e-9) || ratio > q->n_hi * (1 + 1e-9);
		for (int j = 0; j < DIM; j++) {
			double s2 = pow(deviation(q, i, j), 2), var = n->alpha * n->alpha * s2 + n->sigma * n->sigma;
			double guess = mean(j) + s2 * n->alpha * ((double)x[i * DIM + j] - n->alpha * mean(j)) / var;

			x0[i * DIM + j] = ratio < q->bad ? NAN : (float)guess;
			eps[i * DIM + j] = (float)(((double)x[i * DIM + j] - n->alpha * guess) / n->sigma);
		}
	}
	if (!rc)
		rc = be->sample_import(dev, dims, x0, d_x0, err);
	return rc ? rc : be->sample_import(dev, dims, eps, d_eps, err);
}

/* The grid of one step from one end of a schedule to the other; data: to sigma = 0. */
static void ends(struct rd_grid *g, const struct rd_schedule *s, bool data, bool reverse)
{
	CHECK_OK(rd_grid_init(g, s, &(struct rd_grid_opts){.steps = 1, .final = data ? RD_FINAL_DATA : RD_FINAL_LEAST}, &e), &e);
	if (reverse)
		CHECK_OK(rd_grid_reverse(g, &e), &e);
}

static struct rd_solver tolerance(double tol)
{
	struct rd_solver s = {.family = RD_DOPRI5, .rtol = tol, .atol = tol, .max_steps = 1000};

	return s;
}

/* x [n, DIM] from the exact start to the end; `used` images of the q->n. */
static int solve(const struct rd_solver *s, const struct rd_grid *g, struct equation *q, int64_t used, float *x, struct rd_effort *effort)
{
	struct rd_dims dims = {q->n, DIM, 1, 1};
	const struct rd_node *lo = &g->to[0];
	struct rd_node least = rd_node_at(g->schedule, g->schedule->t_lo);
	struct rd_dopri5 *o;
	void *d_x;
	int rc;

	lo = lo->sigma > 0 ? lo : &least;
	q->n_lo = fmin(lo->sigma / lo->alpha, g->from[0].sigma / g->from[0].alpha);
	q->n_hi = fmax(lo->sigma / lo->alpha, g->from[0].sigma / g->from[0].alpha);
	q->calls = q->misplaced = 0;
	CHECK_OK(rd_dopri5_new(&o, be, dev, dims, &e), &e);
	CHECK_OK(be->alloc(dev, &d_x, be->sample_bytes(dims), &e), &e);
	memset(x, 0, (size_t)q->n * DIM * sizeof *x);
	for (int64_t i = 0; i < used; i++)
		for (int j = 0; j < DIM; j++)
			x[i * DIM + j] = (float)exact(q, &g->from[0], i, j);
	CHECK_OK(be->sample_import(dev, dims, x, d_x, &e), &e);
	rc = rd_dopri5_solve(o, s, g, used, d_x, gaussian, q, effort, &e);
	CHECK_OK(be->sample_export(dev, dims, d_x, x, &e), &e);
	CHECK(!q->misplaced);
	be->release(dev, d_x);
	rd_dopri5_free(o);
	return rc;
}

/* The RMS of the error of u = x/scale at the end, of the worst image. */
static double error_of(const struct equation *q, const struct rd_node *end, const float *x)
{
	double worst = 0;

	for (int64_t i = 0; i < q->n; i++) {
		double sq = 0;

		for (int j = 0; j < DIM; j++)
			sq += pow((double)x[i * DIM + j] - exact(q, end, i, j), 2);
		worst = fmax(worst, sqrt(sq / DIM) / hypot(end->alpha, end->sigma));
	}
	return worst;
}

static const struct equation three = {.n = 3, .hard = {0, 2, 8}}, smooth = {.n = 3, .hard = {0, 0.3, 0.6}};

/* An error at the data grows on the way to noise as the distribution does, by 1/s; the other way it shrinks. */
static double growth(const struct equation *q, const struct rd_grid *g)
{
	const struct rd_node *a = &g->from[0], *b = &g->to[0];
	double most = 1;

	for (int64_t i = 0; i < q->n; i++) {
		double s = deviation(q, i, DIM - 1), u = hypot(a->alpha * s, a->sigma) / hypot(a->alpha, a->sigma);

		most = fmax(most, hypot(b->alpha * s, b->sigma) / hypot(b->alpha, b->sigma) / u);
	}
	return most;
}

/* The error follows the tolerance, under every form and both ways. */
static void error_follows_tolerance(const char *form, bool reverse)
{
	static const double tols[] = {1e-3, 1e-4, 1e-5};
	struct equation q = reverse ? smooth : three;
	struct rd_schedule s;
	struct rd_effort effort[MOST];
	struct rd_grid g;
	float x[MOST * DIM];
	double error[LEN(tols)];

	CHECK_OK(rd_schedule_init(&s, form, &e), &e);
	ends(&g, &s, false, reverse);
	printf("  %-6s%-8s", form, reverse ? "reverse" : "");
	for (int k = 0; k < LEN(tols); k++) {
		struct rd_solver v = tolerance(tols[k]);
		int most = 0;

		CHECK_OK(solve(&v, &g, &q, q.n, x, effort), &e);
		error[k] = error_of(&q, &g.to[0], x);
		for (int64_t i = 0; i < q.n; i++)
			most = rd_dopri5_nfe(&effort[i]) > most ? rd_dopri5_nfe(&effort[i]) : most;
		printf("  %g: %.1e (%d)", tols[k], error[k], most);
		CHECK(error[k] < (reverse ? 20 : 10) * tols[k] * growth(&q, &g) && (!k || error[k] < error[k - 1]));
		CHECK(q.calls == most); /* the batch takes as many as its hardest image */
		CHECK(most < 130);
	}
	printf("\n");
	CHECK(error[LEN(tols) - 1] < error[0] / 20);
	rd_grid_free(&g);
	rd_schedule_free(&s);
}

/* To sigma = 0 the last step is the x0 of the least noise, which costs no evaluation. */
static void to_the_data(void)
{
	struct equation q = three;
	struct rd_effort effort[MOST], there[MOST];
	struct rd_solver v = tolerance(1e-5);
	struct rd_schedule s;
	struct rd_grid g, least;
	struct rd_node lo;
	float x[MOST * DIM], y[MOST * DIM];

	CHECK_OK(rd_schedule_init(&s, "fm", &e), &e);
	lo = rd_node_at(&s, s.t_lo);
	ends(&g, &s, true, false);
	ends(&least, &s, false, false);
	CHECK(g.from[0].alpha == 0 && g.to[0].sigma == 0);
	CHECK_OK(solve(&v, &g, &q, q.n, x, effort), &e);
	CHECK_OK(solve(&v, &least, &q, q.n, y, there), &e);
	CHECK(!memcmp(effort, there, 3 * sizeof *effort));
	for (int64_t i = 0; i < q.n; i++)
		for (int j = 0; j < DIM; j++) {
			double s2 = pow(deviation(&q, i, j), 2), var = lo.alpha * lo.alpha * s2 + lo.sigma * lo.sigma;

			CHECK_NEAR(x[i * DIM + j], mean(j) + s2 * lo.alpha * ((double)y[i * DIM + j] - lo.alpha * mean(j)) / var, 1e-6);
		}
	rd_grid_free(&g);
	rd_grid_free(&least);
}

/* An image alone and the same one among six others, and in a batch that is not full. */
static void batch_independence(void)
{
	struct equation all = {.n = MOST, .hard = {0, 30, 1, 8, 0.2, 100, 3}}, some = all, one;
	struct rd_effort effort[MOST], alone[1], part[MOST];
	struct rd_solver v = tolerance(1e-4);
	struct rd_schedule s;
	struct rd_grid g;
	float x[MOST * DIM], y[MOST * DIM], z[DIM];

	CHECK_OK(rd_schedule_init(&s, "ddpm", &e), &e);
	ends(&g, &s, true, false);
	CHECK_OK(solve(&v, &g, &all, MOST, x, effort), &e);
	CHECK_OK(solve(&v, &g, &some, 4, y, part), &e);
	CHECK(!memcmp(x, y, 4 * DIM * sizeof *x) && !memcmp(effort, part, 4 * sizeof *part));
	one = (struct equation){.n = 1, .hard = {all.hard[0]}};
	CHECK_OK(solve(&v, &g, &one, 1, z, alone), &e);
	CHECK(!memcmp(z, x, sizeof z) && !memcmp(alone, effort, sizeof *alone));
	CHECK(one.calls == rd_dopri5_nfe(alone) && all.calls > one.calls);
	CHECK(effort[5].accepted > effort[0].accepted + 2 && all.calls == rd_dopri5_nfe(&effort[5]));
	rd_grid_free(&g);
	rd_schedule_free(&s);
}

static void refusals(void)
{
	struct equation q = three;
	struct rd_effort effort[MOST];
	struct rd_solver v = tolerance(1e-5);
	struct rd_schedule s;
	struct rd_grid g;
	float x[MOST * DIM];

	CHECK_OK(rd_schedule_init(&s, "vp", &e), &e);
	ends(&g, &s, false, false);
	v.max_steps = 5;
	CHECK(solve(&v, &g, &q, q.n, x, effort) == RD_EFAIL && strstr(e.msg, "after 5 steps"));
	v.max_steps = 1000;
	q.bad = 1;
	CHECK(solve(&v, &g, &q, q.n, x, effort) == RD_EFAIL && strstr(e.msg, "no number"));
	q.bad = 0;
	v.rtol = v.atol = 1e-30;
	CHECK(solve(&v, &g, &q, q.n, x, effort) == RD_EFAIL && strstr(e.msg, "larger tolerance"));
	v.rtol = v.atol = 0;
	CHECK(solve(&v, &g, &q, q.n, x, effort) == RD_EUSAGE);
	rd_grid_free(&g);
}

int main(void)
{
	CHECK_OK(rd_device_open("cpu", 1, &be, &dev, &e), &e);
	for (int f = 0; rd_form_names[f]; f++)
		for (int reverse = 0; reverse < 2; reverse++)
			error_follows_tolerance(rd_form_names[f], reverse);
	to_the_data();
	batch_independence();
	refusals();
	be->close(dev);
	return check_report("dopri5");
}
