/* Networks for the tests of graphs, plans and training: one of every operation, and small ones from configs. */
#ifndef RD_TESTS_GRAPHS_H
#define RD_TESTS_GRAPHS_H

#include <stdlib.h>

#include "lib/net/classifier.h"
#include "lib/net/net.h"
#include "tests/check.h"

static const char graphs_mlp[] =
	"{\"_class_name\": \"MLPModel\", \"sample_shape\": [3], \"hidden_dim\": 12, \"num_layers\": 2,"
	" \"time_embedding_dim\": 8, \"num_class_embeds\": 4}";

/* With attention, both kinds of resampling padding, and skip connections of three widths. */
static const char graphs_unet[] =
	"{\"_class_name\": \"UNet2DModel\", \"sample_size\": 12, \"in_channels\": 3, \"out_channels\": 3,"
	" \"block_out_channels\": [16, 24, 32], \"layers_per_block\": 2, \"norm_num_groups\": 4, \"attention_head_dim\": 8,"
	" \"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\", \"DownBlock2D\"],"
	" \"up_block_types\": [\"UpBlock2D\", \"AttnUpBlock2D\", \"UpBlock2D\"], \"num_class_embeds\": 4}";

/* Conditioned on rows of contexts and vectors, with heads that do not fill the width. */
static const char graphs_condition[] =
	"{\"_class_name\": \"UNet2DConditionModel\", \"sample_size\": [4, 6], \"in_channels\": 3, \"out_channels\": 3,"
	" \"block_out_channels\": [8, 16], \"layers_per_block\": 1, \"norm_num_groups\": 4, \"attention_head_dim\": [2, 3],"
	" \"cross_attention_dim\": 6, \"transformer_layers_per_block\": [1, 2], \"act_fn\": \"gelu\","
	" \"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": 2, \"projection_class_embeddings_input_dim\": 7,"
	" \"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"],"
	" \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"]}";

/* A DiT with variances beside its prediction. */
static const char graphs_dit[] =
	"{\"_class_name\": \"DiTTransformer2DModel\", \"sample_size\": 6, \"in_channels\": 3, \"out_channels\": 6, \"patch_size\": 2,"
	" \"num_attention_heads\": 3, \"attention_head_dim\": 4, \"num_layers\": 2, \"num_embeds_ada_norm\": 3}";

/* Patches and tokens of a context, of which the first block's patches also attend to themselves alone. */
static const char graphs_sd3[] =
	"{\"_class_name\": \"SD3Transformer2DModel\", \"sample_size\": 6, \"in_channels\": 3, \"out_channels\": 3, \"patch_size\": 2,"
	" \"num_attention_heads\": 3, \"attention_head_dim\": 4, \"num_layers\": 2, \"joint_attention_dim\": 6,"
	" \"caption_projection_dim\": 12, \"pooled_projection_dim\": 7, \"pos_embed_max_size\": 4, \"dual_attention_layers\": [0],"
	" \"qk_norm\": \"rms_norm\"}";

/* 4 contexts of 5 tokens for networks that take them, and their vectors. */
static inline struct rd_contexts graphs_contexts(void)
{
	static float row[4 * 5 * 6], vector[4 * 7];

	rd_rng_normal(9, RD_RNG_DATA, 0, row, sizeof row / sizeof *row);
	rd_rng_normal(9, RD_RNG_DATA, 1, vector, sizeof vector / sizeof *vector);
	return (struct rd_contexts){4, 5, 6, 7, RD_F32, RD_F32, row, vector};
}

static inline struct rd_net graphs_net(const char *config)
{
	json_t *c = json_loads(config, 0, NULL);
	struct rd_net net;
	struct rd_err e;

	CHECK_OK(rd_net_parse(&net, c, "config", &e), &e);
	json_decref(c);
	if (net.cond == RD_COND_CONTEXT) {
		const struct rd_contexts rows = graphs_contexts();

		CHECK_OK(rd_net_set_contexts(&net, &rows, "contexts", &e), &e);
	}
	return net;
}

static inline struct rd_graph *graphs_adapted(const char *config, int64_t batch, struct rd_lora lora)
{
	struct rd_net net = graphs_net(config);
	struct rd_graph *g;
	struct rd_err e;

	CHECK_OK(rd_net_build_adapted(&net, batch, lora, &g, &e), &e);
	return g;
}

static inline struct rd_graph *graphs_build(const char *config, int64_t batch)
{
	return graphs_adapted(config, batch, (struct rd_lora){0});
}

/* Of images whose sides are halved with a pixel left over. */
static inline struct rd_classifier_net graphs_classifier_net(void)
{
	return (struct rd_classifier_net){.in_channels = 2, .height = 7, .width = 7, .n_widths = 3,
	                                  .block_out_channels = {8, 12, 16}, .norm_num_groups = 4, .num_classes = 3};
}

static inline struct rd_graph *graphs_classifier(int64_t batch)
{
	const struct rd_classifier_net net = graphs_classifier_net();
	struct rd_graph *g;
	struct rd_err e;

	CHECK_OK(rd_classifier_build(&net, batch, &g, &e), &e);
	return g;
}

static inline rd_ref graphs_norm(struct rd_graph *g, rd_ref x, const char *name, enum rd_act act, rd_ref chan,
                                 rd_ref scale_shift)
{
	return rd_graph_groupnorm(g, x, name, (struct rd_norm_opts){4, 1e-5f, act, chan, scale_shift});
}

/* softmax(q k) v with its projections and its residual. */
static inline rd_ref graphs_attention(struct rd_graph *g, rd_ref x, rd_ref h)
{
	int64_t c = rd_graph_dims(g, h).c;
	rd_ref q = rd_graph_linear(g, h, "q", c, RD_NONE), k = rd_graph_linear(g, h, "k", c, RD_NONE),
	       v = rd_graph_linear(g, h, "v", c, RD_NONE);

	return rd_graph_linear(g, rd_graph_attention(g, q, k, v, 2), "o", c, x);
}

/* softmax(q k) v with q, and k and v of fewer tokens, without biases; then a gated layer. */
static inline rd_ref graphs_transformer(struct rd_graph *g, rd_ref x, rd_ref few)
{
	int64_t c = rd_graph_dims(g, x).c;
	rd_ref h = rd_graph_layernorm(g, x, "layernorm", 1e-5f);

	h = rd_graph_attention(g, rd_graph_matrix(g, h, "to_q", c), rd_graph_matrix(g, few, "to_k", c),
	                       rd_graph_matrix(g, few, "to_v", c), 4);
	x = rd_graph_linear(g, h, "to_out", c, x);
	h = rd_graph_linear(g, rd_graph_layernorm(g, x, "layernorm2", 1e-5f), "gates", 4 * c, RD_NONE);
	return rd_graph_linear(g, rd_graph_gate(g, h, RD_ACT_GELU), "gated", c, x);
}

/* Patches with their positions, normalised by what an embedding says, and back to pixels. */
static inline rd_ref graphs_patches(struct rd_graph *g, rd_ref x, rd_ref temb)
{
	struct rd_conv_opts patches = {2, 2, 0, 0, RD_NONE};
	rd_ref h, three;

	patches.residual = rd_graph_position(g, "position", 12, 4, 4);
	h = rd_graph_conv(g, x, "patches", 12, patches);
	three = rd_graph_linear_zero(g, temb, "three", 36);
	x = rd_graph_act(g, rd_graph_adanorm(g, h, rd_graph_slice(g, three, 0, 24), 1e-6f), RD_ACT_GELU_TANH);
	h = rd_graph_gain(g, x, rd_graph_slice(g, three, 24, 12), h);
	return rd_graph_slice(g, rd_graph_unpatch(g, h, 2), 1, 2);
}

/* Pixels and their neighbours two by two in a row, and of this some; positions from a file. */
static inline rd_ref graphs_tokens(struct rd_graph *g, rd_ref x, rd_ref few)
{
	rd_ref h = rd_graph_rmsnorm(g, x, "rmsnorm", 4, 1e-6f), both = rd_graph_join(g, h, rd_graph_linear(g, few, "few", 16, RD_NONE));

	h = rd_graph_tokens(g, both, 0, 8, 8);
	both = rd_graph_add(g, rd_graph_tokens(g, both, 16, 8, 8), rd_graph_position_of(g, "grid", 16, 8, 8, 11, 1.5));
	both = rd_graph_join(g, rd_graph_linear(g, both, "tokens", 16, h), x);
	return rd_graph_add(g, rd_graph_tokens(g, both, 0, 8, 8), rd_graph_tokens(g, rd_graph_join(g, h, h), 10, 8, 8));
}

/* Of a time as sinusoids and as Fourier features of two layers, and of a label as a row and as a number. */
static inline rd_ref graphs_embedding(struct rd_graph *g)
{
	rd_ref h;

	g->t = rd_graph_number_input(g, true);
	g->label = rd_graph_index_input(g, 4);
	h = rd_graph_linear(g, rd_graph_timestep(g, g->t, 8, true, 1), "time", 16, RD_NONE);
	h = rd_graph_linear(g, rd_graph_fourier(g, g->t, "frequencies", 6), "fourier", 16, h);
	h = rd_graph_linear(g, rd_graph_fourier(g, g->t, "frequencies", 6), "fourier2", 16, h);
	h = rd_graph_add(g, h, rd_graph_embed(g, g->label, "class", 16));
	h = rd_graph_add(g, h, rd_graph_embed(g, g->label, "class", 16)); /* the same table */
	return rd_graph_act(g, h, RD_ACT_SILU);
}

/* One of every operation in the ways it can be used: with and without residual, shift by channel or scale and shift,
 * operands that die and operands that live on, one value as both operands of a sum, or beside itself. */
static inline struct rd_graph *graphs_every_op(int64_t batch, float dropout)
{
	const struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE}, c1 = {1, 1, 0, 0, RD_NONE}, half = {3, 2, 0, 1, RD_NONE};
	struct rd_conv_opts onto = c3;
	rd_ref temb, first, h, n, low;
	struct rd_graph *g;
	struct rd_err e;

	CHECK_OK(rd_graph_new(&g, batch, &e), &e);
	g->x = rd_graph_input(g, 3, 8, 8);
	temb = graphs_embedding(g);

	first = h = rd_graph_conv(g, rd_graph_affine(g, g->x, 2, -1), "in", 16, c3);
	n = graphs_norm(g, h, "norm1", RD_ACT_SILU, RD_NONE, RD_NONE);
	n = graphs_norm(g, rd_graph_conv(g, n, "conv1", 16, c3), "norm2", RD_ACT_SILU,
	                rd_graph_linear(g, temb, "shift", 16, RD_NONE), RD_NONE);
	n = rd_graph_dropout(g, n, dropout);
	onto.residual = h;
	h = rd_graph_scale(g, rd_graph_conv(g, n, "conv2", 16, onto), 0.7f);
	n = graphs_norm(g, h, "norm3", RD_ACT_NONE, RD_NONE, rd_graph_linear(g, temb, "scale_shift", 32, RD_NONE));
	h = graphs_attention(g, h, n);

	low = rd_graph_concat(g, rd_graph_conv(g, h, "down", 8, half), rd_graph_avgpool2(g, h));
	low = rd_graph_concat(g, rd_graph_concat(g, low, low), rd_graph_fir_down2(g, h));
	h = graphs_tokens(g, graphs_transformer(g, h, low), low);
	low = rd_graph_act(g, rd_graph_add(g, low, low), RD_ACT_GELU);
	first = rd_graph_add(g, first, rd_graph_fir_up2(g, rd_graph_linear(g, low, "narrow", 16, RD_NONE)));
	h = rd_graph_concat(g, rd_graph_upsample2(g, rd_graph_conv(g, low, "mid", 16, c1)), first);
	h = rd_graph_act(g, rd_graph_conv(g, h, "join", 16, c3), RD_ACT_MISH);
	h = rd_graph_add(g, h, rd_graph_scale(g, first, -0.5f));
	h = rd_graph_add(g, rd_graph_dropout(g, h, dropout), rd_graph_divide(g, h, g->t));
	h = rd_graph_conv(g, h, "out", 2, c3);
	g->y = rd_graph_add(g, h, graphs_patches(g, first, temb));
	CHECK_OK(rd_graph_check(g, &e), &e);
	return g;
}

/* A number in [0, k), the i-th of a graph's draws. */
static inline int graphs_draw(unsigned seed, unsigned i, int k)
{
	return (int)rd_rng_below(seed, RD_RNG_DATA, i, (uint32_t)k);
}

/* One more value of 8 channels and 4x4 pixels from three that are there. Any of them may be the same one, but where the
 * operation wants different ones. */
static inline rd_ref graphs_random_op(struct rd_graph *g, int op, const char *name, rd_ref a, rd_ref b, rd_ref c,
                                      float dropout)
{
	const struct rd_conv_opts onto = {3, 1, 1, 1, b}, half = {3, 2, 1, 1, RD_NONE}, whole = {4, 4, 0, 0, RD_NONE};

	if (op == 6 && (a == b || a == c || b == c))
		op -= 3;
	switch (op) {
	case 0: return rd_graph_act(g, a, RD_ACT_GELU);
	case 1: return rd_graph_add(g, a, b);
	case 2: return rd_graph_affine(g, rd_graph_dropout(g, a, dropout), 0.6f, 0.1f);
	case 3: return rd_graph_linear(g, a, name, 8, b);
	case 4: return rd_graph_conv(g, a, name, 8, onto);
	case 5: return graphs_norm(g, a, name, RD_ACT_SILU, RD_NONE, RD_NONE);
	case 6: return rd_graph_attention(g, a, b, c, 2);
	case 7: return rd_graph_linear(g, rd_graph_concat(g, a, b), name, 8, c);
	case 8: return rd_graph_upsample2(g, rd_graph_avgpool2(g, a));
	case 9: return rd_graph_fir_up2(g, rd_graph_fir_down2(g, a));
	case 10: return rd_graph_layernorm(g, a, name, 1e-5f);
	case 11: return rd_graph_gate(g, rd_graph_concat(g, a, b), RD_ACT_SILU);
	case 12: return rd_graph_adanorm(g, a, rd_graph_conv(g, b, name, 16, whole), 1e-6f);
	case 13: return rd_graph_gain(g, a, rd_graph_slice(g, rd_graph_conv(g, b, name, 12, whole), 3, 8), c);
	case 14: return rd_graph_unpatch(g, rd_graph_conv(g, a, name, 32, half), 2);
	case 15: return rd_graph_slice(g, rd_graph_concat(g, rd_graph_act(g, a, RD_ACT_GELU_TANH), b), 5, 8);
	case 16: return rd_graph_rmsnorm(g, a, name, 2, 1e-6f);
	case 17: return rd_graph_tokens(g, rd_graph_join(g, a, rd_graph_act(g, b, RD_ACT_SILU)), 7, 4, 4);
	default: return rd_graph_add(g, rd_graph_upsample2(g, rd_graph_conv(g, a, name, 8, half)), b);
	}
}

/* Operations drawn by seed over values drawn by seed, mostly recent ones. */
static inline struct rd_graph *graphs_random(unsigned seed, int64_t batch, float dropout)
{
	struct rd_graph *g;
	struct rd_err e;
	rd_ref v[32];
	char name[16];
	unsigned i = 0;
	int n = 1, n_ops = 4 + graphs_draw(seed, i++, 20);

	CHECK_OK(rd_graph_new(&g, batch, &e), &e);
	v[0] = g->x = rd_graph_input(g, 8, 4, 4);
	while (n < n_ops) {
		rd_ref in[3];

		for (int k = 0; k < 3; k++) {
			int recent = graphs_draw(seed, i, 2), back = graphs_draw(seed, i + 1, recent && n > 3 ? 3 : n);

			i += 2;
			in[k] = v[n - 1 - back];
		}
		snprintf(name, sizeof name, "n%d", n);
		v[n++] = graphs_random_op(g, graphs_draw(seed, i++, 19), name, in[0], in[1], in[2], dropout);
	}
	g->y = rd_graph_linear(g, v[n - 1], "out", 3, RD_NONE);
	CHECK_OK(rd_graph_check(g, &e), &e);
	return g;
}

#endif
