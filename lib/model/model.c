#include "lib/model/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "formats/in.h"
#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/base/tree.h"
#include "lib/model/metakeys.h"
#include "lib/model/weights.h"

#define CONFIG_MAX ((size_t)16 << 20)

/* DIR/sub/name where that is there, else DIR/name. */
static int locate(char *buf, size_t cap, const char *dir, const char *sub, const char *name, struct rd_err *e)
{
	if (snprintf(buf, cap, "%s/%s/%s", dir, sub, name) >= (int)cap)
		return rd_fail(e, RD_EFAIL, "%s: the path is too long", dir);
	if (!rd_exists("%s", buf))
		snprintf(buf, cap, "%s/%s", dir, name);
	return rd_exists("%s", buf) ? RD_OK : rd_fail(e, RD_EFAIL, "%s: there is no %s/%s nor %s in it", dir, sub, name, name);
}

/* The network's config: in the folder that one of the networks here has in a pipeline, or in DIR itself. */
static int locate_net(char *buf, size_t cap, const char *dir, struct rd_err *e)
{
	const char *part = NULL;
	struct stat st;

	if (stat(dir, &st))
		return rd_fail_errno(e, RD_EFAIL, "%s", dir);
	for (const char *const *p = rd_net_parts; *p; p++) {
		if (!rd_exists("%s/%s/config.json", dir, *p))
			continue;
		if (part)
			return rd_fail(e, RD_EINPUT, "%s: two networks in it: %s and %s", dir, part, *p);
		part = *p;
	}
	return locate(buf, cap, dir, part ? part : "unet", "config.json", e);
}

int rd_model_parse_net(struct rd_net *net, struct rd_config c, struct rd_err *e)
{
	int rc = rd_fit_net_types(c, e);

	return rc ? rc : rd_net_parse(net, c.json, c.file, e);
}

int rd_model_parse_scheduler(struct rd_scheduler *s, const struct rd_net *net, struct rd_config of_net, struct rd_config c,
                             struct rd_err *e)
{
	int rc = rd_fit_scheduler_types(c, e);

	if (!rc)
		rc = rd_scheduler_parse(s, c.json, c.file, e);
	if (!rc && net) {
		rc = rd_fit_scheduler(of_net, net->variance, c, s, e);
		if (rc)
			rd_scheduler_free(s);
	}
	return rc;
}

/* A config as text and parsed. */
static int load_text(const char *path, char **text, json_t **json, struct rd_err *e)
{
	size_t n;
	int rc = rd_in_file(path, CONFIG_MAX, text, &n, e);

	return rc ? rc : rd_json_load(path, json, e);
}

/* model_index.json of a pipeline's folder, where there is one that speaks of network and scheduler alone. */
static int load_index(const char *dir, char **text, struct rd_err *e)
{
	char file[4096];
	json_t *index = NULL;
	bool whole;
	int rc = RD_OK;

	*text = NULL;
	if (snprintf(file, sizeof file, "%s/model_index.json", dir) >= (int)sizeof file || !rd_exists("%s", file))
		return RD_OK;
	rc = load_text(file, text, &index, e);
	if (!rc)
		rc = rd_fit_index((struct rd_config){index, file}, &whole, e);
	if (!rc && !whole) {
		free(*text);
		*text = NULL;
	}
	json_decref(index);
	return rc;
}

/* The contexts of DIR, where there are any, become net's; they are *out's. */
static int load_contexts(struct rd_net *net, const char *dir, struct rd_contexts_file **out, struct rd_err *e)
{
	int rc = rd_contexts_open(out, dir, e);

	return rc || !*out ? rc : rd_net_set_contexts(net, rd_contexts_rows(*out), rd_contexts_path(*out), e);
}

int rd_model_net(struct rd_net *net, const char *dir, struct rd_err *e)
{
	char file[4096], *index;
	struct rd_contexts_file *contexts = NULL;
	json_t *config = NULL;
	struct rd_model m;
	int rc;

	if (rd_model_is_analytic(dir)) {
		rc = rd_model_load(&m, dir, e);
		*net = m.net;
		rd_model_free(&m);
		return rc;
	}
	rc = load_index(dir, &index, e);
	if (!rc)
		rc = locate_net(file, sizeof file, dir, e);
	if (!rc)
		rc = rd_json_load(file, &config, e);
	if (!rc)
		rc = rd_model_parse_net(net, (struct rd_config){config, file}, e);
	if (!rc)
		rc = load_contexts(net, dir, &contexts, e);
	net->contexts.data = net->contexts.vectors = NULL;
	rd_contexts_close(contexts);
	json_decref(config);
	free(index);
	return rc;
}

/* What m->config and m->scheduler_config say: a network with its table of parameters, and a scheduler that fits it. */
static int parse_configs(struct rd_model *m, const char *net_file, const char *sched_file, struct rd_err *e)
{
	const struct rd_config net = {m->config, net_file}, sched = {m->scheduler_config, sched_file};
	int rc = rd_model_parse_net(&m->net, net, e);

	m->null_class = rd_net_null_class(&m->net);
	m->config_file = strdup(net_file);
	if (!rc && !m->config_file)
		rc = rd_fail(e, RD_ENOMEM, "%s: no memory", net_file);
	if (!rc)
		rc = rd_model_parse_scheduler(&m->scheduler, &m->net, net, sched, e);
	if (!rc && rd_net_build(&m->net, 1, &m->params, e)) {
		if (e->code == RD_ESHAPE) /* sizes that do not fit one another come from the file */
			e->code = RD_EINPUT;
		rc = rd_context(e, "%s", net_file);
	}
	return rc;
}

/* What the metadata of file, in folder, say; *null_class stays where they say nothing. */
static int read_null_class(const json_t *metadata, const char *folder, const char *file, int64_t classes, int64_t *null_class,
                           struct rd_err *e)
{
	const char *s = json_string_value(json_object_get(metadata, "null_class"));
	char *end;
	long long v;

	if (!s)
		return RD_OK;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno || end == s || *end || v < 0 || v >= classes)
		return rd_fail(e, RD_EINPUT, "%s/%s: metadata: null_class: '%.20s' is none of the network's %lld classes",
		               folder, file, s, (long long)classes);
	*null_class = v;
	return RD_OK;
}

/* Which row stands for none is for the contexts to say. */
static int null_context(const struct rd_contexts_file *f, const char *dir, int64_t *null_class, struct rd_err *e)
{
	return f ? read_null_class(rd_contexts_metadata(f), dir, RD_CONTEXTS_FILE, rd_contexts_rows(f)->rows, null_class, e) : RD_OK;
}

static int load_configs(struct rd_model *m, const char *dir, struct rd_err *e)
{
	char net_file[4096], sched_file[4096];
	int rc = load_index(dir, &m->index_text, e);

	if (!rc)
		rc = locate_net(net_file, sizeof net_file, dir, e);
	if (!rc)
		rc = locate(sched_file, sizeof sched_file, dir, "scheduler", "scheduler_config.json", e);
	if (!rc)
		rc = load_text(net_file, &m->config_text, &m->config, e);
	if (!rc)
		rc = load_text(sched_file, &m->scheduler_text, &m->scheduler_config, e);
	if (!rc)
		rc = parse_configs(m, net_file, sched_file, e);
	if (!rc)
		rc = load_contexts(&m->net, dir, &m->contexts, e);
	return rc ? rc : null_context(m->contexts, dir, &m->null_class, e);
}

int rd_model_null_class(const char *dir, const struct rd_net *net, int64_t *null_class, struct rd_err *e)
{
	struct rd_contexts_file *contexts;
	struct rd_weights *w;
	char file[4096];
	int rc;

	*null_class = rd_net_null_class(net);
	if (!net->classes)
		return RD_OK;
	if (net->cond == RD_COND_CONTEXT) {
		rc = rd_contexts_open(&contexts, dir, e);
		if (!rc)
			rc = null_context(contexts, dir, null_class, e);
		rd_contexts_close(contexts);
		return rc;
	}
	rc = locate_net(file, sizeof file, dir, e);
	if (rc)
		return rc;
	*strrchr(file, '/') = '\0'; /* the weights lie beside it */
	rc = rd_weights_open(&w, file, e);
	if (rc)
		return rc;
	rc = read_null_class(rd_weights_metadata(w), file, rd_weights_file(w), net->classes, null_class, e);
	rd_weights_close(w);
	return rc;
}

int rd_model_check_null_class(const struct rd_model *m, int64_t k, struct rd_err *e)
{
	if (k < 0 || k < m->net.classes)
		return RD_OK;
	if (!m->net.classes)
		return rd_fail(e, RD_EUSAGE, "null class %lld: %s has no classes", (long long)k, m->dir);
	return rd_fail(e, RD_EUSAGE, "null class %lld: the model has classes 0 to %lld", (long long)k, (long long)m->net.classes - 1);
}

static int alloc_weights(struct rd_model *m, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc0(&p, m->params->n_flat, sizeof *m->w, "weights", e);

	if (!rc)
		m->w = p;
	return rc;
}

/* The weights lie beside the network's config. */
static int load_weights(struct rd_model *m, struct rd_err *e)
{
	struct rd_weights *w;
	const char *slash = strrchr(m->config_file, '/');
	int rc;

	m->folder = strndup(m->config_file, (size_t)(slash - m->config_file));
	if (!m->folder)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", m->dir);
	rc = rd_weights_open(&w, m->folder, e);
	if (!rc) /* memory for what a config asks is there once the files have it, but for what is computed */
		rc = rd_weights_read(w, m->params, NULL, e);
	if (!rc)
		rc = alloc_weights(m, e);
	if (!rc)
		rc = rd_weights_read(w, m->params, m->w, e);
	if (!rc) {
		snprintf(m->variant, sizeof m->variant, "%.63s", rd_weights_variant(w));
		m->meta = json_deep_copy(rd_weights_metadata(w));
		if (!m->meta)
			rc = rd_fail(e, RD_ENOMEM, "%s: no memory", m->dir);
		else if (m->net.cond != RD_COND_CONTEXT)
			rc = read_null_class(m->meta, m->folder, rd_weights_file(w), m->net.classes, &m->null_class, e);
	}
	rd_weights_close(w);
	return rc;
}

static int set_dir(struct rd_model *m, const char *dir, struct rd_err *e)
{
	memset(m, 0, sizeof *m);
	m->null_class = -1;
	m->dir = strdup(dir);
	return m->dir ? RD_OK : rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
}

int rd_model_load(struct rd_model *m, const char *dir, struct rd_err *e)
{
	int rc = set_dir(m, dir, e);

	if (!rc && rd_model_is_analytic(dir)) {
		rc = rd_model_analytic(m, strchr(dir, ':') + 1, e);
		if (rc)
			rd_model_free(m);
		return rc;
	}
	if (!rc)
		rc = load_configs(m, dir, e);
	if (!rc)
		rc = load_weights(m, e);
	if (rc)
		rd_model_free(m);
	else
		rd_model_hash(m->w, m->params->n_flat, m->hash);
	return rc;
}

int rd_model_set_scheduler(struct rd_model *m, const char *path, struct rd_err *e)
{
	struct rd_scheduler s;
	struct stat st;
	char file[4096];
	json_t *config = NULL;
	int rc = RD_OK;

	snprintf(file, sizeof file, "%s", path);
	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		rc = locate(file, sizeof file, path, "scheduler", "scheduler_config.json", e);
	if (!rc)
		rc = rd_json_load(file, &config, e);
	if (!rc)
		rc = rd_model_parse_scheduler(&s, m->config ? &m->net : NULL, (struct rd_config){m->config, m->config_file},
		                              (struct rd_config){config, file}, e);
	if (rc) {
		json_decref(config);
		return rc;
	}
	rd_scheduler_free(&m->scheduler);
	m->scheduler = s;
	json_decref(m->scheduler_config);
	m->scheduler_config = config;
	return RD_OK;
}

/* {"unet": CONFIG, "scheduler": CONFIG} in one file, or "transformer" where that is the network's part. */
static int load_config_file(struct rd_model *m, const char *path, struct rd_err *e)
{
	json_t *all, *net, *sched;
	int rc = rd_json_load(path, &all, e);

	if (rc)
		return rc;
	net = rd_fit_network(all);
	sched = json_object_get(all, "scheduler");
	if (!json_is_object(net) || !json_is_object(sched)) {
		rc = rd_fail(e, RD_EINPUT, "%s: an object with \"unet\" (or \"transformer\") and \"scheduler\" expected", path);
	} else {
		m->config = json_incref(net);
		m->scheduler_config = json_incref(sched);
		m->config_text = json_dumps(net, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
		m->scheduler_text = json_dumps(sched, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
		rc = m->config_text && m->scheduler_text ? parse_configs(m, path, path, e)
		                                         : rd_fail(e, RD_ENOMEM, "%s: no memory", path);
	}
	json_decref(all);
	return rc;
}

int rd_model_from_config(struct rd_model *m, const char *path, struct rd_err *e)
{
	struct stat st;
	int rc = set_dir(m, path, e);

	if (!rc)
		rc = !stat(path, &st) && S_ISDIR(st.st_mode) ? load_configs(m, path, e) : load_config_file(m, path, e);
	if (!rc) {
		m->meta = json_object();
		rc = m->meta ? RD_OK : rd_fail(e, RD_ENOMEM, "%s: no memory", path);
	}
	if (rc)
		rd_model_free(m);
	return rc;
}

int rd_model_init_weights(struct rd_model *m, uint64_t seed, struct rd_err *e)
{
	int rc = m->w ? RD_OK : alloc_weights(m, e);

	if (rc)
		return rc;
	rd_graph_init_params(m->params, seed, m->w);
	rd_model_hash(m->w, m->params->n_flat, m->hash);
	return RD_OK;
}

void rd_model_free(struct rd_model *m)
{
	if (!m)
		return;
	free(m->dir);
	free(m->index_text);
	free(m->config_text);
	free(m->scheduler_text);
	json_decref(m->config);
	json_decref(m->scheduler_config);
	free(m->config_file);
	free(m->folder);
	rd_scheduler_free(&m->scheduler);
	rd_posterior_free(m->analytic);
	rd_graph_free(m->params);
	free(m->w);
	rd_contexts_close(m->contexts);
	json_decref(m->meta);
	memset(m, 0, sizeof *m);
}

void rd_model_drop_weights(struct rd_model *m)
{
	free(m->w);
	m->w = NULL;
}

const char *rd_model_guidance_learnt(const struct rd_model *m)
{
	return json_string_value(json_object_get(m->meta, RD_META_GUIDANCE_LEARNT));
}

bool rd_model_is_rectified(const struct rd_model *m)
{
	const char *text = json_string_value(json_object_get(m->meta, RD_META_RUN)), *coupling;
	json_t *run = text ? json_loads(text, 0, NULL) : NULL;
	bool yes;

	coupling = json_string_value(json_object_get(run, "coupling"));
	yes = (coupling && !strcmp(coupling, "pairs")) || json_object_get(run, "phases") || json_object_get(run, "consistency");
	json_decref(run);
	return yes;
}

void rd_model_hash(const float *w, size_t n, char out[17])
{
	snprintf(out, 17, "%016llx", (unsigned long long)XXH3_64bits(w, n * sizeof *w));
}

void rd_model_describe(const struct rd_model *m, json_t *meta)
{
	json_t *shape = json_array();

	for (int i = 0; i < m->net.sample.nd; i++)
		json_array_append_new(shape, json_integer(m->net.sample.d[i]));
	json_object_set_new(meta, "model", json_string(m->hash));
	json_object_set_new(meta, "form", json_string(m->scheduler.schedule.form->name));
	json_object_set_new(meta, "prediction", json_string(rd_pred_names[m->scheduler.pred.type]));
	json_object_set_new(meta, "sample_shape", shape);
	if (m->net.classes)
		json_object_set_new(meta, "classes", json_integer(m->net.classes));
	if (m->contexts)
		json_object_set_new(meta, "contexts", json_string(rd_contexts_hash(m->contexts)));
}

int rd_model_check_labels(const struct rd_model *m, const json_t *meta, const char *name, struct rd_err *e)
{
	const char *of = json_string_value(json_object_get(meta, "contexts")), *own;

	if (!of || !m->net.classes)
		return RD_OK;
	own = m->contexts ? rd_contexts_hash(m->contexts) : "classes";
	if (!strcmp(of, own))
		return RD_OK;
	return rd_fail(e, RD_EINPUT, "%s: its labels stand for the contexts %.16s, those of %s for %s", name, of, m->dir, own);
}
