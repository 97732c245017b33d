/* Forms, predictions and grids, against formulas written a second time here and against numbers worked out apart. */
#include <stdlib.h>
#include <string.h>

#include "lib/ode/grid.h"
#include "lib/ode/predict.h"
#include "lib/ode/schedule.h"
#include "tests/check.h"

#define N_TRAIN 1000
#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static struct rd_err e;

static struct rd_schedule schedule_of(const char *form)
{
	struct rd_schedule s;

	CHECK_OK(rd_schedule_init(&s, form, &e), &e);
	return s;
}

static struct rd_schedule ddpm_of(enum rd_betas kind, double b0, double b1, bool zero_snr)
{
	struct rd_schedule s;

	CHECK_OK(rd_schedule_init_ddpm(&s, &(struct rd_betas_opts){kind, b0, b1, N_TRAIN, NULL, zero_snr, 0}, &e), &e);
	return s;
}

static double noise_to_signal(const struct rd_schedule *s, double t)
{
	return rd_sigma(s, t) / rd_alpha(s, t);
}

/* ln of a running product as a sum, in long double. */
static double abar_of(enum rd_betas kind, double b0, double b1, int t)
{
	const long double pi = 3.141592653589793238462643383279502884L;
	long double sum = 0, b, f, g;

	for (int i = 0; i <= t; i++) {
		switch (kind) {
		case RD_BETAS_LINEAR:
			b = b0 + i * ((long double)b1 - b0) / (N_TRAIN - 1);
			break;
		case RD_BETAS_SCALED_LINEAR:
			b = sqrtl(b0) + i * (sqrtl(b1) - sqrtl(b0)) / (N_TRAIN - 1);
			b *= b;
			break;
		default:
			f = cosl(((long double)i / N_TRAIN + 0.008L) / 1.008L * pi / 2);
			g = cosl((((long double)i + 1) / N_TRAIN + 0.008L) / 1.008L * pi / 2);
			b = fminl(1 - g * g / (f * f), 0.999L);
		}
		sum += log1pl(-b);
	}
	return (double)expl(sum);
}

/* abar at the ends and in the middle: diffusers' alphas_cumprod. */
static void ddpm_betas(void)
{
	static const struct {
		enum rd_betas kind;
		double b0, b1, abar0, abar499, abar999;
	} known[] = {
		{RD_BETAS_LINEAR, 1e-4, 0.02, 0.9998999834060669, 0.07858723402023315, 4.035830352222547e-05},
		{RD_BETAS_SCALED_LINEAR, 0.00085, 0.012, 0.9991499781608582, 0.27766942977905273, 0.00466009508818388},
		{RD_BETAS_COSINE, 0, 0, 0.9999586939811707, 0.4938434660434723, 2.4287349909002387e-09},
		{RD_BETAS_SIGMOID, 1e-4, 0.02, 0.9998508095741272, 0.3019309937953949, 3.9681821363046765e-05},
		{RD_BETAS_EXP, 0, 0, 0.9880717396736145, 0.002478785812854767, 6.144378858152777e-06},
		{RD_BETAS_LAPLACE, 0, 0, 0.9788462519645691, 0.707460343837738, 0.03162277489900589},
	};

	for (int k = 0; k < LEN(known); k++) {
		struct rd_schedule s = ddpm_of(known[k].kind, known[k].b0, known[k].b1, false);

		CHECK_NEAR(s.abar[0], known[k].abar0, 6e-8); /* one unit in the last place of an f32 */
		CHECK_NEAR(s.abar[499], known[k].abar499, 2e-7 * known[k].abar499);
		CHECK_NEAR(s.abar[999], known[k].abar999, 1e-6 * known[k].abar999);
		for (int t = 0; t < N_TRAIN && known[k].kind <= RD_BETAS_COSINE; t += 37) {
			double abar = abar_of(known[k].kind, known[k].b0, known[k].b1, t);

			CHECK_NEAR(rd_alpha(&s, t), sqrt(abar), 1e-6);
			CHECK_NEAR(rd_sigma(&s, t), sqrt(1 - abar), 2e-6);
		}
		CHECK(s.t_lo == 0 && s.t_hi == 999);
		rd_schedule_free(&s);
		CHECK(!s.abar);
	}
}

static void ddpm_trained_betas(void)
{
	const double betas[] = {0.1, 0.5, 0.2};
	struct rd_schedule s;

	CHECK_OK(rd_schedule_init_ddpm(&s, &(struct rd_betas_opts){.n_train = 3, .trained = betas}, &e), &e);
	CHECK_NEAR(s.abar[0], 0.9, 1e-7);
	CHECK_NEAR(s.abar[1], 0.45, 1e-7);
	CHECK_NEAR(s.abar[2], 0.36, 1e-7);
	CHECK_NEAR(rd_alpha(&s, 2), 0.6, 1e-7);
	CHECK_NEAR(rd_sigma(&s, 2), 0.8, 1e-7);
	rd_schedule_free(&s);
}

/* Between integers ln(sigma/alpha) is linear and alpha^2 + sigma^2 = 1; beyond the ends nothing changes. */
static void ddpm_between(void)
{
	struct rd_schedule s = schedule_of("ddpm");
	const double times[] = {0.25, 0.5, 10.75, 499.5, 998.001, 998.999};

	for (int k = 0; k < LEN(times); k++) {
		double t = times[k], f = t - floor(t), a = rd_alpha(&s, t), b = rd_sigma(&s, t);
		double lo = log(noise_to_signal(&s, floor(t))), hi = log(noise_to_signal(&s, floor(t) + 1));

		CHECK_NEAR(a * a + b * b, 1, 1e-14);
		CHECK_NEAR(log(b / a), lo + f * (hi - lo), 1e-12);
	}
	CHECK_NEAR(rd_alpha(&s, -3), rd_alpha(&s, 0), 1e-15);
	CHECK_NEAR(rd_sigma(&s, 1002.5), rd_sigma(&s, 999), 1e-15);
	rd_schedule_free(&s);
}

/* alpha is shifted and scaled to end at 0, its first value kept. */
static void zero_snr(void)
{
	struct rd_schedule plain = ddpm_of(RD_BETAS_SCALED_LINEAR, 0.00085, 0.012, false);
	struct rd_schedule s = ddpm_of(RD_BETAS_SCALED_LINEAR, 0.00085, 0.012, true);
	double first = rd_alpha(&plain, 0), last = rd_alpha(&plain, 999), slope = first / (first - last);

	CHECK(rd_alpha(&s, 999) == 0 && rd_sigma(&s, 999) == 1);
	CHECK_NEAR(rd_alpha(&s, 0), first, 1e-14);
	for (int t = 0; t < N_TRAIN; t += 51)
		CHECK_NEAR(rd_alpha(&s, t), (rd_alpha(&plain, t) - last) * slope, 5e-7);
	CHECK_NEAR(s.form->t_of_n(&s, noise_to_signal(&s, 400)), 400, 1e-9);
	CHECK(s.form->t_of_n(&s, INFINITY) == 999);
	CHECK(rd_alpha(&s, 998.5) == 0 && rd_sigma(&s, 998.5) == 1); /* n runs to infinity within the last step */
	rd_schedule_free(&plain);
	rd_schedule_free(&s);
}

/* Simpson's rule over beta(s) = b0 + s (b1 - b0): ln alpha is minus half of its integral. */
static double vp_alpha_by_quadrature(double t)
{
	double sum = 0, h = t / 64;

	for (int i = 0; i <= 64; i++)
		sum += (0.1 + 19.9 * (i * h)) * (i == 0 || i == 64 ? 1 : i % 2 ? 4 : 2);
	return exp(-sum * h / 6);
}

static void continuous_forms(void)
{
	struct rd_schedule vp = schedule_of("vp"), sub = schedule_of("subvp"), ve = schedule_of("ve"), fm = schedule_of("fm");

	for (double t = 0.001; t < 1.0005; t += 0.037) {
		double a = vp_alpha_by_quadrature(t);

		CHECK_NEAR(rd_alpha(&vp, t), a, 1e-13);
		CHECK_NEAR(rd_sigma(&vp, t), sqrt(1 - a * a), 1e-12);
		CHECK_NEAR(rd_alpha(&sub, t), a, 1e-13);
		CHECK_NEAR(rd_sigma(&sub, t), 1 - a * a, 1e-12);
		CHECK(rd_alpha(&fm, t) == 1 - t && rd_sigma(&fm, t) == t);
	}
	CHECK_NEAR(rd_alpha(&vp, 1), 0.006571586494929619, 1e-15);
	CHECK_NEAR(rd_sigma(&vp, 0.5), 0.9596542020680363, 1e-15);
	CHECK_NEAR(rd_sigma(&sub, 0.1), 0.10371783563789105, 1e-15);
	for (double t = 0.002; t <= 80; t *= 3)
		CHECK(rd_alpha(&ve, t) == 1 && rd_sigma(&ve, t) == t);
	CHECK(ve.t_lo == 0.002 && ve.t_hi == 80 && vp.t_hi == 1 && sub.t_hi == 1 && fm.t_hi == 1);
}

/* The time of a noise-to-signal ratio is the time it was taken at; ratios outside the domain give its ends. */
static void inverses(void)
{
	for (int f = 0; rd_form_names[f]; f++) {
		struct rd_schedule s = schedule_of(rd_form_names[f]);
		double before = -1;

		CHECK(rd_form_find(rd_form_names[f]) == s.form && !strcmp(s.form->name, rd_form_names[f]));
		for (int k = 0; k <= 200; k++) {
			double t = s.t_lo + (s.t_hi - s.t_lo) * k / 200, n = noise_to_signal(&s, t);

			CHECK(n > before);
			before = n;
			CHECK_NEAR(s.form->t_of_n(&s, n), t, 1e-9 * s.t_hi);
		}
		CHECK_NEAR(s.form->t_of_n(&s, 0), s.t_lo, 1e-12);
		CHECK_NEAR(s.form->t_of_n(&s, INFINITY), s.t_hi, 1e-12);
		rd_schedule_free(&s);
	}
	CHECK(!rd_form_find("cosine"));
}

static double net_time(const struct rd_schedule *s, double t)
{
	return s->form->net_time(s, t);
}

static double t_of_u(const struct rd_schedule *s, double u)
{
	return s->form->t_of_u(s, u);
}

static void times(void)
{
	struct rd_schedule ddpm = schedule_of("ddpm"), vp = schedule_of("vp"), sub = schedule_of("subvp"),
	                   ve = schedule_of("ve"), fm = schedule_of("fm");

	CHECK(net_time(&ddpm, 17) == 17 && net_time(&ddpm, 17.25) == 17.25);
	CHECK(net_time(&vp, 0.5) == 499.5 && net_time(&sub, 1) == 999 && net_time(&fm, 0.25) == 250);
	CHECK_NEAR(net_time(&ve, exp(2)), 0.5, 1e-15);

	/* u in (0, 1): ddpm's thousand times equally often; even in t; even in ln sigma under ve */
	CHECK(t_of_u(&ddpm, 1e-12) == 0 && t_of_u(&ddpm, 0.0015) == 1 && t_of_u(&ddpm, 1 - 1e-12) == 999);
	CHECK_NEAR(t_of_u(&vp, 0.5), 0.5005, 1e-15);
	CHECK_NEAR(t_of_u(&fm, 0.25), 0.25075, 1e-15);
	CHECK_NEAR(t_of_u(&ve, 0.5), 0.4, 1e-14);

	CHECK_NEAR(rd_schedule_input_scale(&ve, 1, 3), sqrt(0.1), 1e-15);
	CHECK(rd_schedule_input_scale(&fm, 0.7, 0.3) == 1 && rd_schedule_input_scale(&ddpm, 0.6, 0.8) == 1);
	CHECK(rd_schedule_start_scale(&ve, 80) == 80 && rd_schedule_start_scale(&sub, 0.9) == 1);
	rd_schedule_free(&ddpm);
}

static void bad_schedules(void)
{
	const double bad[][2] = {{0.1, 0}, {0.1, 1}, {0.1, -0.1}, {0.1, NAN}};
	struct rd_schedule s;

	CHECK(rd_schedule_init(&s, "edm2", &e) == RD_EUSAGE && strstr(e.msg, "edm2") && strstr(e.msg, "subvp"));
	CHECK(rd_schedule_init_ddpm(&s, &(struct rd_betas_opts){.start = 1e-4, .end = 0.02, .n_train = 1}, &e) == RD_EINPUT);
	CHECK(!s.abar);
	CHECK(rd_schedule_init_ddpm(&s, &(struct rd_betas_opts){.start = 1e-4, .end = 0.02, .n_train = INT64_MAX}, &e) ==
	      RD_EINPUT);
	CHECK(rd_schedule_init_ddpm(&s, &(struct rd_betas_opts){.start = 1e-4, .end = 1.5, .n_train = 10}, &e) == RD_EINPUT);
	CHECK(!s.abar);
	for (int i = 0; i < LEN(bad); i++)
		CHECK(rd_schedule_init_ddpm(&s, &(struct rd_betas_opts){.n_train = 2, .trained = bad[i]}, &e) == RD_EINPUT &&
		      strstr(e.msg, "beta 1") && !s.abar);
}

/* --- predictions -------------------------------------------------------------------------------------------------- */

#define SIGMA_DATA 0.7

static struct rd_prediction prediction(enum rd_pred p)
{
	return (struct rd_prediction){p, SIGMA_DATA};
}

/* EDM's output: what is left of x0 after c_skip x, over c_out (arXiv 2206.00364, table 1; x there is x/alpha here). */
static double edm_output(double alpha, double sigma, double x0, double eps)
{
	double n = sigma / alpha, y = x0 + n * eps, d = SIGMA_DATA;

	if (!(alpha > 0)) /* c_skip = 0 and c_out = d */
		return x0 / d;
	return (x0 - d * d / (n * n + d * d) * y) / (n * d / sqrt(n * n + d * d));
}

/* The exact output at (x0, eps), by the definitions. */
static double output_of(enum rd_pred p, double alpha, double sigma, double x0, double eps)
{
	switch (p) {
	case RD_PRED_EPSILON: return eps;
	case RD_PRED_SAMPLE: return x0;
	case RD_PRED_V: return alpha * eps - sigma * x0;
	case RD_PRED_FLOW: return eps - x0;
	case RD_PRED_EDM: return edm_output(alpha, sigma, x0, eps);
	default: return -edm_output(alpha, sigma, x0, eps);
	}
}

/* x0 and eps come back from x and the exact output; an error of size 1 in x is one of 1/alpha in x0, 1/sigma in eps. */
static void round_trip(enum rd_pred p, double alpha, double sigma)
{
	const double x0 = -0.73, eps = 1.61, x = alpha * x0 + sigma * eps, f = output_of(p, alpha, sigma, x0, eps);
	struct rd_pred_coef c;
	double on_x0, on_eps;

	rd_pred_target(prediction(p), alpha, sigma, &on_x0, &on_eps);
	CHECK_NEAR(on_x0 * x0 + on_eps * eps, f, 1e-12 * (1 + fabs(f)));
	CHECK_OK(rd_pred_coef(prediction(p), alpha, sigma, &c, &e), &e);
	CHECK_NEAR(c.x0_x * x + c.x0_f * f, x0, 1e-13 * (1 + sigma / fmax(alpha, 1e-3)));
	CHECK_NEAR(c.eps_x * x + c.eps_f * f, eps, 1e-13 * (1 + alpha / fmax(sigma, 1e-3)));
}

static void predictions(void)
{
	int n_types = 0;

	for (int f = 0; rd_form_names[f]; f++) {
		struct rd_schedule s = schedule_of(rd_form_names[f]);

		for (int p = 0; rd_pred_names[p]; p++, n_types++)
			for (int k = 0; k <= 20; k++) {
				double t = s.t_lo + (s.t_hi - s.t_lo) * k / 20;

				if (rd_alpha(&s, t) > 0 || p != RD_PRED_EPSILON)
					round_trip((enum rd_pred)p, rd_alpha(&s, t), rd_sigma(&s, t));
			}
		rd_schedule_free(&s);
	}
	CHECK(n_types == 30); /* five forms, six types */
}

/* v at alpha^2 + sigma^2 = 1 as it is usually written; the ends of the domain. */
static void prediction_ends(void)
{
	struct rd_pred_coef c;

	CHECK_OK(rd_pred_coef(prediction(RD_PRED_V), 0.6, 0.8, &c, &e), &e);
	CHECK_NEAR(c.x0_x, 0.6, 1e-15);
	CHECK_NEAR(c.x0_f, -0.8, 1e-15);
	CHECK_NEAR(c.eps_x, 0.8, 1e-15);
	CHECK_NEAR(c.eps_f, 0.6, 1e-15);
	CHECK(rd_pred_coef(prediction(RD_PRED_EPSILON), 0, 1, &c, &e) == RD_EDOMAIN && strstr(e.msg, "alpha = 0"));
	CHECK(rd_pred_coef(prediction(RD_PRED_EPSILON), NAN, 1, &c, &e) == RD_EDOMAIN);
	CHECK(rd_pred_coef(prediction(RD_PRED_SAMPLE), 1, 0, &c, &e) == RD_EDOMAIN && strstr(e.msg, "sigma = 0"));
	for (int p = RD_PRED_SAMPLE; p <= RD_PRED_EDM_V; p++)
		round_trip((enum rd_pred)p, 0, 1);
	for (int p = RD_PRED_EPSILON; p <= RD_PRED_FLOW; p++)
		if (p != RD_PRED_SAMPLE)
			round_trip((enum rd_pred)p, 1, 0);
}

/* --- grids -------------------------------------------------------------------------------------------------------- */

/* The nodes of a grid at the given times, its steps joined end to end and the last one ending at the data. */
static void grid_is(const struct rd_schedule *s, struct rd_grid_opts o, const double *t, double tol)
{
	struct rd_grid g;

	CHECK_OK(rd_grid_init(&g, s, &o, &e), &e);
	CHECK(g.steps == o.steps);
	for (int k = 0; k < o.steps; k++) {
		CHECK_NEAR(g.from[k].t, t[k], tol);
		CHECK_NEAR(g.from[k].net_t, s->form->net_time(s, t[k]), 1000 * tol);
		CHECK_NEAR(g.from[k].alpha, rd_alpha(s, t[k]), tol);
		CHECK_NEAR(g.from[k].sigma, rd_sigma(s, t[k]), tol);
		if (k > 0)
			CHECK(!memcmp(&g.to[k - 1], &g.from[k], sizeof *g.to));
	}
	CHECK(g.to[o.steps - 1].alpha == 1 && g.to[o.steps - 1].sigma == 0 && g.to[o.steps - 1].t == 0);
	rd_grid_free(&g);
	CHECK(!g.from && !g.steps);
}
#define OPTS(...) (struct rd_grid_opts){__VA_ARGS__}
#define GRID_IS(s, tol, opts, ...) grid_is(s, opts, (const double[]){__VA_ARGS__}, tol)

static void ddpm_grids(void)
{
	struct rd_schedule s = schedule_of("ddpm");

	GRID_IS(&s, 0, OPTS(.steps = 1), 999);
	GRID_IS(&s, 0, OPTS(.steps = 4), 999, 749, 499, 249);
	GRID_IS(&s, 0, OPTS(.steps = 7), 999, 856, 713, 570, 428, 285, 142);
	GRID_IS(&s, 0, OPTS(.steps = 4, .spacing = RD_SPACING_LEADING), 750, 500, 250, 0);
	GRID_IS(&s, 0, OPTS(.steps = 3, .spacing = RD_SPACING_LEADING, .steps_offset = 1), 667, 334, 1);
	GRID_IS(&s, 0, OPTS(.steps = 4, .spacing = RD_SPACING_LEADING, .one_more = true), 800, 600, 400, 200);
	/* halves are rounded to the even side: 499.5 to 500 */
	GRID_IS(&s, 0, OPTS(.steps = 3, .spacing = RD_SPACING_LINSPACE), 999, 500, 0);
	GRID_IS(&s, 0, OPTS(.steps = 4, .spacing = RD_SPACING_LINSPACE), 999, 666, 333, 0);
	/* but where numpy's steps of 999/26 have added up, that one is 499.49999999999994 */
	GRID_IS(&s, 0, OPTS(.steps = 27, .spacing = RD_SPACING_LINSPACE), 999, 961, 922, 884, 845, 807, 768, 730, 692, 653, 615, 576, 538,
	        499, 461, 423, 384, 346, 307, 269, 231, 192, 154, 115, 77, 38, 0);
	GRID_IS(&s, 0, OPTS(.steps = 4, .spacing = RD_SPACING_LINSPACE, .one_more = true), 999, 749, 500, 250);
	rd_schedule_free(&s);
}

/* DDIMScheduler steps to t - N/K whatever the next node is. */
static void ddim_prev(void)
{
	static const double to[] = {857, 714, 571, 428, 286, 143, 0};
	struct rd_schedule s = schedule_of("ddpm");
	struct rd_grid_opts o = {.steps = 7, .ddim_prev = true};
	struct rd_grid g;

	CHECK_OK(rd_grid_init(&g, &s, &o, &e), &e);
	for (int k = 0; k < 7; k++) {
		CHECK(g.to[k].t == to[k]);
		CHECK(g.to[k].alpha == rd_alpha(&s, to[k]) && g.to[k].sigma == rd_sigma(&s, to[k]));
	}
	rd_grid_free(&g);
	o = OPTS(.steps = 4, .spacing = RD_SPACING_LEADING, .ddim_prev = true, .final = RD_FINAL_LEAST);
	CHECK_OK(rd_grid_init(&g, &s, &o, &e), &e);
	CHECK(g.to[2].t == 0 && g.to[3].t == 0 && g.to[3].alpha == rd_alpha(&s, 0)); /* 0 - 250 is before the schedule */
	rd_grid_free(&g);
	rd_schedule_free(&s);
}

static void continuous_grids(void)
{
	struct rd_schedule vp = schedule_of("vp"), ve = schedule_of("ve"), fm = schedule_of("fm");

	GRID_IS(&vp, 1e-15, OPTS(.steps = 4), 1, 0.75, 0.5, 0.25);
	GRID_IS(&vp, 1e-15, OPTS(.steps = 3, .spacing = RD_SPACING_LEADING), 0.667, 0.334, 0.001);
	GRID_IS(&vp, 1e-15, OPTS(.steps = 3, .spacing = RD_SPACING_LINSPACE), 1, 0.5005, 0.001);
	GRID_IS(&vp, 1e-15, OPTS(.steps = 2, .spacing = RD_SPACING_LINSPACE, .one_more = true), 1, 0.5005);
	/* in ln sigma; the middle of 0.002 and 80 is 0.4 */
	GRID_IS(&ve, 1e-13, OPTS(.steps = 2), 80, 0.4);
	GRID_IS(&ve, 1e-13, OPTS(.steps = 2, .spacing = RD_SPACING_LEADING), 0.4, 0.002);
	GRID_IS(&ve, 1e-13, OPTS(.steps = 3, .spacing = RD_SPACING_LINSPACE), 80, 0.4, 0.002);
	GRID_IS(&fm, 1e-15, OPTS(.steps = 5), 1, 0.8, 0.6, 0.4, 0.2);
	/* t -> 3t/(1 + 2t) */
	GRID_IS(&fm, 1e-15, OPTS(.steps = 4, .shift = 3), 1, 0.9, 0.75, 0.5);
	/* FlowMatchEulerDiscreteScheduler: from 1 to 1/1000, and the range shifted before its points are */
	GRID_IS(&fm, 1e-7, OPTS(.steps = 4, .flow = RD_FLOW_MATCH), 1, 0.667, 0.334, 0.001);
	GRID_IS(&fm, 1e-7, OPTS(.steps = 2, .flow = RD_FLOW_MATCH, .shift = 3), 1, 9 / 1008.0);
	GRID_IS(&fm, 1e-15, OPTS(.steps = 1, .flow = RD_FLOW_MATCH), 1);
}

static void karras_grids(void)
{
	static const double n_of[] = {157.40728081040749, 5.911208764768033, 0.010000500037502566};
	struct rd_schedule ve = schedule_of("ve"), ddpm = schedule_of("ddpm");
	struct rd_grid_opts o = {.steps = 3, .spacing = RD_SPACING_KARRAS};
	struct rd_grid g;

	/* ((80^(1/7) + k/4 (0.002^(1/7) - 80^(1/7)))^7 */
	GRID_IS(&ve, 1e-12, OPTS(.steps = 5, .spacing = RD_SPACING_KARRAS), 80, 17.52783196464411, 2.515218976147159,
	        0.16975275626876413, 0.002);
	CHECK_OK(rd_grid_init(&g, &ddpm, &o, &e), &e);
	for (int k = 0; k < 3; k++) {
		CHECK_NEAR(g.from[k].sigma / g.from[k].alpha, n_of[k], 2e-4 * n_of[k]);
		CHECK_NEAR(pow(g.from[k].alpha, 2) + pow(g.from[k].sigma, 2), 1, 1e-14);
	}
	CHECK(g.from[0].net_t == 999 && g.from[1].net_t == 593 && g.from[2].net_t == 0);
	CHECK_NEAR(g.from[1].t, 592.9947056124696, 4e-3);
	rd_grid_free(&g);
	o.rounding = RD_ROUND_NONE;
	CHECK_OK(rd_grid_init(&g, &ddpm, &o, &e), &e);
	CHECK_NEAR(g.from[1].net_t, 592.9947056124696, 4e-3);
	rd_grid_free(&g);
	o.rounding = RD_ROUND_DOWN;
	CHECK_OK(rd_grid_init(&g, &ddpm, &o, &e), &e);
	CHECK(g.from[1].net_t == 592);
	rd_grid_free(&g);
	rd_schedule_free(&ddpm);
}

static int grid_fails(const struct rd_schedule *s, struct rd_grid_opts o)
{
	struct rd_grid g;
	int rc = rd_grid_init(&g, s, &o, &e);

	CHECK(rc && !g.from);
	return rc;
}

static void bad_grids(void)
{
	struct rd_schedule ddpm = schedule_of("ddpm"), fm = schedule_of("fm");
	struct rd_schedule zsnr = ddpm_of(RD_BETAS_LINEAR, 1e-4, 0.02, true);

	CHECK(grid_fails(&fm, OPTS(.steps = 0)) == RD_EUSAGE && strstr(e.msg, "steps 0"));
	CHECK(grid_fails(&fm, OPTS(.steps = -5)) == RD_EUSAGE);
	CHECK(grid_fails(&fm, OPTS(.steps = 1000001)) == RD_EUSAGE);
	CHECK(grid_fails(&ddpm, OPTS(.steps = 1001)) == RD_EUSAGE && strstr(e.msg, "1000 times"));
	CHECK(grid_fails(&ddpm, OPTS(.steps = 1000, .one_more = true)) == RD_EUSAGE);
	CHECK(grid_fails(&fm, OPTS(.steps = 4, .spacing = RD_SPACING_KARRAS)) == RD_EDOMAIN);
	CHECK(grid_fails(&zsnr, OPTS(.steps = 4, .spacing = RD_SPACING_KARRAS)) == RD_EDOMAIN);
	rd_schedule_free(&ddpm);
	rd_schedule_free(&zsnr);
}

int main(void)
{
	ddpm_betas();
	ddpm_trained_betas();
	ddpm_between();
	zero_snr();
	continuous_forms();
	inverses();
	times();
	bad_schedules();
	predictions();
	prediction_ends();
	ddpm_grids();
	ddim_prev();
	continuous_grids();
	karras_grids();
	bad_grids();
	return check_report("schedule");
}
