#include "lib/model/contexts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "formats/safetensors.h"
#include "lib/base/size.h"

#define TENSOR "contexts"
#define MAX_TOKENS 65536

struct rd_contexts_file {
	char path[4096];
	struct rd_safetensors *st;
	const struct rd_st_view *view;
	struct rd_contexts rows;
};

static int check_view(struct rd_contexts_file *f, struct rd_err *e)
{
	const struct rd_st_view *v = rd_safetensors_find(f->st, TENSOR);
	char shape[128];

	if (!v)
		return rd_fail(e, RD_EINPUT, "%s: there is no tensor `" TENSOR "` in it", f->path);
	if (rd_safetensors_count(f->st) != 1)
		return rd_fail(e, RD_EINPUT, "%s: another tensor than `" TENSOR "` in it", f->path);
	if (v->dtype != RD_F32 && v->dtype != RD_F16 && v->dtype != RD_BF16)
		return rd_fail(e, RD_EINPUT, "%s: " TENSOR " is of type %s; F32, F16 and BF16 are read", f->path, v->type);
	if (v->shape.nd != 3 || !v->elems || v->shape.d[0] > INT32_MAX || v->shape.d[1] > MAX_TOKENS)
		return rd_fail(e, RD_EINPUT, "%s: " TENSOR " has shape %s; [rows, tokens, dim] expected, of at most %d tokens", f->path,
		               rd_shape_str(&v->shape, shape, sizeof shape), MAX_TOKENS);
	f->view = v;
	f->rows = (struct rd_contexts){v->shape.d[0], v->shape.d[1], v->shape.d[2], v->dtype, v->data};
	return RD_OK;
}

int rd_contexts_open(struct rd_contexts_file **out, const char *dir, struct rd_err *e)
{
	struct rd_contexts_file *f;
	struct stat st;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *f, "contexts", e);

	*out = NULL;
	if (rc)
		return rc;
	f = p;
	if (snprintf(f->path, sizeof f->path, "%s/" RD_CONTEXTS_FILE, dir) >= (int)sizeof f->path || stat(f->path, &st)) {
		free(f);
		return RD_OK;
	}
	rc = rd_safetensors_open(&f->st, f->path, e);
	if (!rc)
		rc = check_view(f, e);
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

void rd_contexts_hash(const struct rd_contexts_file *f, char out[17])
{
	const int64_t form[] = {f->rows.rows, f->rows.tokens, f->rows.dim, (int64_t)f->rows.type};

	snprintf(out, 17, "%016" PRIx64, (uint64_t)XXH3_64bits_withSeed(f->view->data, f->view->bytes, XXH3_64bits(form, sizeof form)));
}

int rd_contexts_write(const struct rd_contexts_file *f, const char *path, int64_t null_class, struct rd_err *e)
{
	json_t *meta = json_copy((json_t *)(uintptr_t)rd_contexts_metadata(f));
	char number[24];
	struct rd_out *o;
	int rc = meta ? rd_out_open(&o, path, RD_OUT_BINARY, e) : rd_fail(e, RD_ENOMEM, "%s: no memory", path);

	if (rc) {
		json_decref(meta);
		return rc;
	}
	snprintf(number, sizeof number, "%" PRId64, null_class);
	if (null_class >= 0)
		json_object_set_new(meta, "null_class", json_string(number));
	rc = rd_safetensors_write(o, f->view, 1, meta, e);
	if (rc)
		rd_out_abort(o);
	else
		rc = rd_out_finish(o, e);
	json_decref(meta);
	return rc;
}
