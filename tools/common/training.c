#include "tools/common/training.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On pairs the loss in x0 space is stiff (an error of the output at t = T counts a hundredfold): a long first moment damps the
 * stiff directions, a short second one follows the falling gradient, and the rate goes to 0.
 *
 * What a teacher says is to be said from pure noise on, where an error of epsilon hardly counts, and at alpha = 0 not at all. */
struct rd_train_opts rd_training_defaults(enum rd_coupling c, bool taught)
{
	struct rd_train_opts t = {.steps = 10000, .batch = 64, .warmup = 100, .lr = 2e-4, .rate = RD_RATE_COSINE, .beta1 = 0.9,
	                          .beta2 = 0.999, .adam_eps = 1e-8, .weight_decay = 1e-3, .clip = 1, .coupling = c,
	                          .loss = RD_LOSS_L2, .space = taught ? RD_SPACE_X0 : RD_SPACE_EPS, .huber_c = 1e-3, .phase_steps = 10, .guidance = 1,
	                          .null_class = -1};

	t.ema = rd_spec_usual(rd_ema_kinds, RD_EMA_CONSTANT);
	t.times = rd_spec_usual(rd_times_kinds, RD_TIMES_IMPORTANCE);
	t.weight = rd_spec_usual(rd_weight_kinds, RD_WEIGHT_NONE);
	if (c == RD_COUPLING_PAIRS) {
		t.space = RD_SPACE_X0;
		t.beta1 = 0.98;
		t.beta2 = 0.99;
		t.clip = 0;
	}
	return t;
}

static void parse_betas(struct rd_train_opts *t, const char *text)
{
	char copy[64], *comma;

	snprintf(copy, sizeof copy, "%s", text);
	comma = strchr(copy, ',');
	if (!comma)
		rd_usage_error("--betas %s: two numbers expected, as 0.9,0.999", text);
	*comma = '\0';
	t->beta1 = rd_opt_num("--betas", copy, 0, 0.999999);
	t->beta2 = rd_opt_num("--betas", comma + 1, 0, 0.999999);
}

static void parse_spec(struct rd_spec *s, const struct rd_spec_kind *kinds, const char *option)
{
	struct rd_err e;

	if (rd_spec_parse(s, kinds, option, optarg, &e))
		rd_usage_error("%s", e.msg);
}

/* A mere number is a constant decay. */
static void parse_ema(struct rd_train_opts *t)
{
	if (isalpha((unsigned char)*optarg)) {
		parse_spec(&t->ema, rd_ema_kinds, "--ema");
		return;
	}
	t->ema = rd_spec_usual(rd_ema_kinds, RD_EMA_CONSTANT);
	t->ema.a[0] = rd_opt_num("--ema", optarg, 0, 0.9999999);
}

static bool objective_opt(struct rd_train_opts *t, int opt)
{
	switch (opt) {
	case RD_OPT_LOSS: t->loss = (enum rd_loss)rd_opt_choice("--loss", optarg, rd_loss_names); break;
	case RD_OPT_LOSS_SPACE: t->space = (enum rd_loss_space)rd_opt_choice("--loss-space", optarg, rd_loss_space_names); break;
	case RD_OPT_HUBER_C: t->huber_c = rd_opt_num("--huber-c", optarg, 1e-9, 1e9); break;
	case RD_OPT_WEIGHT: parse_spec(&t->weight, rd_weight_kinds, "--weight"); break;
	case RD_OPT_TIMES: parse_spec(&t->times, rd_times_kinds, "--time-sampling"); break;
	case RD_OPT_DROP: t->label_drop = rd_opt_num("--label-drop", optarg, 0, 1); break;
	case RD_OPT_FLIP: t->flip = true; break;
	case RD_OPT_NULL: t->null_class = rd_opt_int("--null-class", optarg, 0, INT32_MAX); break;
	case RD_OPT_PHASES: t->phases = (int)rd_opt_int("--phases", optarg, 2, 1000); break;
	case RD_OPT_PHASE_STEPS: t->phase_steps = (int)rd_opt_int("--phase-steps", optarg, 1, 1000); break;
	case RD_OPT_CONSISTENCY: t->consistency = optarg ? (int)rd_opt_int("--consistency", optarg, 2, 100000) : 50; break;
	case RD_OPT_TEACHER_GUIDANCE: t->guidance = rd_opt_num("--guidance", optarg, -1000, 1000); break;
	default: return false;
	}
	return true;
}

bool rd_training_opt(struct rd_train_opts *t, int opt)
{
	switch (opt) {
	case RD_OPT_COUPLING: break;
	case RD_OPT_STEPS_OF_TRAINING: t->steps = rd_opt_int("--steps", optarg, 1, 1000000000); break;
	case RD_OPT_LR: t->lr = rd_opt_num("--lr", optarg, 0, 10); break;
	case RD_OPT_RATE: t->rate = (enum rd_rate)rd_opt_choice("--rate", optarg, rd_rate_names); break;
	case RD_OPT_WARMUP: t->warmup = rd_opt_int("--warmup", optarg, 0, 1000000000); break;
	case RD_OPT_EMA: parse_ema(t); break;
	case RD_OPT_DECAY: t->weight_decay = rd_opt_num("--weight-decay", optarg, 0, 10); break;
	case RD_OPT_CLIP_NORM: t->clip = rd_opt_num("--clip", optarg, 0, 1e9); break;
	case RD_OPT_BETAS: parse_betas(t, optarg); break;
	case RD_OPT_HOLD_OUT: t->held_out = rd_opt_int("--hold-out", optarg, 1, INT32_MAX); break;
	case RD_OPT_RECOMPUTE: t->recompute = true; break;
	case RD_OPT_MICRO: t->micro_batch = rd_opt_int("--micro-batch", optarg, 1, INT32_MAX); break;
	case RD_OPT_LORA: t->lora.rank = (int)rd_opt_int("--lora", optarg, 1, 1024); break;
	case RD_OPT_LORA_LAYERS:
		t->lora.layers = (enum rd_lora_layers)rd_opt_choice("--lora-layers", optarg, rd_lora_layer_names);
		break;
	case 's': t->seed = rd_opt_u64("--seed", optarg); break;
	default: return objective_opt(t, opt);
	}
	return true;
}
