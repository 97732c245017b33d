#include "lib/net/unet2d_config.h"

#include <string.h>

#include "formats/json.h"

/* diffusers' defaults of UNet2DModel apply to keys that are absent. */
static const char *const known[] = {
	"sample_size", "in_channels", "out_channels", "center_input_sample", "time_embedding_type", "time_embedding_dim",
	"freq_shift", "flip_sin_to_cos", "down_block_types", "mid_block_type", "up_block_types", "block_out_channels",
	"layers_per_block", "mid_block_scale_factor", "downsample_padding", "downsample_type", "upsample_type", "dropout",
	"act_fn", "attention_head_dim", "norm_num_groups", "attn_norm_num_groups", "norm_eps", "resnet_time_scale_shift",
	"add_attention", "class_embed_type", "num_class_embeds", "num_train_timesteps", NULL};

/* A key of which only one value is understood. */
static int only(const json_t *config, const char *file, const char *key, const char *value, struct rd_err *e)
{
	const json_t *v = json_object_get(config, key);
	const char *s = json_is_null(v) ? "null" : json_string_value(v);

	if (!v || (s && !strcmp(s, value)))
		return RD_OK;
	return rd_fail(e, RD_EINPUT, "%s: %s: %s is not supported, only %s", file, key, s ? s : "this value", value);
}

static int parse_sizes(struct rd_unet2d *u, const json_t *config, const char *file, struct rd_err *e)
{
	const json_t *s = json_object_get(config, "sample_size"), *h = json_array_get(s, 0), *w = json_array_get(s, 1);

	if (!json_is_array(s))
		h = w = s;
	u->height = json_integer_value(h);
	u->width = json_integer_value(w);
	if (!json_is_integer(h) || !json_is_integer(w) || u->height < 1 || u->width < 1 || u->height > 4096 ||
	    u->width > 4096 || (json_is_array(s) && json_array_size(s) != 2))
		return rd_fail(e, RD_EINPUT, "%s: sample_size: a size, or [height, width], of at most 4096 expected", file);
	return RD_OK;
}

static int parse_channels(struct rd_unet2d *u, const json_t *config, const char *file, struct rd_err *e)
{
	static const int64_t def[] = {224, 448, 672, 896};
	const json_t *a = json_object_get(config, "block_out_channels"), *v;
	size_t i;

	if (!a) {
		u->n_blocks = 4;
		memcpy(u->block_out_channels, def, sizeof def);
		return RD_OK;
	}
	if (!json_is_array(a) || json_array_size(a) < 1 || json_array_size(a) > RD_UNET_MAX_BLOCKS)
		return rd_fail(e, RD_EINPUT, "%s: block_out_channels: a list of 1 to %d widths expected", file,
		               RD_UNET_MAX_BLOCKS);
	json_array_foreach(a, i, v) {
		u->block_out_channels[i] = json_integer_value(v);
		if (!json_is_integer(v) || json_integer_value(v) < 4 || json_integer_value(v) > 8192)
			return rd_fail(e, RD_EINPUT, "%s: block_out_channels: widths between 4 and 8192 expected", file);
	}
	u->n_blocks = (int)json_array_size(a);
	return RD_OK;
}

/* Block types, one per entry of block_out_channels: `plain` or `attn`. */
static int parse_blocks(const struct rd_unet2d *u, const json_t *config, const char *file, const char *key,
                        const char *plain, const char *attn, bool attn_default_first, bool *out, struct rd_err *e)
{
	const json_t *a = json_object_get(config, key);

	if (!a) { /* diffusers: plain but for three with attention, on the low resolutions */
		for (int i = 0; i < u->n_blocks; i++)
			out[i] = attn_default_first ? i < 3 : i > 0;
		return u->n_blocks == 4 ? RD_OK
		                        : rd_fail(e, RD_EINPUT, "%s: %s: %d entries expected, as in block_out_channels", file,
		                                  key, u->n_blocks);
	}
	if (!json_is_array(a) || json_array_size(a) != (size_t)u->n_blocks)
		return rd_fail(e, RD_EINPUT, "%s: %s: %d entries expected, as in block_out_channels", file, key, u->n_blocks);
	for (int i = 0; i < u->n_blocks; i++) {
		const char *s = json_string_value(json_array_get(a, (size_t)i));

		out[i] = s && !strcmp(s, attn);
		if (!s || (strcmp(s, plain) && strcmp(s, attn)))
			return rd_fail(e, RD_EINPUT, "%s: %s: %s is not supported, only %s and %s", file, key,
			               s ? s : "what is no string", plain, attn);
	}
	return RD_OK;
}

static int parse_unsupported(const json_t *config, const char *file, struct rd_err *e)
{
	static const struct {
		const char *key, *value;
	} fixed[] = {{"time_embedding_type", "positional"}, {"mid_block_type", "UNetMidBlock2D"}, {"downsample_type", "conv"},
	             {"upsample_type", "conv"}, {"class_embed_type", "null"}};
	double dropout;
	int rc = rd_json_num(config, file, "dropout", 0, &dropout, e);

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed && !rc; i++)
		rc = only(config, file, fixed[i].key, fixed[i].value, e);
	if (!rc && dropout != 0)
		rc = rd_fail(e, RD_EINPUT, "%s: dropout: %g is not supported, only 0", file, dropout);
	return rc;
}

static int parse_numbers(struct rd_unet2d *u, const json_t *config, const char *file, struct rd_err *e)
{
	const struct {
		const char *key;
		int64_t def, lo, hi, *out;
	} ints[] = {
		{"in_channels", 3, 1, 4096, &u->in_channels},
		{"out_channels", 3, 1, 4096, &u->out_channels},
		{"layers_per_block", 2, 1, RD_UNET_MAX_LAYERS, &u->layers_per_block},
		{"norm_num_groups", 32, 1, 4096, &u->norm_num_groups},
		{"attn_norm_num_groups", 0, 1, 4096, &u->attn_norm_num_groups},
		{"attention_head_dim", 8, 1, 65536, &u->attention_head_dim},
		{"time_embedding_dim", 4 * u->block_out_channels[0], 1, 65536, &u->time_embedding_dim},
		{"num_class_embeds", 0, 1, 1 << 20, &u->num_class_embeds},
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof ints / sizeof *ints && !rc; i++)
		rc = rd_json_int(config, file, ints[i].key, ints[i].def, ints[i].lo, ints[i].hi, ints[i].out, e);
	if (!rc && json_is_null(json_object_get(config, "attention_head_dim")))
		u->attention_head_dim = 0;
	if (!rc)
		rc = rd_json_num(config, file, "norm_eps", 1e-5, &u->norm_eps, e);
	if (!rc)
		rc = rd_json_num(config, file, "freq_shift", 0, &u->freq_shift, e);
	if (!rc)
		rc = rd_json_num(config, file, "mid_block_scale_factor", 1, &u->mid_block_scale_factor, e);
	if (!rc && !(u->norm_eps > 0 && u->mid_block_scale_factor != 0))
		rc = rd_fail(e, RD_EINPUT, "%s: norm_eps and mid_block_scale_factor must not be 0", file);
	return rc;
}

static int parse_switches(struct rd_unet2d *u, const json_t *config, const char *file, struct rd_err *e)
{
	static const char *const shifts[] = {"default", "scale_shift", NULL};
	int64_t pad;
	int shift, rc = rd_json_bool(config, file, "flip_sin_to_cos", true, &u->flip_sin_to_cos, e);

	if (!rc)
		rc = rd_json_bool(config, file, "center_input_sample", false, &u->center_input_sample, e);
	if (!rc)
		rc = rd_json_bool(config, file, "add_attention", true, &u->add_attention, e);
	if (!rc)
		rc = rd_json_choice(config, file, "resnet_time_scale_shift", "default", shifts, &shift, e);
	if (!rc)
		rc = rd_json_int(config, file, "downsample_padding", 1, 0, 1, &pad, e);
	if (!rc)
		rc = rd_net_act(config, file, &u->act, e);
	if (rc)
		return rc;
	u->scale_shift = shift == 1;
	u->downsample_padding = (int)pad;
	if (u->center_input_sample)
		return rd_fail(e, RD_EINPUT, "%s: center_input_sample: true is not supported, only false", file);
	return RD_OK;
}

int rd_unet2d_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_unet2d *u = &net->u.unet2d;
	int rc = rd_net_check_keys(config, file, known, e);

	if (!rc)
		rc = parse_unsupported(config, file, e);
	if (!rc)
		rc = parse_sizes(u, config, file, e);
	if (!rc)
		rc = parse_channels(u, config, file, e);
	if (!rc)
		rc = parse_blocks(u, config, file, "down_block_types", "DownBlock2D", "AttnDownBlock2D", false, u->down_attn, e);
	if (!rc)
		rc = parse_blocks(u, config, file, "up_block_types", "UpBlock2D", "AttnUpBlock2D", true, u->up_attn, e);
	if (!rc)
		rc = parse_numbers(u, config, file, e);
	if (!rc)
		rc = parse_switches(u, config, file, e);
	if (rc)
		return rc;
	if (u->in_channels != u->out_channels)
		return rd_fail(e, RD_EINPUT, "%s: out_channels %lld differs from in_channels %lld: no diffusion model of samples",
		               file, (long long)u->out_channels, (long long)u->in_channels);
	net->sample = rd_shape_make(3, (int64_t[]){u->in_channels, u->height, u->width});
	net->classes = u->num_class_embeds;
	return RD_OK;
}
