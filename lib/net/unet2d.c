/* diffusers' UNet2DModel and UNet2DConditionModel: resnet blocks with time embedding, attention at chosen resolutions, skip
 * connections. Names of parameters are those of diffusers' state dict. */
#include "lib/net/unet2d_blocks.h"

/* Sinusoids or a row for a time; for a label too where it goes the same way. */
static rd_ref project(const struct rd_unet2d *u, struct rd_graph *g, rd_ref t)
{
	int64_t c = u->block_out_channels[0];

	switch (u->time_embedding) {
	case RD_TIME_FOURIER: return rd_graph_fourier(g, t, "time_proj", c);
	case RD_TIME_LEARNED: return rd_graph_embed(g, t, "time_proj", c);
	default: return rd_graph_timestep(g, t, c, u->flip_sin_to_cos, u->freq_shift);
	}
}

static rd_ref time_input(const struct rd_unet2d *u, struct rd_graph *g)
{
	if (u->time_embedding == RD_TIME_LEARNED)
		return rd_graph_index_input(g, u->num_train_timesteps);
	return rd_graph_number_input(g, u->time_embedding == RD_TIME_FOURIER);
}

/* The embedding of time and condition, added up. */
static rd_ref embed(const struct rd_net *net, struct rd_graph *g)
{
	const struct rd_unet2d *u = &net->u.unet2d;
	rd_ref h, c;

	g->t = time_input(u, g);
	h = rd_net_embedding(g, project(u, g, g->t), "time_embedding", u->time_embedding_dim, u->time_act);
	switch (net->cond) {
	case RD_COND_CLASS:
		g->label = rd_graph_index_input(g, u->num_class_embeds);
		c = rd_graph_embed(g, g->label, "class_embedding", u->time_embedding_dim);
		break;
	case RD_COND_NUMBER:
		g->label = time_input(u, g);
		c = rd_net_embedding(g, project(u, g, g->label), "class_embedding", u->time_embedding_dim, RD_ACT_SILU);
		break;
	case RD_COND_VECTOR:
		c = g->label = rd_graph_input(g, net->cond_dim, 1, 1);
		break;
	default:
		if (g->vector == RD_NONE)
			return h;
		c = rd_net_embedding(g, g->vector, "add_embedding", u->time_embedding_dim, RD_ACT_SILU);
	}
	return rd_graph_add(g, h, c);
}

/* What the blocks attend to. */
static rd_ref context(const struct rd_net *net, struct rd_graph *g)
{
	if (net->cond != RD_COND_CONTEXT)
		return RD_NONE;
	rd_net_context_input(net, g);
	return g->label;
}

static void describe(const struct rd_net *net, struct rd_graph *g)
{
	const struct rd_unet2d *u = &net->u.unet2d;
	struct rd_conv_opts c3 = {3, 1, 1, 1, RD_NONE};
	struct rd_unet2d_walk w = {.g = g, .u = u};
	int64_t c = u->block_out_channels[0];
	rd_ref h;

	h = g->x = rd_graph_input(g, u->in_channels, u->height, u->width);
	w.context = context(net, g);
	w.temb = rd_graph_act(g, embed(net, g), u->act);
	if (u->center_input_sample)
		h = rd_graph_affine(g, h, 2, -1);
	w.picture = h;
	h = w.skip[w.n_skips++] = rd_graph_conv(g, h, "conv_in", c, c3);
	for (int b = 0; b < u->n_blocks; b++)
		h = rd_unet2d_down(&w, b, h);
	if (u->mid_block)
		h = rd_unet2d_mid(&w, h);
	w.picture = RD_NONE; /* the way up paints its own */
	for (int b = 0; b < u->n_blocks; b++)
		h = rd_unet2d_up(&w, b, h);
	h = rd_unet2d_norm(&w, h, "conv_norm_out", u->norm_num_groups ? u->norm_num_groups : rd_unet2d_default_groups(c),
	                   u->out_act);
	c3.residual = w.picture;
	g->y = rd_graph_conv(g, h, "conv_out", u->out_channels, c3);
	if (u->time_embedding == RD_TIME_FOURIER)
		g->y = rd_graph_divide(g, g->y, g->t);
	g->y = rd_net_prediction(g, g->y);
}

const struct rd_net_kind rd_net_unet2d = {
	.class_name = "UNet2DModel", .part = "unet", .parse = rd_unet2d_parse, .describe = describe};
const struct rd_net_kind rd_net_unet2d_condition = {
	.class_name = "UNet2DConditionModel", .part = "unet", .latent = true, .context_key = "cross_attention_dim",
	.vector_key = "projection_class_embeddings_input_dim", .parse = rd_unet2d_condition_parse, .describe = describe};
