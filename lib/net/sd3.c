/* A block: patches and tokens of the context are normalised, each by a layer of its own of the embedding of time and vector; they
 * attend to all of both; and each goes through its own perceptron. The last block's context is of no more use after its attention.
 * Names of parameters are those of diffusers' state dict. */
#include "lib/net/sd3.h"

#include <stdio.h>

#define NAME 80
#define TIME_CHANNELS 256
#define NORM_EPS 1e-6f

struct block {
	struct rd_graph *g;
	const struct rd_sd3 *sd3;
	int64_t c;
	int i;
};

/* What an attention calls its layers. */
struct attention {
	const char *qkv[3], *norm[2], *out;
};

static const struct attention of_patches = {
	{"attn.to_q", "attn.to_k", "attn.to_v"}, {"attn.norm_q", "attn.norm_k"}, "attn.to_out.0"};
static const struct attention of_tokens = {
	{"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"}, {"attn.norm_added_q", "attn.norm_added_k"}, "attn.to_add_out"};
static const struct attention of_patches_alone = {
	{"attn2.to_q", "attn2.to_k", "attn2.to_v"}, {"attn2.norm_q", "attn2.norm_k"}, "attn2.to_out.0"};

static const char *key(char buf[NAME], const struct block *b, const char *leaf)
{
	snprintf(buf, NAME, "transformer_blocks.%d.%s", b->i, leaf);
	return buf;
}

static rd_ref linear(const struct block *b, rd_ref x, const char *leaf, int64_t c)
{
	char name[NAME];

	return rd_graph_linear(b->g, x, key(name, b, leaf), c, RD_NONE);
}

/* What normalises x, and the rest of a block's modulation: runs of c channels, shift first. */
static rd_ref modulation(const struct block *b, rd_ref emb, const char *leaf, int runs)
{
	char name[NAME];

	return rd_graph_linear_zero(b->g, emb, key(name, b, leaf), runs * b->c);
}

/* x normalised by runs `first` and after it of m. */
static rd_ref norm(const struct block *b, rd_ref x, rd_ref m, int first)
{
	return rd_graph_adanorm(b->g, x, rd_graph_slice(b->g, m, first * b->c, 2 * b->c), NORM_EPS);
}

/* h + run `at` of m times x. */
static rd_ref onto(const struct block *b, rd_ref h, rd_ref x, rd_ref m, int at)
{
	return rd_graph_gain(b->g, x, rd_graph_slice(b->g, m, at * b->c, b->c), h);
}

/* AdaLayerNormContinuous: the scale comes first here. */
static rd_ref norm_continuous(struct rd_graph *g, rd_ref x, rd_ref emb, const char *name, int64_t c)
{
	rd_ref m = rd_graph_linear_zero(g, emb, name, 2 * c);

	return rd_graph_adanorm(g, x, rd_graph_concat(g, rd_graph_slice(g, m, c, c), rd_graph_slice(g, m, 0, c)), NORM_EPS);
}

static void project(const struct block *b, rd_ref x, const struct attention *a, rd_ref qkv[3])
{
	char name[NAME];

	for (int k = 0; k < 3; k++) {
		qkv[k] = linear(b, x, a->qkv[k], b->c);
		if (b->sd3->qk_norm && k < 2)
			qkv[k] = rd_graph_rmsnorm(b->g, qkv[k], key(name, b, a->norm[k]), b->sd3->heads, NORM_EPS);
	}
}

/* h + the perceptron of h, as runs 3 to 5 of m say. */
static rd_ref mlp(const struct block *b, rd_ref h, rd_ref m, const char *in, const char *out)
{
	rd_ref x = rd_graph_act(b->g, linear(b, norm(b, h, m, 3), in, 4 * b->c), RD_ACT_GELU_TANH);

	return onto(b, h, linear(b, x, out, b->c), m, 5);
}

/* Attention of patches and tokens, all to all: (batch, c, patches + tokens, 1). */
static rd_ref attend(const struct block *b, rd_ref patches, rd_ref tokens)
{
	rd_ref own[3], added[3], all[3];

	project(b, patches, &of_patches, own);
	project(b, tokens, &of_tokens, added);
	for (int k = 0; k < 3; k++)
		all[k] = rd_graph_join(b->g, own[k], added[k]);
	return rd_graph_attention(b->g, all[0], all[1], all[2], b->sd3->heads);
}

/* h + attention of the patches alone, normalised and with a gain by runs 6 to 8 of m. x: what h was before this block. */
static rd_ref attend_alone(const struct block *b, rd_ref h, rd_ref x, rd_ref m)
{
	rd_ref qkv[3];

	project(b, norm(b, x, m, 6), &of_patches_alone, qkv);
	x = rd_graph_attention(b->g, qkv[0], qkv[1], qkv[2], b->sd3->heads);
	return onto(b, h, linear(b, x, of_patches_alone.out, b->c), m, 8);
}

/* emb: after its activation. */
static void block(const struct block *b, rd_ref *h, rd_ref *text, rd_ref emb)
{
	const struct rd_dims d = rd_graph_dims(b->g, *h), dt = rd_graph_dims(b->g, *text);
	const bool last = b->i == b->sd3->layers - 1, dual = b->sd3->dual[b->i];
	rd_ref m = modulation(b, emb, "norm1.linear", dual ? 9 : 6), mt = RD_NONE, before = *h, x, both;
	char name[NAME];

	if (last) {
		x = norm_continuous(b->g, *text, emb, key(name, b, "norm1_context.linear"), b->c);
	} else {
		mt = modulation(b, emb, "norm1_context.linear", 6);
		x = norm(b, *text, mt, 0);
	}
	both = attend(b, norm(b, *h, m, 0), x);
	x = linear(b, rd_graph_tokens(b->g, both, 0, d.h, d.w), of_patches.out, b->c);
	*h = onto(b, *h, x, m, 2);
	if (dual)
		*h = attend_alone(b, *h, before, m);
	*h = mlp(b, *h, m, "ff.net.0.proj", "ff.net.2");
	if (last)
		return;
	x = linear(b, rd_graph_tokens(b->g, both, d.h * d.w, dt.h, dt.w), of_tokens.out, b->c);
	*text = mlp(b, onto(b, *text, x, mt, 2), mt, "ff_context.net.0.proj", "ff_context.net.2");
}

static void describe(const struct rd_net *net, struct rd_graph *g)
{
	const struct rd_sd3 *s = &net->u.sd3;
	struct block b = {.g = g, .sd3 = s, .c = s->heads * s->head_dim};
	int64_t side = s->size / s->patch;
	struct rd_conv_opts patches = {(int)s->patch, (int)s->patch, 0, 0, RD_NONE};
	rd_ref h, text, t, emb;

	g->x = rd_graph_input(g, s->in_channels, s->size, s->size);
	g->t = rd_graph_number_input(g, false);
	rd_net_context_input(net, g);
	t = rd_net_embedding(g, rd_graph_timestep(g, g->t, TIME_CHANNELS, true, 0), "time_text_embed.timestep_embedder", b.c, RD_ACT_SILU);
	emb = rd_graph_add(g, t, rd_net_embedding(g, g->vector, "time_text_embed.text_embedder", b.c, RD_ACT_SILU));
	emb = rd_graph_act(g, emb, RD_ACT_SILU);
	patches.residual = rd_graph_position_of(g, "pos_embed", b.c, side, side, s->grid, (double)s->grid / (double)side);
	h = rd_graph_conv(g, g->x, "pos_embed.proj", b.c, patches);
	text = rd_graph_linear(g, g->label, "context_embedder", b.c, RD_NONE);
	for (b.i = 0; b.i < s->layers; b.i++)
		block(&b, &h, &text, emb);
	h = norm_continuous(g, h, emb, "norm_out.linear", b.c);
	h = rd_graph_linear_zero(g, h, "proj_out", s->patch * s->patch * s->out_channels);
	g->y = rd_net_prediction(g, rd_graph_unpatch(g, h, (int)s->patch));
}

const struct rd_net_kind rd_net_sd3 = {
	.class_name = "SD3Transformer2DModel", .part = "transformer", .latent = true, .context_key = "joint_attention_dim",
	.vector_key = "pooled_projection_dim", .parse = rd_sd3_parse, .describe = describe};
