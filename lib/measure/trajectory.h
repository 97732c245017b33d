/* What is measured on a sampler's trajectory, one sample at a time.
 *
 * A trajectory has nodes 0 .. K with (t_k, alpha_k, sigma_k) and a state x_k each, from noise to data; and the model's
 * prediction (x0_k, eps_k) at nodes 0 .. K-1. d is the number of elements of a sample; |v|^2 the sum of their squares.
 * All sums are in double precision. Each number is 0 for the trajectory that it calls ideal, and has the units of x^2
 * unless it says otherwise.
 *
 *   first_order_defect   (1/K) sum over k of |eps_k - eps_mean|^2 / d, eps_mean the mean of eps_0 .. eps_{K-1}.
 *                        0 where the predicted noise is constant: the ODE is first-order, one step is exact.
 *
 *   straightness         sum over intervals of w_k |(x_{k+1} - x_k) / w_k - (x_K - x_0)|^2 / d,
 *                        w_k = (t_{k+1} - t_k) / (t_K - t_0).
 *                        The mean over time, scaled to run from 0 to 1, of the squared distance between the velocity
 *                        and that of the straight line: rectified flow's straightness when the form is fm. It depends
 *                        on the form's time. Intervals of no length in t (a last step from t = 0 to the data) count
 *                        nothing.
 *
 *   curvature            1/|theta_K - theta_0| times the integral over theta, by the trapezoidal rule, of |u_k - c_k|^2
 *                        / d, where theta = atan2(sigma, alpha), u = x / sqrt(alpha^2 + sigma^2), and
 *                        c_k = [sin(theta_K - theta_k) u_0 + sin(theta_k - theta_0) u_K] / sin(theta_K - theta_0).
 *                        c is the trajectory through both end nodes on which y = x/alpha is a straight line in n =
 *                        sigma/alpha (and x/sigma one in alpha/sigma): u - c is y's departure from its chord, over
 *                        sqrt(1 + n^2). That keeps it finite where alpha or sigma are 0, and the same under every form.
 *
 *   one_step_error       |alpha_K x0_0 + sigma_K eps_0 - x_K|^2 / d: where one step from the first node leads, against
 *                        where all of them did. At a last node without noise that is |x0(1 step) - x0(K steps)|^2 / d.
 *
 *   chord                the distance from first-order paths through states of the trajectory itself: chords.h, since that
 *                        takes how many of them there are to be. Its units are those of x.
 *
 * And at each node 0 .. K-1 the defect |eps_k - eps_mean|^2 / d, of which the first number is the mean. */
#ifndef RD_LIB_MEASURE_TRAJECTORY_H
#define RD_LIB_MEASURE_TRAJECTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum { RD_TRAJ_MAX_STEPS = 100000 };

struct rd_traj_grid {
	int steps; /* K */
	double *t, *alpha, *sigma; /* [K+1] */
};

/* From a stream's meta.grid = {"t":[K+1],"alpha":[K+1],"sigma":[K+1]}. RD_EINPUT where lengths differ, numbers are not
 * finite, alpha or sigma are negative or both 0, or t turns back. */
int rd_traj_grid_parse(struct rd_traj_grid *g, const json_t *meta, struct rd_err *e) RD_MUST;
void rd_traj_grid_free(struct rd_traj_grid *g);

/* One sample's trajectory: x [K+1][dim], x0 and eps [K][dim]. */
struct rd_traj {
	uint64_t index;
	size_t dim;
	const float *x, *x0, *eps;
};

enum rd_traj_number { RD_TRAJ_DEFECT, RD_TRAJ_STRAIGHTNESS, RD_TRAJ_CURVATURE, RD_TRAJ_ONE_STEP, RD_TRAJ_CHORD,
                      RD_TRAJ_N };
extern const char *const rd_traj_names[RD_TRAJ_N]; /* as above */

/* How many of them there are: the last is told only of chords. */
static inline int rd_traj_numbers(bool chords)
{
	return chords ? RD_TRAJ_N : RD_TRAJ_CHORD;
}

/* All but the chord, which is 0. node: [K], the defect at each node; NULL: not wanted. */
void rd_traj_measure(const struct rd_traj_grid *g, const struct rd_traj *p, double out[RD_TRAJ_N], double *node);

/* How far a state is from what the predictions there say of it, x_k = alpha_k x0_k + sigma_k eps_k, at the node k where that is
 * furthest: |difference| over |alpha_k x0_k| + |sigma_k eps_k|. Rounding, unless grid and arrays are not of one another, or x0 was
 * clipped and eps was not. */
double rd_traj_mismatch(const struct rd_traj_grid *g, const struct rd_traj *p);

#endif
