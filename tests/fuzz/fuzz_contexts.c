/* contexts.safetensors, in a folder: rows of sequences, and vectors beside them, all of which are read once. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "lib/base/tree.h"
#include "lib/model/contexts.h"
#include "tests/fuzz/fuzz.h"

enum { MAX = 2048 };

static const char *const words[] = {"contexts", "vectors", "__metadata__", "null_class", "F32", "F16", "BF16", "F64", NULL};

static char folder[1024];

static void remove_folder(void)
{
	rd_remove_tree(folder);
}

static void make_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(folder, sizeof folder, "%s/fuzz-XXXXXX", tmp ? tmp : "/tmp");
	ENSURE(mkdtemp(folder));
	atexit(remove_folder);
	snprintf(path, sizeof path, "%s/" RD_CONTEXTS_FILE, folder);
	ENSURE(!symlink(fuzz_file(0, "", 0), path));
}

/* All n numbers are in the file, of that many bytes. */
static void read_all(const void *data, enum rd_dtype type, int64_t n, size_t bytes)
{
	float number;

	ENSURE(n >= 1 && (size_t)n <= bytes / rd_dtype_bytes(type));
	for (int64_t i = 0; i < n; i++)
		rd_to_f32(&number, (const char *)data + (size_t)i * rd_dtype_bytes(type), type, 1);
}

static void run(const uint8_t *data, size_t n)
{
	struct rd_contexts_file *f;
	const struct rd_contexts *c;
	struct rd_err e = {0};

	if (!*folder)
		make_folder();
	fuzz_file(0, data, n);
	if (!fuzz_accepted(rd_contexts_open(&f, folder, &e), &e)) {
		ENSURE(!f);
		return;
	}
	c = rd_contexts_rows(f);
	ENSURE(c->rows >= 1 && c->rows <= INT32_MAX && c->tokens >= 1 && c->dim >= 1 && !c->vectors == !c->vector_dim);
	read_all(c->data, c->type, c->rows * c->tokens * c->dim, n);
	if (c->vectors)
		read_all(c->vectors, c->vector_type, c->rows * c->vector_dim, n);
	ENSURE(strlen(rd_contexts_hash(f)) == 16);
	fuzz_check_json(rd_contexts_metadata(f));
	rd_contexts_close(f);
}

static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	return fuzz_safetensors.mutate(data, n, max, seed);
}

/* Of `count` tensors, contexts first. */
static void emit_file(fuzz_emit *emit, void *arg, enum rd_dtype type, size_t count)
{
	static const float values[24];
	struct rd_st_view v[2] = {{.name = "contexts", .dtype = type, .shape = {3, {2, 3, 4}}, .data = values},
	                          {.name = "vectors", .dtype = RD_F32, .shape = {2, {2, 5}}, .data = values, .bytes = 40}};
	json_t *meta = json_pack("{s:s}", "null_class", "1");
	struct rd_out *o = fuzz_out_open();
	struct rd_err e;
	size_t n;
	void *p;

	v[0].bytes = 24 * rd_dtype_bytes(type);
	ENSURE_OK(rd_safetensors_write(o, v, count, meta, &e), &e);
	p = fuzz_out_take(o, &n);
	ENSURE(n <= MAX);
	emit(arg, p, n);
	free(p);
	json_decref(meta);
}

static void seeds(fuzz_emit *emit, void *arg)
{
	emit_file(emit, arg, RD_F32, 1);
	emit_file(emit, arg, RD_F16, 2);
	emit_file(emit, arg, RD_BF16, 2);
}

const struct fuzz_target fuzz_contexts = {"contexts", MAX, run, mutate, seeds, words};
