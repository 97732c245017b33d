#include "lib/ode/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/ode/table.h"

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
	return s->log_time ? log(ddpm_n(s, t)) / 4 : t;
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

const char *rd_form_table_file(const char *form)
{
	return strncmp(form, "table:", 6) ? NULL : form + 6;
}

int rd_schedule_init(struct rd_schedule *s, const char *form, struct rd_err *e)
{
	static const struct rd_betas_opts usual = {.kind = RD_BETAS_LINEAR, .start = 1e-4, .end = 0.02, .n_train = 1000};

	memset(s, 0, sizeof *s);
	if (!strcmp(form, "ddpm"))
		return rd_schedule_init_ddpm(s, &usual, e);
	if (rd_form_table_file(form))
		return rd_schedule_read_table(s, rd_form_table_file(form), e);
	s->form = rd_form_find(form);
	if (!s->form)
		return rd_fail(e, RD_EUSAGE, "form %s: unknown; there are ddpm, vp, subvp, ve, fm, table:FILE", form);
	s->n_train = 1000;
	s->sigma_data = 1;
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

/* alpha_bar as a function of t in [0, 1], up to a factor: cos^2((t + .008)/1.008 pi/2) (arXiv 2102.09672), exp(-12 t), and
 * the root of SNR/(1 + SNR) with a Laplace distribution of its logarithm. */
static double alpha_bar(enum rd_betas kind, double t)
{
	double c = cos((t + 0.008) / 1.008 * M_PI / 2), off = fabs(0.5 - t), snr;

	switch (kind) {
	case RD_BETAS_EXP:
		return exp(-12 * t);
	case RD_BETAS_LAPLACE:
		snr = exp((t > 0.5 ? 0.5 : -0.5) * log(1 - 2 * off + 1e-6));
		return sqrt(snr / (1 + snr));
	default:
		return c * c;
	}
}

/* torch.linspace in single precision: from both ends to the middle, product and sum rounded once. */
static double linspace32(double from, double to, int64_t i, int64_t n)
{
	float a = (float)from, b = (float)to, step = (b - a) / (float)(n - 1);

	return (double)(float)(i < n / 2 ? (double)a + (double)step * (double)i : (double)b - (double)step * (double)(n - 1 - i));
}

static double beta_at(const struct rd_betas_opts *o, int64_t i)
{
	double n = (double)o->n_train, f = (double)i / (n - 1), r;

	switch (o->kind) {
	case RD_BETAS_LINEAR:
		return linspace32(o->start, o->end, i, o->n_train);
	case RD_BETAS_SCALED_LINEAR:
		r = linspace32(sqrt(o->start), sqrt(o->end), i, o->n_train);
		return r * r;
	case RD_BETAS_SIGMOID:
		return o->start + (o->end - o->start) / (1 + exp(6 - 12 * f));
	default:
		return fmin(1 - alpha_bar(o->kind, (double)(i + 1) / n) / alpha_bar(o->kind, (double)i / n), 0.999);
	}
}

/* Shifts and scales sqrt(abar) so that its last value is 0 and its first is kept, by way of betas and in single precision as
 * diffusers does it: near the end, where abar falls fast, that shows. */
static void rescale_zero_snr(double *abar, int64_t n)
{
	float first = sqrtf((float)abar[0]), last = sqrtf((float)abar[n - 1]), scale = first / (first - last), before = 1;
	double prod = 1;

	for (int64_t i = 0; i < n; i++) {
		float root = (sqrtf((float)abar[i]) - last) * scale, bar = root * root, beta = 1 - bar / before;

		before = bar;
		prod *= (double)(1 - beta);
		abar[i] = (double)(float)prod;
	}
}

int rd_schedule_init_ddpm(struct rd_schedule *s, const struct rd_betas_opts *o, struct rd_err *e)
{
	double prod = 1, beta;
	void *p;
	int rc;

	memset(s, 0, sizeof *s);
	if (o->n_train < 2 || o->n_train > 1000000)
		return rd_fail(e, RD_EINPUT, "num_train_timesteps %lld: between 2 and 1000000 expected", (long long)o->n_train);
	rc = rd_alloc(&p, (size_t)o->n_train, sizeof *s->abar, "schedule", e);
	if (rc)
		return rc;
	s->abar = p;
	s->form = rd_form_find("ddpm");
	s->n_train = o->n_train;
	s->t_hi = (double)(o->n_train - 1);
	s->sigma_data = 1;
	/* betas, 1 - beta and abar in single precision, as diffusers keeps them: at low noise 1 - abar shows it */
	for (int64_t i = 0; i < o->n_train; i++) {
		beta = o->trained ? o->trained[i] : beta_at(o, i);
		if (!(beta > 0 && beta < 1)) {
			rd_schedule_free(s);
			return rd_fail(e, RD_EINPUT, "%s: beta %lld is %g: between 0 and 1 expected",
			               o->trained ? "trained_betas" : "beta_start, beta_end", (long long)i, beta);
		}
		prod *= (double)(1 - (float)beta);
		s->abar[i] = (double)(float)prod;
	}
	prod = s->abar[o->n_train - 1];
	if (!(s->abar[0] < 1 && prod < s->abar[0] && prod > 0)) {
		rd_schedule_free(s);
		return rd_fail(e, RD_EINPUT, "betas so small or so large that alpha is 1, does not change, or is 0 in single precision");
	}
	if (o->zero_snr) {
		rescale_zero_snr(s->abar, o->n_train);
		s->abar[o->n_train - 1] = o->last_abar;
	}
	return RD_OK;
}

void rd_schedule_free(struct rd_schedule *s)
{
	if (!s)
		return;
	free(s->abar);
	free(s->table);
	memset(s, 0, sizeof *s);
}

double rd_schedule_input_scale(const struct rd_schedule *s, double alpha, double sigma)
{
	return strcmp(s->form->name, "ve") ? 1 : 1 / hypot(alpha * s->sigma_data, sigma);
}

double rd_schedule_start_scale(const struct rd_schedule *s, double sigma)
{
	return strcmp(s->form->name, "ve") && !s->table ? 1 : sigma;
}
