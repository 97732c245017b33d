#include "lib/model/contexts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "formats/safetensors.h"
#include "lib/base/size.h"

#define MAX_TOKENS 65536

struct rd_contexts_file {
	char path[4096];
	struct rd_safetensors *st;
	struct rd_contexts rows;
	struct stat opened;
	char hash[17]; /* "": not asked for yet */
};

/* A tensor of nd dimensions, sizes told by `form`; *v is NULL where it is not there and need not be. */
static int find(const struct rd_contexts_file *f, const char *name, bool needed, int nd, const char *form,
                const struct rd_st_view **v, struct rd_err *e)
{
	char shape[128];

	*v = rd_safetensors_find(f->st, name);
	if (!*v)
		return needed ? rd_fail(e, RD_EINPUT, "%s: there is no tensor `%s` in it", f->path, name) : RD_OK;
	if (!rd_st_is_float(*v))
		return rd_fail(e, RD_EINPUT, "%s: %s is of type %s; F32, F16 and BF16 are read", f->path, name, (*v)->type);
	if ((*v)->shape.nd != nd || !(*v)->elems)
		return rd_fail(e, RD_EINPUT, "%s: %s has shape %s; %s expected", f->path, name,
		               rd_shape_str(&(*v)->shape, shape, sizeof shape), form);
	return RD_OK;
}

static int check(struct rd_contexts_file *f, struct rd_err *e)
{
	const struct rd_st_view *v, *more;
	int rc = find(f, "contexts", true, 3, "[rows, tokens, dim]", &v, e);

	if (!rc)
		rc = find(f, "vectors", false, 2, "[rows, dim]", &more, e);
	if (rc)
		return rc;
	if (rd_safetensors_count(f->st) != (more ? 2 : 1))
		return rd_fail(e, RD_EINPUT, "%s: another tensor than `contexts` and `vectors` in it", f->path);
	if (v->shape.d[0] > INT32_MAX || v->shape.d[1] > MAX_TOKENS)
		return rd_fail(e, RD_EINPUT, "%s: contexts: more than %d rows or %d tokens", f->path, INT32_MAX, MAX_TOKENS);
	if (more && more->shape.d[0] != v->shape.d[0])
		return rd_fail(e, RD_EINPUT, "%s: %lld vectors beside %lld contexts", f->path, (long long)more->shape.d[0],
		               (long long)v->shape.d[0]);
	f->rows = (struct rd_contexts){.rows = v->shape.d[0], .tokens = v->shape.d[1], .dim = v->shape.d[2], .type = v->dtype,
	                               .data = v->data};
	if (more) {
		f->rows.vector_dim = more->shape.d[1];
		f->rows.vector_type = more->dtype;
		f->rows.vectors = more->data;
	}
	return RD_OK;
}

int rd_contexts_open(struct rd_contexts_file **out, const char *dir, struct rd_err *e)
{
	struct rd_contexts_file *f;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *f, "contexts", e);

	*out = NULL;
	if (rc)
		return rc;
	f = p;
	if (snprintf(f->path, sizeof f->path, "%s/" RD_CONTEXTS_FILE, dir) >= (int)sizeof f->path)
		rc = rd_fail(e, RD_EFAIL, "%s: the path is too long", dir);
	if (!rc && stat(f->path, &f->opened) && errno == ENOENT) {
		free(f);
		return RD_OK;
	}
	if (!rc)
		rc = rd_safetensors_open(&f->st, f->path, e);
	if (!rc)
		rc = check(f, e);
	if (rc)
		rd_contexts_close(f);
	else
		*out = f;
	return rc;
}

void rd_contexts_close(struct rd_contexts_file *f)
{
	if (!f)
		return;
	rd_safetensors_close(f->st);
	free(f);
}

const char *rd_contexts_path(const struct rd_contexts_file *f)
{
	return f->path;
}

const struct rd_contexts *rd_contexts_rows(const struct rd_contexts_file *f)
{
	return &f->rows;
}

const json_t *rd_contexts_metadata(const struct rd_contexts_file *f)
{
	return rd_safetensors_metadata(f->st);
}

const char *rd_contexts_hash(struct rd_contexts_file *f)
{
	uint64_t h = 0;

	for (size_t i = 0; i < rd_safetensors_count(f->st) && !f->hash[0]; i++) {
		const struct rd_st_view *v = rd_safetensors_at(f->st, i);

		h = XXH3_64bits_withSeed(v->type, strlen(v->type), h);
		h = XXH3_64bits_withSeed(v->shape.d, (size_t)v->shape.nd * sizeof *v->shape.d, h);
		h = XXH3_64bits_withSeed(v->data, v->bytes, h);
	}
	if (!f->hash[0])
		snprintf(f->hash, sizeof f->hash, "%016" PRIx64, h);
	return f->hash;
}

size_t rd_contexts_bytes(const struct rd_contexts_file *f)
{
	size_t sum = 0;

	for (size_t i = 0; i < rd_safetensors_count(f->st); i++)
		sum += rd_safetensors_at(f->st, i)->bytes;
	return sum;
}

int rd_contexts_unchanged(const struct rd_contexts_file *f, struct rd_err *e)
{
	const struct stat *was = &f->opened;
	struct stat is;

	if (stat(f->path, &is) || is.st_dev != was->st_dev || is.st_ino != was->st_ino)
		return RD_OK; /* the rows are those of the file that was opened, which nobody can reach by this name */
	if (is.st_size == was->st_size && is.st_mtim.tv_sec == was->st_mtim.tv_sec && is.st_mtim.tv_nsec == was->st_mtim.tv_nsec)
		return RD_OK;
	return rd_fail(e, RD_EFAIL, "%s: has been written into while it was in use", f->path);
}

int rd_contexts_write(const struct rd_contexts_file *f, const char *path, int64_t null_class, struct rd_err *e)
{
	json_t *meta = json_copy((json_t *)(uintptr_t)rd_contexts_metadata(f));
	char number[24];
	int rc;

	snprintf(number, sizeof number, "%" PRId64, null_class);
	if (!meta || (null_class >= 0 && json_object_set_new(meta, "null_class", json_string(number))))
		rc = rd_fail(e, RD_ENOMEM, "%s: no memory", path);
	else
		rc = rd_safetensors_save(path, rd_safetensors_at(f->st, 0), rd_safetensors_count(f->st), meta, e);
	json_decref(meta);
	return rc;
}
