#include "lib/net/unet2d_config.h"

#include <string.h>

#include "formats/json.h"
#include "lib/net/unet2d_keys.h"

static const char *const known[] = {
	"sample_size", "in_channels", "out_channels", "center_input_sample", "time_embedding_type", "time_embedding_dim",
	"freq_shift", "flip_sin_to_cos", "down_block_types", "mid_block_type", "up_block_types", "block_out_channels",
	"layers_per_block", "mid_block_scale_factor", "downsample_padding", "downsample_type", "upsample_type", "dropout",
	"act_fn", "attention_head_dim", "norm_num_groups", "attn_norm_num_groups", "norm_eps", "resnet_time_scale_shift",
	"add_attention", "class_embed_type", "num_class_embeds", "num_train_timesteps", NULL};

static const char *const never_null[] = {
	"in_channels", "out_channels", "time_embedding_type", "freq_shift", "down_block_types", "up_block_types",
	"block_out_channels", "layers_per_block", "mid_block_scale_factor", "downsample_padding", "dropout", "act_fn",
	"norm_eps", "resnet_time_scale_shift", NULL};

static const struct rd_unet2d_class class = {
	.known = known, .never_null = never_null, .channels = 3, .widths = {224, 448, 672, 896},
	.down = {RD_UNET_PLAIN, RD_UNET_ATTN, RD_UNET_ATTN, RD_UNET_ATTN},
	.up = {RD_UNET_ATTN, RD_UNET_ATTN, RD_UNET_ATTN, RD_UNET_PLAIN},
	.blocks = 1u << RD_UNET_PLAIN | 1u << RD_UNET_ATTN | 1u << RD_UNET_RESNET | 1u << RD_UNET_SKIP | 1u << RD_UNET_ATTN_SKIP,
};

static int parse_ints(const struct rd_unet2d_keys *x)
{
	struct rd_unet2d *u = x->u;
	int rc = rd_json_int(x->config, x->file, "attn_norm_num_groups", 0, 1, 4096, &u->attn_norm_num_groups, x->e);

	if (!rc)
		rc = rd_json_int(x->config, x->file, "attention_head_dim", 8, 1, 65536, &u->attention_head_dim, x->e);
	if (!rc)
		rc = rd_json_int(x->config, x->file, "num_class_embeds", 0, 0, 1 << 20, &u->num_class_embeds, x->e);
	if (!rc)
		rc = rd_json_int(x->config, x->file, "num_train_timesteps", 0, 0, 1 << 20, &u->num_train_timesteps, x->e);
	if (json_is_null(json_object_get(x->config, "attention_head_dim")))
		u->attention_head_dim = 0;
	return rc;
}

static int parse_switches(const struct rd_unet2d_keys *x)
{
	static const char *const times[] = {"positional", "fourier", "learned", NULL}, *const resample[] = {"conv", "resnet", NULL},
	                  *const mid[] = {"UNetMidBlock2D", NULL};
	struct rd_unet2d *u = x->u;
	int time = 0, down = 0, up = 0, i, rc = rd_net_bool(x->config, x->file, "add_attention", true, &u->add_attention, x->e);

	if (!rc)
		rc = rd_json_choice(x->config, x->file, "time_embedding_type", "positional", times, &time, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "downsample_type", "conv", resample, &down, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "upsample_type", "conv", resample, &up, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "mid_block_type", "UNetMidBlock2D", mid, &i, x->e);
	u->mid_block = !json_is_null(json_object_get(x->config, "mid_block_type"));
	u->time_embedding = (enum rd_time_embedding)time;
	u->downsample_resnet = down == 1;
	u->upsample_resnet = up == 1;
	u->time_act = u->out_act = RD_ACT_SILU;
	return rc;
}

/* What a network is conditioned on. num_class_embeds only counts where class_embed_type is null. */
static int parse_condition(const struct rd_unet2d_keys *x, struct rd_net *net)
{
	static const char *const names[] = {"", "timestep", "identity", NULL};
	static const enum rd_cond kinds[] = {RD_COND_NONE, RD_COND_NUMBER, RD_COND_VECTOR};
	const struct rd_unet2d *u = x->u;
	const json_t *n = json_object_get(x->config, "num_class_embeds");
	int i, rc = rd_json_choice(x->config, x->file, "class_embed_type", "", names, &i, x->e);

	if (rc)
		return rc;
	net->cond = kinds[i];
	if (net->cond == RD_COND_NONE && n && !json_is_null(n)) {
		net->cond = RD_COND_CLASS;
		net->classes = u->num_class_embeds;
		if (!net->classes)
			return rd_fail(x->e, RD_EINPUT, "%s: num_class_embeds: 0: a number of classes or null expected", x->file);
	} else if (net->cond == RD_COND_NUMBER) {
		net->classes = u->time_embedding == RD_TIME_LEARNED ? u->num_train_timesteps : INT32_MAX;
	} else if (net->cond == RD_COND_VECTOR) {
		net->cond_dim = u->time_embedding_dim;
	}
	return RD_OK;
}

/* --- what the values must be to one another ----------------------------------------------------------------------- */

static int check_time(const struct rd_unet2d_keys *x)
{
	const struct rd_unet2d *u = x->u;

	if (u->time_embedding == RD_TIME_LEARNED && !u->num_train_timesteps)
		return rd_fail(x->e, RD_EINPUT, "%s: num_train_timesteps: time_embedding_type learned needs it", x->file);
	return RD_OK;
}

/* Without a number of groups, skip blocks and the middle choose their own, but the others do not. */
static int check_groups(const struct rd_unet2d_keys *x)
{
	const struct rd_unet2d *u = x->u;

	for (int b = 0; b < u->n_blocks && !u->norm_num_groups; b++)
		if ((!rd_unet_is_skip(u->down[b]) && u->layers_per_block) || !rd_unet_is_skip(u->up[b]))
			return rd_fail(x->e, RD_EINPUT, "%s: norm_num_groups: only skip blocks go without, not %s and %s", x->file,
			               rd_unet2d_block_name(u->down[b], true), rd_unet2d_block_name(u->up[b], false));
	return RD_OK;
}

/* The picture that skip blocks carry has three channels, and no other block keeps it at the size of the features. */
static int check_pictures(const struct rd_unet2d_keys *x)
{
	const struct rd_unet2d *u = x->u;
	const char *down = NULL, *up = NULL; /* the first block that leaves a picture as it is; that starts to paint one */

	for (int b = 0; b < u->n_blocks; b++) {
		bool last = b == u->n_blocks - 1;

		if (rd_unet_is_skip(u->down[b]) && !last) {
			if (u->in_channels != RD_UNET_PICTURE)
				return rd_fail(x->e, RD_EINPUT, "%s: in_channels: %s takes %d, not %lld", x->file,
				               rd_unet2d_block_name(u->down[b], true), RD_UNET_PICTURE, (long long)u->in_channels);
			if (down)
				return rd_fail(x->e, RD_EINPUT, "%s: down_block_types: %s cannot follow %s", x->file,
				               rd_unet2d_block_name(u->down[b], true), down);
		} else if (!rd_unet_is_skip(u->down[b])) {
			down = rd_unet2d_block_name(u->down[b], true);
		}
		if (up && !rd_unet_is_skip(u->up[b]))
			return rd_fail(x->e, RD_EINPUT, "%s: up_block_types: %s cannot follow %s", x->file, rd_unet2d_block_name(u->up[b], false), up);
		if (rd_unet_is_skip(u->up[b]) && !last) {
			if (u->out_channels != RD_UNET_PICTURE)
				return rd_fail(x->e, RD_EINPUT, "%s: out_channels: %s gives %d, not %lld", x->file,
				               rd_unet2d_block_name(u->up[b], false), RD_UNET_PICTURE, (long long)u->out_channels);
			up = rd_unet2d_block_name(u->up[b], false);
		}
	}
	return RD_OK;
}

int rd_unet2d_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_unet2d_keys x = {&net->u.unet2d, &class, config, file, e};
	int (*const checks[])(const struct rd_unet2d_keys *) = {check_time, check_groups, check_pictures};
	int rc = rd_unet2d_common(&x);

	if (!rc)
		rc = parse_ints(&x);
	if (!rc)
		rc = parse_switches(&x);
	if (!rc)
		rc = parse_condition(&x, net);
	for (size_t i = 0; i < sizeof checks / sizeof *checks && !rc; i++)
		rc = checks[i](&x);
	return rc ? rc : rd_unet2d_finish(&x, net);
}
