/* A network's or a classifier's config.json, through its parser, down to the graph of a batch of one. */
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lib/net/classifier.h"
#include "lib/net/net.h"
#include "tests/fuzz/fuzz.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct rd_param *)a)->name, ((const struct rd_param *)b)->name);
}

/* The parameters lie one behind another, those that are not trained at the end, each with a name of its own. */
static void check_params(struct rd_graph *g)
{
	size_t at[2] = {0, g->n_trained}, elems;
	struct rd_err e;

	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];

		ENSURE(p->offset >= at[p->frozen] && p->offset % RD_PARAM_ALIGN == 0 && p->n_elems);
		ENSURE_OK(rd_shape_elems(&p->shape, &elems, &e), &e);
		ENSURE(elems == p->n_elems);
		at[p->frozen] = p->offset + p->n_elems;
	}
	ENSURE(at[0] <= g->n_trained && at[1] <= g->n_flat);
	qsort(g->param, (size_t)g->n_params, sizeof *g->param, by_name);
	for (int i = 1; i < g->n_params; i++)
		ENSURE(by_name(&g->param[i - 1], &g->param[i]) < 0);
}

static void check_net(const struct rd_net *net)
{
	struct rd_err e = {0};
	struct rd_graph *g;
	struct rd_dims x, y;
	size_t elems;

	if (!fuzz_accepted(rd_net_build(net, 1, &g, &e), &e)) {
		ENSURE(!g);
		return;
	}
	ENSURE_OK(rd_shape_elems(&net->sample, &elems, &e), &e);
	x = rd_graph_dims(g, g->x);
	y = rd_graph_dims(g, g->y);
	ENSURE(x.n == 1 && (size_t)rd_dims_elems(x) == elems);
	ENSURE(x.c == y.c && x.h == y.h && x.w == y.w && y.n == 1); /* a sample and its noise have one shape */
	ENSURE(!net->classes || g->label != RD_NONE);
	check_params(g);
	rd_graph_free(g);
}

static void check_classifier(const struct rd_classifier_net *c)
{
	struct rd_err e = {0};
	struct rd_graph *g;
	struct rd_dims x, y;

	if (!fuzz_accepted(rd_classifier_build(c, 1, &g, &e), &e)) {
		ENSURE(!g);
		return;
	}
	x = rd_graph_dims(g, g->x);
	y = rd_graph_dims(g, g->y);
	ENSURE(x.c == c->in_channels && x.h == c->height && x.w == c->width);
	ENSURE(y.c == rd_classifier_features(c) + c->num_classes && y.h == 1 && y.w == 1);
	check_params(g);
	rd_graph_free(g);
}

static void run(const uint8_t *data, size_t n)
{
	const char *path = fuzz_file(0, data, n);
	struct rd_classifier_net c;
	struct rd_err e = {0};
	struct rd_net net;
	json_t *config;

	if (!fuzz_accepted(rd_json_load(path, &config, &e), &e)) {
		ENSURE(!config);
		return;
	}
	fuzz_check_json(config);
	if (fuzz_accepted(rd_net_parse(&net, config, path, &e), &e))
		check_net(&net);
	if (fuzz_accepted(rd_classifier_parse(&c, config, path, &e), &e))
		check_classifier(&c);
	json_decref(config);
}

static const char *const words[] = {
	"_class_name", "UNet2DModel", "MLPModel", "sample_size", "in_channels", "out_channels", "center_input_sample",
	"time_embedding_type", "positional", "fourier", "learned", "time_embedding_dim", "freq_shift",
	"flip_sin_to_cos", "down_block_types", "DownBlock2D", "AttnDownBlock2D", "SkipDownBlock2D",
	"AttnSkipDownBlock2D", "ResnetDownsampleBlock2D", "mid_block_type", "UNetMidBlock2D", "UNetRes",
	"up_block_types", "UpBlock2D", "AttnUpBlock2D", "SkipUpBlock2D", "AttnSkipUpBlock2D", "ResnetUpsampleBlock2D",
	"block_out_channels", "layers_per_block", "mid_block_scale_factor", "downsample_padding", "downsample_type",
	"upsample_type", "conv", "resnet", "dropout", "act_fn", "silu", "swish", "mish", "gelu", "relu",
	"attention_head_dim", "norm_num_groups", "attn_norm_num_groups", "norm_eps", "resnet_time_scale_shift",
	"default", "scale_shift", "add_attention", "class_embed_type", "timestep", "identity", "num_class_embeds",
	"num_train_timesteps", "UNet2DConditionModel", "CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "UNetMidBlock2DCrossAttn",
	"cross_attention_dim", "transformer_layers_per_block", "use_linear_projection", "upcast_attention",
	"only_cross_attention", "dual_cross_attention", "encoder_hid_dim", "num_attention_heads", "conv_in_kernel",
	"DiTTransformer2DModel", "Transformer2DModel", "patch_size", "num_embeds_ada_norm", "norm_type", "ada_norm_zero",
	"norm_elementwise_affine", "attention_bias", "activation_fn", "gelu-approximate", "geglu", "interpolation_scale",
	"SD3Transformer2DModel", "joint_attention_dim", "caption_projection_dim", "pooled_projection_dim", "pos_embed_max_size",
	"dual_attention_layers", "qk_norm", "rms_norm", "resnet_out_scale_factor", "addition_embed_type", "RectdiffClassifier", "num_classes", "sample_shape", "hidden_dim", "num_layers", "time_scale", "Infinity", "NaN", "true",
	"false", "null", NULL};

static size_t mutate(uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	return fuzz_mutate_json(data, n, max, seed, words);
}

static void seeds(fuzz_emit *emit, void *arg)
{
	static const char *const mlp[] = {
		"{\"_class_name\":\"MLPModel\",\"sample_shape\":[2],\"hidden_dim\":8,\"num_layers\":1}",
		"{\"_class_name\":\"MLPModel\",\"sample_shape\":[1,2,3],\"hidden_dim\":16,\"num_layers\":3,\"time_embedding_dim\":8,"
		"\"num_class_embeds\":3,\"act_fn\":\"gelu\",\"time_scale\":0.5}",
	};

	fuzz_emit_files("models/*/unet/config.json", emit, arg);
	fuzz_emit_files("models/*/config.json", emit, arg);
	fuzz_emit_files("tests/golden/*/model/unet/config.json", emit, arg);
	fuzz_emit_files("tests/golden/*/model/transformer/config.json", emit, arg);
	for (size_t i = 0; i < sizeof mlp / sizeof *mlp; i++)
		emit(arg, mlp[i], strlen(mlp[i]));
}

const struct fuzz_target fuzz_config = {"config", 4096, run, mutate, seeds, words};
