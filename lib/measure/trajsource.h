/* Where trajectories come from: a sampler's stream of role trajectory, or the formula of a first-order one. */
#ifndef RD_LIB_MEASURE_TRAJSOURCE_H
#define RD_LIB_MEASURE_TRAJSOURCE_H

#include <stdbool.h>

#include "lib/measure/trajectory.h"

enum { RD_EXACT_MAX_DIM = 16 };

/* Of exact inputs: x_t = alpha_t x0 + sigma_t eps at steps + 1 nodes of a form. */
struct rd_exact_opts {
	size_t dim;
	float x0[RD_EXACT_MAX_DIM], eps[RD_EXACT_MAX_DIM];
	int steps;
	double sigma_max; /* ve's; 0: its usual one */
};

struct rd_trajsource;

/* spec is [NAME=]FILE, FILE "-" for standard input, or [NAME=]exact:FORM; a NAME holds no slash. An exact input is one
 * trajectory that a model would have whose x0 and eps are the same everywhere. RD_EINPUT for what is no trajectory. */
int rd_trajsource_open(struct rd_trajsource **out, const char *spec, const struct rd_exact_opts *o,
                       struct rd_err *e) RD_MUST;
void rd_trajsource_close(struct rd_trajsource *s); /* NULL-safe */

bool rd_trajsource_is_exact(const char *spec);
const char *rd_trajsource_name(const struct rd_trajsource *s); /* NAME, else the input's */
const json_t *rd_trajsource_meta(const struct rd_trajsource *s);
const struct rd_traj_grid *rd_trajsource_grid(const struct rd_trajsource *s);

/* 1: the next trajectory in *t, valid until the next call; 0: the input ended whole; < 0: error. */
int rd_trajsource_next(struct rd_trajsource *s, struct rd_traj *t, struct rd_err *e) RD_MUST;

#endif
