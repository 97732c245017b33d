/* Where on the schedule training looks. The objective is the mean over uniform times; importance sampling estimates that same
 * mean from times drawn more often where the loss weighs an error of the network more, each divided by how much more often.
 *
 * In x0 space an error of an epsilon model counts sigma/alpha-fold: 157 at the end of DDPM's linear schedule, 1 in its
 * middle, so a uniform batch learns from few of its images. Here half of the draws are uniform and half have a density
 * proportional to the factor k_t that the loss puts on the network's error (lib/train/train.h). */
#ifndef RD_LIB_TRAIN_TIMEDIST_H
#define RD_LIB_TRAIN_TIMEDIST_H

#include "lib/base/err.h"

enum rd_time_sampling { RD_TIMES_UNIFORM, RD_TIMES_IMPORTANCE };
extern const char *const rd_time_sampling_names[];

#define RD_TIMEDIST_CELLS 1000

struct rd_timedist {
	double cdf[RD_TIMEDIST_CELLS + 1]; /* over u in [0, 1] in equal cells; 0 and 1 at the ends */
};

/* factor(ctx, u) > 0: the weight of an error at u; asked at the middle of each cell. */
void rd_timedist_init(struct rd_timedist *d, enum rd_time_sampling s, double (*factor)(const void *ctx, double u),
                      const void *ctx);

/* A uniform v becomes the place u where training looks, and *weight = 1/density there. */
double rd_timedist_draw(const struct rd_timedist *d, double v, double *weight);

#endif
