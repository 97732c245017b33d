/* The options by which denoise and odesample choose a model and how its ODE is solved, and the model they open. */
#ifndef RD_TOOLS_SAMPLING_H
#define RD_TOOLS_SAMPLING_H

#include "lib/sample/sampler.h"
#include "tools/common/common.h"

struct rd_sampling_args {
	const char *model, *scheduler, *as;
	int solver, solver_type, spacing;  /* -1: as the scheduler's config says */
	int steps;            /* 0: 25, or as many as a solver that chooses its steps may take */
	double rtol, atol;    /* -1: the solver's own */
	double guidance;
	int64_t null_class;   /* -1: what the model records */
	int clip;             /* 1 on, 0 off, -1: the tool's default */
	double clip_range;    /* 0: as the config says */
	bool reverse;         /* from data to noise (denoise) */
	int knots;            /* phases whose knots are recorded; 0: none (denoise) */
	bool error;           /* by step halving (denoise) */
	struct rd_trace_opts trace; /* in reverse: for likelihoods (denoise); the solver is then rk4 by default */
};

enum { RD_OPT_SOLVER = 400, RD_OPT_SOLVER_TYPE, RD_OPT_STEPS, RD_OPT_SPACING, RD_OPT_GUIDANCE, RD_OPT_NULL_CLASS, RD_OPT_SCHEDULER, RD_OPT_AS, RD_OPT_CLIP,
       RD_OPT_NO_CLIP, RD_OPT_RTOL, RD_OPT_ATOL };
#define RD_SAMPLING_SHORT "m:"
#define RD_SAMPLING_LONG \
	{"model", required_argument, 0, 'm'}, {"solver", required_argument, 0, RD_OPT_SOLVER}, \
	{"solver-type", required_argument, 0, RD_OPT_SOLVER_TYPE}, {"steps", required_argument, 0, RD_OPT_STEPS}, {"spacing", required_argument, 0, RD_OPT_SPACING}, \
	{"guidance", required_argument, 0, RD_OPT_GUIDANCE}, {"null-class", required_argument, 0, RD_OPT_NULL_CLASS}, \
	{"scheduler", required_argument, 0, RD_OPT_SCHEDULER}, {"as", required_argument, 0, RD_OPT_AS}, {"clip", optional_argument, 0, RD_OPT_CLIP}, \
	{"no-clip", no_argument, 0, RD_OPT_NO_CLIP}, {"rtol", required_argument, 0, RD_OPT_RTOL}, \
	{"atol", required_argument, 0, RD_OPT_ATOL}
#define RD_SAMPLING_USAGE \
	"  -m, --model MODEL    a model folder in diffusers' layout, or analytic:NAME, an exact denoiser: see rectdiff(7)\n" \
	"      --solver S       ddim, euler, heun, rk4, dpm1, dpm2m, dpm3m, dpm2s, dpm3s, dpm++1, dpm++2m, dpm++3m, dpm++2s,\n" \
	"                       dpm++3s, deis1, deis2, deis3, unipc1, unipc2, unipc3 or dopri5; default: the scheduler's\n" \
	"                       own, else dpm++2m\n" \
	"      --solver-type T  dpm: midpoint or heun; unipc: bh2 or bh1; heun, rk4: noise or data; heun: velocity\n" \
	"      --steps K        default 25; dopri5 chooses its steps, at most K of them (default 1000)\n" \
	"      --rtol R, --atol A   dopri5: error of a step, at most A + R times the RMS of the sample; default 1e-4 each\n" \
	"      --spacing P      trailing, leading, linspace, karras, exponential or beta; default: the scheduler's own,\n" \
	"                       else trailing, for form ve karras\n" \
	"      --guidance W     eps_null + W (eps - eps_null); default 1: one evaluation\n" \
	"      --null-class K   the class that stands for none; default: what the model records\n" \
	"      --scheduler F    another scheduler config (a file or a folder) than the model's\n" \
	"      --as FORM        sample the model under another form: ddpm, vp, subvp, ve, fm or table:FILE\n"

void rd_sampling_init(struct rd_sampling_args *a);
bool rd_sampling_opt(struct rd_sampling_args *a, int opt); /* true where it was one of them */
bool rd_sampling_chooses_steps(const struct rd_sampling_args *a); /* the solver named does */

struct rd_sampling {
	struct rd_model model; /* its null class is --null-class, where that was given */
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_sampler *sampler;
	int64_t batch;
	uint64_t not_finite, first_not_finite; /* samples that came out with NaN or infinities */
};

/* Loads the model and opens the device and the sampler. clip_default: whether clip_sample of the config counts. */
int rd_sampling_open(struct rd_sampling *s, const struct rd_sampling_args *a, const struct rd_common *c, bool clip_default,
                     struct rd_err *e) RD_MUST;
/* Into a meta: the model and how it is sampled. s is a struct rd_sampling (rd_joined_each calls it). */
void rd_sampling_describe(json_t *meta, const void *s);
/* Counts those of the n samples from index `first`, of dim numbers each, that hold NaN or infinities. */
void rd_sampling_check(struct rd_sampling *s, const float *x, uint64_t first, int64_t n, size_t dim);
/* Warns of samples that rd_sampling_check counted. Into an end map, and for -v: what the samples took, where that is not known before. */
void rd_sampling_end(const struct rd_sampling *s, json_t *end);
void rd_sampling_close(struct rd_sampling *s);

#endif
