#include "tools/common/training.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/data/joined.h"

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

/* Pairs of two teachers, or of one under two guidances, or now clamped and now not, have noises that lead to two different places. */
static void warn_of_mixture(const struct rd_provenance *p, const char *key, const char *what)
{
	struct rd_provenance_pair d;

	if (!rd_provenance_differ(p, key, &d))
		return;
	rd_warn("warning: %s has pairs %s %s, %s %s %s: they are trained on together", d.name[0], what, d.value[0],
	        strcmp(d.name[0], d.name[1]) ? d.name[1] : "and others", what, d.value[1]);
	free(d.value[0]);
	free(d.value[1]);
}

/* That the metadata of m's weights name, under key, a model that pairs were made by: one that it comes from. */
static bool descends(const struct rd_model *m, const char *key, const struct rd_provenance *p)
{
	const char *text = json_string_value(json_object_get(m->meta, key));
	json_t *o = text ? json_loads(text, 0, NULL) : NULL, *parts = o ? rd_joined_parts(o) : NULL;
	bool yes = false;

	for (size_t i = 0; i < json_array_size(parts) && !yes; i++) {
		const char *hash = json_string_value(json_object_get(json_array_get(parts, i), "model"));

		yes = hash && rd_provenance_says(p, "model", hash);
	}
	json_decref(parts);
	json_decref(o);
	return yes;
}

/* What m would say of their noise is not what it is to learn. Where m was trained on such pairs before, or began as the model that
 * made them, it is trained further. */
static void warn_of_strangers(const struct rd_provenance *p, const struct rd_model *m)
{
	char *by = rd_provenance_text(p, "model");

	if (by && !rd_provenance_says(p, "model", m->hash) && !descends(m, "rectdiff.run", p) && !descends(m, "rectdiff.data", p))
		rd_warn("warning: the pairs are by another model (%s) than %s (%s)", by, m->dir, m->hash);
	free(by);
}

void rd_training_say_pairs(const struct rd_dataset *d, int64_t n, const struct rd_model *m)
{
	static const struct {
		const char *key, *before, *after;
	} said[] = {{"model", "by model ", ""}, {"solver", "", ""}, {"steps", "", " steps"}, {"guidance", "guidance ", ""}};
	int files = rd_provenance_inputs(d->made_by);
	char line[512];
	size_t at, begun;

	at = begun = (size_t)snprintf(line, sizeof line, "pairs: %lld in %d file%s", (long long)n, files, files == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
		char *value = rd_provenance_text(d->made_by, said[i].key);

		if (value && at < sizeof line)
			at += (size_t)snprintf(line + at, sizeof line - at, ", %s%s%s", said[i].before, value, said[i].after);
		free(value);
	}
	rd_warn("%s%s", line, at == begun ? "; nothing says what made them" : "");
	if (m)
		warn_of_strangers(d->made_by, m);
	warn_of_mixture(d->made_by, "model", "by model");
	warn_of_mixture(d->made_by, "guidance", "with guidance");
	warn_of_mixture(d->made_by, "clip", "with clip");
	warn_of_mixture(d->made_by, "clip_range", "with clip range");
}
