/* Noise in, samples out: batches of any size through a model's ODE. */
#ifndef RD_LIB_SAMPLE_SAMPLER_H
#define RD_LIB_SAMPLE_SAMPLER_H

#include "lib/sample/denoiser.h"

struct rd_sampler;

struct rd_sampler_opts {
	struct rd_solver solver;
	struct rd_grid_opts grid; /* of no account where the solver chooses its steps: the whole schedule is its range */
	struct rd_denoiser_opts denoise;
	bool reverse;        /* from data to noise: the nodes the other way, ending where the noise is */
	int knots;           /* phases whose knots rd_record.knots is to take; 0: none */
	bool halving;        /* solved twice, the second time in twice as many steps, which gives the samples: see rd_record.error */
};

/* The model's own way of sampling: its scheduler's solver and spacing, no guidance; clip as the config says where
 * honour_clip. Options of a tool are put on top. */
struct rd_sampler_opts rd_sampler_defaults(const struct rd_scheduler *s, bool honour_clip);

/* m is borrowed. Refuses here what cannot work at any node (RD_EDOMAIN: epsilon at alpha = 0). */
int rd_sampler_new(struct rd_sampler **out, const struct rd_model *m, const struct rd_backend *be, struct rd_dev *dev,
                   const struct rd_sampler_opts *o, struct rd_err *e) RD_MUST;
void rd_sampler_free(struct rd_sampler *s);
const struct rd_grid *rd_sampler_grid(const struct rd_sampler *s); /* that of the samples */
bool rd_sampler_reversed(const struct rd_sampler *s);
int rd_sampler_nfe(const struct rd_sampler *s); /* a sample; guidance counted, the coarser run of halving not; 0 where the solver
                                                 * chooses its steps */

/* What the runs so far took where the solver chooses its steps: evaluations of all samples together and of the one that took most,
 * guidance counted; and steps tried in vain. */
struct rd_sampler_effort {
	int64_t samples, evaluations, most, rejected;
};
const struct rd_sampler_effort *rd_sampler_effort(const struct rd_sampler *s);

/* Where else a run's results go, host arrays or NULL. x [n, K+1, dim], x0 and eps [n, K, dim]: every state, in the order of
 * the walk. knots [n, M-1, dim]: the states at the inner knots of opts.knots = M phases, from noise to data whichever way the
 * walk goes. error [n], with opts.halving: the root of the mean square, over a sample's elements, of what the two runs differ by.
 * logp [n], with opts.reverse and opts.denoise.trace: the natural logarithm of the density, at the data, of what this ODE solved
 * without error makes from standard normal noise; `first` is the index of the first image, which decides on the directions of
 * hutchinson. */
struct rd_record {
	float *x, *x0, *eps, *knots, *error;
	double *logp;
	uint64_t first;
};

/* (With reverse, read data for noise and noise for sample.) n images, all at once: noise [n, dim], label [n] or NULL, sample
 * [n, dim]; all host, NCHW. Memory is made for the most so far. rec may be NULL; where the solver chooses its steps it asks
 * for no x, x0 or eps, as images have no states in common (RD_EUSAGE). */
int rd_sampler_run(struct rd_sampler *s, int64_t n, const float *noise, const int32_t *label, float *sample,
                   struct rd_record *rec, struct rd_err *e) RD_MUST;

/* {"t":[K+1],"time":[K+1] (what the network is fed),"alpha":[K+1],"sigma":[K+1]} of a grid; and solver, steps, nfe, guidance (with its
 * null_class), spacing, knots, error and likelihood into meta. */
json_t *rd_sampler_grid_json(const struct rd_sampler *s);
void rd_sampler_describe(const struct rd_sampler *s, json_t *meta);
/* What is known only after the last run: nfe_mean, nfe_max and rejected_steps where the solver chooses its steps, into an end map. */
void rd_sampler_describe_end(const struct rd_sampler *s, json_t *end);

#endif
