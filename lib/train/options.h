/* What a training is to do: its options, their names, and their description, by which one run is told from another. */
#ifndef RD_LIB_TRAIN_OPTIONS_H
#define RD_LIB_TRAIN_OPTIONS_H

#include "kernels/kernels.h"
#include "lib/graph/graph.h"
#include "lib/train/dataset.h"
#include "lib/train/timedist.h"

extern const char *const rd_loss_names[], *const rd_loss_space_names[], *const rd_rate_names[], *const rd_coupling_names[],
	*const rd_lora_layer_names[];

/* Where the noise of a sample comes from: its pair; fresh numbers; fresh numbers, those of a batch dealt to the samples of a
 * class so that the sum of squared distances is least (minibatch optimal transport, arXiv 2302.00482). */
enum rd_coupling { RD_COUPLING_PAIRS, RD_COUPLING_INDEPENDENT, RD_COUPLING_OT };

/* Whose error the loss is: epsilon's; x0's, or with phases that of x at the end of the phase; that of what the prediction type is. */
enum rd_loss_space { RD_SPACE_EPS, RD_SPACE_X0, RD_SPACE_OUTPUT };

/* The learning rate of step s, counted from 0: up to lr along a line over `warmup` steps, then lr, or along a cosine down to 0
 * after the last of `steps`. */
enum rd_rate { RD_RATE_CONSTANT, RD_RATE_COSINE };
double rd_rate_at(enum rd_rate rate, double lr, int64_t warmup, int64_t steps, int64_t s);

/* What multiplies an image's loss, given as the weight of a squared error of x0 whatever space the loss is measured in; R is the
 * signal-to-noise ratio (alpha/sigma)^2:
 *   none     nothing: the space's own weight
 *   snr      R: what L2 on epsilon has
 *   min-snr  min(R, gamma) (arXiv 2303.09556)
 *   edm      R + 1/sigma_data^2 (arXiv 2206.00364) */
enum { RD_WEIGHT_NONE, RD_WEIGHT_SNR, RD_WEIGHT_MIN_SNR, RD_WEIGHT_EDM };
extern const struct rd_spec_kind rd_weight_kinds[];

/* The decay of the averaged weights at step s, from 1:
 *   constant   D
 *   warmup     min(D, (1 + s)/(10 + s))
 *   half-life  2^(-1/H)
 *   power      (1 - 1/s)^(gamma + 1): a power function of time (arXiv 2312.02696) */
enum { RD_EMA_CONSTANT, RD_EMA_WARMUP, RD_EMA_HALF_LIFE, RD_EMA_POWER };
extern const struct rd_spec_kind rd_ema_kinds[];
double rd_ema_decay(const struct rd_spec *ema, int64_t step);

struct rd_train_opts {
	int64_t steps, batch, warmup;
	double lr, beta1, beta2, adam_eps, weight_decay, clip /* of the global norm; 0: none */;
	struct rd_spec ema;
	enum rd_rate rate;
	enum rd_coupling coupling;
	enum rd_loss loss;
	enum rd_loss_space space;
	struct rd_spec weight, times;
	double huber_c;      /* of one element: huber-image takes c times their number */
	double label_drop;   /* probability of the null class in place of a label */
	bool flip;           /* images are mirrored, left to right, every other time; not with pairs */
	int64_t null_class;  /* -1: none */
	int phases;          /* 0: none; else each learns its own first-order path (lib/train/phases.h) */
	int phase_steps;     /* of the teacher in a phase, where there are no knots */
	int consistency;     /* 0: no; else the steps of the grid whose neighbours must agree (lib/train/teacher.h) */
	double guidance;     /* of the teacher */
	int64_t held_out;    /* samples that are not trained on but measured with */
	uint64_t seed;
	bool recompute;      /* less memory, more time, the same result */
	struct rd_lora lora; /* adapters that are trained in place of the model's own weights */
	int64_t micro_batch; /* images that the network has at once; divides the batch, whose gradients are added up. 0: all */
};

/* All that can be said without model and data. RD_EUSAGE for what does not go together. */
int rd_train_check(const struct rd_train_opts *o, struct rd_err *e) RD_MUST;

/* Everything that decides the result, as an object: options, data, weights started from. */
json_t *rd_train_describe(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o);

#endif
