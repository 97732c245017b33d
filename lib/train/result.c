#include "lib/train/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/model/card.h"

static void set_number(json_t *meta, const char *key, const char *format, double v)
{
	char text[32];

	snprintf(text, sizeof text, format, v);
	json_object_set_new(meta, key, json_string(text));
}

/* The metadata of the weights: what diffusers wants, and how they were made. */
static json_t *weights_meta(const struct rd_result *r, bool averaged)
{
	char *run = rd_json_text(r->run), *data = rd_json_text(r->data_meta);
	json_t *meta = run && data ? json_pack("{s:s, s:s, s:s, s:s, s:s}", "format", "pt", "rectdiff.version", RD_VERSION,
	                                       "rectdiff.weights", averaged ? "ema" : "raw", "rectdiff.run", run, "rectdiff.data", data)
	                           : NULL;
	int64_t null = r->t->null_class >= 0 ? r->t->null_class : r->m->null_class;

	if (meta)
		set_number(meta, "rectdiff.step", "%.0f", (double)r->state->step);
	if (meta && null >= 0)
		set_number(meta, "null_class", "%.0f", (double)null);
	if (meta && averaged && r->state->best && r->average == r->state->best) {
		set_number(meta, "rectdiff.step", "%.0f", (double)r->state->best_step);
		set_number(meta, "rectdiff.held_out", "%.9g", r->state->best_loss);
	}
	free(run);
	free(data);
	return meta;
}

int rd_result_save(const struct rd_result *r, const char *path, bool replace, struct rd_err *e)
{
	struct rd_model_out o = {.replace = replace, .main = r->average, .raw = r->state->w};
	json_t *meta = weights_meta(r, true), *raw = weights_meta(r, false);
	char *card = rd_model_card(r->m, r->run, r->data_meta, r->command);
	int rc = meta && raw && card ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory");

	o.meta = meta;
	o.raw_meta = raw;
	o.card = card;
	if (!rc)
		rc = rd_model_save(r->m, path, &o, e);
	json_decref(meta);
	json_decref(raw);
	free(card);
	return rc;
}
