#include "lib/measure/trajectory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

const char *const rd_traj_names[RD_TRAJ_N] = {
	[RD_TRAJ_DEFECT] = "first_order_defect",
	[RD_TRAJ_STRAIGHTNESS] = "straightness",
	[RD_TRAJ_CURVATURE] = "curvature",
	[RD_TRAJ_ONE_STEP] = "one_step_error",
	[RD_TRAJ_CHORD] = "chord",
};

static int parse_list(const json_t *grid, const char *key, size_t n, double *out, struct rd_err *e)
{
	const json_t *a = json_object_get(grid, key);

	if (!json_is_array(a) || json_array_size(a) != n)
		return rd_fail(e, RD_EINPUT, "meta.grid.%s: a list of %zu numbers expected", key, n);
	for (size_t k = 0; k < n; k++) {
		out[k] = json_number_value(json_array_get(a, k));
		if (!json_is_number(json_array_get(a, k)) || !isfinite(out[k]))
			return rd_fail(e, RD_EINPUT, "meta.grid.%s: element %zu is not a number", key, k);
	}
	return RD_OK;
}

static int check_grid(const struct rd_traj_grid *g, struct rd_err *e)
{
	const double way = g->t[g->steps] - g->t[0];

	for (int k = 0; k <= g->steps; k++) {
		if (g->alpha[k] < 0 || g->sigma[k] < 0 || hypot(g->alpha[k], g->sigma[k]) == 0)
			return rd_fail(e, RD_EINPUT, "meta.grid: node %d: alpha %g, sigma %g", k, g->alpha[k], g->sigma[k]);
		if (k && (g->t[k] - g->t[k - 1]) * way < 0)
			return rd_fail(e, RD_EINPUT, "meta.grid.t: turns back at element %d", k);
	}
	return RD_OK;
}

int rd_traj_grid_parse(struct rd_traj_grid *g, const json_t *meta, struct rd_err *e)
{
	const json_t *grid = json_object_get(meta, "grid");
	const size_t n = json_array_size(json_object_get(grid, "t"));
	void *p;
	int rc;

	memset(g, 0, sizeof *g);
	if (n < 2 || n > RD_TRAJ_MAX_STEPS + 1)
		return rd_fail(e, RD_EINPUT, "meta.grid.t: a list of 2 to %d times expected", RD_TRAJ_MAX_STEPS + 1);
	rc = rd_alloc(&p, 3 * n, sizeof(double), "grid", e);
	if (rc)
		return rc;
	g->steps = (int)n - 1;
	g->t = p;
	g->alpha = g->t + n;
	g->sigma = g->alpha + n;
	rc = parse_list(grid, "t", n, g->t, e);
	if (!rc)
		rc = parse_list(grid, "alpha", n, g->alpha, e);
	if (!rc)
		rc = parse_list(grid, "sigma", n, g->sigma, e);
	if (!rc)
		rc = check_grid(g, e);
	if (rc)
		rd_traj_grid_free(g);
	return rc;
}

void rd_traj_grid_free(struct rd_traj_grid *g)
{
	free(g->t);
	memset(g, 0, sizeof *g);
}

/* node (NULL: not wanted): what each prediction adds. */
static double first_order_defect(const struct rd_traj_grid *g, const struct rd_traj *p, double *node)
{
	double sum = 0;

	for (int k = 0; node && k < g->steps; k++)
		node[k] = 0;
	for (size_t j = 0; j < p->dim; j++) {
		double mean = 0;

		for (int k = 0; k < g->steps; k++)
			mean += (double)p->eps[(size_t)k * p->dim + j];
		mean /= g->steps;
		for (int k = 0; k < g->steps; k++) {
			const double r = (double)p->eps[(size_t)k * p->dim + j] - mean;

			sum += r * r;
			if (node)
				node[k] += r * r / (double)p->dim;
		}
	}
	return sum / g->steps / (double)p->dim;
}

static double straightness(const struct rd_traj_grid *g, const struct rd_traj *p)
{
	const double way = g->t[g->steps] - g->t[0];
	const float *last = p->x + (size_t)g->steps * p->dim;
	double sum = 0;

	for (int k = 0; k < g->steps; k++) {
		const double w = way != 0 ? (g->t[k + 1] - g->t[k]) / way : 0;
		const float *a = p->x + (size_t)k * p->dim, *b = a + p->dim;
		double square = 0;

		if (w == 0)
			continue;
		for (size_t j = 0; j < p->dim; j++) {
			double v = ((double)b[j] - (double)a[j]) / w - ((double)last[j] - (double)p->x[j]);

			square += v * v;
		}
		sum += w * square;
	}
	return sum / (double)p->dim;
}

static double angle(const struct rd_traj_grid *g, int k)
{
	return atan2(g->sigma[k], g->alpha[k]);
}

/* |u_k - c_k|^2. */
static double departure(const struct rd_traj_grid *g, const struct rd_traj *p, int k)
{
	const int last = g->steps;
	const double theta = angle(g, k), first = angle(g, 0), whole = angle(g, last) - first;
	const double a = sin(whole - (theta - first)) / sin(whole) / hypot(g->alpha[0], g->sigma[0]);
	const double b = sin(theta - first) / sin(whole) / hypot(g->alpha[last], g->sigma[last]);
	const double c = 1 / hypot(g->alpha[k], g->sigma[k]);
	const float *x0 = p->x, *xk = p->x + (size_t)k * p->dim, *xl = p->x + (size_t)last * p->dim;
	double sum = 0;

	for (size_t j = 0; j < p->dim; j++) {
		double r = c * (double)xk[j] - a * (double)x0[j] - b * (double)xl[j];

		sum += r * r;
	}
	return sum;
}

static double curvature(const struct rd_traj_grid *g, const struct rd_traj *p)
{
	const double whole = fabs(angle(g, g->steps) - angle(g, 0));
	double sum = 0;

	if (whole < 1e-12) /* no chord to depart from */
		return 0;
	/* the trapezoidal rule: each inner node counts half of both its intervals; the end nodes are on the chord */
	for (int k = 1; k < g->steps; k++) {
		double w = (fabs(angle(g, k) - angle(g, k - 1)) + fabs(angle(g, k + 1) - angle(g, k))) / 2;

		sum += w * departure(g, p, k);
	}
	return sum / whole / (double)p->dim;
}

static double one_step_error(const struct rd_traj_grid *g, const struct rd_traj *p)
{
	const float *last = p->x + (size_t)g->steps * p->dim;
	const double alpha = g->alpha[g->steps], sigma = g->sigma[g->steps];
	double sum = 0;

	for (size_t j = 0; j < p->dim; j++) {
		double r = alpha * (double)p->x0[j] + sigma * (double)p->eps[j] - (double)last[j];

		sum += r * r;
	}
	return sum / (double)p->dim;
}

void rd_traj_measure(const struct rd_traj_grid *g, const struct rd_traj *p, double out[RD_TRAJ_N], double *node)
{
	out[RD_TRAJ_DEFECT] = first_order_defect(g, p, node);
	out[RD_TRAJ_STRAIGHTNESS] = straightness(g, p);
	out[RD_TRAJ_CURVATURE] = curvature(g, p);
	out[RD_TRAJ_ONE_STEP] = one_step_error(g, p);
	out[RD_TRAJ_CHORD] = 0;
}

double rd_traj_mismatch(const struct rd_traj_grid *g, const struct rd_traj *p)
{
	double most = 0;

	for (int k = 0; k < g->steps; k++) {
		double off = 0, signal = 0, noise = 0;

		for (size_t i = (size_t)k * p->dim; i < (size_t)(k + 1) * p->dim; i++) {
			double a = g->alpha[k] * (double)p->x0[i], b = g->sigma[k] * (double)p->eps[i], r = (double)p->x[i] - a - b;

			off += r * r;
			signal += a * a;
			noise += b * b;
		}
		most = fmax(most, off > 0 ? sqrt(off) / (sqrt(signal) + sqrt(noise)) : 0);
	}
	return most;
}
