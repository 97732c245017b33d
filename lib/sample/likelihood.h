/* The density of a sample along its ODE, from data to noise: what the traces of the Jacobians at each evaluation of a solver add up
 * to (rectdiff(7), THE METHOD). */
#ifndef RD_LIB_SAMPLE_LIKELIHOOD_H
#define RD_LIB_SAMPLE_LIKELIHOOD_H

#include <jansson.h>

#include "lib/sample/denoiser.h"

struct rd_likelihood {
	struct rd_trace_opts trace;      /* kind RD_TRACE_NONE: none is wanted, and the rest is empty */
	struct rd_divergence divergence; /* of the walk */
	double noise_to_signal;          /* what the data is taken to have: sigma/alpha where the walk begins */
	double log_scale;                /* what every dimension adds, whatever the sample */
	int n_evals;                     /* whose traces were added so far; < 0: none are to be */
	int64_t n;
	double *logdet;                  /* [n] */
};

/* Of walks over g by the solver s. RD_EUSAGE where they are not from data to noise, or s has no rule for densities; with
 * RD_TRACE_NONE in t nothing is refused. */
int rd_likelihood_init(struct rd_likelihood *l, const struct rd_trace_opts *t, const struct rd_solver *s, const struct rd_grid *g,
                       bool reversed, struct rd_err *e) RD_MUST;
/* For n images at once from here on. */
int rd_likelihood_resize(struct rd_likelihood *l, int64_t n, struct rd_err *e) RD_MUST;
void rd_likelihood_free(struct rd_likelihood *l);

/* The evaluations of d are to take traces from here on, of images first, first + 1, ...; or no more. */
void rd_likelihood_begin(struct rd_likelihood *l, struct rd_denoiser *d, uint64_t first);
void rd_likelihood_stop(struct rd_likelihood *l, struct rd_denoiser *d);
bool rd_likelihood_is_on(const struct rd_likelihood *l);
/* After each evaluation of d: its traces, if they are to be added. */
void rd_likelihood_add(struct rd_likelihood *l, const struct rd_denoiser *d);
/* logp [n] of data whose walk ended at noise [n, dim]. */
void rd_likelihood_end(const struct rd_likelihood *l, int64_t n, size_t dim, const float *noise, double *logp);

/* How it is found, for meta; NULL where none is wanted. */
json_t *rd_likelihood_json(const struct rd_likelihood *l);

#endif
