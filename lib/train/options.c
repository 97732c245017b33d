#include "lib/train/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/json.h"

const char *const rd_loss_names[] = {"l2", "huber", "huber-image", NULL};
const char *const rd_loss_space_names[] = {"eps", "x0", "output", NULL};
const char *const rd_rate_names[] = {"constant", "cosine", NULL};
const char *const rd_coupling_names[] = {"pairs", "independent", "ot", NULL};
const char *const rd_lora_layer_names[] = {"all", "attention", NULL};

const struct rd_spec_kind rd_weight_kinds[] = {
	{.name = "none"},
	{.name = "snr"},
	{"min-snr", {{"gamma", 5, 1e-6, 1e6}}},
	{"edm", {{"sigma_data", 0.5, 1e-3, 1e3}}},
	{.name = NULL},
};

const struct rd_spec_kind rd_ema_kinds[] = {
	{"constant", {{"decay", 0.999, 0, 0.9999999}}},
	{"warmup", {{"decay", 0.9999, 0, 0.9999999}}},
	{"half-life", {{"number of steps", 500, 1e-3, 1e9}}},
	{"power", {{"exponent", 6.94, 0, 1000}}},
	{.name = NULL},
};

double rd_rate_at(enum rd_rate rate, double lr, int64_t warmup, int64_t steps, int64_t s)
{
	double f = steps > warmup ? (double)(s - warmup) / (double)(steps - warmup) : 0;

	if (s < warmup)
		return lr * (double)(s + 1) / (double)warmup;
	return rate == RD_RATE_COSINE ? lr * 0.5 * (1 + cos(M_PI * f)) : lr;
}

double rd_ema_decay(const struct rd_spec *ema, int64_t step)
{
	double s = (double)step;

	switch (ema->kind) {
	case RD_EMA_WARMUP: return fmin(ema->a[0], (1 + s) / (10 + s));
	case RD_EMA_HALF_LIFE: return exp2(-1 / ema->a[0]);
	case RD_EMA_POWER: return pow(1 - 1 / s, ema->a[0] + 1);
	default: return ema->a[0];
	}
}

int rd_train_check(const struct rd_train_opts *o, struct rd_err *e)
{
	if (o->micro_batch && o->batch % o->micro_batch)
		return rd_fail(e, RD_EUSAGE, "--batch %lld does not divide into micro-batches of %lld (--micro-batch)", (long long)o->batch,
		               (long long)o->micro_batch);
	if (o->label_drop > 0 && o->null_class < 0)
		return rd_fail(e, RD_EUSAGE, "label dropout needs a null class");
	if (o->flip && o->coupling == RD_COUPLING_PAIRS)
		return rd_fail(e, RD_EUSAGE, "--flip: a pair's sample is what its noise leads to, and its mirror image is not");
	if (o->phases && o->consistency)
		return rd_fail(e, RD_EUSAGE, "phases and consistency: one or the other; a phase ends where the teacher does, not at x0");
	if (o->phases == 1)
		return rd_fail(e, RD_EUSAGE, "one phase is no phases: leave it out");
	if (o->phases && o->times.kind == RD_TIMES_LAST)
		return rd_fail(e, RD_EUSAGE, "phases and last: the noisiest time is in the first phase alone, the others would learn nothing");
	if (o->phases && o->weight.kind != RD_WEIGHT_NONE)
		return rd_fail(e, RD_EUSAGE, "phases and a weight: weights are those of errors of x0, and a phase ends elsewhere");
	if (o->guidance != 1 && !o->consistency && !o->phases)
		return rd_fail(e, RD_EUSAGE, "guidance is the teacher's, and there is none: pairs are made with guidance by denoise");
	if (o->guidance != 1 && o->phases && o->coupling == RD_COUPLING_PAIRS)
		return rd_fail(e, RD_EUSAGE, "guidance is the teacher's: knots were recorded with that of denoise");
	return RD_OK;
}

static void set_text(json_t *to, const char *key, const struct rd_spec *s, const struct rd_spec_kind *kinds)
{
	char buf[96];

	json_object_set_new(to, key, json_string(rd_spec_text(s, kinds, buf, sizeof buf)));
}

/* What belongs to one objective alone, so that the description of another does not speak of it. */
static void describe_objective(json_t *to, const struct rd_train_opts *o)
{
	if (o->phases) {
		json_object_set_new(to, "phases", json_integer(o->phases));
		if (o->coupling != RD_COUPLING_PAIRS)
			json_object_set_new(to, "phase_steps", json_integer(o->phase_steps));
	}
	if (o->consistency)
		json_object_set_new(to, "consistency", json_integer(o->consistency));
	if (o->guidance != 1)
		json_object_set_new(to, "guidance", json_real(o->guidance));
	if (o->flip)
		json_object_set_new(to, "flip", json_true());
	if (o->held_out)
		json_object_set_new(to, "held_out", json_integer(o->held_out));
}

/* Network and schedule: a new model's weights, drawn from the seed, are the same under every form and prediction type, and so
 * are those of a converted one. */
static int describe_model(json_t *to, const struct rd_model *m)
{
	const json_t *config[] = {m->config, m->scheduler_config};
	uint64_t h = 0;
	char hex[17];

	for (int i = 0; i < 2; i++) {
		char *text = config[i] ? json_dumps(config[i], JSON_COMPACT | JSON_SORT_KEYS) : NULL;

		if (config[i] && !text)
			return -1;
		h = text ? XXH3_64bits_withSeed(text, strlen(text), h) : h;
		free(text);
	}
	snprintf(hex, sizeof hex, "%016llx", (unsigned long long)h);
	json_object_set_new(to, "config", json_string(hex));
	json_object_set_new(to, "form", json_string(m->scheduler.schedule.form->name));
	json_object_set_new(to, "prediction", json_string(rd_pred_names[m->scheduler.pred.type]));
	if (m->contexts)
		json_object_set_new(to, "contexts", json_string(rd_contexts_hash(m->contexts)));
	return 0;
}

json_t *rd_train_describe(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *o)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:s, s:f, s:f, s:I, s:o}",
	                      "model", m->hash, "data", d->hash, "coupling", rd_coupling_names[o->coupling],
	                      "samples", (json_int_t)d->n, "steps", (json_int_t)o->steps, "batch", (json_int_t)o->batch,
	                      "warmup", (json_int_t)o->warmup, "rate", rd_rate_names[o->rate], "lr", o->lr, "beta1", o->beta1,
	                      "beta2", o->beta2, "adam_eps", o->adam_eps, "weight_decay", o->weight_decay, "clip", o->clip,
	                      "loss", rd_loss_names[o->loss], "loss_space", rd_loss_space_names[o->space],
	                      "huber_c", o->huber_c, "label_drop", o->label_drop, "null_class", (json_int_t)o->null_class,
	                      "seed", rd_json_u64(o->seed));

	if (j && describe_model(j, m)) {
		json_decref(j);
		j = NULL;
	}
	if (!j)
		return NULL;
	set_text(j, "ema", &o->ema, rd_ema_kinds);
	set_text(j, "time_sampling", &o->times, rd_times_kinds);
	set_text(j, "weight", &o->weight, rd_weight_kinds);
	describe_objective(j, o);
	if (o->lora.rank) {
		json_object_set_new(j, "lora", json_integer(o->lora.rank));
		json_object_set_new(j, "lora_layers", json_string(rd_lora_layer_names[o->lora.layers]));
	}
	return j;
}
