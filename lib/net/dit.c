/* A block: h += gain1 attention(norm1(h)); h += gain2 mlp(norm2(h)), where norm1, norm2 and the gains come of the block's own
 * embedding of time and class. Names of parameters are those of diffusers' state dict. */
#include "lib/net/dit.h"

#include <stdio.h>

#define NAME 80
#define TIME_CHANNELS 256
#define NORM_EPS 1e-6f /* but for norm2's, which is the config's */
#define POSITION "pos_embed"

struct block {
	struct rd_graph *g;
	const struct rd_dit *dit;
	int64_t c;
	int i;
};

static const char *key(char buf[NAME], const struct block *b, const char *leaf)
{
	snprintf(buf, NAME, "transformer_blocks.%d.%s", b->i, leaf);
	return buf;
}

/* The embedding of time and class; every block has one. */
static rd_ref embed(const struct block *b, rd_ref sinusoids)
{
	rd_ref t, label;
	char name[NAME];

	t = rd_net_embedding(b->g, sinusoids, key(name, b, "norm1.emb.timestep_embedder"), b->c, RD_ACT_SILU);
	label = rd_graph_embed(b->g, b->g->label, key(name, b, "norm1.emb.class_embedder.embedding_table"), b->c);
	return rd_graph_act(b->g, rd_graph_add(b->g, t, label), RD_ACT_SILU);
}

static rd_ref attention(const struct block *b, rd_ref h)
{
	static const char *const parts[] = {"attn1.to_q", "attn1.to_k", "attn1.to_v"};
	rd_ref qkv[3];
	char name[NAME];

	for (int k = 0; k < 3; k++) {
		key(name, b, parts[k]);
		qkv[k] = b->dit->attention_bias ? rd_graph_linear(b->g, h, name, b->c, RD_NONE)
		                                : rd_graph_matrix(b->g, h, name, b->c);
	}
	h = rd_graph_attention(b->g, qkv[0], qkv[1], qkv[2], b->dit->heads);
	h = rd_graph_linear(b->g, h, key(name, b, "attn1.to_out.0"), b->c, RD_NONE);
	return rd_graph_dropout(b->g, h, (float)b->dit->dropout);
}

static rd_ref mlp(const struct block *b, rd_ref h)
{
	int64_t inner = 4 * b->c;
	char name[NAME];

	h = rd_graph_linear(b->g, h, key(name, b, "ff.net.0.proj"), b->dit->gated ? 2 * inner : inner, RD_NONE);
	h = b->dit->gated ? rd_graph_gate(b->g, h, b->dit->act) : rd_graph_act(b->g, h, b->dit->act);
	h = rd_graph_dropout(b->g, h, (float)b->dit->dropout);
	return rd_graph_linear(b->g, h, key(name, b, "ff.net.2"), b->c, RD_NONE);
}

/* emb: of this block, after its activation. */
static rd_ref block(const struct block *b, rd_ref h, rd_ref emb)
{
	int64_t c = b->c;
	rd_ref six, part;
	char name[NAME];

	six = rd_graph_linear_zero(b->g, emb, key(name, b, "norm1.linear"), 6 * c); /* shift, scale, gain, twice */
	part = rd_graph_adanorm(b->g, h, rd_graph_slice(b->g, six, 0, 2 * c), NORM_EPS);
	h = rd_graph_gain(b->g, attention(b, part), rd_graph_slice(b->g, six, 2 * c, c), h);
	part = rd_graph_adanorm(b->g, h, rd_graph_slice(b->g, six, 3 * c, 2 * c), (float)b->dit->norm_eps);
	return rd_graph_gain(b->g, mlp(b, part), rd_graph_slice(b->g, six, 5 * c, c), h);
}

static void describe(const struct rd_net *net, struct rd_graph *g)
{
	const struct rd_dit *d = &net->u.dit;
	struct block b = {.g = g, .dit = d, .c = d->heads * d->head_dim};
	int64_t tokens = d->size / d->patch;
	struct rd_conv_opts patches = {(int)d->patch, (int)d->patch, 0, 0, RD_NONE};
	rd_ref sinusoids, h, emb, first = RD_NONE;

	g->x = rd_graph_input(g, d->in_channels, d->size, d->size);
	g->t = rd_graph_number_input(g, false);
	g->label = rd_graph_index_input(g, net->classes);
	sinusoids = rd_graph_timestep(g, g->t, TIME_CHANNELS, true, 1);
	patches.residual = rd_graph_position(g, POSITION, b.c, tokens, tokens);
	h = rd_graph_conv(g, g->x, POSITION ".proj", b.c, patches);
	for (b.i = 0; b.i < d->layers; b.i++) {
		emb = embed(&b, sinusoids);
		first = b.i ? first : emb;
		h = block(&b, h, emb);
	}
	emb = rd_graph_linear_zero(g, first, "proj_out_1", 2 * b.c);
	h = rd_graph_adanorm(g, h, emb, NORM_EPS);
	h = rd_graph_linear_zero(g, h, "proj_out_2", d->patch * d->patch * d->out_channels);
	g->y = rd_net_prediction(g, rd_graph_unpatch(g, h, (int)d->patch));
}

const struct rd_net_kind rd_net_dit = {
	.class_name = "DiTTransformer2DModel", .part = "transformer", .latent = true, .parse = rd_dit_parse, .describe = describe};
const struct rd_net_kind rd_net_dit_legacy = {
	.class_name = "Transformer2DModel", .part = "transformer", .latent = true, .parse = rd_dit_parse, .describe = describe};
