#include "lib/ode/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

static double clamp(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* --- ddpm ----------------------------------------------------------------------------------------------------------- */

static double abar_n(const struct rd_schedule *s, int64_t i)
{
	return sqrt((1 - s->abar[i]) / s->abar[i]);
}

/* sigma/alpha at a time that need not be an integer; exact at integers, infinite where abar is 0. */
static double ddpm_n(const struct rd_schedule *s, double t)
{
	double c = clamp(t, 0, (double)(s->n_train - 1)), f = floor(c);
	int64_t i = (int64_t)f;

	if (f >= c)
		return abar_n(s, i);
	return exp((1 - (c - f)) * log(abar_n(s, i)) + (c - f) * log(abar_n(s, i + 1)));
}

static double ddpm_alpha(const struct rd_schedule *s, double t)
{
	double n;

	if (t == floor(t) && t >= 0 && t < (double)s->n_train)
		return sqrt(s->abar[(int64_t)t]);
	n = ddpm_n(s, t);
	return 1 / sqrt(1 + n * n);
}

static double ddpm_sigma(const struct rd_schedule *s, double t)
{
	double n;

	if (t == floor(t) && t >= 0 && t < (double)s->n_train)
		return sqrt(1 - s->abar[(int64_t)t]);
	n = ddpm_n(s, t);
	return isinf(n) ? 1 : n / sqrt(1 + n * n);
}

static double ddpm_t_of_n(const struct rd_schedule *s, double n)
{
	int64_t lo = 0, hi = s->n_train - 1;
	double a, b;

	if (n <= abar_n(s, 0))
		return 0;
	if (n >= abar_n(s, hi))
		return (double)hi;
	while (hi - lo > 1) {
		int64_t mid = lo + (hi - lo) / 2;

		if (abar_n(s, mid) <= n)
			lo = mid;
		else
			hi = mid;
	}
	a = log(abar_n(s, lo));
	b = log(abar_n(s, hi));
	return isinf(b) ? (double)lo : (double)lo + clamp((log(n) - a) / (b - a), 0, 1);
}

static double ddpm_net_time(const struct rd_schedule *s, double t)
{
	(void)s;
	return t;
}

static double ddpm_t_of_u(const struct rd_schedule *s, double u)
{
	return clamp(floor(u * (double)s->n_train), 0, (double)(s->n_train - 1));
}

/* --- vp and subvp --------------------------------------------------------------------------------------------------- */

static double vp_log_alpha(const struct rd_schedule *s, double t)
{
	return -t * t * (s->beta1 - s->beta0) / 4 - t * s->beta0 / 2;
}

static double vp_alpha(const struct rd_schedule *s, double t)
{
	return exp(vp_log_alpha(s, t));
}

static double vp_sigma(const struct rd_schedule *s, double t)
{
	return sqrt(-expm1(2 * vp_log_alpha(s, t)));
}

static double subvp_sigma(const struct rd_schedule *s, double t)
{
	return -expm1(2 * vp_log_alpha(s, t));
}

/* The time with ln alpha = la: the positive root of (b1 - b0)/4 t^2 + b0/2 t + la = 0, in the form without cancellation. */
static double vp_t_of_log_alpha(const struct rd_schedule *s, double la)
{
	double a = (s->beta1 - s->beta0) / 4, b = s->beta0 / 2, q = -la;

	if (isinf(q))
		return s->t_hi;
	return clamp(2 * q / (b + sqrt(b * b + 4 * a * q)), s->t_lo, s->t_hi);
}

static double vp_t_of_n(const struct rd_schedule *s, double n)
{
	return vp_t_of_log_alpha(s, -0.5 * log1p(n * n));
}

/* subvp: 1 - alpha^2 = n alpha, so alpha = (sqrt(n^2 + 4) - n)/2 = 2/(n + sqrt(n^2 + 4)). */
static double subvp_t_of_n(const struct rd_schedule *s, double n)
{
	return vp_t_of_log_alpha(s, log(2 / (n + sqrt(n * n + 4))));
}

static double vp_net_time(const struct rd_schedule *s, double t)
{
	(void)s;
	return 999 * t;
}

static double uniform_t_of_u(const struct rd_schedule *s, double u)
{
	return s->t_lo + u * (s->t_hi - s->t_lo);
}

/* --- ve ------------------------------------------------------------------------------------------------------------- */

static double one(const struct rd_schedule *s, double t)
{
	(void)s;
	(void)t;
	return 1;
}

static double identity(const struct rd_schedule *s, double t)
{
	(void)s;
	return t;
}

static double ve_t_of_n(const struct rd_schedule *s, double n)
{
	return clamp(n, s->t_lo, s->t_hi);
}

/* The embedding of the network is that of ln(sigma)/4, in EDM's convention. */
static double ve_net_time(const struct rd_schedule *s, double t)
{
	(void)s;
	return log(t) / 4;
}

/* Uniform in ln sigma: a uniform sigma would hardly ever see the small ones. */
static double ve_t_of_u(const struct rd_schedule *s, double u)
{
	return s->t_lo * pow(s->t_hi / s->t_lo, u);
}

/* --- fm ------------------------------------------------------------------------------------------------------------- */

static double fm_alpha(const struct rd_schedule *s, double t)
{
	(void)s;
	return 1 - t;
}

static double fm_t_of_n(const struct rd_schedule *s, double n)
{
	return isinf(n) ? s->t_hi : clamp(n / (1 + n), s->t_lo, s->t_hi);
}

static double fm_net_time(const struct rd_schedule *s, double t)
{
	return (double)s->n_train * t;
}

/* -------------------------------------------------------------------------------------------------------------------- */

static const struct rd_form forms[] = {
	{"ddpm", ddpm_alpha, ddpm_sigma, ddpm_t_of_n, ddpm_net_time, ddpm_t_of_u},
	{"vp", vp_alpha, vp_sigma, vp_t_of_n, vp_net_time, uniform_t_of_u},
	{"subvp", vp_alpha, subvp_sigma, subvp_t_of_n, vp_net_time, uniform_t_of_u},
	{"ve", one, identity, ve_t_of_n, ve_net_time, ve_t_of_u},
	{"fm", fm_alpha, identity, fm_t_of_n, fm_net_time, uniform_t_of_u},
};
const char *const rd_form_names[] = {"ddpm", "vp", "subvp", "ve", "fm", NULL};

const struct rd_form *rd_form_find(const char *name)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (!strcmp(forms[i].name, name))
			return &forms[i];
	return NULL;
}

int rd_schedule_init(struct rd_schedule *s, const char *form, struct rd_err *e)
{
	memset(s, 0, sizeof *s);
	if (!strcmp(form, "ddpm"))
		return rd_schedule_init_ddpm(s, RD_BETAS_LINEAR, 1e-4, 0.02, 1000, NULL, false, e);
	s->form = rd_form_find(form);
	if (!s->form)
		return rd_fail(e, RD_EUSAGE, "form %s: unknown; there are ddpm, vp, subvp, ve, fm", form);
	s->n_train = 1000;
	s->beta0 = 0.1;
	s->beta1 = 20;
	if (!strcmp(form, "ve")) {
		s->t_lo = 0.002;
		s->t_hi = 80;
	} else {
		s->t_lo = 1e-3;
		s->t_hi = 1;
	}
	return RD_OK;
}

/* beta_i of the cosine schedule (squaredcos_cap_v2): 1 - f((i+1)/N)/f(i/N), f(t) = cos^2((t + .008)/1.008 pi/2), at most .999. */
static double cosine_beta(int64_t i, int64_t n)
{
	double a = cos(((double)i / (double)n + 0.008) / 1.008 * M_PI / 2);
	double b = cos(((double)(i + 1) / (double)n + 0.008) / 1.008 * M_PI / 2);

	return fmin(1 - b * b / (a * a), 0.999);
}

static double beta_at(enum rd_betas kind, double b0, double b1, int64_t i, int64_t n)
{
	double f = n > 1 ? (double)i / (double)(n - 1) : 0;
	double r;

	switch (kind) {
	case RD_BETAS_LINEAR:
		return b0 + f * (b1 - b0);
	case RD_BETAS_SCALED_LINEAR:
		r = sqrt(b0) + f * (sqrt(b1) - sqrt(b0));
		return r * r;
	default:
		return cosine_beta(i, n);
	}
}

/* Shifts and scales sqrt(abar) so that its last value is 0 and its first is kept. */
static void rescale_zero_snr(double *abar, int64_t n)
{
	double first = sqrt(abar[0]), last = sqrt(abar[n - 1]), v;

	for (int64_t i = 0; i < n; i++) {
		v = (sqrt(abar[i]) - last) * first / (first - last);
		abar[i] = v * v;
	}
}

int rd_schedule_init_ddpm(struct rd_schedule *s, enum rd_betas kind, double beta_start, double beta_end, int64_t n_train,
                          const double *trained, bool zero_snr, struct rd_err *e)
{
	double prod = 1, beta;
	void *p;
	int rc;

	memset(s, 0, sizeof *s);
	if (n_train < 2 || n_train > 1000000)
		return rd_fail(e, RD_EINPUT, "num_train_timesteps %lld: between 2 and 1000000 expected", (long long)n_train);
	rc = rd_alloc(&p, (size_t)n_train, sizeof *s->abar, "schedule", e);
	if (rc)
		return rc;
	s->abar = p;
	s->form = rd_form_find("ddpm");
	s->n_train = n_train;
	s->t_hi = (double)(n_train - 1);
	for (int64_t i = 0; i < n_train; i++) {
		beta = trained ? trained[i] : beta_at(kind, beta_start, beta_end, i, n_train);
		if (!(beta > 0 && beta < 1)) {
			rd_schedule_free(s);
			return rd_fail(e, RD_EINPUT, "%s: beta %lld is %g: between 0 and 1 expected",
			               trained ? "trained_betas" : "beta_start, beta_end", (long long)i, beta);
		}
		prod *= 1 - beta;
		s->abar[i] = prod;
	}
	if (zero_snr)
		rescale_zero_snr(s->abar, n_train);
	return RD_OK;
}

void rd_schedule_free(struct rd_schedule *s)
{
	if (!s)
		return;
	free(s->abar);
	memset(s, 0, sizeof *s);
}

double rd_schedule_input_scale(const struct rd_schedule *s, double alpha, double sigma)
{
	return strcmp(s->form->name, "ve") ? 1 : 1 / sqrt(alpha * alpha + sigma * sigma);
}

double rd_schedule_start_scale(const struct rd_schedule *s, double sigma)
{
	return strcmp(s->form->name, "ve") ? 1 : sigma;
}
