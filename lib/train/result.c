#include "lib/train/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "formats/safetensors.h"
#include "lib/base/tree.h"
#include "lib/model/card.h"
#include "lib/model/metakeys.h"


static void set_number(json_t *meta, const char *key, const char *format, double v)
{
	char text[32];

	snprintf(text, sizeof text, format, v);
	json_object_set_new(meta, key, json_string(text));
}

/* The metadata of the weights: what diffusers wants, and how they were made. */
static json_t *weights_meta(const struct rd_result *r, const char *guidance, bool averaged)
{
	char *run = rd_json_text(r->run), *data = rd_json_text(r->d->meta);
	json_t *meta = run && data ? json_pack("{s:s, s:s, s:s, s:s, s:s}", "format", "pt", RD_META_VERSION, RD_VERSION,
	                                       RD_META_WEIGHTS, averaged ? "ema" : "raw", RD_META_RUN, run, RD_META_DATA, data)
	                           : NULL;
	int64_t null = r->t->null_class >= 0 ? r->t->null_class : r->m->null_class;

	if (meta)
		set_number(meta, RD_META_STEP, "%.0f", (double)r->state->step);
	if (meta && null >= 0)
		set_number(meta, "null_class", "%.0f", (double)null);
	if (meta && guidance)
		json_object_set_new(meta, RD_META_GUIDANCE_LEARNT, json_string(guidance));
	if (meta && averaged && r->state->best && r->average == r->state->best) {
		set_number(meta, RD_META_STEP, "%.0f", (double)r->state->best_step);
		set_number(meta, RD_META_HELD_OUT, "%.9g", r->state->best_loss);
	}
	free(run);
	free(data);
	return meta;
}

/* The guidance of the pairs, unless it is 1; or of the teacher. */
static char *guidance_of_data(const struct rd_dataset *d, const struct rd_train_opts *t)
{
	char *text = NULL;

	if (t->guidance != 1)
		return asprintf(&text, "%g", t->guidance) < 0 ? NULL : text;
	text = t->consistency ? NULL : rd_provenance_text(d->made_by, "guidance");
	if (text && !strcmp(text, "1")) {
		free(text);
		text = NULL;
	}
	return text;
}

/* Whether what is learnt is what m says: m is the teacher, or made the pairs. */
static bool taught_by(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	char *model = rd_provenance_text(d->made_by, "model");
	bool yes = t->consistency || (t->phases && t->coupling != RD_COUPLING_PAIRS) || (model && !strcmp(model, m->hash));

	free(model);
	return yes;
}

char *rd_result_guidance(const struct rd_model *m, const struct rd_dataset *d, const struct rd_train_opts *t)
{
	const char *before = taught_by(m, d, t) ? rd_model_guidance_learnt(m) : NULL;
	char *now = guidance_of_data(d, t), *both = NULL;

	if (!before)
		return now;
	if (asprintf(&both, "%s%s%s", now ? now : "", now ? " on top of " : "", before) < 0)
		both = NULL;
	free(now);
	return both;
}

int rd_result_save(const struct rd_result *r, const char *path, bool replace, struct rd_err *e)
{
	struct rd_model_out o = {.replace = replace, .main = r->adapted ? r->merged : r->average,
	                         .raw = r->raw ? r->state->w : NULL, .type = r->type, .adapted = r->adapted, .adapters = r->average,
	                         .contexts = r->contexts};
	char *guidance = rd_result_guidance(r->m, r->d, r->t);
	json_t *meta = weights_meta(r, guidance, true), *raw = weights_meta(r, guidance, false);
	const struct rd_card says = {r->run, r->d->meta, guidance, r->command, r->raw};
	char *card = rd_model_card(r->m, &says);
	int rc = meta && raw && card ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory");

	o.meta = meta;
	o.raw_meta = raw;
	o.card = card;
	if (!rc)
		rc = rd_model_save(r->m, path, &o, e);
	json_decref(meta);
	json_decref(raw);
	free(card);
	free(guidance);
	return rc;
}

int rd_result_find(struct rd_result_found *f, const struct rd_model *m, const char *folder, struct rd_err *e)
{
	struct rd_safetensors *st;
	const json_t *meta;
	const char *run, *step;
	char path[4200];
	int rc;

	*f = (struct rd_result_found){.raw = rd_exists("%s/%s/diffusion_pytorch_model.raw.safetensors", folder, m->net.kind->part)};
	snprintf(path, sizeof path, "%s/%s/diffusion_pytorch_model.safetensors", folder, m->net.kind->part);
	if (!rd_exists("%s", path))
		return RD_OK;
	rc = rd_safetensors_open(&st, path, e);
	if (rc)
		return rc;
	meta = rd_safetensors_metadata(st);
	run = json_string_value(json_object_get(meta, RD_META_RUN));
	step = json_string_value(json_object_get(meta, RD_META_STEP));
	if (run && step && rd_safetensors_count(st) && rd_st_is_float(rd_safetensors_at(st, 0)))
		f->run = json_loads(run, 0, NULL);
	if (f->run) {
		f->step = strtoll(step, NULL, 10);
		f->best = json_object_get(meta, RD_META_HELD_OUT) != NULL;
		f->type = rd_safetensors_at(st, 0)->dtype;
		f->type_name = rd_safetensors_at(st, 0)->type;
	}
	rd_safetensors_close(st);
	return f->run ? RD_OK : rd_fail(e, RD_EFAIL, "%s: is a model that rectrain did not make (-f replaces it)", folder);
}
