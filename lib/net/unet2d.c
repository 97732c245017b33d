/* diffusers' UNet2DModel: resnet blocks with time embedding, attention at chosen resolutions, skip connections. Names of
 * parameters are those of diffusers' state dict. */
#include <stdio.h>

#include "lib/net/net.h"
#include "lib/net/unet2d_config.h"

#define NAME 96

/* Where a block is in the state dict: "down_blocks.0". */
struct at {
	struct rd_graph *g;
	const struct rd_unet2d *u;
	const char *block;
	rd_ref temb; /* after its activation */
};

static const char *key(char *buf, const struct at *a, const char *part, int i, const char *leaf)
{
	snprintf(buf, NAME, "%s.%s.%d%s%s", a->block, part, i, *leaf ? "." : "", leaf);
	return buf;
}

static rd_ref norm(const struct at *a, rd_ref x, const char *name, int64_t groups, enum rd_act act, rd_ref chan,
                   rd_ref scale_shift)
{
	return rd_graph_groupnorm(a->g, x, name,
	                          (struct rd_norm_opts){groups, (float)a->u->norm_eps, act, chan, scale_shift});
}

/* ResnetBlock2D; `scale` divides the sum. */
static rd_ref resnet(const struct at *a, int i, rd_ref x, int64_t out_c, double scale)
{
	const struct rd_unet2d *u = a->u;
	struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE}, c1 = {1, 1, 0, 0, RD_NONE};
	rd_ref h, t, skip = x;
	char name[NAME];

	h = norm(a, x, key(name, a, "resnets", i, "norm1"), u->norm_num_groups, u->act, RD_NONE, RD_NONE);
	h = rd_graph_conv(a->g, h, key(name, a, "resnets", i, "conv1"), out_c, c3);
	t = rd_graph_linear(a->g, a->temb, key(name, a, "resnets", i, "time_emb_proj"), u->scale_shift ? 2 * out_c : out_c,
	                    RD_NONE);
	h = norm(a, h, key(name, a, "resnets", i, "norm2"), u->norm_num_groups, u->act, u->scale_shift ? RD_NONE : t,
	         u->scale_shift ? t : RD_NONE);
	if (rd_graph_dims(a->g, x).c != out_c)
		skip = rd_graph_conv(a->g, x, key(name, a, "resnets", i, "conv_shortcut"), out_c, c1);
	c3.residual = skip;
	h = rd_graph_conv(a->g, h, key(name, a, "resnets", i, "conv2"), out_c, c3);
	return rd_graph_scale(a->g, h, (float)(1 / scale));
}

/* Attention with its residual; groups 0: no normalisation before it. */
static rd_ref attention(const struct at *a, int i, rd_ref x, int64_t groups, double scale)
{
	int64_t c = rd_graph_dims(a->g, x).c, head = a->u->attention_head_dim ? a->u->attention_head_dim : c;
	rd_ref h = x, q, k, v;
	char name[NAME];

	if (groups)
		h = norm(a, x, key(name, a, "attentions", i, "group_norm"), groups, RD_ACT_NONE, RD_NONE, RD_NONE);
	q = rd_graph_linear(a->g, h, key(name, a, "attentions", i, "to_q"), c, RD_NONE);
	k = rd_graph_linear(a->g, h, key(name, a, "attentions", i, "to_k"), c, RD_NONE);
	v = rd_graph_linear(a->g, h, key(name, a, "attentions", i, "to_v"), c, RD_NONE);
	h = rd_graph_attention(a->g, q, k, v, head ? c / head : 0); /* c is 0 after an error */
	h = rd_graph_linear(a->g, h, key(name, a, "attentions", i, "to_out.0"), c, x);
	return rd_graph_scale(a->g, h, (float)(1 / scale));
}

/* The skip connections, pushed going down and popped going up. */
struct skips {
	rd_ref v[RD_UNET_MAX_SKIPS];
	int n;
};

static rd_ref down_block(const struct at *a, int b, rd_ref h, struct skips *s)
{
	const struct rd_unet2d *u = a->u;
	struct rd_conv_opts half = {3, 2, u->downsample_padding, 1, RD_NONE};
	char name[NAME];

	for (int i = 0; i < u->layers_per_block; i++) {
		h = resnet(a, i, h, u->block_out_channels[b], 1);
		if (u->down_attn[b])
			h = attention(a, i, h, u->norm_num_groups, 1);
		s->v[s->n++] = h;
	}
	if (b == u->n_blocks - 1)
		return h;
	return s->v[s->n++] = rd_graph_conv(a->g, h, key(name, a, "downsamplers", 0, "conv"), u->block_out_channels[b], half);
}

static rd_ref mid_block(const struct at *a, rd_ref h)
{
	const struct rd_unet2d *u = a->u;
	int64_t c = u->block_out_channels[u->n_blocks - 1];
	int64_t groups = u->attn_norm_num_groups ? u->attn_norm_num_groups : u->scale_shift ? 0 : u->norm_num_groups;

	h = resnet(a, 0, h, c, u->mid_block_scale_factor);
	if (u->add_attention)
		h = attention(a, 0, h, groups, u->mid_block_scale_factor);
	return resnet(a, 1, h, c, u->mid_block_scale_factor);
}

static rd_ref up_block(const struct at *a, int b, rd_ref h, struct skips *s)
{
	const struct rd_unet2d *u = a->u;
	int64_t c = u->block_out_channels[u->n_blocks - 1 - b];
	char name[NAME];

	for (int i = 0; i <= u->layers_per_block; i++) {
		h = resnet(a, i, rd_graph_concat(a->g, h, s->v[--s->n]), c, 1);
		if (u->up_attn[b])
			h = attention(a, i, h, u->norm_num_groups, 1);
	}
	if (b == u->n_blocks - 1)
		return h;
	h = rd_graph_upsample2(a->g, h);
	return rd_graph_conv(a->g, h, key(name, a, "upsamplers", 0, "conv"), c, (struct rd_conv_opts){3, 1, 1, 1, RD_NONE});
}

static void describe(const struct rd_net *net, struct rd_graph *g)
{
	const struct rd_unet2d *u = &net->u.unet2d;
	struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE};
	char block[32];
	struct at a = {.g = g, .u = u, .block = block};
	struct skips s = {.n = 0};
	rd_ref h;

	h = g->x = rd_graph_input(g, u->in_channels, u->height, u->width);
	a.temb = rd_net_time_embedding(g, u->block_out_channels[0], u->time_embedding_dim, u->flip_sin_to_cos, u->freq_shift,
	                               u->num_class_embeds);
	a.temb = rd_graph_act(g, a.temb, u->act);
	h = s.v[s.n++] = rd_graph_conv(g, h, "conv_in", u->block_out_channels[0], c3);
	for (int b = 0; b < u->n_blocks; b++) {
		snprintf(block, sizeof block, "down_blocks.%d", b);
		h = down_block(&a, b, h, &s);
	}
	snprintf(block, sizeof block, "mid_block");
	h = mid_block(&a, h);
	for (int b = 0; b < u->n_blocks; b++) {
		snprintf(block, sizeof block, "up_blocks.%d", b);
		h = up_block(&a, b, h, &s);
	}
	h = norm(&a, h, "conv_norm_out", u->norm_num_groups, RD_ACT_SILU, RD_NONE, RD_NONE);
	g->y = rd_graph_conv(g, h, "conv_out", u->out_channels, c3);
}

const struct rd_net_kind rd_net_unet2d = {"UNet2DModel", rd_unet2d_parse, describe};
