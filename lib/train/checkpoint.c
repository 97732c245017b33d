#include "lib/train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "formats/safetensors.h"
#include "lib/base/names.h"

#define ARRAYS 5
static const char *const names[ARRAYS] = {"w", "m", "v", "ema", "best"};

static float *array_of(const struct rd_train_state *s, int i)
{
	return (float *[ARRAYS]){s->w, s->m, s->v, s->ema, s->best}[i];
}

static int arrays(const struct rd_train_state *s)
{
	return s->best ? ARRAYS : ARRAYS - 1;
}

static json_t *make_meta(const struct rd_train_state *s, const json_t *run)
{
	char step[32], *text = rd_json_text(run);
	json_t *meta;

	snprintf(step, sizeof step, "%lld", (long long)s->step);
	meta = text ? json_pack("{s:s, s:s, s:s}", "rectdiff.checkpoint", "1", "step", step, "run", text) : NULL;
	free(text);
	if (meta && s->unlogged.steps)
		json_object_set_new(meta, "unlogged", json_sprintf("%lld %.17g %.17g", (long long)s->unlogged.steps, s->unlogged.loss,
		                                                   s->unlogged.grad_norm));
	if (meta && s->best) {
		snprintf(step, sizeof step, "%lld", (long long)s->best_step);
		json_object_set_new(meta, "best_step", json_string(step));
		snprintf(step, sizeof step, "%.17g", s->best_loss);
		json_object_set_new(meta, "best_loss", json_string(step));
	}
	return meta;
}

int rd_checkpoint_save(const char *path, const struct rd_train_state *s, const json_t *run, struct rd_err *e)
{
	struct rd_st_view v[ARRAYS];
	json_t *meta = make_meta(s, run);
	int rc;

	if (!meta)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", path);
	for (int i = 0; i < arrays(s); i++)
		v[i] = (struct rd_st_view){.name = names[i], .dtype = RD_F32, .shape = {1, {(int64_t)s->n}},
		                           .data = array_of(s, i), .bytes = s->n * sizeof(float)};
	rc = rd_safetensors_save(path, v, (size_t)arrays(s), meta, e);
	json_decref(meta);
	return rc;
}

static int load_arrays(const struct rd_safetensors *st, const char *path, struct rd_train_state *s, struct rd_err *e)
{
	for (int i = 0; i < arrays(s); i++) {
		const struct rd_st_view *v = rd_safetensors_find(st, names[i]);

		if (!v || v->dtype != RD_F32 || v->bytes != s->n * sizeof(float))
			return rd_fail(e, RD_EINPUT, "%s: no array %s of this run's %zu parameters in it", path, names[i], s->n);
		memcpy(array_of(s, i), v->data, v->bytes);
	}
	return RD_OK;
}

static int load_best(const json_t *meta, const char *path, struct rd_train_state *s, struct rd_err *e)
{
	const char *loss = json_string_value(json_object_get(meta, "best_loss"));
	const char *step = json_string_value(json_object_get(meta, "best_step"));
	char *end_loss = NULL, *end_step = NULL;

	if (!s->best)
		return RD_OK;
	if (loss && step) {
		s->best_loss = strtod(loss, &end_loss);
		s->best_step = strtoll(step, &end_step, 10);
	}
	if (!loss || !step || *end_loss || *end_step)
		return rd_fail(e, RD_EINPUT, "%s: it does not say which of its weights were the best", path);
	return RD_OK;
}

/* Nothing where it is not there: the run had no log, or had just written a line. */
static void load_unlogged(const json_t *meta, struct rd_train_state *s)
{
	const char *text = json_string_value(json_object_get(meta, "unlogged"));
	struct rd_unlogged u = {0};
	char *at;

	if (text) {
		u.steps = strtoll(text, &at, 10);
		u.loss = strtod(at, &at);
		u.grad_norm = strtod(at, &at);
		if (*at || u.steps < 0 || u.steps > s->step)
			u = (struct rd_unlogged){0};
	}
	s->unlogged = u;
}

int rd_checkpoint_load(const char *path, struct rd_train_state *s, json_t **run, struct rd_err *e)
{
	struct rd_safetensors *st;
	const json_t *meta;
	const char *step, *text;
	char *end = NULL;
	int rc = rd_safetensors_open(&st, path, e);

	*run = NULL;
	if (rc)
		return rc;
	meta = rd_safetensors_metadata(st);
	step = json_string_value(json_object_get(meta, "step"));
	text = json_string_value(json_object_get(meta, "run"));
	if (step)
		s->step = strtoll(step, &end, 10);
	if (!step || *end || s->step < 0 || !text || !(*run = json_loads(text, JSON_REJECT_DUPLICATES, NULL)))
		rc = rd_fail(e, RD_EINPUT, "%s: not a checkpoint of rectrain", path);
	if (!rc)
		load_unlogged(meta, s);
	if (!rc)
		rc = load_best(meta, path, s, e);
	if (!rc)
		rc = load_arrays(st, path, s, e);
	rd_safetensors_close(st);
	return rc;
}

static int differs(const char *key, const json_t *have, const json_t *want, const char *name, struct rd_err *e)
{
	char *a = have ? json_dumps(have, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	char *b = want ? json_dumps(want, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	int rc = rd_fail(e, RD_EFAIL, "%s: is of another run: %s is %s there, %s here", name, key, a ? a : "absent",
	                 b ? b : "absent");

	free(a);
	free(b);
	return rc;
}

int rd_run_same(const json_t *have, const json_t *want, const char *const *ignore, const char *name, struct rd_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)want, key, v)
		if (rd_names_find(ignore, key) < 0 && !json_equal(v, json_object_get(have, key)))
			return differs(key, json_object_get(have, key), v, name, e);
	json_object_foreach((json_t *)(uintptr_t)have, key, v)
		if (rd_names_find(ignore, key) < 0 && !json_object_get(want, key))
			return differs(key, v, NULL, name, e);
	return RD_OK;
}
