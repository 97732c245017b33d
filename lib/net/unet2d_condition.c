/* The config of a UNet2DConditionModel, key by key: the networks of Stable Diffusion 1, 2 and XL and their like, conditioned on a
 * context and, where addition_embed_type is text_time, on a vector beside it. */
#include <string.h>

#include "formats/json.h"
#include "lib/net/unet2d_config.h"
#include "lib/net/unet2d_keys.h"

#define MAX_TRANSFORMER_LAYERS 32

static const char *const known[] = {
	"sample_size", "in_channels", "out_channels", "center_input_sample", "flip_sin_to_cos", "freq_shift", "down_block_types",
	"mid_block_type", "up_block_types", "only_cross_attention", "block_out_channels", "layers_per_block", "downsample_padding",
	"mid_block_scale_factor", "dropout", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim",
	"transformer_layers_per_block", "reverse_transformer_layers_per_block", "encoder_hid_dim", "encoder_hid_dim_type",
	"attention_head_dim", "num_attention_heads", "dual_cross_attention", "use_linear_projection", "class_embed_type",
	"addition_embed_type", "addition_time_embed_dim", "num_class_embeds", "upcast_attention", "resnet_time_scale_shift",
	"resnet_skip_time_act", "resnet_out_scale_factor", "time_embedding_type", "time_embedding_dim", "time_embedding_act_fn",
	"timestep_post_act", "time_cond_proj_dim", "conv_in_kernel", "conv_out_kernel", "projection_class_embeddings_input_dim",
	"attention_type", "class_embeddings_concat", "mid_block_only_cross_attention", "cross_attention_norm",
	"addition_embed_type_num_heads", NULL};

static const char *const never_null[] = {
	"in_channels", "out_channels", "freq_shift", "down_block_types", "up_block_types", "block_out_channels", "layers_per_block",
	"downsample_padding", "mid_block_scale_factor", "dropout", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim",
	"transformer_layers_per_block", "attention_head_dim", "only_cross_attention", "resnet_time_scale_shift",
	"time_embedding_type", "conv_in_kernel", "conv_out_kernel", NULL};

static const struct rd_unet2d_class class = {
	.known = known, .never_null = never_null, .channels = 4, .widths = {320, 640, 1280, 1280},
	.down = {RD_UNET_CROSS, RD_UNET_CROSS, RD_UNET_CROSS, RD_UNET_PLAIN},
	.up = {RD_UNET_PLAIN, RD_UNET_CROSS, RD_UNET_CROSS, RD_UNET_CROSS},
	.blocks = 1u << RD_UNET_PLAIN | 1u << RD_UNET_CROSS,
};

/* What is left out here: keys with the only value that they may have, their default. */
static int check_fixed(const struct rd_unet2d_keys *x)
{
	static const char *const off[] = { /* null or false */
		"only_cross_attention", "reverse_transformer_layers_per_block", "encoder_hid_dim", "encoder_hid_dim_type",
		"num_attention_heads", "dual_cross_attention", "class_embed_type", "num_class_embeds", "time_embedding_act_fn",
		"timestep_post_act", "time_cond_proj_dim", "class_embeddings_concat", NULL};
	static const char *const times[] = {"positional", NULL}, *const attentions[] = {"default", NULL};
	int64_t n;
	int i, rc;

	rc = rd_net_check_off(x->config, x->file, off, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "time_embedding_type", "positional", times, &i, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "attention_type", "default", attentions, &i, x->e);
	if (!rc)
		rc = rd_json_int(x->config, x->file, "conv_in_kernel", 3, 3, 3, &n, x->e);
	return rc ? rc : rd_json_int(x->config, x->file, "conv_out_kernel", 3, 3, 3, &n, x->e);
}

/* Keys of blocks and embeddings that there are not, which are in configs all the same: with a value that has a meaning. And
 * upcast_attention, to float32, in which scores are in any case. */
static int check_unread(const struct rd_unet2d_keys *x)
{
	static const char *const norms[] = {"", "layer_norm", "group_norm", NULL};
	static const char *const switches[] = {"mid_block_only_cross_attention", "resnet_skip_time_act", "upcast_attention"};
	double scale;
	int64_t n;
	bool on;
	int i, rc = rd_json_choice(x->config, x->file, "cross_attention_norm", "", norms, &i, x->e);

	for (size_t k = 0; k < sizeof switches / sizeof *switches && !rc; k++)
		rc = rd_net_bool(x->config, x->file, switches[k], false, &on, x->e);
	if (!rc)
		rc = rd_json_int(x->config, x->file, "addition_embed_type_num_heads", 64, 1, 65536, &n, x->e);
	return rc ? rc : rd_json_num(x->config, x->file, "resnet_out_scale_factor", 1, &scale, x->e);
}

/* A whole number for each resolution, or one for all. */
static int each(const struct rd_unet2d_keys *x, const char *key, int64_t def, int64_t lo, int64_t hi, int64_t *out)
{
	const json_t *v = json_object_get(x->config, key);
	int n = x->u->n_blocks;

	if (json_is_array(v) && json_array_size(v) != (size_t)n)
		return rd_fail(x->e, RD_EINPUT, "%s: %s: %d entries expected, as in block_out_channels", x->file, key, n);
	for (int b = 0; b < n; b++) {
		const json_t *one = json_is_array(v) ? json_array_get(v, (size_t)b) : v;
		double d = json_number_value(one);

		if (one && (!json_is_number(one) || !(d >= (double)lo && d <= (double)hi) || d != (double)(int64_t)d))
			return rd_fail(x->e, RD_EINPUT, "%s: %s: whole numbers from %lld to %lld expected", x->file, key, (long long)lo,
			               (long long)hi);
		out[b] = one ? (int64_t)d : def;
	}
	return RD_OK;
}

static bool attends(const struct rd_unet2d *u, int b)
{
	return u->down[b] == RD_UNET_CROSS || u->up[u->n_blocks - 1 - b] == RD_UNET_CROSS ||
	       (b == u->n_blocks - 1 && u->mid_cross);
}

/* There is one context: all that attend take it as wide. */
static int parse_context(const struct rd_unet2d_keys *x, struct rd_net *net)
{
	int64_t dim[RD_UNET_MAX_BLOCKS];
	int rc = each(x, "cross_attention_dim", 1280, 1, 65536, dim);

	for (int b = 0; b < x->u->n_blocks && !rc; b++) {
		if (!attends(x->u, b))
			continue;
		if (net->cond == RD_COND_CONTEXT && net->cond_dim != dim[b])
			return rd_fail(x->e, RD_EINPUT, "%s: cross_attention_dim: %lld and %lld, and there is one context for all", x->file,
			               (long long)net->cond_dim, (long long)dim[b]);
		net->cond = RD_COND_CONTEXT;
		net->cond_dim = dim[b];
	}
	return rc;
}

/* text_time: the vector is an embedding of the whole text, and sinusoids of sizes: diffusers' addition_time_embed_dim of each. */
static int parse_vector(const struct rd_unet2d_keys *x, struct rd_net *net)
{
	static const char *const types[] = {"", "text_time", NULL};
	int64_t dim, sinusoids;
	int type, rc = rd_json_choice(x->config, x->file, "addition_embed_type", "", types, &type, x->e);

	if (!rc)
		rc = rd_json_int(x->config, x->file, "projection_class_embeddings_input_dim", 0, 1, 65536, &dim, x->e);
	if (!rc)
		rc = rd_json_int(x->config, x->file, "addition_time_embed_dim", 0, 1, 65536, &sinusoids, x->e);
	if (rc || !type)
		return rc;
	if (!dim || !sinusoids)
		return rd_fail(x->e, RD_EINPUT, "%s: %s: addition_embed_type text_time needs it", x->file,
		               dim ? "addition_time_embed_dim" : "projection_class_embeddings_input_dim");
	if (net->cond != RD_COND_CONTEXT)
		return rd_fail(x->e, RD_EINPUT, "%s: addition_embed_type: text_time, and no block attends to a context", x->file);
	net->vector_dim = dim;
	return RD_OK;
}

int rd_unet2d_condition_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	static const char *const mid[] = {"UNetMidBlock2DCrossAttn", NULL};
	struct rd_unet2d *u = &net->u.unet2d;
	struct rd_unet2d_keys x = {u, &class, config, file, e};
	int i, rc = rd_unet2d_common(&x);

	if (!rc)
		rc = check_fixed(&x);
	if (!rc)
		rc = check_unread(&x);
	if (!rc)
		rc = rd_json_choice(config, file, "mid_block_type", mid[0], mid, &i, e);
	if (!rc)
		rc = rd_net_bool(config, file, "use_linear_projection", false, &u->linear_projection, e);
	if (!rc)
		rc = each(&x, "attention_head_dim", 8, 1, 65536, u->heads);
	if (!rc)
		rc = each(&x, "transformer_layers_per_block", 1, 0, MAX_TRANSFORMER_LAYERS, u->transformer_layers);
	if (rc)
		return rc;
	u->mid_block = u->mid_cross = !json_is_null(json_object_get(config, "mid_block_type"));
	u->time_act = u->out_act = u->act;
	rc = parse_context(&x, net);
	if (!rc)
		rc = parse_vector(&x, net);
	return rc ? rc : rd_unet2d_finish(&x, net);
}
