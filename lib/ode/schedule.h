/* Forms: x_t = alpha(t) x0 + sigma(t) eps. A form is one entry of a table; a schedule is a form with its numbers.
 *
 *   ddpm   alpha^2 = abar_t, the running product of 1 - beta; t = 0 .. N-1, between integers ln(sigma/alpha) is linear
 *   vp     ln alpha = -t^2 (b1 - b0)/4 - t b0/2, sigma^2 = 1 - alpha^2; t in (0, 1]
 *   subvp  alpha as vp, sigma = 1 - alpha^2
 *   ve     alpha = 1, sigma = t in [sigma_min, sigma_max]
 *   fm     alpha = 1 - t, sigma = t; t in [0, 1]
 *   table  rows of t, alpha and sigma: lib/ode/table.h
 *
 * All in double precision. n = sigma/alpha is the noise-to-signal ratio, log-SNR is -ln n. */
#ifndef RD_LIB_ODE_SCHEDULE_H
#define RD_LIB_ODE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_schedule;
struct rd_table;

struct rd_form {
	const char *name;
	double (*alpha)(const struct rd_schedule *s, double t);
	double (*sigma)(const struct rd_schedule *s, double t);
	double (*t_of_n)(const struct rd_schedule *s, double n);   /* the time with sigma/alpha = n, clamped to the domain */
	double (*net_time)(const struct rd_schedule *s, double t); /* what the network is fed */
	double (*t_of_u)(const struct rd_schedule *s, double u);   /* u in (0,1) to a "uniform" training time */
};

enum rd_betas { RD_BETAS_LINEAR, RD_BETAS_SCALED_LINEAR, RD_BETAS_COSINE, RD_BETAS_SIGMOID, RD_BETAS_EXP, RD_BETAS_LAPLACE };

struct rd_schedule {
	const struct rd_form *form;
	double t_lo, t_hi;             /* where the network is trained: least and most noise */
	double beta0, beta1;           /* vp, subvp */
	int64_t n_train;               /* ddpm, and fm's scale of the network's time */
	double *abar;                  /* ddpm: [n_train], owned */
	struct rd_table *table;        /* table: owned */
	bool log_time;                 /* ddpm, table: the network is fed ln(sigma/alpha)/4, as under ve */
	double sigma_data;             /* ve: the network's input is x/sqrt(sigma_data^2 + sigma^2) */
};

/* The entry of a form by name; NULL for an unknown one, and for a table, which is not made by name. */
const struct rd_form *rd_form_find(const char *name);
extern const char *const rd_form_names[]; /* NULL-terminated */

/* Where "table:FILE" is what FORM says: FILE; else NULL. */
const char *rd_form_table_file(const char *form);

/* A form with its usual numbers: ddpm linear 1e-4..0.02 of 1000; vp and subvp 0.1, 20; ve 0.002..80; fm. Or table:FILE. */
int rd_schedule_init(struct rd_schedule *s, const char *form, struct rd_err *e) RD_MUST;

/* What makes a ddpm schedule: betas by kind between start and end (linear, scaled_linear, sigmoid) or from a formula of
 * alpha_bar (cosine, exp, laplace), or trained betas (n_train values); zero_snr rescales them to alpha_T = 0 (arXiv
 * 2305.08891), and then last_abar, if not 0, stands in for alpha_T^2. */
struct rd_betas_opts {
	enum rd_betas kind;
	double start, end;
	int64_t n_train;
	const double *trained;
	bool zero_snr;
	double last_abar;
};
int rd_schedule_init_ddpm(struct rd_schedule *s, const struct rd_betas_opts *o, struct rd_err *e) RD_MUST;
void rd_schedule_free(struct rd_schedule *s);

static inline double rd_alpha(const struct rd_schedule *s, double t) { return s->form->alpha(s, t); }
static inline double rd_sigma(const struct rd_schedule *s, double t) { return s->form->sigma(s, t); }

/* The factor on the network's input: 1, and 1/sqrt(sigma_data^2 + sigma^2) under ve, so that the network always sees unit
 * scale. */
double rd_schedule_input_scale(const struct rd_schedule *s, double alpha, double sigma);

/* x at the start of the ODE is this times the noise: 1 where x_T is the noise itself (ddpm, vp, subvp, fm), sigma under ve and for a table. */
double rd_schedule_start_scale(const struct rd_schedule *s, double sigma);

#endif
