/* A model on a device as a function: (x, node, labels) -> (x0, eps), with guidance and clipping. What a solver calls. */
#ifndef RD_LIB_SAMPLE_DENOISER_H
#define RD_LIB_SAMPLE_DENOISER_H

#include "lib/graph/exec.h"
#include "lib/model/model.h"
#include "lib/sample/trace.h"

struct rd_denoiser;

struct rd_denoiser_opts {
	double guidance;     /* W: F_null + W (F - F_null); 1: one evaluation, no null class needed */
	int64_t null_class;  /* -1: what the model records */
	bool clip;           /* clamp x0 to +-clip_range; eps is left as predicted, as DDIMScheduler does, */
	bool clip_eps;       /* or, with this, becomes that of the clamped x0 */
	double clip_range;
	struct rd_trace_opts trace; /* of the Jacobians; not with clip, which has none */
	struct rd_lora lora; /* adapters on the model's parameters */
};

/* For batches of exactly `batch` images. The model is borrowed. RD_EUSAGE: guidance without classes or null class; an exact
 * trace of a network with more than RD_TRACE_MAX_DIM inputs. */
int rd_denoiser_new(struct rd_denoiser **out, const struct rd_model *m, const struct rd_backend *be, struct rd_dev *dev,
                    int64_t batch, const struct rd_denoiser_opts *o, struct rd_err *e) RD_MUST;
void rd_denoiser_free(struct rd_denoiser *d);
struct rd_dims rd_denoiser_dims(const struct rd_denoiser *d);
/* Device memory, and host memory of its size; loads: other parameters will be loaded. */
size_t rd_denoiser_bytes(const struct rd_denoiser *d, bool loads);

/* Other parameters than the model's (device, n_flat floats), or with adapters, other adapters (n_adapters floats), from here on;
 * copied. */
int rd_denoiser_load(struct rd_denoiser *d, const float *params, struct rd_err *e) RD_MUST;

/* Labels of the images from here on (host, [batch], each in [0, classes)); NULL: the null class for all. A conditional model
 * without a null class needs labels: RD_EUSAGE. */
int rd_denoiser_labels(struct rd_denoiser *d, const int32_t *label, struct rd_err *e) RD_MUST;

/* An rd_denoise_fn; ctx is the denoiser. x, x0, eps: device samples. */
int rd_denoiser_eval(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e) RD_MUST;
/* An rd_denoise_each_fn: image i is at node[i]. */
int rd_denoiser_eval_each(void *ctx, const struct rd_node *node, const void *x, void *x0, void *eps, struct rd_err *e) RD_MUST;

/* With opts.trace: whether evaluations from here on take traces (at first they do not), of images first, first + 1, ..., which
 * decides on the directions of hutchinson. */
void rd_denoiser_trace(struct rd_denoiser *d, bool on, uint64_t first);
/* Those of the last evaluation: to[i] += on_x0 tr(dx0/dx) + on_eps tr(deps/dx) for each image of the batch. */
void rd_denoiser_add_traces(const struct rd_denoiser *d, double on_x0, double on_eps, double *to);

#endif
