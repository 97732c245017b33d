/* The order of convergence of every solver, under every form and prediction type, on ODEs whose solution is known. The solvers
 * are the library's own, but their sums (rd_lincomb) are replaced here by ones in double precision, so that a slope is not lost
 * in rounding.
 *
 * In one dimension the flow keeps quantiles: x at any node is the inverse of the marginal's distribution function at the
 * same probability. For a mixture of gaussians, weights w_i, means m_i, standard deviations s_i, the marginal at (alpha, sigma) is
 * the mixture of N(alpha m_i, alpha^2 s_i^2 + sigma^2), and E[x0 | x] the mean of the parts' regressions by their likelihoods. */
#include <stdlib.h>
#include <string.h>

#include "lib/ode/dopri5.h"
#include "lib/ode/lincomb.h"
#include "lib/ode/predict.h"
#include "lib/ode/solver.h"
#include "tests/check.h"

#define N_X 6 /* values solved for at once */
#define MAX_STEPS 400
#define CYCLES 6 /* singlestep solvers' cycles end at its multiples */
#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static struct rd_ode *ode;
static const struct rd_dims dims = {1, N_X, 1, 1};
static struct rd_err e;

/* --- a device of doubles: what the solvers ask of one ---------------------------------------------------------------- */

static int host_alloc(struct rd_dev *dev, void **out, size_t bytes, struct rd_err *err)
{
	(void)dev;
	*out = calloc(1, bytes);
	return *out ? RD_OK : rd_fail(err, RD_ENOMEM, "out of memory");
}

static void host_release(struct rd_dev *dev, void *p)
{
	(void)dev;
	free(p);
}

static size_t host_bytes(struct rd_dims d)
{
	return (size_t)(d.n * d.c * d.h * d.w) * sizeof(double);
}

static int host_copy(struct rd_dev *dev, void *to, const void *from, size_t bytes, struct rd_err *err)
{
	(void)dev;
	(void)err;
	memcpy(to, from, bytes);
	return RD_OK;
}

static int host_zero(struct rd_dev *dev, void *p, size_t bytes, struct rd_err *err)
{
	(void)dev;
	(void)err;
	memset(p, 0, bytes);
	return RD_OK;
}

/* The mean square of the one image. */
static int host_loss(struct rd_dev *dev, const struct rd_loss_desc *p, const void *pred, const void *target, const float *scale,
                     const float *weight, float *per_image, void *dpred, struct rd_err *err)
{
	const double *v = pred, *zero = target;
	double sq = 0;

	(void)dev;
	(void)err;
	CHECK(p->kind == RD_LOSS_L2 && scale[0] == 1 && weight[0] == 1 && !dpred);
	for (int i = 0; i < N_X; i++)
		sq += pow(v[i] - zero[i], 2);
	per_image[0] = (float)(sq / N_X);
	return RD_OK;
}

static const struct rd_backend doubles = {.name = "doubles", .alloc = host_alloc, .release = host_release, .put = host_copy,
                                          .get = host_copy, .zero = host_zero, .sample_bytes = host_bytes, .loss = host_loss};

int rd_lincomb_init(struct rd_lincomb *l, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d, struct rd_err *err)
{
	(void)err;
	CHECK(d.n == 1 && d.c == N_X && d.h == 1 && d.w == 1);
	*l = (struct rd_lincomb){.be = be, .dev = dev, .d = d};
	return RD_OK;
}

void rd_lincomb_free(struct rd_lincomb *l)
{
	(void)l;
}

int rd_lincomb(struct rd_lincomb *l, double a, const void *x, double b, const void *y, void *out, struct rd_err *err)
{
	const double *u = x, *v = y;
	double *w = out;

	(void)l;
	(void)err;
	for (int i = 0; i < N_X; i++)
		w[i] = a * u[i] + (v ? b * v[i] : 0);
	return RD_OK;
}

int rd_lincomb_each(struct rd_lincomb *l, const double *a, const void *x, const double *b, const void *y, void *out,
                    struct rd_err *err)
{
	return rd_lincomb(l, a[0], x, y ? b[0] : 0, y, out, err);
}

/* --- equations -------------------------------------------------------------------------------------------------------- */

struct mixture {
	const char *name;
	int n;
	double w[2], m[2], s[2];
};

static const struct mixture gauss = {"gauss", 1, {1}, {0.7}, {0.5}}, two = {"mixture", 2, {0.3, 0.7}, {0.9, -0.6}, {0.6, 0.8}};

struct equation {
	const struct mixture *data;
	struct rd_prediction pred;
	int calls;
	double sq; /* of errors on the way, in the scale of the data and the noise together */
	int n_sq;
};

static double spread(const struct mixture *p, int i, const struct rd_node *n)
{
	return hypot(n->alpha * p->s[i], n->sigma);
}

static double probability_below(const struct mixture *p, const struct rd_node *n, double x)
{
	double sum = 0;

	for (int i = 0; i < p->n; i++)
		sum += p->w[i] * erfc((n->alpha * p->m[i] - x) / (spread(p, i, n) * sqrt(2))) / 2;
	return sum;
}

static double density(const struct mixture *p, const struct rd_node *n, double x)
{
	double sum = 0;

	for (int i = 0; i < p->n; i++) {
		double s = spread(p, i, n);

		sum += p->w[i] * exp(-pow((x - n->alpha * p->m[i]) / s, 2) / 2) / (s * sqrt(2 * acos(-1)));
	}
	return sum;
}

/* x at a node, of a probability: Newton's rule within a bracket. */
static double exact_x(const struct mixture *p, const struct rd_node *n, double probability)
{
	double lo = -10 * (n->alpha + n->sigma), hi = -lo, x = 0;

	for (int i = 0; i < 200; i++) {
		double over = probability_below(p, n, x) - probability, next = x - over / density(p, n, x);

		*(over > 0 ? &hi : &lo) = x;
		if (!(next > lo && next < hi))
			next = (lo + hi) / 2;
		if (fabs(next - x) <= 1e-15 * (n->alpha + n->sigma))
			break;
		x = next;
	}
	return x;
}

static double posterior_mean(const struct mixture *p, const struct rd_node *n, double x)
{
	double num = 0, den = 0;

	for (int i = 0; i < p->n; i++) {
		double s = spread(p, i, n), like = p->w[i] * exp(-pow((x - n->alpha * p->m[i]) / s, 2) / 2) / s;

		num += like * (p->m[i] + n->alpha * p->s[i] * p->s[i] / (s * s) * (x - n->alpha * p->m[i]));
		den += like;
	}
	return num / den;
}

/* What a perfect network of the prediction type says, and what the library's algebra reads from it. */
static int denoise(void *ctx, const struct rd_node *n, const void *at, void *to_x0, void *to_eps, struct rd_err *err)
{
	struct equation *q = ctx;
	const double *x = at;
	double *x0 = to_x0, *eps = to_eps, on_x0, on_eps;
	struct rd_pred_coef c;
	int rc = rd_pred_coef(q->pred, n->alpha, n->sigma, &c, err);

	rd_pred_target(q->pred, n->alpha, n->sigma, &on_x0, &on_eps);
	q->calls++;
	for (int i = 0; i < N_X && !rc; i++) {
		double guess = posterior_mean(q->data, n, x[i]), f = on_x0 * guess + on_eps * (x[i] - n->alpha * guess) / n->sigma;

		x0[i] = c.x0_x * x[i] + c.x0_f * f;
		eps[i] = c.eps_x * x[i] + c.eps_f * f;
	}
	return rc;
}

/* --- grids ------------------------------------------------------------------------------------------------------------ */

enum { N_HI = 20, INV_N_LO = 16 }; /* sigma/alpha at the start, and one over it at the end */

/* Steps between nodes, each from the end of the one before. */
static struct rd_grid join(const struct rd_schedule *s, const struct rd_node *node, int steps)
{
	static struct rd_node from[MAX_STEPS], to[MAX_STEPS];

	memcpy(from, node, (size_t)steps * sizeof *from);
	memcpy(to, node + 1, (size_t)steps * sizeof *to);
	return (struct rd_grid){steps, from, to, 1, s};
}

/* `steps` steps in lambda, alternately of one and two parts; of equal length for singlestep, whose cycles suppose that. A multistep
 * solver has no history to begin with, and its first steps are of lower order: for it short steps go before. */
static struct rd_grid in_lambda(const struct rd_schedule *s, const struct rd_solver *v, int steps)
{
	static struct rd_node node[MAX_STEPS + 3];
	double whole = log((double)N_HI * INV_N_LO), h = 1.0 / steps, first = pow(h, 1.5);
	int short_ones = v->order > 1 && !v->singlestep ? 2 : 0, n = 0;

	for (int k = 0; k < short_ones; k++)
		node[n++] = rd_node_of_n(s, N_HI * exp(-whole * first * k));
	for (int k = 0; k <= steps; k++) {
		double f = (k - (k % 2 && !v->singlestep ? 1 / 3.0 : 0)) * h, gone = first * short_ones;

		node[n++] = rd_node_of_n(s, N_HI * exp(-whole * (gone + (1 - gone) * f)));
	}
	return join(s, node, n - 1);
}

/* --- orders ----------------------------------------------------------------------------------------------------------- */

/* Errors where cycles end, not at the end alone, where they might happen to cancel. */
static int compare(void *ctx, int k, const struct rd_node *n, const void *at, const void *x0, const void *eps, struct rd_err *err)
{
	struct equation *q = ctx;
	const double *x = at;

	(void)x0;
	(void)eps;
	(void)err;
	for (int i = 0; i < N_X && k && k % CYCLES == 0; i++) {
		q->sq += pow((x[i] - exact_x(q->data, n, (i + 0.5) / N_X)) / hypot(n->alpha, n->sigma), 2);
		q->n_sq++;
	}
	return RD_OK;
}

static double error_of(const struct rd_solver *v, const struct rd_grid *g, struct equation *q)
{
	double x[N_X];

	q->calls = q->n_sq = 0;
	q->sq = 0;
	for (int i = 0; i < N_X; i++)
		x[i] = exact_x(q->data, &g->from[0], (i + 0.5) / N_X);
	CHECK_OK(rd_ode_solve(ode, v, g, x, denoise, compare, q, &e), &e);
	CHECK(q->calls == rd_solver_nfe(v, g));
	return sqrt(q->sq / q->n_sq);
}

static double order_between(const struct rd_solver *v, const struct rd_schedule *s, struct equation *q, int steps)
{
	struct rd_grid g = in_lambda(s, v, steps);
	double coarse = error_of(v, &g, q);

	g = in_lambda(s, v, 2 * steps);
	return log2(coarse / error_of(v, &g, q));
}

/* dopri5 takes the steps it needs: its error against how many they are, at tolerances so small that they are many. */
static double order_of_dopri5(struct rd_solver v, const struct rd_schedule *s, struct equation *q)
{
	static const double tolerance[] = {1e-11, 1e-13};
	struct rd_node node[2] = {rd_node_of_n(s, N_HI / 2), rd_node_of_n(s, 1.0 / INV_N_LO)};
	struct rd_grid g = join(s, node, 1);
	double error[2], steps[2], x[N_X];
	struct rd_dopri5 *o;

	CHECK_OK(rd_dopri5_new(&o, &doubles, NULL, dims, &e), &e);
	for (int k = 0; k < 2; k++) {
		struct rd_effort effort;

		v.rtol = v.atol = tolerance[k];
		for (int i = 0; i < N_X; i++)
			x[i] = exact_x(q->data, &node[0], (i + 0.5) / N_X);
		CHECK_OK(rd_dopri5_solve(o, &v, &g, 1, x, denoise, q, &effort, &e), &e);
		q->n_sq = 0;
		q->sq = 0;
		CHECK_OK(compare(q, CYCLES, &node[1], x, NULL, NULL, &e), &e);
		error[k] = sqrt(q->sq / q->n_sq);
		steps[k] = effort.accepted;
	}
	rd_dopri5_free(o);
	return log(error[0] / error[1]) / log(steps[1] / steps[0]);
}

/* What Taylor series give for a whole run. Multistep DPM-Solver called third-order is of order 2, here as in its authors' code
 * and in diffusers: it takes half of the second derivative. The singlestep one is of order 3 in steps of equal length, and of 2 in
 * others: "midpoint" takes the newest node to lie at two thirds of the cycle, and "heun" gives x at the first third, known to order
 * 1, no weight only there. unipc's corrector adds one to its predictor's order. */
static int theory(const struct rd_solver *v)
{
	switch (v->family) {
	case RD_DDIM:
	case RD_EULER: return 1;
	case RD_HEUN: return 2;
	case RD_RK4: return 4;
	case RD_DOPRI5: return 5;
	case RD_UNIPC: return v->order + 1;
	case RD_DPM: return v->singlestep || v->order < 3 ? v->order : 2;
	default: return v->order;
	}
}

/* Multiples of CYCLES. The higher the order, the sooner an error is all rounding. */
static int steps_for(const struct rd_solver *v)
{
	return theory(v) >= 3 ? 60 : 180;
}

static void order_row(const char *name, struct rd_solver v, const struct mixture *data, struct rd_prediction pred)
{
	int want = theory(&v);

	printf("  %-8s %-9s %-8s %-8s %4d  ", name, rd_solver_type_names[v.type], data->name, rd_pred_names[pred.type], want);
	for (int f = 0; rd_form_names[f]; f++) {
		struct equation q = {.data = data, .pred = pred};
		struct rd_schedule s;
		double order;

		if (v.type == RD_TYPE_VELOCITY && strcmp(rd_form_names[f], "fm")) {
			printf("      -");
			continue;
		}
		CHECK_OK(rd_schedule_init(&s, rd_form_names[f], &e), &e);
		order = v.family == RD_DOPRI5 ? order_of_dopri5(v, &s, &q) : order_between(&v, &s, &q, steps_for(&v));
		printf(" %6.2f", order);
		CHECK_NEAR(order, want, 0.2);
		rd_schedule_free(&s);
	}
	printf("\n");
}

static void each_prediction(const char *name, struct rd_solver v)
{
	for (int p = 0; rd_pred_names[p]; p++)
		order_row(name, v, &gauss, (struct rd_prediction){(enum rd_pred)p, 0.5});
	order_row(name, v, &two, (struct rd_prediction){RD_PRED_EPSILON, 0});
}

static void each_type(int solver)
{
	struct rd_solver v = rd_solver_named(solver);
	bool typed = false;

	v.high_order_final = true;
	for (int t = 0; rd_solver_type_names[t]; t++) {
		struct rd_solver as = v;

		if (t == RD_TYPE_DEFAULT || rd_solver_set_type(&as, (enum rd_solver_type)t, &e))
			continue;
		typed = true;
		each_prediction(rd_solver_names[solver], as);
	}
	if (!typed)
		each_prediction(rd_solver_names[solver], v);
}

/* From alpha = 0, where there is no x/alpha and no log-SNR: steps equal in t under fm. The first step is ddim's, and a run's order
 * is 2 at most. */
static void from_alpha_0(const char *name, struct rd_solver v)
{
	struct equation q = {.data = &gauss, .pred = {RD_PRED_V, 0}};
	struct rd_schedule s;
	double error[2];

	v.high_order_final = true;
	CHECK_OK(rd_schedule_init(&s, "fm", &e), &e);
	for (int i = 0; i < 2; i++) {
		static struct rd_node node[MAX_STEPS + 1];
		int steps = i ? 384 : 192;
		struct rd_grid g;

		for (int k = 0; k <= steps; k++)
			node[k] = rd_node_at(&s, 1 - 0.9 * k / steps);
		CHECK(node[0].alpha == 0);
		g = join(&s, node, steps);
		error[i] = error_of(&v, &g, &q);
	}
	printf("  %-8s alpha = 0 %-8s %-8s %4d  %35.2f\n", name, q.data->name, rd_pred_names[q.pred.type], theory(&v) < 2 ? 1 : 2,
	       log2(error[0] / error[1]));
	CHECK_NEAR(log2(error[0] / error[1]), theory(&v) < 2 ? 1 : 2, 0.2);
	rd_schedule_free(&s);
}

int main(void)
{
	CHECK_OK(rd_ode_new(&ode, &doubles, NULL, dims, &e), &e);
	printf("  %-8s %-9s %-8s %-8s %-6s", "solver", "type", "data", "predicts", "theory");
	for (int f = 0; rd_form_names[f]; f++)
		printf(" %6s", rd_form_names[f]);
	printf("\n");
	for (int i = 0; rd_solver_names[i]; i++)
		each_type(i);
	for (int i = 0; rd_solver_names[i]; i++) {
		struct rd_solver v = rd_solver_named(i);

		if (!rd_solver_chooses_steps(&v))
			from_alpha_0(rd_solver_names[i], v);
	}
	rd_ode_free(ode);
	return check_report("orders");
}
