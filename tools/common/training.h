/* The options by which rectrain is told what to train, and how. */
#ifndef RD_TOOLS_TRAINING_H
#define RD_TOOLS_TRAINING_H

#include "lib/train/options.h"
#include "tools/common/common.h"

enum { RD_OPT_COUPLING = 500, RD_OPT_STEPS_OF_TRAINING, RD_OPT_LR, RD_OPT_RATE, RD_OPT_WARMUP, RD_OPT_EMA, RD_OPT_LOSS, RD_OPT_LOSS_SPACE,
       RD_OPT_HUBER_C, RD_OPT_WEIGHT, RD_OPT_TIMES, RD_OPT_DECAY, RD_OPT_CLIP_NORM, RD_OPT_BETAS, RD_OPT_DROP, RD_OPT_NULL, RD_OPT_PHASES,
       RD_OPT_PHASE_STEPS, RD_OPT_CONSISTENCY, RD_OPT_TEACHER_GUIDANCE, RD_OPT_HOLD_OUT, RD_OPT_RECOMPUTE, RD_OPT_MICRO, RD_OPT_LORA,
       RD_OPT_LORA_LAYERS, RD_OPT_FLIP };
#define RD_TRAINING_SHORT "s:"
#define RD_TRAINING_LONG \
	{"coupling", required_argument, 0, RD_OPT_COUPLING}, {"steps", required_argument, 0, RD_OPT_STEPS_OF_TRAINING}, \
	{"lr", required_argument, 0, RD_OPT_LR}, {"rate", required_argument, 0, RD_OPT_RATE}, \
	{"warmup", required_argument, 0, RD_OPT_WARMUP}, {"ema", required_argument, 0, RD_OPT_EMA}, \
	{"loss", required_argument, 0, RD_OPT_LOSS}, {"loss-space", required_argument, 0, RD_OPT_LOSS_SPACE}, \
	{"huber-c", required_argument, 0, RD_OPT_HUBER_C}, {"weight", required_argument, 0, RD_OPT_WEIGHT}, \
	{"time-sampling", required_argument, 0, RD_OPT_TIMES}, {"weight-decay", required_argument, 0, RD_OPT_DECAY}, \
	{"clip", required_argument, 0, RD_OPT_CLIP_NORM}, {"betas", required_argument, 0, RD_OPT_BETAS}, \
	{"label-drop", required_argument, 0, RD_OPT_DROP}, {"null-class", required_argument, 0, RD_OPT_NULL}, \
	{"phases", required_argument, 0, RD_OPT_PHASES}, {"phase-steps", required_argument, 0, RD_OPT_PHASE_STEPS}, \
	{"consistency", optional_argument, 0, RD_OPT_CONSISTENCY}, {"guidance", required_argument, 0, RD_OPT_TEACHER_GUIDANCE}, \
	{"hold-out", required_argument, 0, RD_OPT_HOLD_OUT}, {"recompute", no_argument, 0, RD_OPT_RECOMPUTE}, \
	{"micro-batch", required_argument, 0, RD_OPT_MICRO}, {"lora", required_argument, 0, RD_OPT_LORA}, \
	{"lora-layers", required_argument, 0, RD_OPT_LORA_LAYERS}, {"flip", no_argument, 0, RD_OPT_FLIP}, \
	{"seed", required_argument, 0, 's'}
#define RD_TRAINING_USAGE \
	"      --coupling C            pairs (default; the paper's Algorithm 4), independent (fresh noise for every sample; Algorithm\n" \
	"                              2), or ot (fresh noise, assigned within a batch and class by optimal transport)\n" \
	"      --steps N               default 10000\n" \
	"  -b, --batch N               samples a step, default 64\n" \
	"      --lr R                  AdamW's rate, default 2e-4\n" \
	"      --rate S                cosine (default; down to 0 at the last step) or constant\n" \
	"      --warmup N              steps of linear warm-up, default 100\n" \
	"      --ema E                 decay of the averaged weights: a number (default 0.999), constant:D, warmup:D, half-life:STEPS\n" \
	"                              or power:GAMMA\n" \
	"      --loss L                l2 (default), huber (pseudo-Huber) or huber-image (of each image as a whole)\n" \
	"      --loss-space S          eps, x0 or output (what the prediction type is): whose error the loss is; default: x0 for\n" \
	"                              pairs, phases and consistency, else eps\n" \
	"      --huber-c C             the constant of huber losses, for one element, default 1e-3\n" \
	"      --weight W              none (default), snr, min-snr[:GAMMA] or edm[:SIGMA_DATA]: what a squared error of x0 weighs\n" \
	"      --time-sampling T       importance (default): more often where the loss weighs errors more, the loss divided by that;\n" \
	"                              uniform: the same objective, estimated plainly; logit-normal[:M,S], lognormal[:M,S] (of\n" \
	"                              sigma/alpha), u-shaped[:A], last (the noisiest alone): objectives of their own\n" \
	"      --weight-decay W        default 1e-3\n" \
	"      --clip G                largest norm of a gradient, 0: no limit; default 0 for pairs, 1 for fresh noise\n" \
	"      --betas B1,B2           AdamW's; default 0.98,0.99 for pairs, 0.9,0.999 for fresh noise\n" \
	"  -s, --seed S                order, times, noise, new weights; default 0\n" \
	"      --label-drop P          probability that a label is replaced by the null class, default 0\n" \
	"      --null-class K          the class that stands for none; recorded in OUT\n" \
	"      --flip                  with fresh noise: mirror images, left to right, every other time\n" \
	"      --phases M              a first-order path for each of M phases: with pairs, between the knots that denoise records;\n" \
	"                              with fresh noise, from noised data to where the ODE of the teacher, MODEL, leads\n" \
	"      --phase-steps N         DDIM steps of that teacher in a phase, default 10\n" \
	"      --consistency[=N]       consistency distillation: predictions at neighbouring nodes on the teacher's ODE, of N\n" \
	"                              (default 50) steps, must agree\n" \
	"      --guidance W            of that teacher, default 1\n" \
	"      --hold-out N            samples not trained on, whose loss is measured every --held-out-every N (500) steps\n" \
	"      --lora RANK             train low-rank adapters, with much less memory; OUT has them in its weights and as a LoRA file\n" \
	"      --lora-layers L         those of all layers (default), or of attention's projections\n" \
	"      --micro-batch N         use less memory: compute the batch's gradient N samples at a time; N divides the batch\n" \
	"      --recompute             use less memory: compute activations once more in the backward pass\n"

/* What works for each coupling; taught: with --phases or --consistency. */
struct rd_train_opts rd_training_defaults(enum rd_coupling c, bool taught);
bool rd_training_opt(struct rd_train_opts *t, int opt); /* true where it was one of them; --coupling is left to the caller */

#endif
