/* The nodes at which an ODE is solved, from most noise to none. */
#ifndef RD_LIB_ODE_GRID_H
#define RD_LIB_ODE_GRID_H

#include <stdbool.h>

#include "lib/ode/schedule.h"

/* A point of the schedule: its own time, the time the network is fed, and (alpha, sigma). */
struct rd_node {
	double t, net_t, alpha, sigma;
};

/* Step k goes from from[k], where the network is evaluated, to to[k]. to[k] is from[k+1], except under ddim_prev. */
struct rd_grid {
	int steps;
	struct rd_node *from, *to; /* [steps] each */
	double start_scale;        /* x at from[0] is this times the noise */
	const struct rd_schedule *schedule; /* borrowed; for nodes between the steps */
};

enum rd_spacing { RD_SPACING_TRAILING, RD_SPACING_LEADING, RD_SPACING_LINSPACE, RD_SPACING_KARRAS, RD_SPACING_EXPONENTIAL,
                  RD_SPACING_BETA, RD_N_SPACINGS };
extern const char *const rd_spacing_names[];

enum rd_final { RD_FINAL_DATA /* alpha = 1, sigma = 0 */, RD_FINAL_LEAST /* the schedule's least noise */,
                RD_FINAL_REPEAT /* the last node once more */ };
enum rd_rounding { RD_ROUND_NEAREST, RD_ROUND_DOWN, RD_ROUND_NONE };
enum rd_start { RD_START_FORM /* as rd_schedule_start_scale says */, RD_START_SIGMA, RD_START_ROOT /* of alpha^2 + sigma^2 */ };
enum rd_flow_grid { RD_FLOW_PLAIN, RD_FLOW_MATCH, RD_FLOW_DPM, RD_FLOW_UNIPC };

/* Above the line, what a user chooses. Below it, how the classes of diffusers depart from that; all zero: they do not. */
struct rd_grid_opts {
	int steps;
	enum rd_spacing spacing;
	int steps_offset;     /* ddpm with leading */
	double shift;         /* fm: t -> shift t / (1 + (shift - 1) t); 0 or 1: none */
	double rho;           /* karras; 0: 7 */
	double n_min, n_max;  /* the ends of karras, exponential and beta in sigma/alpha; 0: the schedule's */
	/* ---- */
	bool one_more;        /* leading and linspace over steps + 1 points, the last left out (the DPM-Solvers) */
	bool ddim_prev;       /* to[k] at t - N/K whatever from[k+1] is (DDIM) */
	enum rd_final final;
	double final_sigma;   /* fm with RD_FINAL_LEAST: that sigma */
	enum rd_rounding rounding; /* of the network's discrete times found from sigma/alpha */
	bool real_times;      /* linspace's times are not rounded, sigma/alpha linear between the integers (Euler, Heun) */
	bool single_logs;     /* the logarithms of these ends are numbers of single precision (Lu's) */
	bool ends_of_times;   /* karras and the like lie between the ends of `times` spacing (Euler, Heun) */
	bool log_linear;      /* sigma/alpha in equal log steps over steps + 1 points, at the spacing's times all the same (Euler) */
	enum rd_spacing times; /* trailing, leading or linspace */
	double lambda_min;    /* with cut: discrete times of a log-SNR below this are not used */
	bool cut;
	enum rd_start start;
	bool unscaled_end;    /* what comes out at RD_FINAL_LEAST is x/alpha (Euler) */
	enum rd_flow_grid flow; /* which classes' times for fm */
	double shift_terminal; /* fm: the times are stretched so that the last is this; 0: not */
};

/* trailing     K equal parts of the time axis counted from the noise end, so that the first node is the last time trained
 * leading      counted from the data end, so that the first node is below it
 * linspace     both ends are nodes
 * karras       equal parts of (sigma/alpha)^(1/rho) between the ends (arXiv 2206.00364, eq. 5)
 * exponential  equal parts of ln(sigma/alpha)
 * beta         quantiles of Beta(0.6, 0.6) of sigma/alpha (arXiv 2407.12173)
 * Under ve, trailing, leading and linspace divide ln sigma. RD_EUSAGE for 0 or too many steps, RD_EDOMAIN for the last three
 * from alpha = 0. Fewer nodes than steps may come out where times are cut. */
int rd_grid_init(struct rd_grid *g, const struct rd_schedule *s, const struct rd_grid_opts *o, struct rd_err *e) RD_MUST;
void rd_grid_free(struct rd_grid *g);

/* The same nodes the other way, from the least noise to the first node; made with RD_FINAL_LEAST, so that there is a network's time at
 * the start. RD_EUSAGE for a grid that ends at the data. */
int rd_grid_reverse(struct rd_grid *g, struct rd_err *e) RD_MUST;

/* x at a first node is this times the noise. */
double rd_start_scale(const struct rd_schedule *s, const struct rd_grid_opts *o, const struct rd_node *n);

/* The node at time t of a schedule. */
struct rd_node rd_node_at(const struct rd_schedule *s, double t);
/* The node where sigma/alpha is n, in the schedule's range; ddpm's times are not rounded. */
struct rd_node rd_node_of_n(const struct rd_schedule *s, double n);

#endif
