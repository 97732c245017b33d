#include "lib/net/unet2d_blocks.h"

#include <math.h>
#include <stdio.h>

#include "lib/net/transformer.h"

#define NAME 96
#define SKIP_ATTENTION_GROUPS 32 /* of the skip blocks' attention, whatever the config says */

/* Where a layer is in the state dict: "down_blocks.0", "resnets.1". */
struct at {
	const struct rd_unet2d_walk *w;
	struct rd_graph *g;
	const struct rd_unet2d *u;
	char block[32];
};

struct layer {
	char name[32];
};

static struct at at_block(const struct rd_unet2d_walk *w, const char *list, int b)
{
	struct at a = {.w = w, .g = w->g, .u = w->u};

	snprintf(a.block, sizeof a.block, "%s", list);
	if (b >= 0)
		snprintf(a.block, sizeof a.block, "%s.%d", list, b);
	return a;
}

static struct layer layer(const char *list, int i)
{
	struct layer l;

	snprintf(l.name, sizeof l.name, "%s.%d", list, i);
	return l;
}

static const char *key(char *buf, const struct at *a, const char *part, const char *leaf)
{
	snprintf(buf, NAME, "%s.%s%s%s", a->block, part, leaf ? "." : "", leaf ? leaf : "");
	return buf;
}

static rd_ref norm(const struct at *a, rd_ref x, const char *name, int64_t groups, enum rd_act act, rd_ref chan,
                   rd_ref scale_shift)
{
	int64_t c = rd_graph_dims(a->g, x).c;

	if (groups < 1 || c % groups)
		return rd_graph_refuse(a->g, "block_out_channels: %lld channels do not divide into the %lld groups of %s", (long long)c,
		                       (long long)groups, name);
	return rd_graph_groupnorm(a->g, x, name,
	                          (struct rd_norm_opts){groups, (float)a->u->norm_eps, act, chan, scale_shift});
}

rd_ref rd_unet2d_norm(const struct rd_unet2d_walk *w, rd_ref x, const char *name, int64_t groups, enum rd_act act)
{
	return norm(&(struct at){.g = w->g, .u = w->u}, x, name, groups, act, RD_NONE, RD_NONE);
}

int64_t rd_unet2d_default_groups(int64_t channels)
{
	return channels / 4 < 32 ? channels / 4 : 32;
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

enum resample { SAME, HALF, TWICE, FIR_HALF, FIR_TWICE };

struct resnet {
	int64_t out_c, groups, groups_out;
	double scale;           /* divides the sum */
	enum resample resample;
	bool shortcut;          /* a convolution there even where the widths agree */
};

static rd_ref resample(struct rd_graph *g, rd_ref x, enum resample how)
{
	switch (how) {
	case HALF: return rd_graph_avgpool2(g, x);
	case TWICE: return rd_graph_upsample2(g, x);
	case FIR_HALF: return rd_graph_fir_down2(g, x);
	case FIR_TWICE: return rd_graph_fir_up2(g, x);
	default: return x;
	}
}

/* ResnetBlock2D */
static rd_ref resnet(const struct at *a, const char *part, rd_ref x, struct resnet o)
{
	const struct rd_unet2d *u = a->u;
	struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE}, c1 = {1, 1, 0, 0, RD_NONE};
	int64_t in_c = rd_graph_dims(a->g, x).c;
	bool shortcut = o.shortcut || in_c != o.out_c;
	rd_ref h, t;
	char name[NAME];

	h = norm(a, x, key(name, a, part, "norm1"), o.groups, u->act, RD_NONE, RD_NONE);
	h = resample(a->g, h, o.resample);
	x = resample(a->g, x, o.resample);
	h = rd_graph_conv(a->g, h, key(name, a, part, "conv1"), o.out_c, c3);
	t = rd_graph_linear(a->g, a->w->temb, key(name, a, part, "time_emb_proj"), u->scale_shift ? 2 * o.out_c : o.out_c,
	                    RD_NONE);
	h = norm(a, h, key(name, a, part, "norm2"), o.groups_out, u->act, u->scale_shift ? RD_NONE : t,
	         u->scale_shift ? t : RD_NONE);
	h = rd_graph_dropout(a->g, h, (float)u->dropout);
	if (shortcut)
		rd_graph_conv_declare(a->g, in_c, key(name, a, part, "conv_shortcut"), o.out_c, c1.kernel);
	else
		c3.residual = x;
	h = c1.residual = rd_graph_conv(a->g, h, key(name, a, part, "conv2"), o.out_c, c3);
	if (shortcut) /* after conv2: to add to a sum is cheaper for a 1x1 than for a 3x3 */
		h = rd_graph_conv(a->g, x, key(name, a, part, "conv_shortcut"), o.out_c, c1);
	return rd_graph_scale(a->g, h, (float)(1 / o.scale));
}

/* Attention with its residual; groups 0: no normalisation before it. Heads that do not fill the width leave the inner
 * layers narrower than x. */
static rd_ref attention(const struct at *a, const char *part, rd_ref x, int64_t groups, double scale)
{
	int64_t c = rd_graph_dims(a->g, x).c, head = a->u->attention_head_dim ? a->u->attention_head_dim : c;
	int64_t inner = head ? c / head * head : 0;
	rd_ref h = x, q, k, v;
	char name[NAME];

	if (!inner)
		return rd_graph_refuse(a->g, "attention_head_dim: %lld is more than the %lld channels of %s", (long long)head,
		                       (long long)c, a->block);
	if (groups)
		h = norm(a, x, key(name, a, part, "group_norm"), groups, RD_ACT_NONE, RD_NONE, RD_NONE);
	q = rd_graph_linear(a->g, h, key(name, a, part, "to_q"), inner, RD_NONE);
	k = rd_graph_linear(a->g, h, key(name, a, part, "to_k"), inner, RD_NONE);
	v = rd_graph_linear(a->g, h, key(name, a, part, "to_v"), inner, RD_NONE);
	h = rd_graph_attention(a->g, q, k, v, c / head);
	h = rd_graph_linear(a->g, h, key(name, a, part, "to_out.0"), c, x);
	return rd_graph_scale(a->g, h, (float)(1 / scale));
}

/* The transformer of a block at resolution r, from the highest. */
static rd_ref transformer(const struct at *a, const char *part, rd_ref x, int r)
{
	const struct rd_unet2d *u = a->u;
	struct rd_transformer o = {u->heads[r], u->transformer_layers[r], u->norm_num_groups, u->linear_projection};
	char name[NAME];

	return rd_net_transformer(a->g, x, a->w->context, key(name, a, part, NULL), &o);
}

/* --- down --------------------------------------------------------------------------------------------------------- */

/* A block's resnets: those of the skip blocks choose their groups by the width and divide their sums by sqrt 2. */
static struct resnet resnet_of(const struct rd_unet2d *u, enum rd_unet_block kind, int64_t in_c, int64_t out_c)
{
	struct resnet o = {.out_c = out_c, .groups = u->norm_num_groups, .groups_out = u->norm_num_groups, .scale = 1};

	if (rd_unet_is_skip(kind)) {
		o.groups = rd_unet2d_default_groups(in_c);
		o.groups_out = rd_unet2d_default_groups(out_c);
		o.scale = M_SQRT2;
	}
	return o;
}

static int64_t attention_groups(const struct rd_unet2d *u, enum rd_unet_block kind)
{
	return kind == RD_UNET_ATTN_SKIP ? SKIP_ATTENTION_GROUPS : u->norm_num_groups;
}

/* Half the size: by a convolution, by a resnet, or filtered, with a look at the picture. */
static rd_ref downsample(struct rd_unet2d_walk *w, const struct at *a, enum rd_unet_block kind, rd_ref h, int64_t c)
{
	const struct rd_unet2d *u = w->u;
	struct rd_conv_opts half = {3, 2, u->downsample_padding, 1, RD_NONE}, c1 = {1, 1, 0, 0, RD_NONE};
	struct resnet o = resnet_of(u, kind, c, c);
	char name[NAME];

	if (rd_unet_is_skip(kind)) {
		o.resample = FIR_HALF;
		o.shortcut = true;
		w->picture = rd_graph_fir_down2(w->g, w->picture);
		c1.residual = resnet(a, "resnet_down", h, o);
		return rd_graph_conv(w->g, w->picture, key(name, a, "skip_conv", NULL), c, c1);
	}
	o.resample = HALF;
	if (kind == RD_UNET_RESNET || (kind == RD_UNET_ATTN && u->downsample_resnet))
		return resnet(a, "downsamplers.0", h, o);
	return rd_graph_conv(w->g, h, key(name, a, "downsamplers.0.conv", NULL), c, half);
}

rd_ref rd_unet2d_down(struct rd_unet2d_walk *w, int b, rd_ref h)
{
	const struct rd_unet2d *u = w->u;
	struct at a = at_block(w, "down_blocks", b);
	int64_t c = u->block_out_channels[b];
	enum rd_unet_block kind = u->down[b];

	for (int i = 0; i < u->layers_per_block; i++) {
		h = resnet(&a, layer("resnets", i).name, h, resnet_of(u, kind, rd_graph_dims(w->g, h).c, c));
		if (rd_unet_has_attention(kind))
			h = attention(&a, layer("attentions", i).name, h, attention_groups(u, kind), resnet_of(u, kind, c, c).scale);
		if (kind == RD_UNET_CROSS)
			h = transformer(&a, layer("attentions", i).name, h, b);
		w->skip[w->n_skips++] = h;
	}
	if (b == u->n_blocks - 1)
		return h;
	return w->skip[w->n_skips++] = downsample(w, &a, kind, h, c);
}

/* --- the middle --------------------------------------------------------------------------------------------------- */

rd_ref rd_unet2d_mid(struct rd_unet2d_walk *w, rd_ref h)
{
	const struct rd_unet2d *u = w->u;
	struct at a = at_block(w, "mid_block", -1);
	int64_t c = u->block_out_channels[u->n_blocks - 1];
	int64_t groups = u->norm_num_groups ? u->norm_num_groups : rd_unet2d_default_groups(c);
	int64_t attn_groups = u->attn_norm_num_groups ? u->attn_norm_num_groups : u->scale_shift ? 0 : groups;
	struct resnet o = {.out_c = c, .groups = groups, .groups_out = groups, .scale = u->mid_block_scale_factor};

	h = resnet(&a, "resnets.0", h, o);
	if (u->mid_cross)
		h = transformer(&a, "attentions.0", h, u->n_blocks - 1);
	else if (u->add_attention)
		h = attention(&a, "attentions.0", h, attn_groups, o.scale);
	return resnet(&a, "resnets.1", h, o);
}

/* --- up ----------------------------------------------------------------------------------------------------------- */

/* Twice the size. */
static rd_ref upsample(struct rd_unet2d_walk *w, const struct at *a, enum rd_unet_block kind, rd_ref h, int64_t c)
{
	const struct rd_unet2d *u = w->u;
	struct resnet o = resnet_of(u, kind, c, c);
	char name[NAME];

	if (rd_unet_is_skip(kind)) {
		o.resample = FIR_TWICE;
		o.shortcut = true;
		return resnet(a, "resnet_up", h, o);
	}
	o.resample = TWICE;
	if (kind == RD_UNET_RESNET || (kind == RD_UNET_ATTN && u->upsample_resnet))
		return resnet(a, "upsamplers.0", h, o);
	return rd_graph_conv(w->g, rd_graph_upsample2(w->g, h), key(name, a, "upsamplers.0.conv", NULL), c,
	                     (struct rd_conv_opts){3, 1, 1, 1, RD_NONE});
}

/* The picture grows with the features: by the filter, and by what this resolution has to add. */
static void add_to_picture(struct rd_unet2d_walk *w, const struct at *a, rd_ref h, int64_t c)
{
	struct rd_conv_opts c3 = {3, 1, 1, 1, w->picture};
	char name[NAME];

	h = norm(a, h, key(name, a, "skip_norm", NULL), rd_unet2d_default_groups(c), RD_ACT_SILU, RD_NONE, RD_NONE);
	w->picture = rd_graph_conv(w->g, h, key(name, a, "skip_conv", NULL), RD_UNET_PICTURE, c3);
}

/* The first normalisation of resnet i of an up block: diffusers' AttnSkipUpBlock2D adds a quarter of the skipped channels
 * to all of the others. */
static int64_t up_groups(enum rd_unet_block kind, int64_t groups, int64_t below, int64_t skipped)
{
	int64_t n = below + skipped / 4;

	return kind != RD_UNET_ATTN_SKIP ? groups : n < 32 ? n : 32;
}

rd_ref rd_unet2d_up(struct rd_unet2d_walk *w, int b, rd_ref h)
{
	const struct rd_unet2d *u = w->u;
	struct at a = at_block(w, "up_blocks", b);
	int64_t c = u->block_out_channels[u->n_blocks - 1 - b];
	enum rd_unet_block kind = u->up[b];

	for (int i = 0; i <= u->layers_per_block; i++) {
		rd_ref skipped = w->skip[--w->n_skips];
		int64_t below = rd_graph_dims(w->g, h).c, beside = rd_graph_dims(w->g, skipped).c;
		struct resnet o = resnet_of(u, kind, below + beside, c);

		o.groups = up_groups(kind, o.groups, below, beside);
		h = resnet(&a, layer("resnets", i).name, rd_graph_concat(w->g, h, skipped), o);
		if (kind == RD_UNET_ATTN)
			h = attention(&a, layer("attentions", i).name, h, attention_groups(u, kind), 1);
		if (kind == RD_UNET_CROSS)
			h = transformer(&a, layer("attentions", i).name, h, u->n_blocks - 1 - b);
	}
	if (kind == RD_UNET_ATTN_SKIP)
		h = attention(&a, "attentions.0", h, attention_groups(u, kind), M_SQRT2);
	if (rd_unet_is_skip(kind) && w->picture != RD_NONE)
		w->picture = rd_graph_fir_up2(w->g, w->picture);
	if (b == u->n_blocks - 1)
		return h;
	if (rd_unet_is_skip(kind))
		add_to_picture(w, &a, h, c);
	return upsample(w, &a, kind, h, c);
}
