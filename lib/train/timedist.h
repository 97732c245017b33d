/* Where on the schedule training looks, as a density over u in [0, 1], u being the place of a time between least and most noise.
 *
 *   uniform       all times alike
 *   importance    the same objective as uniform, estimated from times drawn more often where the loss weighs an error of the network
 *                 more, each divided by how much more often. In x0 space an error of an epsilon model counts sigma/alpha-fold:
 *                 157 at the end of DDPM's linear schedule, 1 in its middle, so a uniform batch learns from few of its images.
 *                 Half of the draws are uniform, half have a density proportional to the factor that the loss puts on the error
 *   logit-normal  logit(u) ~ N(mean, deviation) (arXiv 2403.03206)
 *   lognormal     ln(sigma/alpha) ~ N(mean, deviation), cut at the schedule's ends (EDM, arXiv 2206.00364)
 *   u-shaped      p(u) proportional to exp(a u) + exp(a (1 - u)) (arXiv 2405.20320)
 *   last          only the noisiest time (distillation into one step)
 *
 * All but importance are densities of the objective itself: nothing is divided by them. */
#ifndef RD_LIB_TRAIN_TIMEDIST_H
#define RD_LIB_TRAIN_TIMEDIST_H

#include <stdbool.h>

#include "lib/train/spec.h"

enum { RD_TIMES_UNIFORM, RD_TIMES_IMPORTANCE, RD_TIMES_LOGIT_NORMAL, RD_TIMES_LOGNORMAL, RD_TIMES_U_SHAPED, RD_TIMES_LAST };
extern const struct rd_spec_kind rd_times_kinds[];

#define RD_TIMEDIST_CELLS 1000

/* What of a schedule the distributions ask. */
struct rd_times_on {
	double (*factor)(const void *ctx, double u); /* > 0: the weight of an error at u; by importance, within (0, 1) */
	double (*n)(const void *ctx, double u);      /* sigma/alpha at u; by lognormal, also at 0 and 1, and infinite where alpha is 0 */
	const void *ctx;
	bool whole; /* times are whole numbers, or nodes of a grid: n is a staircase */
};

struct rd_timedist {
	int kind;
	double cdf[RD_TIMEDIST_CELLS + 1]; /* over u in equal cells; 0 and 1 at the ends */
	bool exact;                        /* within a cell too, where a schedule's n is no staircase; for which there are */
	struct rd_times_on on;
	double a[RD_SPEC_NUMBERS], below, all; /* mean and deviation; of the normal below the schedule's least n, and within it */
};

/* on->ctx is borrowed. RD_EUSAGE for a lognormal that has nothing within the schedule. */
int rd_timedist_init(struct rd_timedist *d, const struct rd_spec *times, const struct rd_times_on *on, struct rd_err *e) RD_MUST;

/* A uniform v becomes the place u where training looks, and *weight what its loss is multiplied by. */
double rd_timedist_draw(const struct rd_timedist *d, double v, double *weight);

#endif
