/* diffusion_pytorch_model.safetensors.index.json, in a folder with the two shards that a good one names. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/tree.h"
#include "lib/model/weights.h"
#include "tests/fuzz/fuzz.h"

static const char *const words[] = {
	"metadata", "total_size", "weight_map", "a.weight", "a.bias", "b.weight", "a.safetensors", "b.safetensors",
	"c.safetensors", "../a.safetensors", "/etc/passwd", ".", "", "a.safetensors/", NULL};

static char folder[1024];
static struct shard {
	void *data;
	size_t n;
} shard[2];

static void remove_folder(void)
{
	rd_remove_tree(folder);
	free(shard[0].data);
	free(shard[1].data);
}

/* The bytes of a file of n tensors, of two numbers each. */
static void make_shard(struct shard *s, const char *const *name, size_t n)
{
	static const float values[2] = {1, 2};
	struct rd_st_view v[2] = {0};
	struct rd_out *o = fuzz_out_open();
	struct rd_err e;

	for (size_t i = 0; i < n; i++)
		v[i] = (struct rd_st_view){.name = name[i], .dtype = RD_F32, .shape = {1, {2}}, .data = values, .bytes = 8};
	ENSURE_OK(rd_safetensors_write(o, v, n, NULL, &e), &e);
	s->data = fuzz_out_take(o, &s->n);
}

static void link_to(const char *target, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	ENSURE(!symlink(target, path));
}

static void make_folder(void)
{
	static const char *const a[] = {"a.weight", "a.bias"}, *const b[] = {"b.weight"};
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof folder, "%s/fuzz-XXXXXX", tmp ? tmp : "/tmp");
	ENSURE(mkdtemp(folder));
	atexit(remove_folder);
	link_to(fuzz_file(0, "", 0), "diffusion_pytorch_model.safetensors.index.json");
	link_to(fuzz_file(1, "", 0), "a.safetensors");
	link_to(fuzz_file(2, "", 0), "b.safetensors");
	make_shard(&shard[0], a, 2);
	make_shard(&shard[1], b, 1);
}

static void run(const uint8_t *data, size_t n)
{
	struct rd_err e = {0};
	struct rd_weights *w;
	int rc;

	if (!*folder)
		make_folder();
	fuzz_file(0, data, n);
	for (int i = 0; i < 2; i++)
		fuzz_file(1 + i, shard[i].data, shard[i].n);
	rc = rd_weights_open(&w, folder, &e);
	if (rc == RD_EIO || !fuzz_accepted(rc, &e)) { /* it may name a file that is not there */
		ENSURE(!w && e.msg[0]);
		return;
	}
	/* it names all that is in its shards: three tensors, or the two of the one or the one of the other */
	ENSURE(rd_weights_count(w) >= 1 && rd_weights_count(w) <= 3 && rd_weights_shards(w) == 1 + (rd_weights_count(w) == 3));
	for (size_t i = 0; i < rd_weights_count(w); i++)
		ENSURE(rd_weights_at(w, i)->bytes == 8);
	rd_weights_close(w);
}

static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	return fuzz_mutate_json(data, n, max, seed, words);
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const char *const good[] = {
		"{\"metadata\":{\"total_size\":24},\"weight_map\":{\"a.weight\":\"a.safetensors\",\"a.bias\":\"a.safetensors\","
		"\"b.weight\":\"b.safetensors\"}}",
		"{\"weight_map\":{\"b.weight\":\"b.safetensors\"}}",
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		emit(arg, good[i], strlen(good[i]));
}

const struct fuzz_target fuzz_index = {"index", 1024, run, mutate, seeds, words};
