/* The kernel API: one table of functions per backend. Above kernels/ an activation has a logical shape (n, c, h, w) and
 * its buffer is opaque: act_bytes says how large it is, act_import and act_export convert from and to host NCHW f32.
 * A feature vector is (n, c, 1, 1). The buffer of (n, c, h, w) is also one of (n, c / k, k h w, 1) and of (n, c h w, 1, 1), a
 * pixel's channels side by side. Parameters are plain f32 in their logical layout (conv OIHW, linear [out, in]); they and their
 * gradients may lie side by side, so that one begins at any float.
 * A sample is what solvers and losses work on, outside of the network: opaque too, and f32 where activations are narrower.
 *
 * All functions but those of memory and sync are asynchronous on the device's stream, allocate nothing, and return 0 or a
 * negative code with *e set. Buffers are device buffers and must not alias unless a comment says so.
 *
 * Gradients: a parameter's gradient is always added to (+=). An activation's gradient is written when its `acc` is 0 and
 * added to when it is 1. A gradient pointer that is NULL is not wanted. */
#ifndef RD_KERNELS_KERNELS_H
#define RD_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/rng.h"
#include "lib/base/err.h"

struct rd_dev;    /* a device of a backend, opened */
struct rd_conv2d; /* a planned convolution */

struct rd_dims {
	int64_t n, c, h, w;
};

static inline int64_t rd_dims_elems(struct rd_dims d)
{
	return d.n * d.c * d.h * d.w;
}

struct rd_conv2d_desc {
	struct rd_dims in;
	int64_t out_c;
	int kernel, stride;      /* square kernel, 1 or 3 in practice */
	int pad_lo, pad_hi;      /* rows above and columns to the left; rows below and columns to the right */
};
/* (n, out_c, oh, ow), oh = (h + pad_lo + pad_hi - kernel) / stride + 1 */
struct rd_dims rd_conv2d_out(const struct rd_conv2d_desc *d);

/* What is asked of a convolution, as bits: y written, with something added, with a bias; dx written, added to; dw. db comes with any
 * of backward. */
enum rd_conv2d_way {
	RD_CONV_Y = 1, RD_CONV_Y_ACC = 2, RD_CONV_Y_BIAS = 4, RD_CONV_DX = 8, RD_CONV_DX_ACC = 16, RD_CONV_DW = 32,
	RD_CONV_FORWARD = RD_CONV_Y | RD_CONV_Y_ACC | RD_CONV_Y_BIAS,
	RD_CONV_BACKWARD = RD_CONV_DX | RD_CONV_DX_ACC | RD_CONV_DW,
	RD_CONV_ALL = RD_CONV_FORWARD | RD_CONV_BACKWARD
};

/* A convolution's parameters, and what its plan made of them for its own kernels (for training, those of backward too). */
struct rd_conv2d_params {
	const float *w, *b; /* (out_c, c, kernel, kernel); [out_c] or NULL */
	void *packed;       /* conv2d_packed_bytes; NULL where these are 0 */
};

enum rd_act { RD_ACT_NONE, RD_ACT_SILU, RD_ACT_RELU, RD_ACT_GELU /* exact, by erf */, RD_ACT_MISH,
              RD_ACT_GELU_TANH /* x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 */, RD_N_ACTS };

struct rd_groupnorm_desc {
	struct rd_dims d;
	int64_t groups; /* divides d.c */
	float eps;
	enum rd_act act; /* applied to the result */
};

struct rd_layernorm_desc {
	struct rd_dims d;
	float eps;
};

struct rd_attention_desc {
	struct rd_dims d; /* of q and the output; tokens = h * w; heads split c into consecutive runs of c / heads */
	int64_t keys;     /* tokens of k and v, which are (n, c, h', w') with h' w' = keys */
	int64_t heads;
	float scale;      /* softmax(scale q k^T) v */
};

struct rd_timestep_desc {
	int64_t n, dim;
	int flip_sin_to_cos;
	float freq_shift;
	float max_period; /* 10000 */
};

struct rd_dropout_desc {
	float p; /* of being set to 0; 0 <= p < 1 */
	uint64_t seed;
	uint32_t layer; /* below 2^16 */
};

/* Of an image's residuals r: the mean of r^2; pseudo-Huber, the mean of sqrt(r^2 + c^2) - c; the same of the image as a whole,
 * sqrt(|r|^2 + c^2) - c over the number of its elements. */
enum rd_loss { RD_LOSS_L2, RD_LOSS_HUBER, RD_LOSS_HUBER_IMAGE };

struct rd_loss_desc {
	struct rd_dims d;
	enum rd_loss kind;
	float c; /* above 0 where there is one */
};

struct rd_adamw {
	float lr, beta1, beta2, eps, weight_decay;
	float ema;    /* decay of the moving average; ema = ema*decay + p*(1-decay) after the update */
	int64_t step; /* from 1, for the bias correction */
	double clip;  /* largest norm of the gradient, which is scaled down to it; 0: any */
};

/* f32: f32 throughout. tf32: matrix products and convolutions round their operands to tf32. bf16: activations and the
 * operands of products are bf16; sums, statistics, parameters and their gradients are f32, but what one call of conv2d_bwd adds to dw
 * may have been rounded to bf16 once it was summed (cuDNN's, of kernels above 1). f64: matrix products and convolutions
 * are double and round their results to f32; it tells how much of a result is rounding. The CPU has f32 and f64, CUDA all but f64. */
enum rd_precision { RD_PRECISION_F32, RD_PRECISION_TF32, RD_PRECISION_BF16, RD_PRECISION_F64 };
extern const char *const rd_precision_names[];

struct rd_dev_opts {
	int threads; /* CPU: 0 means all there are */
	int index;   /* CUDA: which device */
	enum rd_precision precision;
	/* Told, a line each and once, what the device is, and where it does its work another way than it is meant to: recordings that
	 * are off, a library that lacks its compiler, convolutions and products without an algorithm of a library's, and why.
	 * NULL: nobody listens. */
	void (*note)(const char *line);
};

struct rd_replay; /* work of a device that was recorded */

struct rd_backend {
	const char *name; /* "cpu", "cuda" */
	int on_host;      /* device memory is the host's, so that a host array aligned to 64 bytes is a device buffer too */
	int adds_apart;   /* a convolution that is no linear layer adds in the same kernel what is another array than y alone */

	/* device and memory */
	int (*open)(struct rd_dev **out, const struct rd_dev_opts *o, struct rd_err *e);
	void (*close)(struct rd_dev *dev);
	/* "cpu, 2 threads, avx512": for -v and provenance. Lives as long as dev. */
	const char *(*describe)(struct rd_dev *dev);
	/* Which of a library's ways convolutions are done by, and what was passed over, a line for each; for records of
	 * measurements. NULL where a device has no choice. Until the next call of it. */
	const char *(*engines)(struct rd_dev *dev);
	int (*alloc)(struct rd_dev *dev, void **out, size_t bytes, struct rd_err *e); /* 64-byte aligned, not cleared */
	void (*release)(struct rd_dev *dev, void *p);
	int (*put)(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e);
	int (*get)(struct rd_dev *dev, void *host, const void *src, size_t bytes, struct rd_err *e); /* waits */
	int (*zero)(struct rd_dev *dev, void *dst, size_t bytes, struct rd_err *e);
	int (*copy)(struct rd_dev *dev, void *dst, const void *src, size_t bytes, struct rd_err *e); /* on the device */
	int (*sync)(struct rd_dev *dev, struct rd_err *e);

	/* Recording, NULL where a device has none. Between begin and end calls are recorded in place of being carried out,
	 * with the pointers that they are given and the bytes that put finds; replay carries them out again. What must
	 * differ from one replay to the next is read from device memory. get, act_import, act_export and sync are refused
	 * while recording; so is a call whose like was not made before, if it would have to allocate. */
	int (*record_begin)(struct rd_dev *dev, struct rd_err *e);
	int (*record_end)(struct rd_dev *dev, struct rd_replay **out, struct rd_err *e);
	int (*replay)(struct rd_dev *dev, struct rd_replay *r, struct rd_err *e);
	void (*replay_free)(struct rd_dev *dev, struct rd_replay *r); /* NULL is fine */
	/* Ends the recording under way, if there is one, with nothing kept of it. why, unless it is NULL, goes to the device's note,
	 * and record_begin refuses from then on. */
	void (*record_drop)(struct rd_dev *dev, const struct rd_err *why);

	/* activations */
	size_t (*act_bytes)(struct rd_dims d);
	int (*act_import)(struct rd_dev *dev, struct rd_dims d, const float *host_nchw, void *dst, struct rd_err *e);
	int (*act_export)(struct rd_dev *dev, struct rd_dims d, const void *src, float *host_nchw, struct rd_err *e);
	/* samples; narrow and widen are NULL where a sample is an activation */
	size_t (*sample_bytes)(struct rd_dims d);
	int (*sample_import)(struct rd_dev *dev, struct rd_dims d, const float *host_nchw, void *dst, struct rd_err *e);
	int (*sample_export)(struct rd_dev *dev, struct rd_dims d, const void *src, float *host_nchw, struct rd_err *e);
	int (*narrow)(struct rd_dev *dev, struct rd_dims d, const void *sample, void *act, struct rd_err *e);
	int (*widen)(struct rd_dev *dev, struct rd_dims d, const void *act, void *sample, struct rd_err *e);

	/* y = conv(x, w) + b, or add + that where add is not NULL; add may be y, where adds_apart with other last bits. A linear layer,
	 * y = W x + b at every pixel, is one with a kernel of 1. The plan is made once (and may allocate), for the ways that are named, of
	 * enum rd_conv2d_way; nothing else may be asked of it. Whenever w or b change conv2d_pack is to be called, which does it for n
	 * plans at once and passes over those that are NULL. ws: conv2d_ws_bytes, shared by all plans, no contents kept between calls. */
	int (*conv2d_new)(struct rd_dev *dev, const struct rd_conv2d_desc *d, unsigned ways, struct rd_conv2d **out, struct rd_err *e);
	void (*conv2d_free)(struct rd_conv2d *p);
	size_t (*conv2d_packed_bytes)(const struct rd_conv2d *p);
	size_t (*conv2d_ws_bytes)(const struct rd_conv2d *p);
	int (*conv2d_pack)(struct rd_dev *dev, int n, struct rd_conv2d *const *p, const struct rd_conv2d_params *par,
	                   struct rd_err *e);
	int (*conv2d_fwd)(struct rd_dev *dev, struct rd_conv2d *p, const struct rd_conv2d_params *par, const void *x, void *y,
	                  const void *add, void *ws, struct rd_err *e);
	int (*conv2d_bwd)(struct rd_dev *dev, struct rd_conv2d *p, const struct rd_conv2d_params *par, const void *x,
	                  const void *dy, void *dx, int acc_dx, float *dw, float *db, void *ws, struct rd_err *e);

	/* y = act(gn * gamma + beta), or act((gn * gamma + beta) * (1 + scale) + shift), where gn normalises x + chan over
	 * each group's channels and pixels (biased variance). chan (n,c,1,1) or NULL is added to x at every pixel first.
	 * scale_shift (n,2c,1,1) or NULL: scale in the first c, shift in the last. stats [n, groups, 2] f32: mean and
	 * 1/sqrt(var + eps), written by fwd (never NULL), read by bwd. ws: groupnorm_ws_bytes. */
	size_t (*groupnorm_ws_bytes)(const struct rd_groupnorm_desc *p);
	int (*groupnorm_fwd)(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
	                     const float *gamma, const float *beta, const void *scale_shift, void *y, float *stats,
	                     void *ws, struct rd_err *e);
	/* dchan and dscale_shift follow acc_dchan and acc_dss. dx may alias dy when acc_dx is 0. */
	int (*groupnorm_bwd)(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
	                     const float *gamma, const float *beta, const void *scale_shift, const float *stats,
	                     const void *dy, void *dx, int acc_dx, void *dchan, int acc_dchan, float *dgamma, float *dbeta,
	                     void *dscale_shift, int acc_dss, void *ws, struct rd_err *e);

	/* y = gamma (x - mean) / sqrt(var + eps) + beta, over the channels of each pixel (biased variance). stats [n, h w, 2] f32:
	 * mean and 1/sqrt(var + eps), written by fwd (never NULL), read by bwd. ws: layernorm_ws_bytes. dx may alias dy when acc_dx
	 * is 0. */
	size_t (*layernorm_ws_bytes)(struct rd_dev *dev, const struct rd_layernorm_desc *p);
	int (*layernorm_fwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
	                     const float *beta, void *y, float *stats, struct rd_err *e);
	int (*layernorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
	                     const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, float *dbeta, void *ws,
	                     struct rd_err *e);

	/* y = gamma x / sqrt(mean of x^2 + eps), over the channels of each pixel. stats, ws as for layernorm; the mean in stats is 0. dx
	 * may alias dy when acc_dx is 0. */
	size_t (*rmsnorm_ws_bytes)(struct rd_dev *dev, const struct rd_layernorm_desc *p);
	int (*rmsnorm_fwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma, void *y,
	                   float *stats, struct rd_err *e);
	int (*rmsnorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const float *gamma,
	                   const float *stats, const void *dy, void *dx, int acc_dx, float *dgamma, void *ws, struct rd_err *e);

	/* Adaptive layer normalisation (arXiv 2212.09748): y = (1 + scale) xn + shift, xn = (x - mean) / sqrt(var + eps) over the
	 * channels of each pixel; shift_scale (n,2c,1,1): shift in the first c, scale in the last (groupnorm's stand the other way
	 * round: each as its networks have them). stats, ws as for layernorm. dx may alias dy when acc_dx is 0. */
	size_t (*adanorm_ws_bytes)(struct rd_dev *dev, const struct rd_layernorm_desc *p);
	int (*adanorm_fwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const void *shift_scale, void *y,
	                   float *stats, struct rd_err *e);
	int (*adanorm_bwd)(struct rd_dev *dev, const struct rd_layernorm_desc *p, const void *x, const void *shift_scale,
	                   const float *stats, const void *dy, void *dx, int acc_dx, void *dshift_scale, int acc_dss, void *ws,
	                   struct rd_err *e);

	/* o = softmax(s) v, s = scale q k^T, per image and head. stats [n, heads, tokens, 2] f32: of each row of s a number m that is
	 * about as large as its largest elements (no less than the largest, and no more than log sum exp(s)), and 1/sum exp(s - m), written
	 * by fwd, from which bwd makes the probabilities again; in fwd it may be NULL where no backward follows. bwd reads o as fwd made
	 * it. ws: attention_ws_bytes, of both where there are stats, else of forward alone. */
	size_t (*attention_ws_bytes)(struct rd_dev *dev, const struct rd_attention_desc *p, int backward);
	int (*attention_fwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
	                     void *o, float *stats, void *ws, struct rd_err *e);
	int (*attention_bwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
	                     const void *o, const float *stats, const void *dout, void *dq, int acc_dq, void *dk, int acc_dk,
	                     void *dv, int acc_dv, void *ws, struct rd_err *e);

	/* elementwise and shape */
	int (*act_fwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act a, const void *x, void *y, struct rd_err *e); /* y may be x */
	int (*act_bwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act a, const void *x, const void *dy, void *dx, int acc_dx,
	               struct rd_err *e);
	/* y = a act(b) of d, where x (n,2c,h,w) is a in its first c channels and b in its last. */
	int (*gate_fwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, void *y, struct rd_err *e);
	int (*gate_bwd)(struct rd_dev *dev, struct rd_dims d, enum rd_act act, const void *x, const void *dy, void *dx, int acc_dx,
	                struct rd_err *e);
	/* y (+)= gain x, gain (n,c,1,1) at every pixel; dgain (+)= sum over pixels of dy x. ws: gain_ws_bytes. */
	int (*gain_fwd)(struct rd_dev *dev, struct rd_dims d, const void *x, const void *gain, void *y, int acc, struct rd_err *e);
	size_t (*gain_ws_bytes)(struct rd_dev *dev, struct rd_dims d);
	int (*gain_bwd)(struct rd_dev *dev, struct rd_dims d, const void *x, const void *gain, const void *dy, void *dx, int acc_dx,
	                void *dgain, int acc_dgain, void *ws, struct rd_err *e);
	int (*add)(struct rd_dev *dev, struct rd_dims d, const void *a, const void *b, void *y, struct rd_err *e); /* y may be a or b */
	int (*affine)(struct rd_dev *dev, struct rd_dims d, float s, float shift, const void *x, void *y, int acc,
	              struct rd_err *e); /* y (+)= s x + shift; y may be x when acc is 0 */
	/* y_i (+)= x_i / t_i for image i; t [n] f32 on the device. y may be x when acc is 0. */
	int (*divide)(struct rd_dev *dev, struct rd_dims d, const float *t, const void *x, void *y, int acc, struct rd_err *e);
	/* y (+)= x mask / (1 - p): forward and backward alike. Element k of image i, in logical (c,h,w) order, is kept where
	 * word k of rd_rng_words(seed, RD_RNG_DROPOUT, (first + i) << 16 | layer) >= p 2^32. first: one u64 on the device. */
	int (*dropout)(struct rd_dev *dev, struct rd_dims d, const struct rd_dropout_desc *p, const uint64_t *first, const void *x,
	               void *y, int acc, struct rd_err *e); /* y may be x when acc is 0 */
	int (*concat_fwd)(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *xa, const void *xb, void *y, struct rd_err *e);
	int (*concat_bwd)(struct rd_dev *dev, struct rd_dims a, int64_t bc, const void *dy, void *da, int acc_a, void *db,
	                  int acc_b, struct rd_err *e);
	/* y = channels first .. first + c - 1 of x (n,xc,h,w); d is y's shape. dx is written (acc 0: with 0 in all other channels) or
	 * added to. */
	int (*slice_fwd)(struct rd_dev *dev, struct rd_dims d, int64_t xc, int64_t first, const void *x, void *y, struct rd_err *e);
	int (*slice_bwd)(struct rd_dev *dev, struct rd_dims d, int64_t xc, int64_t first, const void *dy, void *dx, int acc,
	                 struct rd_err *e);
	/* Pixels from their patches' channels: y (n,c,p h,p w) of x (n,p p c,h,w), y[k, p i + a, p j + b] = x[(a p + b) c + k, i, j];
	 * d is x's shape. bwd is the inverse. */
	int (*unpatch_fwd)(struct rd_dev *dev, struct rd_dims d, int patch, const void *x, void *y, struct rd_err *e);
	int (*unpatch_bwd)(struct rd_dev *dev, struct rd_dims d, int patch, const void *dy, void *dx, int acc, struct rd_err *e);
	int (*upsample2_fwd)(struct rd_dev *dev, struct rd_dims d, const void *x, void *y, struct rd_err *e); /* nearest; y (n,c,2h,2w) */
	int (*upsample2_bwd)(struct rd_dev *dev, struct rd_dims d, const void *dy, void *dx, int acc, struct rd_err *e);
	int (*avgpool2_fwd)(struct rd_dev *dev, struct rd_dims d, const void *x, void *y, struct rd_err *e); /* y (n,c,h/2,w/2), floor */
	int (*avgpool2_bwd)(struct rd_dev *dev, struct rd_dims d, const void *dy, void *dx, int acc, struct rd_err *e);

	/* Resampling by 2 with the filter [1 3 3 1]/8 in each direction (StyleGAN2's, arXiv 1912.04958). down: y (n,c,h/2,w/2),
	 * y[i] (+)= gain sum_k f_k x[2i - 1 + k]; up: y (n,c,2h,2w), its transpose with 4 gain. What lies outside is 0. h and w
	 * of the larger image are even. The gradient of down by gain g is up by g/4, that of up by g is down by 4 g. */
	int (*fir2_down)(struct rd_dev *dev, struct rd_dims d, float gain, const void *x, void *y, int acc, struct rd_err *e);
	int (*fir2_up)(struct rd_dev *dev, struct rd_dims d, float gain, const void *x, void *y, int acc, struct rd_err *e);

	/* embeddings: y (n,dim,1,1); of embed any (n,c,h,w) with c h w = dim, a row of the table then is [h, w, c]. t [n] f32;
	 * label [n] i32, every one in [0, rows) (the caller has checked), or in forward NULL: row 0 for
	 * every image. */
	int (*timestep)(struct rd_dev *dev, const struct rd_timestep_desc *p, const float *t, void *y, struct rd_err *e);
	/* y (n, 2 dim, 1, 1): sin in the first dim, cos in the last, of 2 pi w_j ln t_i (or of 2 pi w_j t_i with log 0). */
	int (*fourier)(struct rd_dev *dev, int64_t n, int64_t dim, int log, const float *w, const float *t, void *y,
	               struct rd_err *e);
	int (*embed_fwd)(struct rd_dev *dev, int64_t n, int64_t dim, const float *table, const int32_t *label, void *y, struct rd_err *e);
	int (*embed_bwd)(struct rd_dev *dev, int64_t n, int64_t dim, const int32_t *label, const void *dy, float *dtable, struct rd_err *e);

	/* samples: out = a_i x + b_i y for image i; a, b [n] f32 on the device; y may be NULL (then b is not read); out may be x or y */
	int (*combine)(struct rd_dev *dev, struct rd_dims d, const float *a, const void *x, const float *b, const void *y,
	               void *out, struct rd_err *e);
	int (*clamp)(struct rd_dev *dev, struct rd_dims d, float lo, float hi, void *x, struct rd_err *e);

	/* losses of samples: r = scale_i (pred - target) for image i; per_image[i] = the loss of the image's r;
	 * dpred = d( mean over images of weight_i per_image[i] ) / d pred. scale, weight [n] f32 on the device. */
	int (*loss)(struct rd_dev *dev, const struct rd_loss_desc *p, const void *pred, const void *target, const float *scale,
	            const float *weight, float *per_image, void *dpred, struct rd_err *e);

	/* the optimiser, over flat f32 arrays of n elements */
	/* *out (on the device) = sum of squares; the order of the sum depends on n alone */
	int (*sqnorm)(struct rd_dev *dev, size_t n, const float *x, double *out, void *ws, struct rd_err *e);
	size_t (*sqnorm_ws_bytes)(size_t n);
	/* decoupled weight decay: w -= lr (m_hat / (sqrt(v_hat) + eps) + wd w). ema may be NULL. p and sq, the gradient's
	 * squared norm, are on the device; where *sq is not finite nothing changes. */
	int (*adamw)(struct rd_dev *dev, const struct rd_adamw *p, const double *sq, size_t n, float *w, const float *g,
	             float *m, float *v, float *ema, struct rd_err *e);

	/* a sample of standard normals: images index .. index+d.n-1 in logical (c,h,w) order, with rd_rng_normal's bits */
	int (*normal)(struct rd_dev *dev, struct rd_dims d, uint64_t seed, enum rd_rng_stream s, uint64_t index, void *out, struct rd_err *e);
};

/* name: "cpu", "cuda", "cuda:N", "auto" (CUDA where a device answers, else the CPU). RD_EDEVICE where it is not there;
 * "cuda" never falls back. */
int rd_device_open(const char *name, int threads, const struct rd_backend **be, struct rd_dev **dev, struct rd_err *e) RD_MUST;

/* The same with options (o->index is set from the name). Where "auto" took the CPU, e->msg says why. */
int rd_device_open_with(const char *name, struct rd_dev_opts o, const struct rd_backend **be, struct rd_dev **dev,
                        struct rd_err *e) RD_MUST;

#endif
