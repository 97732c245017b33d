#include "lib/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "formats/in.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "lib/base/size.h"

#define CONFIG_MAX ((size_t)16 << 20)

static bool exists(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

/* DIR/sub/name where that is there, else DIR/name. */
static int locate(char *buf, size_t cap, const char *dir, const char *sub, const char *name, struct rd_err *e)
{
	if (snprintf(buf, cap, "%s/%s/%s", dir, sub, name) >= (int)cap)
		return rd_fail(e, RD_EFAIL, "%s: the path is too long", dir);
	if (!exists(buf))
		snprintf(buf, cap, "%s/%s", dir, name);
	return exists(buf) ? RD_OK : rd_fail(e, RD_EFAIL, "%s: there is no %s/%s nor %s in it", dir, sub, name, name);
}

int rd_model_net(struct rd_net *net, const char *dir, struct rd_err *e)
{
	char file[4096];
	json_t *config = NULL;
	struct rd_model m;
	int rc;

	if (rd_model_is_analytic(dir)) {
		rc = rd_model_load(&m, dir, e);
		*net = m.net;
		rd_model_free(&m);
		return rc;
	}
	rc = locate(file, sizeof file, dir, "unet", "config.json", e);
	if (!rc)
		rc = rd_json_load(file, &config, e);
	if (!rc)
		rc = rd_net_parse(net, config, file, e);
	json_decref(config);
	return rc;
}

static int load_text(const char *path, char **text, json_t **json, struct rd_err *e)
{
	size_t n;
	int rc = rd_in_file(path, CONFIG_MAX, text, &n, e);

	return rc ? rc : rd_json_load(path, json, e);
}

/* A finished network description: its parameter table, and what the scheduler and it must agree on. */
static int finish_configs(struct rd_model *m, const json_t *net, const char *net_file, const json_t *sched,
                          const char *sched_file, struct rd_err *e)
{
	int rc = rd_net_parse(&m->net, net, net_file, e);

	if (!rc)
		rc = rd_scheduler_parse(&m->scheduler, sched, sched_file, e);
	if (!rc) {
		rc = rd_net_build(&m->net, 1, &m->params, e);
		if (rc == RD_ESHAPE) /* sizes that do not fit one another come from the file */
			rc = e->code = RD_EINPUT;
		if (rc)
			rd_context(e, "%s", net_file);
	}
	return rc;
}

static int load_configs(struct rd_model *m, const char *dir, struct rd_err *e)
{
	char net_file[4096], sched_file[4096], index_file[4096];
	json_t *net = NULL, *sched = NULL, *index = NULL;
	int rc = locate(net_file, sizeof net_file, dir, "unet", "config.json", e);

	if (!rc)
		rc = locate(sched_file, sizeof sched_file, dir, "scheduler", "scheduler_config.json", e);
	if (!rc)
		rc = load_text(net_file, &m->config_text, &net, e);
	if (!rc)
		rc = load_text(sched_file, &m->scheduler_text, &sched, e);
	snprintf(index_file, sizeof index_file, "%.4000s/model_index.json", dir);
	if (!rc && exists(index_file))
		rc = load_text(index_file, &m->index_text, &index, e);
	if (!rc)
		rc = finish_configs(m, net, net_file, sched, sched_file, e);
	json_decref(net);
	json_decref(sched);
	json_decref(index);
	return rc;
}

/* diffusers renamed the parts of attention; older folders have query, key, value and proj_attn. */
static const struct rd_st_view *find_old_name(const struct rd_safetensors *st, const char *name)
{
	static const char *const map[][2] = {{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."},
	                                     {".to_out.0.", ".proj_attn."}};
	char old[RD_PARAM_NAME + 16];

	for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
		const char *at = strstr(name, map[i][0]);

		if (at) {
			snprintf(old, sizeof old, "%.*s%s%s", (int)(at - name), name, map[i][1], at + strlen(map[i][0]));
			return rd_safetensors_find(st, old);
		}
	}
	return NULL;
}

static int load_param(struct rd_model *m, const struct rd_safetensors *st, const struct rd_param *p, const char *file,
                      struct rd_err *e)
{
	const struct rd_st_view *v = rd_safetensors_find(st, p->name);
	char want[128], have[128];

	if (!v)
		v = find_old_name(st, p->name);
	if (!v)
		return rd_fail(e, RD_EINPUT, "%s: tensor %s is missing", file, p->name);
	if (!rd_shape_eq(&v->shape, &p->shape))
		return rd_fail(e, RD_EINPUT, "%s: tensor %s has shape %s, the config asks for %s", file, p->name,
		               rd_shape_str(&v->shape, have, sizeof have), rd_shape_str(&p->shape, want, sizeof want));
	if (v->dtype != RD_F32 && v->dtype != RD_F16 && v->dtype != RD_BF16)
		return rd_fail(e, RD_EINPUT, "%s: tensor %s has type %s; f32, f16 and bf16 are read", file, p->name,
		               rd_dtype_name(v->dtype));
	rd_to_f32(m->w + p->offset, v->data, v->dtype, p->n_elems);
	return RD_OK;
}

/* Names the first tensor that the network has no use for. */
static int find_extra(const struct rd_model *m, const struct rd_safetensors *st, const char *file, struct rd_err *e)
{
	for (size_t i = 0; i < rd_safetensors_count(st); i++) {
		const struct rd_st_view *v = rd_safetensors_at(st, i);
		bool used = false;

		for (int k = 0; k < m->params->n_params && !used; k++) {
			const char *name = m->params->param[k].name;

			used = !strcmp(name, v->name) || (!rd_safetensors_find(st, name) && find_old_name(st, name) == v);
		}
		if (!used)
			return rd_fail(e, RD_EINPUT, "%s: tensor %s is not part of this network", file, v->name);
	}
	return rd_fail(e, RD_EINPUT, "%s: more tensors than the network has", file);
}

static void read_meta(struct rd_model *m, const struct rd_safetensors *st)
{
	const char *s;
	char *end;
	long long v;

	m->meta = json_deep_copy(rd_safetensors_metadata(st));
	if (!m->meta)
		m->meta = json_object();
	s = json_string_value(json_object_get(m->meta, "null_class"));
	v = s ? strtoll(s, &end, 10) : -1;
	m->null_class = s && !*end && v >= 0 && v < m->net.classes ? v : -1;
}

static int alloc_weights(struct rd_model *m, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc0(&p, m->params->n_flat, sizeof *m->w, "weights", e);

	if (!rc)
		m->w = p;
	return rc;
}

static int load_weights(struct rd_model *m, const char *dir, struct rd_err *e)
{
	struct rd_safetensors *st = NULL;
	char file[4096];
	int rc = locate(file, sizeof file, dir, "unet", "diffusion_pytorch_model.safetensors", e);

	if (!rc)
		rc = rd_safetensors_open(&st, file, e);
	if (!rc)
		rc = alloc_weights(m, e);
	for (int i = 0; !rc && i < m->params->n_params; i++)
		rc = load_param(m, st, &m->params->param[i], file, e);
	if (!rc && rd_safetensors_count(st) != (size_t)m->params->n_params)
		rc = find_extra(m, st, file, e);
	if (!rc)
		read_meta(m, st);
	rd_safetensors_close(st);
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
		rc = load_weights(m, dir, e);
	if (rc)
		rd_model_free(m);
	else
		rd_model_hash(m->w, m->params->n_flat, m->hash);
	return rc;
}

/* {"unet": CONFIG, "scheduler": CONFIG} in one file. */
static int load_config_file(struct rd_model *m, const char *path, struct rd_err *e)
{
	json_t *all, *net, *sched;
	int rc = rd_json_load(path, &all, e);

	if (rc)
		return rc;
	net = json_object_get(all, "unet");
	sched = json_object_get(all, "scheduler");
	if (!json_is_object(net) || !json_is_object(sched)) {
		rc = rd_fail(e, RD_EINPUT, "%s: an object with \"unet\" and \"scheduler\" expected", path);
	} else {
		m->config_text = json_dumps(net, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
		m->scheduler_text = json_dumps(sched, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
		rc = m->config_text && m->scheduler_text ? finish_configs(m, net, path, sched, path, e)
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
	rd_scheduler_free(&m->scheduler);
	rd_scheduler_free(m->network);
	free(m->network);
	rd_posterior_free(m->analytic);
	rd_graph_free(m->params);
	free(m->w);
	json_decref(m->meta);
	memset(m, 0, sizeof *m);
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
}
