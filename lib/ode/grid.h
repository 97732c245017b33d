/* The nodes at which an ODE is solved, from most noise to none. */
#ifndef RD_LIB_ODE_GRID_H
#define RD_LIB_ODE_GRID_H

#include <stdbool.h>

#include "lib/ode/schedule.h"

/* A point of the schedule: its own time, the time the network is fed, and (alpha, sigma). */
struct rd_node {
	double t, net_t, alpha, sigma;
};

/* Step k goes from from[k], where the network is evaluated, to to[k]. to[k] is from[k+1], except on the grids of diffusers'
 * DDIMScheduler where N/K is not a whole number (RD_GRID_DDIM_PREV). */
struct rd_grid {
	int steps;
	struct rd_node *from, *to; /* [steps] each */
};

enum rd_spacing { RD_SPACING_TRAILING, RD_SPACING_LEADING, RD_SPACING_LINSPACE, RD_SPACING_KARRAS, RD_N_SPACINGS };
extern const char *const rd_spacing_names[];

struct rd_grid_opts {
	int steps;
	enum rd_spacing spacing;
	int steps_offset;     /* ddpm with leading */
	bool one_more;        /* leading and linspace over steps + 1 points, the last left out (DPM-Solver's convention) */
	bool ddim_prev;       /* to[k] at t - N/K whatever from[k+1] is (DDIMScheduler's convention) */
	bool final_at_t0;     /* the last step ends at the schedule's least noise, not at alpha = 1, sigma = 0 */
	bool fractional;      /* karras on ddpm: times are not rounded to integers */
	double shift;         /* fm: t -> shift t / (1 + (shift - 1) t); 0 or 1: none */
	bool flow_match;      /* fm: FlowMatchEulerDiscreteScheduler's times, K points from 1 to shift(1/N) */
};

/* trailing  K equal parts of the time axis counted from the noise end, so that the first node is the last time trained
 * leading   counted from the data end, so that the first node is below it
 * linspace  both ends are nodes
 * karras    equal parts of (sigma/alpha)^(1/7) between the ends (arXiv 2206.00364, eq. 5)
 * Under ve, trailing, leading and linspace divide ln sigma. RD_EUSAGE for 0 or too many steps, karras from alpha = 0. */
int rd_grid_init(struct rd_grid *g, const struct rd_schedule *s, const struct rd_grid_opts *o, struct rd_err *e) RD_MUST;
void rd_grid_free(struct rd_grid *g);

/* The node at time t of a schedule. */
struct rd_node rd_node_at(const struct rd_schedule *s, double t);

#endif
