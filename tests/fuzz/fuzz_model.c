/* A whole model folder: model_index.json, the two configs and the weights come in one input, as
 *
 *	model_index.json NUL unet/config.json NUL scheduler_config.json NUL diffusion_pytorch_model.safetensors
 *
 * and lie as links in a folder. What the configs ask for must not cost more than the weights that are there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "lib/base/tree.h"
#include "lib/model/model.h"
#include "tests/fuzz/fuzz.h"

enum { MAX = 16384, PARTS = 4 };

static char folder[1024];

struct parts {
	const uint8_t *p[PARTS];
	size_t n[PARTS];
};

static void split(struct parts *s, const uint8_t *data, size_t n)
{
	for (int i = 0; i < PARTS; i++) {
		const uint8_t *end = i < PARTS - 1 ? memchr(data, 0, n) : NULL;

		s->p[i] = data;
		s->n[i] = end ? (size_t)(end - data) : n;
		data += s->n[i] + (end ? 1 : 0);
		n -= s->n[i] + (end ? 1 : 0);
	}
}

static void remove_folder(void)
{
	rd_remove_tree(folder);
}

static void make_folder(void)
{
	static const char *const name[PARTS] = {"model_index.json", "unet/config.json", "scheduler/scheduler_config.json",
	                                        "unet/diffusion_pytorch_model.safetensors"};
	const char *tmp = getenv("TMPDIR");
	char path[sizeof folder + 64];

	snprintf(folder, sizeof folder, "%s/fuzz-XXXXXX", tmp ? tmp : "/tmp");
	ENSURE(mkdtemp(folder));
	atexit(remove_folder);
	snprintf(path, sizeof path, "%s/unet", folder);
	ENSURE(!mkdir(path, 0777));
	snprintf(path, sizeof path, "%s/scheduler", folder);
	ENSURE(!mkdir(path, 0777));
	for (int i = 0; i < PARTS; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, name[i]);
		ENSURE(!symlink(fuzz_file(i, "", 0), path));
	}
}

static void run(const uint8_t *data, size_t n)
{
	struct rd_model m;
	struct rd_err e = {0};
	struct parts s;

	if (!*folder)
		make_folder();
	split(&s, data, n);
	for (int i = 0; i < PARTS; i++)
		fuzz_file(i, s.p[i], s.n[i]);
	if (!fuzz_accepted(rd_model_load(&m, folder, &e), &e)) {
		ENSURE(!m.w && !m.params && !m.dir);
		return;
	}
	ENSURE(m.w && m.params && strlen(m.hash) == 16 && m.null_class < (m.net.classes ? m.net.classes : 1));
	ENSURE((size_t)rd_graph_param_count(m.params) * 2 <= s.n[PARTS - 1]);
	rd_model_free(&m);
}

/* One part is changed: JSON as JSON, the weights as bytes or as their header. */
static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	static uint8_t part[MAX], out[MAX];
	uint32_t r = seed;
	struct parts s;
	size_t at = 0, room;
	int k = (int)(fuzz_random(&r) % (PARTS + 1));

	split(&s, data, n);
	if (k == PARTS || n == max)
		return fuzz_bytes(data, n, max);
	memcpy(part, s.p[k], s.n[k]);
	room = max - (n - s.n[k]);
	if (k < PARTS - 1)
		s.n[k] = fuzz_mutate_json(part, s.n[k], room, fuzz_random(&r),
		                          fuzz_random(&r) % 2 ? fuzz_config.words : fuzz_scheduler.words);
	else
		s.n[k] = fuzz_safetensors.mutate(part, s.n[k], room, fuzz_random(&r));
	s.p[k] = part;
	for (int i = 0; i < PARTS; i++) {
		if (at + s.n[i] + 1 > max)
			return fuzz_bytes(data, n, max);
		memcpy(out + at, s.p[i], s.n[i]);
		at += s.n[i];
		if (i < PARTS - 1)
			out[at++] = 0;
	}
	memcpy(data, out, at);
	return at;
}

/* The weights that a config asks for, all of one value, in one of three types. */
static void emit_model(fuzz_emit *emit, void *arg, const char *config, const char *scheduler, enum rd_dtype type)
{
	static const char index[] = "{\"_class_name\":\"DDPMPipeline\",\"scheduler\":[\"diffusers\",\"DDPMScheduler\"],"
	                            "\"unet\":[\"diffusers\",\"UNet2DModel\"]}";
	static const float values[4096];
	json_t *c = json_loads(config, 0, NULL);
	struct rd_st_view *v;
	struct rd_graph *g;
	struct rd_net net;
	struct rd_out *o;
	struct rd_err e;
	void *p;
	size_t n, n_tensors = 0;

	ENSURE_OK(rd_net_parse(&net, c, "seed", &e), &e);
	ENSURE_OK(rd_net_build(&net, 1, &g, &e), &e);
	v = calloc((size_t)g->n_params, sizeof *v);
	ENSURE(v);
	for (int i = 0; i < g->n_params; i++)
		if (!g->param[i].computed)
			v[n_tensors++] = (struct rd_st_view){.name = g->param[i].name, .dtype = type, .shape = g->param[i].shape,
			                                     .data = values, .bytes = g->param[i].n_elems * rd_dtype_bytes(type)};
	o = fuzz_out_open();
	ENSURE_OK(rd_out_printf(o, &e, "%s%c%s%c%s%c", index, 0, config, 0, scheduler, 0), &e);
	ENSURE_OK(rd_safetensors_write(o, v, n_tensors, NULL, &e), &e);
	p = fuzz_out_take(o, &n);
	ENSURE(n <= MAX);
	emit(arg, p, n);
	free(p);
	free(v);
	rd_graph_free(g);
	json_decref(c);
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const char mlp[] = "{\"_class_name\":\"MLPModel\",\"sample_shape\":[2],\"hidden_dim\":4,\"num_layers\":1,"
	                          "\"time_embedding_dim\":4,\"num_class_embeds\":2}";
	static const char unet[] = "{\"_class_name\":\"UNet2DModel\",\"sample_size\":4,\"in_channels\":1,\"out_channels\":1,"
	                           "\"block_out_channels\":[4],\"down_block_types\":[\"DownBlock2D\"],\"up_block_types\":"
	                           "[\"UpBlock2D\"],\"layers_per_block\":1,\"norm_num_groups\":2,\"add_attention\":false}";
	static const char ddpm[] = "{\"_class_name\":\"DDPMScheduler\"}";
	static const char flow[] = "{\"_class_name\":\"FlowMatchEulerDiscreteScheduler\"}";

	static const char dit[] = "{\"_class_name\":\"DiTTransformer2DModel\",\"sample_size\":2,\"in_channels\":1,\"patch_size\":1,"
	                          "\"num_attention_heads\":1,\"attention_head_dim\":4,\"num_layers\":1,\"num_embeds_ada_norm\":1}";
	static const char sd3[] = "{\"_class_name\":\"SD3Transformer2DModel\",\"sample_size\":1,\"in_channels\":1,\"out_channels\":1,"
	                          "\"patch_size\":1,\"num_attention_heads\":1,\"attention_head_dim\":4,\"num_layers\":1,"
	                          "\"joint_attention_dim\":1,\"caption_projection_dim\":4,\"pooled_projection_dim\":1,"
	                          "\"pos_embed_max_size\":2,\"qk_norm\":\"rms_norm\"}";

	emit_model(emit, arg, dit, ddpm, RD_BF16);
	emit_model(emit, arg, sd3, flow, RD_BF16);
	emit_model(emit, arg, mlp, ddpm, RD_F32);
	emit_model(emit, arg, mlp, flow, RD_F16);
	emit_model(emit, arg, unet, ddpm, RD_BF16);
}

const struct fuzz_target fuzz_model = {"model", MAX, run, mutate, seeds, NULL};
