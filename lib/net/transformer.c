#include "lib/net/transformer.h"

#include <stdio.h>

#define NAME 112
#define GROUP_EPS 1e-6f /* whatever the config's norm_eps */
#define LAYER_EPS 1e-5f

static const char *key(char buf[NAME], const char *name, const char *leaf)
{
	snprintf(buf, NAME, "%.70s.%s", name, leaf);
	return buf;
}

/* x + attention from q's tokens to those of kv. */
static rd_ref attend(struct rd_graph *g, rd_ref x, rd_ref q, rd_ref kv, const char *name, int64_t heads)
{
	int64_t c = rd_graph_dims(g, x).c;
	rd_ref k, v;
	char buf[NAME];

	q = rd_graph_matrix(g, q, key(buf, name, "to_q"), c);
	k = rd_graph_matrix(g, kv, key(buf, name, "to_k"), c);
	v = rd_graph_matrix(g, kv, key(buf, name, "to_v"), c);
	return rd_graph_linear(g, rd_graph_attention(g, q, k, v, heads), key(buf, name, "to_out.0"), c, x);
}

/* BasicTransformerBlock */
static rd_ref block(struct rd_graph *g, rd_ref x, rd_ref context, const char *name, int64_t heads)
{
	int64_t c = rd_graph_dims(g, x).c;
	rd_ref h;
	char buf[NAME];

	h = rd_graph_layernorm(g, x, key(buf, name, "norm1"), LAYER_EPS);
	x = attend(g, x, h, h, key(buf, name, "attn1"), heads);
	h = rd_graph_layernorm(g, x, key(buf, name, "norm2"), LAYER_EPS);
	x = attend(g, x, h, context, key(buf, name, "attn2"), heads);
	h = rd_graph_layernorm(g, x, key(buf, name, "norm3"), LAYER_EPS);
	h = rd_graph_gate(g, rd_graph_linear(g, h, key(buf, name, "ff.net.0.proj"), 8 * c, RD_NONE), RD_ACT_GELU);
	return rd_graph_linear(g, h, key(buf, name, "ff.net.2"), c, x);
}

/* A convolution with a kernel of 1, or a linear layer. */
static rd_ref project(struct rd_graph *g, rd_ref x, const char *name, int64_t c, bool linear, rd_ref residual)
{
	return linear ? rd_graph_linear(g, x, name, c, residual)
	              : rd_graph_conv(g, x, name, c, (struct rd_conv_opts){1, 1, 0, 0, residual});
}

rd_ref rd_net_transformer(struct rd_graph *g, rd_ref x, rd_ref context, const char *name, const struct rd_transformer *o)
{
	int64_t c = rd_graph_dims(g, x).c, inner = o->heads > 0 ? c / o->heads * o->heads : 0;
	rd_ref h;
	char buf[NAME], blocks[NAME];

	if (!inner)
		return rd_graph_refuse(g, "attention_head_dim: %lld heads are more than the %lld channels of %s", (long long)o->heads,
		                       (long long)c, name);
	h = rd_graph_groupnorm(g, x, key(buf, name, "norm"),
	                       (struct rd_norm_opts){o->groups, GROUP_EPS, RD_ACT_NONE, RD_NONE, RD_NONE});
	h = project(g, h, key(buf, name, "proj_in"), inner, o->linear, RD_NONE);
	for (int64_t i = 0; i < o->layers; i++) {
		snprintf(blocks, sizeof blocks, "%.50s.transformer_blocks.%d", name, (int)i);
		h = block(g, h, context, blocks, o->heads);
	}
	return project(g, h, key(buf, name, "proj_out"), c, o->linear, x);
}
