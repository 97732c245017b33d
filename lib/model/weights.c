#include "lib/model/weights.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/base/size.h"
#include "lib/base/tree.h"

#define STEM "diffusion_pytorch_model"
#define PLAIN STEM ".safetensors"
#define INDEX PLAIN ".index.json"
#define MAX_SHARDS 512

struct shard {
	char *name, *path;
	struct rd_safetensors *st;
};

struct rd_weights {
	char file[NAME_MAX + 1], variant[NAME_MAX + 1];
	char path[4096 + NAME_MAX + 2]; /* of file */
	bool indexed;
	struct shard *shard;
	int n;
	json_t *meta;
};

/* --- which file --------------------------------------------------------------------------------------------------- */

/* True where name is prefix V suffix, V not empty and no shard's number; V goes to variant. */
static bool is_variant(const char *name, const char *prefix, const char *suffix, char *variant)
{
	size_t n = strlen(name), p = strlen(prefix), s = strlen(suffix);

	if (n <= p + s || n > NAME_MAX || strncmp(name, prefix, p) || strcmp(name + n - s, suffix))
		return false;
	memcpy(variant, name + p, n - p - s);
	variant[n - p - s] = '\0';
	return !strstr(variant, "-of-");
}

/* Notes a name of the folder where it is a variant's; a second variant is refused, for want of a reason to choose. */
static int note_variant(struct rd_weights *w, const char *folder, const char *name, struct rd_err *e)
{
	char v[NAME_MAX + 1];
	bool index = is_variant(name, PLAIN ".index.", ".json", v);

	if (!index && !is_variant(name, STEM ".", ".safetensors", v))
		return RD_OK;
	if (w->variant[0] && strcmp(w->variant, v))
		return rd_fail(e, RD_EINPUT, "%s: there is no " PLAIN " in it, and several variants (%.40s, %.40s): which one?",
		               folder, w->variant, v);
	strcpy(w->variant, v);
	if (index || !w->indexed)
		strcpy(w->file, name);
	w->indexed |= index;
	return RD_OK;
}

static int no_weights(const char *folder, bool pickle, struct rd_err *e)
{
	if (!pickle)
		return rd_fail(e, RD_EFAIL, "%s: there is no " PLAIN " in it", folder);
	return rd_fail(e, RD_EINPUT,
	               "%s: its weights are a pickle (.bin), which is not read; to convert: python3 -c \"from diffusers import "
	               "AutoModel as M; M.from_pretrained('%s', use_safetensors=False).save_pretrained('%s')\"",
	               folder, folder, folder);
}

static int find_file(struct rd_weights *w, const char *folder, struct rd_err *e)
{
	struct dirent **list;
	bool pickle = false;
	int n, rc = RD_OK;

	w->indexed = rd_exists("%s/%s", folder, INDEX);
	strcpy(w->file, w->indexed ? INDEX : PLAIN);
	if (rd_exists("%s/%s", folder, w->file))
		return RD_OK;
	w->file[0] = '\0';
	n = scandir(folder, &list, NULL, alphasort);
	if (n < 0)
		return rd_fail_errno(e, RD_EIO, "%s", folder);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name, *dot = strrchr(name, '.');

		if (!rc)
			rc = note_variant(w, folder, name, e);
		pickle |= !strncmp(name, STEM, strlen(STEM)) && dot && !strcmp(dot, ".bin");
		free(list[i]);
	}
	free(list);
	return rc || w->file[0] ? rc : no_weights(folder, pickle, e);
}

/* --- shards ------------------------------------------------------------------------------------------------------- */

static int open_shard(struct rd_weights *w, const char *folder, const char *name, struct rd_err *e)
{
	struct shard *s = &w->shard[w->n++];

	s->name = strdup(name);
	if (!s->name || asprintf(&s->path, "%s/%s", folder, name) < 0) {
		s->path = NULL;
		return rd_fail(e, RD_ENOMEM, "%s: no memory", folder);
	}
	return rd_safetensors_open(&s->st, s->path, e);
}

static int find_shard(const struct rd_weights *w, const char *name)
{
	int i = 0;

	while (i < w->n && strcmp(w->shard[i].name, name))
		i++;
	return i;
}

/* A file beside the index: nothing that leads out of the folder. */
static bool is_plain_name(const char *s)
{
	return s && *s && *s != '.' && !strchr(s, '/') && strlen(s) <= NAME_MAX;
}

/* Opens the files that the map names, and finds every tensor of the map in its own. */
static int open_mapped(struct rd_weights *w, const json_t *map, const char *folder, struct rd_err *e)
{
	const char *tensor;
	json_t *file;
	int i, rc = RD_OK;

	json_object_foreach((json_t *)(uintptr_t)map, tensor, file) {
		const char *name = json_string_value(file);

		if (!is_plain_name(name))
			return rd_fail(e, RD_EINPUT, "%s: %.100s: the name of a file beside it expected", w->path, tensor);
		i = find_shard(w, name);
		if (i == MAX_SHARDS)
			return rd_fail(e, RD_EINPUT, "%s: more than %d files", w->path, MAX_SHARDS);
		if (i == w->n)
			rc = open_shard(w, folder, name, e);
		if (rc)
			return rd_context(e, "%s", w->path);
		if (!rd_safetensors_find(w->shard[i].st, tensor))
			return rd_fail(e, RD_EINPUT, "%s: tensor %.100s is not in it, where %s puts it", w->shard[i].path, tensor,
			               w->file);
	}
	return w->n ? RD_OK : rd_fail(e, RD_EINPUT, "%s: weight_map: it names no file", w->path);
}

/* Every tensor of a shard is one that the map puts there: none is left out, none is in two. */
static int check_shards(const struct rd_weights *w, const json_t *map, struct rd_err *e)
{
	for (int i = 0; i < w->n; i++)
		for (size_t k = 0; k < rd_safetensors_count(w->shard[i].st); k++) {
			const char *tensor = rd_safetensors_at(w->shard[i].st, k)->name;
			const char *file = json_string_value(json_object_get(map, tensor));

			if (!file || strcmp(file, w->shard[i].name))
				return rd_fail(e, RD_EINPUT, "%s: tensor %.100s is in it, %s puts it %s", w->shard[i].path, tensor,
				               w->file, file ? "into another file" : "nowhere");
		}
	return RD_OK;
}

static int alloc_shards(struct rd_weights *w, size_t n, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc0(&p, n, sizeof *w->shard, "shards", e);

	if (!rc)
		w->shard = p;
	return rc;
}

static int open_index(struct rd_weights *w, const char *folder, struct rd_err *e)
{
	json_t *index, *map;
	int rc = rd_json_load(w->path, &index, e);

	if (rc)
		return rc;
	map = json_object_get(index, "weight_map");
	if (json_is_object(map))
		rc = alloc_shards(w, MAX_SHARDS, e);
	else
		rc = rd_fail(e, RD_EINPUT, "%s: weight_map: an object expected", w->path);
	if (!rc)
		rc = open_mapped(w, map, folder, e);
	if (!rc)
		rc = check_shards(w, map, e);
	json_decref(index);
	return rc;
}

int rd_weights_open(struct rd_weights **out, const char *folder, struct rd_err *e)
{
	struct rd_weights *w;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *w, "weights", e);

	*out = NULL;
	if (rc)
		return rc;
	w = p;
	rc = find_file(w, folder, e);
	snprintf(w->path, sizeof w->path, "%s/%s", folder, w->file);
	if (!rc && w->indexed) {
		rc = open_index(w, folder, e);
	} else if (!rc) {
		rc = alloc_shards(w, 1, e);
		if (!rc)
			rc = open_shard(w, folder, w->file, e);
	}
	if (!rc) {
		w->meta = json_object();
		if (!w->meta)
			rc = rd_fail(e, RD_ENOMEM, "%s: no memory", folder);
		for (int i = 0; i < w->n && !rc; i++)
			if (json_object_update_missing(w->meta, (json_t *)(uintptr_t)rd_safetensors_metadata(w->shard[i].st)))
				rc = rd_fail(e, RD_ENOMEM, "%s: no memory", folder);
	}
	if (rc)
		rd_weights_close(w);
	else
		*out = w;
	return rc;
}

void rd_weights_close(struct rd_weights *w)
{
	if (!w)
		return;
	for (int i = 0; i < w->n; i++) {
		rd_safetensors_close(w->shard[i].st);
		free(w->shard[i].name);
		free(w->shard[i].path);
	}
	free(w->shard);
	json_decref(w->meta);
	free(w);
}

const char *rd_weights_file(const struct rd_weights *w)
{
	return w->file;
}

const char *rd_weights_variant(const struct rd_weights *w)
{
	return w->variant;
}

int rd_weights_shards(const struct rd_weights *w)
{
	return w->n;
}

const json_t *rd_weights_metadata(const struct rd_weights *w)
{
	return w->meta;
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

size_t rd_weights_count(const struct rd_weights *w)
{
	size_t n = 0;

	for (int i = 0; i < w->n; i++)
		n += rd_safetensors_count(w->shard[i].st);
	return n;
}

const struct rd_st_view *rd_weights_at(const struct rd_weights *w, size_t i)
{
	int k = 0;

	for (; i >= rd_safetensors_count(w->shard[k].st); k++)
		i -= rd_safetensors_count(w->shard[k].st);
	return rd_safetensors_at(w->shard[k].st, i);
}

static const struct rd_st_view *find_exact(const struct rd_weights *w, const char *name, const char **path)
{
	for (int i = 0; i < w->n; i++) {
		const struct rd_st_view *v = rd_safetensors_find(w->shard[i].st, name);

		*path = w->shard[i].path;
		if (v)
			return v;
	}
	return NULL;
}

/* A tensor by its name; diffusers renamed the parts of attention, and older files have query, key, value and proj_attn.
 * *path is the file that holds it, or the last one where none does. */
static const struct rd_st_view *find(const struct rd_weights *w, const char *name, const char **path)
{
	static const char *const map[][2] = {{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."},
	                                     {".to_out.0.", ".proj_attn."}};
	const struct rd_st_view *v = find_exact(w, name, path);
	char old[RD_PARAM_NAME + 16];

	for (size_t i = 0; i < sizeof map / sizeof *map && !v; i++) {
		const char *at = strstr(name, map[i][0]);

		if (at) {
			snprintf(old, sizeof old, "%.*s%s%s", (int)(at - name), name, map[i][1], at + strlen(map[i][0]));
			v = find_exact(w, old, path);
		}
	}
	return v;
}

static int read_param(const struct rd_weights *w, const struct rd_param *p, float *flat, struct rd_err *e)
{
	const char *path;
	const struct rd_st_view *v = find(w, p->name, &path);
	char want[128], have[128];

	if (!v)
		return rd_fail(e, RD_EINPUT, "%s: tensor %s is missing", w->path, p->name);
	if (!rd_shape_eq(&v->shape, &p->shape))
		return rd_fail(e, RD_EINPUT, "%s: tensor %s has shape %s, the config asks for %s", path, v->name,
		               rd_shape_str(&v->shape, have, sizeof have), rd_shape_str(&p->shape, want, sizeof want));
	if (!rd_st_is_float(v))
		return rd_fail(e, RD_EINPUT, "%s: tensor %s has type %s; F32, F16 and BF16 are read", path, v->name, v->type);
	if (!flat)
		return RD_OK;
	rd_to_f32(flat + p->offset, v->data, v->dtype, p->n_elems);
	for (size_t i = 0; i < p->n_elems; i++)
		if (!isfinite(flat[p->offset + i]))
			return rd_fail(e, RD_EINPUT, "%s: tensor %s: number %zu of it is NaN or infinite", path, v->name, i);
	return RD_OK;
}

/* Names the first tensor that params has no use for. */
static int find_extra(const struct rd_weights *w, const struct rd_graph *params, struct rd_err *e)
{
	const char *path;

	for (int i = 0; i < w->n; i++)
		for (size_t k = 0; k < rd_safetensors_count(w->shard[i].st); k++) {
			const struct rd_st_view *v = rd_safetensors_at(w->shard[i].st, k);
			int p = 0;

			while (p < params->n_params && (params->param[p].computed || find(w, params->param[p].name, &path) != v))
				p++;
			if (p == params->n_params)
				return rd_fail(e, RD_EINPUT, "%s: tensor %.100s is not part of this network", w->shard[i].path,
				               v->name);
		}
	return RD_OK;
}

int rd_weights_read(const struct rd_weights *w, const struct rd_graph *params, float *flat, struct rd_err *e)
{
	int rc = RD_OK;

	for (int i = 0; i < params->n_params && !rc; i++)
		rc = params->param[i].computed ? RD_OK : read_param(w, &params->param[i], flat, e);
	if (!rc && rd_weights_count(w) != (size_t)rd_graph_tensor_count(params))
		rc = find_extra(w, params, e);
	if (!rc && flat)
		rd_graph_compute_params(params, flat);
	return rc;
}

/* Some of a flat array's parameters on their way to a file. */
struct tensors {
	const struct rd_param **p;
	struct rd_st_view *v;
	char (*name)[RD_PARAM_NAME + 16];
	void *half; /* data, where these are not the f32 that they were */
	size_t n;
};

/* Those of adapters, or of all else that is in files. prefix: of their names. */
static int choose(struct tensors *t, const struct rd_graph *params, bool adapters, const char *prefix, struct rd_err *e)
{
	const size_t most = (size_t)params->n_params;
	void *p;
	int rc = rd_alloc0(&p, most, sizeof *t->v, "tensor table", e);

	t->v = rc ? NULL : p;
	if (!rc)
		rc = rd_alloc0(&p, most, sizeof *t->p, "tensor table", e);
	t->p = rc ? NULL : p;
	if (!rc)
		rc = rd_alloc0(&p, most, sizeof *t->name, "tensor table", e);
	t->name = rc ? NULL : p;
	for (size_t i = 0; i < most && !rc; i++)
		if (params->param[i].adapter == adapters && !params->param[i].computed) {
			snprintf(t->name[t->n], sizeof *t->name, "%.14s%s", prefix, params->param[i].name);
			t->p[t->n++] = &params->param[i];
		}
	return rc;
}

/* The numbers as type; said of the first that does not go. */
static int narrow(struct tensors *t, const float *flat, size_t n_flat, enum rd_dtype type, const char *path, struct rd_err *e)
{
	int rc = rd_alloc(&t->half, n_flat, rd_dtype_bytes(type), "weights", e);

	for (size_t i = 0; i < t->n && !rc; i++) {
		const struct rd_param *q = t->p[i];

		if (rd_from_f32((uint16_t *)t->half + q->offset, type, flat + q->offset, q->n_elems))
			rc = rd_fail(e, RD_EDOMAIN, "%s: tensor %s holds numbers too large for %s", path, q->name,
			             type == RD_F16 ? "F16" : "BF16");
	}
	return rc;
}

static int write_tensors(const char *path, struct tensors *t, const float *flat, size_t n_flat, enum rd_dtype type,
                         const json_t *metadata, struct rd_err *e)
{
	const size_t each = rd_dtype_bytes(type);
	int rc = type == RD_F32 ? RD_OK : narrow(t, flat, n_flat, type, path, e);
	const char *data = t->half ? t->half : (const char *)flat;

	for (size_t i = 0; i < t->n && !rc; i++)
		t->v[i] = (struct rd_st_view){.name = t->name[i], .dtype = type, .shape = t->p[i]->shape,
		                              .data = data + t->p[i]->offset * each, .bytes = t->p[i]->n_elems * each};
	return rc ? rc : rd_safetensors_save(path, t->v, t->n, metadata, e);
}

static void free_tensors(struct tensors *t)
{
	free(t->v);
	free(t->p);
	free(t->name);
	free(t->half);
}

int rd_weights_write(const char *path, const struct rd_graph *params, const float *flat, enum rd_dtype type, const json_t *metadata,
                     struct rd_err *e)
{
	struct tensors t = {0};
	int rc = choose(&t, params, false, "", e);

	if (!rc)
		rc = write_tensors(path, &t, flat, params->n_flat, type, metadata, e);
	free_tensors(&t);
	return rc;
}

int rd_weights_write_adapters(const char *path, const struct rd_graph *g, const char *part, const float *adapters, enum rd_dtype type,
                              const json_t *metadata, struct rd_err *e)
{
	struct tensors t = {0};
	char prefix[16];
	int rc;

	snprintf(prefix, sizeof prefix, "%.13s.", part);
	rc = choose(&t, g, true, prefix, e);
	if (!rc)
		rc = write_tensors(path, &t, adapters, g->n_adapters, type, metadata, e);
	free_tensors(&t);
	return rc;
}
