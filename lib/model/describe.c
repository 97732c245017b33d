#include "lib/model/describe.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/in.h"
#include "formats/json.h"
#include "formats/png_dir.h"
#include "formats/safetensors.h"
#include "lib/base/moments.h"
#include "lib/base/tree.h"
#include "lib/model/describe_impl.h"
#include "lib/model/metakeys.h"
#include "lib/model/model.h"
#include "lib/model/weights.h"

/* --- weights ------------------------------------------------------------------------------------------------------ */

static void tensor(struct rd_page *p, int width, const struct rd_st_view *v)
{
	struct rd_moments m = {0};
	char shape[160], moments[160] = "";

	if (v->dtype != RD_N_DTYPES) {
		rd_moments_add_any(&m, v->dtype, v->data, v->elems);
		rd_moments_text(&m, moments, sizeof moments);
	}
	rd_page_line(p, width, v->name, "%s %s%s%s", v->type, rd_shape_str(&v->shape, shape, sizeof shape),
	             *moments ? "  " : "", moments);
}

typedef const struct rd_st_view *(*at_fn)(const void *from, size_t i);

/* A line per tensor, or only for the one of that name; with n of them given by at. */
static void tensors(struct rd_page *p, const void *from, at_fn at, size_t n, const char *file, const char *only)
{
	int width = 0;
	bool found = false;

	for (size_t i = 0; i < n; i++)
		if (strlen(at(from, i)->name) < 60 && (int)strlen(at(from, i)->name) > width)
			width = (int)strlen(at(from, i)->name);
	for (size_t i = 0; i < n && !p->rc; i++)
		if (!only || !strcmp(at(from, i)->name, only)) {
			tensor(p, width, at(from, i));
			found = true;
		}
	if (only && !found && !p->rc)
		p->rc = rd_fail(p->e, RD_EINPUT, "%s: has no tensor '%s'", file, only);
}

static void metadata(struct rd_page *p, const json_t *meta)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)meta, key, v)
		SAY(p, "metadata", "%s: %s", key, json_string_value(v));
}

static const struct rd_st_view *file_at(const void *s, size_t i)
{
	return rd_safetensors_at(s, i);
}

static const struct rd_st_view *weights_at(const void *w, size_t i)
{
	return rd_weights_at(w, i);
}

static int safetensors(struct rd_page *p, const char *path, const char *only)
{
	struct rd_safetensors *s;
	size_t total = 0;
	int rc = rd_safetensors_open(&s, path, p->e);

	if (rc)
		return rc;
	for (size_t i = 0; i < rd_safetensors_count(s); i++)
		total += rd_safetensors_at(s, i)->elems;
	rd_page_line(p, 0, "", "%s: safetensors, %zu tensors, %zu numbers", path, rd_safetensors_count(s), total);
	tensors(p, s, file_at, rd_safetensors_count(s), path, only);
	metadata(p, rd_safetensors_metadata(s));
	rd_safetensors_close(s);
	return p->rc;
}

/* "F32", or "F16, F32" where they are mixed. */
static void types(const struct rd_weights *w, char *buf, size_t cap)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < rd_weights_count(w) && n + 16 < cap; i++)
		if (!strstr(buf, rd_weights_at(w, i)->type))
			n += (size_t)snprintf(buf + n, cap - n, "%s%s", n ? ", " : "", rd_weights_at(w, i)->type);
}

/* --- provenance --------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key, const char *none)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : none;
}

static long long int_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* What rectrain wrote of the making, in a line; the metadata that follow have it all. */
static void provenance(struct rd_page *p, const struct rd_model *m)
{
	const char *text = text_of(m->meta, RD_META_RUN, NULL), *which = text_of(m->meta, RD_META_WEIGHTS, NULL);
	json_t *run = text ? json_loads(text, 0, NULL) : NULL;
	const long long step = strtoll(text_of(m->meta, RD_META_STEP, "0"), NULL, 10);
	char part[32] = "";

	if (step && step != int_of(run, "steps")) /* a snapshot, or the step that did best */
		snprintf(part, sizeof part, "%lld of ", step);
	if (which)
		SAY(p, "kind", "%s", !strcmp(which, "ema") ? "moving average (EMA)" : which);
	if (json_is_object(run))
		SAY(p, "trained", "by rectdiff %s from model %s: %s%lld steps of %lld on %lld %s, data %s",
		    text_of(m->meta, RD_META_VERSION, "?"), text_of(run, "model", "?"), part, int_of(run, "steps"), int_of(run, "batch"),
		    int_of(run, "samples"),
		    !strcmp(text_of(run, "coupling", ""), "pairs") ? "pairs" : "samples", text_of(run, "data", "?"));
	json_decref(run);
	metadata(p, m->meta);
}

static void weights(struct rd_page *p, const struct rd_model *m, const struct rd_weights *w)
{
	char kinds[128];

	types(w, kinds, sizeof kinds);
	SAY(p, "weights", "%s/%s, %s%s%s", m->folder, rd_weights_file(w), kinds, m->variant[0] ? ", variant " : "", m->variant);
	if (rd_weights_shards(w) > 1)
		SAY(p, "shards", "%d", rd_weights_shards(w));
	SAY(p, "hash", "%s", m->hash);
	if (m->contexts)
		SAY(p, "contexts hash", "%s", rd_contexts_hash(m->contexts));
	provenance(p, m);
}

/* --- whole models ------------------------------------------------------------------------------------------------- */

static int model(struct rd_page *p, const char *dir, const struct rd_describe_opts *x)
{
	struct rd_weights *w;
	struct rd_model m;
	int rc = rd_model_load(&m, dir, p->e);

	if (rc)
		return rc;
	p->rc = rd_weights_open(&w, m.folder, p->e);
	if (!p->rc && !x->tensor) {
		rd_page_line(p, 0, "", "%s: model", dir);
		rd_describe_network(p, &m.net, m.config, m.params, m.null_class);
		rd_describe_scheduler(p, &m.scheduler, m.scheduler_config);
		weights(p, &m, w);
	}
	if (!p->rc && (x->tensors || x->tensor))
		tensors(p, w, weights_at, rd_weights_count(w), dir, x->tensor);
	rd_weights_close(w);
	rd_model_free(&m);
	return p->rc;
}

/* What rectrain --init takes: both configs in a file. */
static int both_configs(struct rd_page *p, const char *path)
{
	struct rd_model m;
	int rc = rd_model_from_config(&m, path, p->e);

	if (rc)
		return rc;
	rd_page_line(p, 0, "", "%s: model without weights", path);
	rd_describe_network(p, &m.net, m.config, m.params, m.null_class);
	rd_describe_scheduler(p, &m.scheduler, m.scheduler_config);
	rd_model_free(&m);
	return p->rc;
}

static int scheduler_config(struct rd_page *p, struct rd_config c)
{
	struct rd_scheduler s;
	int rc = rd_model_parse_scheduler(&s, NULL, (struct rd_config){0}, c, p->e);

	if (rc)
		return rc;
	rd_page_line(p, 0, "", "%s: scheduler", c.file);
	rd_describe_scheduler(p, &s, c.json);
	rd_scheduler_free(&s);
	return p->rc;
}

static int net_config(struct rd_page *p, struct rd_config c)
{
	struct rd_net net;
	struct rd_graph *g;
	int rc = rd_model_parse_net(&net, c, p->e);

	if (!rc && rd_net_build(&net, 1, &g, p->e))
		rc = rd_context(p->e, "%s", c.file);
	if (rc)
		return rc;
	rd_page_line(p, 0, "", "%s: network", c.file);
	rd_describe_network(p, &net, c.json, g, rd_net_null_class(&net));
	rd_graph_free(g);
	return p->rc;
}

static int json_file(struct rd_page *p, const char *path)
{
	json_t *config;
	const char *class;
	size_t n;
	int rc = rd_json_load(path, &config, p->e);

	if (rc)
		return rc;
	class = text_of(config, "_class_name", "");
	n = strlen(class);
	if (rd_fit_network(config) && json_object_get(config, "scheduler"))
		rc = *class ? rd_fail(p->e, RD_EUSAGE, "%s: a pipeline's index: name its folder", path) : both_configs(p, path);
	else if (n > 9 && !strcmp(class + n - 9, "Scheduler"))
		rc = scheduler_config(p, (struct rd_config){config, path});
	else if (*class)
		rc = net_config(p, (struct rd_config){config, path});
	else
		rc = rd_fail(p->e, RD_EINPUT, "%s: _class_name: missing: neither a network's config nor a scheduler's", path);
	json_decref(config);
	return rc;
}

/* --- what there is ------------------------------------------------------------------------------------------------ */

static int is_safetensors(const struct dirent *d)
{
	size_t n = strlen(d->d_name), k = strlen(".safetensors");

	return d->d_name[0] != '.' && n > k && !strcmp(d->d_name + n - k, ".safetensors");
}

/* The safetensors files of one folder, by name; *n counts them. A folder that is not there holds none. */
static int safetensors_in(struct rd_page *p, const char *dir, const char *only, int *n)
{
	struct dirent **list;
	int rc = RD_OK, found = scandir(dir, &list, is_safetensors, alphasort);
	char path[PATH_MAX + NAME_MAX];

	for (int i = 0; i < found; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
		if (!rc)
			rc = safetensors(p, path, only);
		free(list[i]);
	}
	if (found >= 0)
		free(list);
	*n += found > 0 ? found : 0;
	return rc;
}

static int folder(struct rd_page *p, const char *dir, const struct rd_describe_opts *x)
{
	char part[PATH_MAX];
	int n = 0, rc;

	if (rd_exists("%s/model_index.json", dir) || rd_exists("%s/scheduler_config.json", dir) ||
	    rd_exists("%s/scheduler/scheduler_config.json", dir))
		return model(p, dir, x);
	rc = safetensors_in(p, dir, x->tensor, &n);
	for (const char *const *name = rd_net_parts; *name && !rc; name++) {
		if (snprintf(part, sizeof part, "%s/%s", dir, *name) >= (int)sizeof part)
			return rd_fail(p->e, RD_EUSAGE, "%s: the path is too long", dir);
		rc = safetensors_in(p, part, x->tensor, &n);
	}
	if (!rc && !n)
		rc = rd_fail(p->e, RD_EINPUT, "%s: neither a model nor a folder of .png files", dir);
	return rc;
}

enum kind { SAMPLES, SAFETENSORS, JSON, FOLDER };

/* A folder of samples. Models often have pictures beside them. */
static bool is_pictures(const char *dir)
{
	bool of_model = rd_exists("%s/model_index.json", dir) || rd_exists("%s/config.json", dir);

	for (const char *const *name = rd_net_parts; *name && !of_model; name++)
		of_model = rd_exists("%s/%s", dir, *name);
	return !of_model && rd_png_dir_is(dir);
}

static int kind_of(const char *path, enum kind *kind, struct rd_err *e)
{
	struct stat st;
	struct rd_in *in;
	const uint8_t *v;
	size_t got, i = 0;
	int rc;

	*kind = !stat(path, &st) && S_ISDIR(st.st_mode) && !is_pictures(path) ? FOLDER : SAMPLES;
	if (*kind == FOLDER || stat(path, &st) || !S_ISREG(st.st_mode)) /* a pipe is read once; safetensors are mapped */
		return RD_OK;
	rc = rd_in_open(&in, path, e);
	if (rc)
		return rc;
	rc = rd_in_peek(in, 64, &v, &got, e);
	while (!rc && i < got && isspace(v[i]))
		i++;
	if (!rc && i < got && v[i] == '{')
		*kind = JSON;
	if (!rc && got > 8 && v[8] == '{' && !v[4] && !v[5] && !v[6] && !v[7]) /* the length of a header, the header */
		*kind = SAFETENSORS;
	rd_in_close(in);
	return rc;
}

int rd_describe_knows(const char *path, bool *yes, struct rd_err *e)
{
	enum kind kind;
	int rc = kind_of(path, &kind, e);

	*yes = !rc && kind != SAMPLES;
	return rc;
}

int rd_describe(const char *path, const struct rd_describe_opts *x, struct rd_out *o, struct rd_err *e)
{
	struct rd_page p = {.o = o, .e = e};
	enum kind kind;
	int rc = kind_of(path, &kind, e);

	if (rc)
		return rc;
	switch (kind) {
	case FOLDER: return folder(&p, path, x);
	case SAFETENSORS: return safetensors(&p, path, x->tensor);
	case JSON: return json_file(&p, path);
	case SAMPLES: break;
	}
	return rd_fail(e, RD_EINPUT, "%s: no model, and no part of one", path);
}
