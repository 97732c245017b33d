/* Where training looks: the time distributions against their formulas, and how they are spelt. */
#include "tests/trainers.h"

static double noise_of_u(const void *ctx, double u)
{
	const struct rd_schedule *s = ctx;
	double t = s->form->t_of_u(s, u);

	return rd_sigma(s, t) / rd_alpha(s, t);
}

static double slope(const void *ctx, double u)
{
	(void)ctx;
	return 1 + 9 * u;
}

/* Share of draws below u. */
static double below(const struct rd_timedist *d, double u)
{
	int n = 0;
	double w;

	for (int i = 0; i < 20000; i++)
		n += rd_timedist_draw(d, (i + 0.5) / 20000, &w) < u;
	return n / 20000.0;
}

static struct rd_timedist times(const char *text, const struct rd_schedule *s)
{
	struct rd_times_on on;
	struct rd_timedist d;
	struct rd_spec spec;

	CHECK_OK(rd_spec_parse(&spec, rd_times_kinds, "--time-sampling", text, &e), &e);
	on = (struct rd_times_on){.factor = slope, .n = noise_of_u, .ctx = s, .whole = !strcmp(s->form->name, "ddpm")};
	CHECK_OK(rd_timedist_init(&d, &spec, &on, &e), &e);
	return d;
}

static double phi(double x)
{
	return 0.5 * erfc(-x / sqrt(2));
}

static void distributions(void)
{
	struct rd_schedule ve, ddpm;
	struct rd_timedist d;
	double u[] = {0.05, 0.2, 0.5, 0.77, 0.99}, w, sum = 0;

	CHECK_OK(rd_schedule_init(&ve, "ve", &e), &e);
	CHECK_OK(rd_schedule_init(&ddpm, "ddpm", &e), &e);
	for (int i = 0; i < LEN(u); i++) {
		double x = u[i], n = noise_of_u(&ve, x), m = noise_of_u(&ddpm, x), cut, all;

		d = times("uniform", &ve);
		CHECK_NEAR(below(&d, x), x, 1e-3);
		d = times("logit-normal:0.5,2", &ve);
		CHECK_NEAR(below(&d, x), phi((log(x / (1 - x)) - 0.5) / 2), 2e-3);
		d = times("u-shaped:4", &ve); /* the integral of exp(4u) + exp(4 - 4u) */
		CHECK_NEAR(below(&d, x), (exp(4 * x) - 1 + exp(4) - exp(4 - 4 * x)) / (2 * (exp(4) - 1)), 2e-3);
		d = times("lognormal:-1.2,1.2", &ve);
		cut = phi((log(0.002) + 1.2) / 1.2), all = phi((log(80) + 1.2) / 1.2) - cut;
		CHECK_NEAR(below(&d, x), (phi((log(n) + 1.2) / 1.2) - cut) / all, 3e-3);
		d = times("lognormal:0,1", &ddpm);
		CHECK_NEAR(below(&d, x), phi(log(m)), 1e-2); /* whole times, and ends within four deviations */
	}
	d = times("last", &ddpm);
	CHECK(ddpm.form->t_of_u(&ddpm, rd_timedist_draw(&d, 0.3, &w)) == 999 && w == 1);
	d = times("importance", &ve); /* the mean of a function over uniform times, from times of another density */
	for (int i = 0; i < 20000; i++) {
		double at = rd_timedist_draw(&d, (i + 0.5) / 20000, &w);

		sum += w * exp(at) / 20000;
	}
	CHECK_NEAR(sum, exp(1) - 1, 1e-3);
	CHECK(below(&d, 0.5) < 0.45);
	rd_schedule_free(&ve);
	rd_schedule_free(&ddpm);
}

/* The largest distance between the distribution of the ln n drawn and a normal's, cut at ln n = lo and hi. */
static double distance_to_normal(const struct rd_schedule *s, double mean, double deviation, double lo, double hi)
{
	double below_lo = phi((lo - mean) / deviation), all = phi((hi - mean) / deviation) - below_lo, worst = 0, w;
	struct rd_timedist d;
	char text[64];

	snprintf(text, sizeof text, "lognormal:%g,%g", mean, deviation);
	d = times(text, s);
	for (int i = 0; i < 20000; i++) {
		double v = (i + 0.5) / 20000, l = log(noise_of_u(s, rd_timedist_draw(&d, v, &w)));

		worst = fmax(worst, fabs((phi((l - mean) / deviation) - below_lo) / all - v));
	}
	return worst;
}

static void lognormal(void)
{
	static const double of[][2] = {{-1.2, 1.2}, {0, 0.1}, {0.3, 1e-3}, {-4, 0.5}, {-7, 0.5}, {7, 0.5}, {7, 2}, {4.9, 0.3}, {0, 4}};
	struct rd_schedule s[4];
	/* ln n at the ends, from the forms' own formulas: vp's alpha(t) = exp(-(19.9 t^2 + 0.2 t)/4) from t = 0.001 on */
	const double a_lo = exp(-(19.9e-6 + 0.2e-3) / 4), a_hi = exp(-20.1 / 4);
	const double lo[] = {log(sqrt(1 - a_lo * a_lo) / a_lo), log((1 - a_lo * a_lo) / a_lo), log(0.002), log(0.001 / 0.999)};
	const double hi[] = {log(sqrt(1 - a_hi * a_hi) / a_hi), log((1 - a_hi * a_hi) / a_hi), log(80), INFINITY};
	int asked = 0;

	for (int k = 0; k < 4; k++) {
		CHECK_OK(rd_schedule_init(&s[k], (const char *[]){"vp", "subvp", "ve", "fm"}[k], &e), &e);
		for (int i = 0; i < LEN(of); i++) {
			if (phi((hi[k] - of[i][0]) / of[i][1]) - phi((lo[k] - of[i][0]) / of[i][1]) < 1e-3)
				continue; /* next to nothing of it within the schedule */
			asked++;
			CHECK(distance_to_normal(&s[k], of[i][0], of[i][1], lo[k], hi[k]) < 1e-7);
		}
		rd_schedule_free(&s[k]);
	}
	CHECK(asked > 25);
}

static void specs(void)
{
	static const struct {
		const char *text, *says;
	} bad[] = {{"normal", "one of uniform, importance"}, {"uniform:1", "takes no number"}, {"u-shaped:1,2", "takes one number"},
	           {"lognormal:1,2,3", "takes two numbers"}, {"lognormal:a", "a number expected as the mean"},
	           {"lognormal:1,", "a number expected"}, {"lognormal:1,0", "deviation must be from"}, {"u-shaped:nan", "must be from"},
	           {"lognormal:", "a number expected"}};
	struct rd_spec s;
	char buf[96];

	for (int i = 0; i < LEN(bad); i++) {
		CHECK(rd_spec_parse(&s, rd_times_kinds, "--x", bad[i].text, &e) == RD_EUSAGE);
		CHECK(strstr(e.msg, bad[i].says) && strstr(e.msg, "--x"));
	}
	CHECK_OK(rd_spec_parse(&s, rd_times_kinds, "--x", "lognormal:0.1", &e), &e);
	CHECK(s.kind == RD_TIMES_LOGNORMAL && s.a[0] == 0.1 && s.a[1] == 1.2);
	CHECK(!strcmp(rd_spec_text(&s, rd_times_kinds, buf, sizeof buf), "lognormal:0.10000000000000001,1.2"));
	CHECK_OK(rd_spec_parse(&s, rd_times_kinds, "--x", "uniform", &e), &e);
	CHECK(!strcmp(rd_spec_text(&s, rd_times_kinds, buf, sizeof buf), "uniform"));
}

int main(void)
{
	distributions();
	lognormal();
	specs();
	return check_report("timedist");
}
