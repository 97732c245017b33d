#include "lib/ode/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/ode/ramp.h"

const char *const rd_spacing_names[] = {"trailing", "leading", "linspace", "karras", "exponential", "beta", NULL};

struct rd_node rd_node_at(const struct rd_schedule *s, double t)
{
	return (struct rd_node){t, s->form->net_time(s, t), rd_alpha(s, t), rd_sigma(s, t)};
}

static bool is(const struct rd_schedule *s, const char *form)
{
	return !strcmp(s->form->name, form);
}

static double n_of(const struct rd_node *n)
{
	return n->sigma / n->alpha;
}

/* --- times ---------------------------------------------------------------------------------------------------------- */

/* One past the last discrete time used. The log-SNR falls with time, so where it gets too low is found by halves: a schedule
 * may have a million times, and every node asks. */
static int64_t last_time(const struct rd_schedule *s, const struct rd_grid_opts *o)
{
	int64_t used = 1, cut = s->n_train + 1, mid;

	if (!o->cut)
		return s->n_train;
	while (cut - used > 1) {
		mid = used + (cut - used) / 2;
		if (log(rd_alpha(s, (double)(mid - 1)) / rd_sigma(s, (double)(mid - 1))) < o->lambda_min)
			cut = mid;
		else
			used = mid;
	}
	return used;
}

/* Discrete times as numpy computes them in diffusers: rint rounds half to even, like numpy's round. */
static double ddpm_time(const struct rd_schedule *s, const struct rd_grid_opts *o, enum rd_spacing spacing, int k)
{
	int64_t last = last_time(s, o);
	double n = (double)last, part = (double)s->n_train / o->steps, t;
	int points = o->steps + (o->one_more ? 1 : 0), j = points - 1 - k;

	switch (spacing) {
	case RD_SPACING_LEADING:
		return (double)(j * (last / points)) + o->steps_offset;
	case RD_SPACING_LINSPACE:
		t = points < 2 ? 0 : k ? j * ((n - 1) / (points - 1)) : n - 1; /* numpy's linspace: the last one is exact */
		return o->real_times ? (double)(float)t : rint(t);
	default: /* numpy's arange(n, 0, -part) */
		return rint(n + k * ((n - part) - n)) - 1;
	}
}

/* The same on a continuous time axis; ve's axis is ln sigma, and the data are beyond its end, as a table's may be. */
static double continuous_time(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	bool ve = is(s, "ve");
	double lo = ve ? log(s->t_lo) : s->t_lo, hi = ve ? log(s->t_hi) : s->t_hi, t;
	int points = o->steps + (o->one_more ? 1 : 0), j = points - 1 - k;

	switch (o->spacing) {
	case RD_SPACING_LEADING:
		t = lo + (hi - lo) * j / points;
		break;
	case RD_SPACING_LINSPACE:
		t = points > 1 ? lo + (hi - lo) * j / (points - 1) : hi;
		break;
	default:
		t = ve || s->table ? hi - k * (hi - lo) / o->steps : hi * (1 - (double)k / o->steps);
	}
	return ve ? exp(t) : t;
}

static double shifted(double t, double shift)
{
	/* 1 stays 1, where a small shift would round beyond it, to a negative alpha */
	return shift > 0 ? fmin((shift * t) / (1 + (shift - 1) * t), 1) : t;
}

/* --- nodes ---------------------------------------------------------------------------------------------------------- */

/* sigma/alpha at a discrete time, linear in time between the integers. */
static double n_linear(const struct rd_schedule *s, double t)
{
	double top = (double)(s->n_train - 1), c = t < 0 ? 0 : t > top ? top : t, f = floor(c);
	struct rd_node a = rd_node_at(s, f), b = rd_node_at(s, f < top ? f + 1 : f);

	return f < c ? (1 - (c - f)) * n_of(&a) + (c - f) * n_of(&b) : n_of(&a);
}

/* A node of a ddpm schedule by its sigma/alpha: alpha^2 + sigma^2 = 1 between the integers too. */
static struct rd_node ddpm_node(const struct rd_schedule *s, double n, double t, double net_t)
{
	struct rd_node r = {t, net_t, 1 / sqrt(1 + n * n), n / sqrt(1 + n * n)};

	if (s->log_time)
		r.net_t = log(n) / 4;
	return r;
}

struct rd_node rd_node_of_n(const struct rd_schedule *s, double n)
{
	double t = s->form->t_of_n(s, n);

	return is(s, "ddpm") && n < INFINITY ? ddpm_node(s, n, t, t) : rd_node_at(s, t);
}

/* sigma/alpha at a discrete time as diffusers' table has it, in single precision throughout. */
static double table_n(const struct rd_schedule *s, int64_t t)
{
	float abar = (float)s->abar[t];

	return (double)sqrtf((1 - abar) / abar);
}

/* The discrete time at which sigma/alpha is n, linear in logarithms of single precision: where a time lies at an integer but for
 * rounding, diffusers' rounding down depends on those. */
static double time_of_f32_logs(const struct rd_schedule *s, double n)
{
	double t = floor(s->form->t_of_n(s, n)), a, b, f;

	t = t > 0 && t >= (double)(s->n_train - 1) ? t - 1 : t;
	a = (double)(float)log(table_n(s, (int64_t)t));
	b = (double)(float)log(table_n(s, (int64_t)t + 1));
	f = (log(n) - a) / (b - a);
	return t + (f < 0 ? 0 : f > 1 ? 1 : f);
}

static double rounded(const struct rd_schedule *s, double n, double t, enum rd_rounding r)
{
	return r == RD_ROUND_NEAREST ? rint(t) : r == RD_ROUND_DOWN ? floor(time_of_f32_logs(s, n)) : t;
}

/* Two nodes between which karras, exponential and beta lie. */
static void ends(const struct rd_schedule *s, const struct rd_grid_opts *o, double *hi, double *lo)
{
	struct rd_node a = rd_node_at(s, s->t_hi), b = rd_node_at(s, s->t_lo);

	*hi = n_of(&a);
	*lo = n_of(&b);
	if (o->ends_of_times) {
		*hi = n_linear(s, ddpm_time(s, o, o->times, 0));
		*lo = n_linear(s, ddpm_time(s, o, o->times, o->steps - 1));
	}
	if (o->rounding != RD_ROUND_NEAREST && !o->ends_of_times && is(s, "ddpm")) {
		*hi = table_n(s, s->n_train - 1);
		*lo = table_n(s, 0);
	}
	if (o->n_max > 0)
		*hi = o->n_max;
	if (o->n_min > 0)
		*lo = o->n_min;
}

static struct rd_node ramp_node(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double hi, lo, n, t;

	ends(s, o, &hi, &lo);
	if (o->single_logs) {
		hi = exp((double)(float)log(hi));
		lo = exp((double)(float)log(lo));
	}
	n = rd_ramp(o->spacing, hi, lo, k, o->steps, o->rho);
	t = s->form->t_of_n(s, n);
	return is(s, "ddpm") ? ddpm_node(s, n, t, rounded(s, n, t, o->rounding))
	       : is(s, "ve") ? (struct rd_node){n, s->form->net_time(s, n), 1, n}
	                     : rd_node_at(s, t);
}

static struct rd_node discrete_node(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double t = ddpm_time(s, o, o->spacing, k), hi, lo;

	if (o->log_linear) {
		ends(s, o, &hi, &lo);
		return ddpm_node(s, rd_ramp(RD_SPACING_EXPONENTIAL, hi, lo, k, o->steps + 1, 0), t, t);
	}
	return t == floor(t) && !s->log_time ? rd_node_at(s, t) : ddpm_node(s, n_linear(s, t), t, t);
}

/* FlowMatch*: the range is shifted when the scheduler is made, and its points once more. */
static double flow_match_time(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double lo = shifted(1 / (double)s->n_train, o->shift), hi = shifted(1, o->shift);

	return shifted(o->steps > 1 ? hi - k * (hi - lo) / (o->steps - 1) : hi, o->shift);
}

/* use_flow_sigmas of the multistep classes: K + 1 points, the last left out; they differ in which end is exact. Each operation
 * rounded as numpy does it, since times that would be whole numbers are rounded down. */
static double flow_dpm_time(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double part = (1 / (double)s->n_train - 1) / o->steps, t;
	int j = o->flow == RD_FLOW_UNIPC ? k : o->steps - k;

	t = j < o->steps ? 1 + j * part : 1 / (double)s->n_train;
	return shifted(o->flow == RD_FLOW_UNIPC ? t : 1 - t, o->shift);
}

static double flow_base_time(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double (*at)(const struct rd_schedule *, const struct rd_grid_opts *, int) =
		o->flow == RD_FLOW_MATCH ? flow_match_time : flow_dpm_time;
	double t = at(s, o, k), last = at(s, o, o->steps - 1);

	if (o->shift_terminal > 0 && last < 1) /* 1 - t is stretched so that its last value is 1 - shift_terminal */
		t = 1 - (1 - t) * (1 - o->shift_terminal) / (1 - last);
	return t;
}

/* Times of diffusers' flow classes, in single precision as they store them: near t = 1 that is what alpha is made of. */
static struct rd_node flow_node(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	double t = flow_base_time(s, o, k);

	if (o->spacing >= RD_SPACING_KARRAS) {
		if (o->flow == RD_FLOW_UNIPC) { /* karras in sigma/alpha between the ends of the discrete betas */
			t = rd_ramp(o->spacing, o->n_max, o->n_min, k, o->steps, o->rho);
			t = t / (1 + t);
		} else {
			t = rd_ramp(o->spacing, flow_base_time(s, o, 0), flow_base_time(s, o, o->steps - 1), k, o->steps, o->rho);
		}
	} else if (o->flow == RD_FLOW_UNIPC && k == 0 && fabs(t - 1) < 1e-6) {
		t -= 1e-6;
	}
	double net_t = o->flow == RD_FLOW_MATCH ? (double)s->n_train * t : floor((double)s->n_train * t);
	t = (double)(float)t;
	return (struct rd_node){t, net_t, 1 - t, t};
}

static struct rd_node node_of(const struct rd_schedule *s, const struct rd_grid_opts *o, int k)
{
	if (o->flow)
		return flow_node(s, o, k);
	if (o->spacing >= RD_SPACING_KARRAS)
		return ramp_node(s, o, k);
	if (is(s, "ddpm"))
		return discrete_node(s, o, k);
	return rd_node_at(s, shifted(continuous_time(s, o, k), o->shift));
}

static struct rd_node final_node(const struct rd_schedule *s, const struct rd_grid_opts *o, const struct rd_node *last)
{
	struct rd_node r = rd_node_at(s, s->t_lo);
	double n = n_of(&r);

	if (o->final == RD_FINAL_DATA && !o->log_linear) /* under ve the time is sigma; elsewhere 0 is the data end of the axis */
		return (struct rd_node){0, 0, 1, 0};
	if (o->final == RD_FINAL_REPEAT)
		return *last;
	if (o->final_sigma > 0)
		return (struct rd_node){o->final_sigma, 0, 1 - o->final_sigma, o->final_sigma};
	return o->unscaled_end ? (struct rd_node){r.t, r.net_t, 1, n} : r;
}

double rd_start_scale(const struct rd_schedule *s, const struct rd_grid_opts *o, const struct rd_node *n)
{
	switch (o->start) {
	case RD_START_SIGMA: return n->sigma;
	case RD_START_ROOT: return hypot(n->alpha, n->sigma);
	default: return rd_schedule_start_scale(s, n->sigma);
	}
}

/* --- the grid ------------------------------------------------------------------------------------------------------- */

static int check(const struct rd_schedule *s, const struct rd_grid_opts *o, struct rd_err *e)
{
	double top = rd_alpha(s, s->t_hi);

	if (o->steps < 1 || o->steps > 100000)
		return rd_fail(e, RD_EUSAGE, "steps %d: between 1 and 100000 expected", o->steps);
	if (is(s, "ddpm") && o->spacing < RD_SPACING_KARRAS && o->steps > last_time(s, o) - (o->one_more ? 1 : 0))
		return rd_fail(e, RD_EUSAGE, "steps %d: the schedule has only %lld times", o->steps, (long long)last_time(s, o));
	if (o->spacing >= RD_SPACING_KARRAS && !o->flow && !(o->n_max > 0) && !(top > 0))
		return rd_fail(e, RD_EDOMAIN, "%s spacing: sigma/alpha is infinite at this schedule's start",
		               rd_spacing_names[o->spacing]);
	return RD_OK;
}

/* Nodes: as many as steps, but for trailing times of which the noisy end is cut. */
static int count_nodes(const struct rd_schedule *s, const struct rd_grid_opts *o)
{
	double part = (double)s->n_train / o->steps;
	int n = o->cut && o->spacing == RD_SPACING_TRAILING && is(s, "ddpm") ? (int)ceil((double)last_time(s, o) / part) : o->steps;

	return n < o->steps ? n : o->steps;
}

static bool is_sound(const struct rd_node *n)
{
	return isfinite(n->t) && isfinite(n->net_t) && isfinite(n->alpha) && isfinite(n->sigma) && n->alpha >= 0 && n->sigma >= 0 &&
	       n->alpha + n->sigma > 0;
}

/* Numbers of a config that each look harmless can make a schedule that has no values in between. */
static int check_nodes(const struct rd_grid *g, struct rd_err *e)
{
	for (int k = 0; k < g->steps; k++) {
		const struct rd_node *n = is_sound(&g->from[k]) ? &g->to[k] : &g->from[k];

		if (!is_sound(n))
			return rd_fail(e, RD_EDOMAIN, "step %d: at time %g the schedule has alpha %g, sigma %g, and the network time %g", k,
			               n->t, n->alpha, n->sigma, n->net_t);
	}
	if (!isfinite(g->start_scale))
		return rd_fail(e, RD_EDOMAIN, "the schedule starts at %g times the noise", g->start_scale);
	return RD_OK;
}

int rd_grid_init(struct rd_grid *g, const struct rd_schedule *s, const struct rd_grid_opts *o, struct rd_err *e)
{
	int n, rc;
	void *p;

	memset(g, 0, sizeof *g);
	rc = check(s, o, e);
	if (rc)
		return rc;
	n = count_nodes(s, o);
	rc = rd_alloc(&p, 2 * (size_t)n, sizeof *g->from, "grid", e);
	if (rc)
		return rc;
	g->steps = n;
	g->from = p;
	g->to = g->from + n;
	for (int k = 0; k < n; k++)
		g->from[k] = node_of(s, o, k);
	for (int k = 0; k + 1 < n; k++)
		g->to[k] = g->from[k + 1];
	g->to[n - 1] = final_node(s, o, &g->from[n - 1]);
	g->start_scale = rd_start_scale(s, o, &g->from[0]);
	g->schedule = s;
	if (o->ddim_prev && is(s, "ddpm") && g->from[0].t > s->t_hi) {
		rd_grid_free(g);
		return rd_fail(e, RD_EUSAGE, "steps %d: with steps_offset %d the first time is past the schedule's end", o->steps,
		               o->steps_offset);
	}
	if (o->ddim_prev && is(s, "ddpm"))
		for (int k = 0; k < n; k++) {
			double prev = g->from[k].t - (double)(s->n_train / n);

			g->to[k] = prev >= 0 ? rd_node_at(s, prev) : final_node(s, o, &g->from[k]);
		}
	rc = check_nodes(g, e);
	if (rc)
		rd_grid_free(g);
	return rc;
}

int rd_grid_reverse(struct rd_grid *g, struct rd_err *e)
{
	int n = g->steps;

	if (!(g->to[n - 1].sigma > 0))
		return rd_fail(e, RD_EUSAGE, "a grid that ends at the data cannot be walked from there");
	for (int i = 0, j = n - 1; i < j; i++, j--) { /* the steps the other way about, */
		struct rd_node from = g->from[i], to = g->to[i];

		g->from[i] = g->from[j];
		g->to[i] = g->to[j];
		g->from[j] = from;
		g->to[j] = to;
	}
	for (int i = 0; i < n; i++) { /* and each from its end to its start */
		struct rd_node from = g->from[i];

		g->from[i] = g->to[i];
		g->to[i] = from;
	}
	if (n > 1 && n_of(&g->to[0]) < (1 + 1e-9) * n_of(&g->from[0])) { /* the last node was the least noise itself */
		memmove(g->from, g->from + 1, (size_t)(n - 1) * sizeof *g->from);
		memmove(g->to, g->to + 1, (size_t)(n - 1) * sizeof *g->to);
		g->steps--;
	}
	return RD_OK;
}

void rd_grid_free(struct rd_grid *g)
{
	if (!g)
		return;
	free(g->from);
	memset(g, 0, sizeof *g);
}
