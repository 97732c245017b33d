#include "lib/net/unet2d_config.h"

#include <string.h>

#include "formats/json.h"

/* A value that diffusers has no use for is refused even where the rest of the config keeps it from being looked at: it is
 * a mistake. One that has a meaning is only refused where diffusers would fail on it. */
struct ctx {
	struct rd_unet2d *u;
	const json_t *config;
	const char *file;
	struct rd_err *e;
};

/* diffusers' defaults of UNet2DModel apply to keys that are absent. */
static const char *const known[] = {
	"sample_size", "in_channels", "out_channels", "center_input_sample", "time_embedding_type", "time_embedding_dim",
	"freq_shift", "flip_sin_to_cos", "down_block_types", "mid_block_type", "up_block_types", "block_out_channels",
	"layers_per_block", "mid_block_scale_factor", "downsample_padding", "downsample_type", "upsample_type", "dropout",
	"act_fn", "attention_head_dim", "norm_num_groups", "attn_norm_num_groups", "norm_eps", "resnet_time_scale_shift",
	"add_attention", "class_embed_type", "num_class_embeds", "num_train_timesteps", NULL};

/* Keys that have a default but for which null is no value. */
static const char *const never_null[] = {
	"in_channels", "out_channels", "time_embedding_type", "freq_shift", "down_block_types", "up_block_types",
	"block_out_channels", "layers_per_block", "mid_block_scale_factor", "downsample_padding", "dropout", "act_fn",
	"norm_eps", "resnet_time_scale_shift", NULL};

static const struct {
	const char *down, *up;
} block_names[] = {
	[RD_UNET_PLAIN] = {"DownBlock2D", "UpBlock2D"},
	[RD_UNET_ATTN] = {"AttnDownBlock2D", "AttnUpBlock2D"},
	[RD_UNET_RESNET] = {"ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"},
	[RD_UNET_SKIP] = {"SkipDownBlock2D", "SkipUpBlock2D"},
	[RD_UNET_ATTN_SKIP] = {"AttnSkipDownBlock2D", "AttnSkipUpBlock2D"},
};

static int check_nulls(const struct ctx *x)
{
	for (int i = 0; never_null[i]; i++)
		if (json_is_null(json_object_get(x->config, never_null[i])))
			return rd_fail(x->e, RD_EINPUT, "%s: %s: null is no value for it", x->file, never_null[i]);
	return RD_OK;
}

static int parse_sizes(const struct ctx *x)
{
	const json_t *s = json_object_get(x->config, "sample_size"), *h = json_array_get(s, 0), *w = json_array_get(s, 1);

	if (!s || json_is_null(s))
		return rd_fail(x->e, RD_EINPUT, "%s: sample_size: none is given, and nothing else says how large a sample is",
		               x->file);
	if (!json_is_array(s))
		h = w = s;
	x->u->height = json_integer_value(h);
	x->u->width = json_integer_value(w);
	if (!json_is_integer(h) || !json_is_integer(w) || x->u->height < 1 || x->u->width < 1 || x->u->height > 4096 ||
	    x->u->width > 4096 || (json_is_array(s) && json_array_size(s) != 2))
		return rd_fail(x->e, RD_EINPUT, "%s: sample_size: a size, or [height, width], of at most 4096 expected", x->file);
	return RD_OK;
}

static int parse_channels(const struct ctx *x)
{
	static const int64_t def[] = {224, 448, 672, 896};
	const json_t *a = json_object_get(x->config, "block_out_channels"), *v;
	size_t i;

	if (!a) {
		x->u->n_blocks = 4;
		memcpy(x->u->block_out_channels, def, sizeof def);
		return RD_OK;
	}
	if (!json_is_array(a) || json_array_size(a) < 1 || json_array_size(a) > RD_UNET_MAX_BLOCKS)
		return rd_fail(x->e, RD_EINPUT, "%s: block_out_channels: a list of 1 to %d widths expected", x->file,
		               RD_UNET_MAX_BLOCKS);
	json_array_foreach(a, i, v) {
		x->u->block_out_channels[i] = json_integer_value(v);
		if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > 8192)
			return rd_fail(x->e, RD_EINPUT, "%s: block_out_channels: widths between 1 and 8192 expected", x->file);
	}
	x->u->n_blocks = (int)json_array_size(a);
	return RD_OK;
}

/* diffusers takes off a front of "UNetRes", from the days when the blocks were called so. */
static int parse_block(const struct ctx *x, const char *key, bool down, const json_t *v, enum rd_unet_block *out)
{
	static const char front[] = "UNetRes";
	const char *s = json_string_value(v), *name = s;

	if (s && !strncmp(s, front, sizeof front - 1))
		name = s + sizeof front - 1;
	for (size_t i = 0; name && i < sizeof block_names / sizeof *block_names; i++)
		if (!strcmp(name, down ? block_names[i].down : block_names[i].up)) {
			*out = (enum rd_unet_block)i;
			return RD_OK;
		}
	return rd_fail(x->e, RD_EINPUT, "%s: %s: there is no block %.64s here", x->file, key, s ? s : "but by a name");
}

/* One per entry of block_out_channels. Without the key diffusers has one plain block, at the full resolution. */
static int parse_blocks(const struct ctx *x, const char *key, bool down, enum rd_unet_block *out)
{
	const json_t *a = json_object_get(x->config, key);
	int n = x->u->n_blocks, rc = 0;

	if (a ? !json_is_array(a) || json_array_size(a) != (size_t)n : n != 4)
		return rd_fail(x->e, RD_EINPUT, "%s: %s: %d entries expected, as in block_out_channels", x->file, key, n);
	for (int i = 0; i < n && !rc; i++) {
		out[i] = i == (down ? 0 : n - 1) ? RD_UNET_PLAIN : RD_UNET_ATTN;
		if (a)
			rc = parse_block(x, key, down, json_array_get(a, (size_t)i), &out[i]);
	}
	return rc;
}

static int parse_ints(const struct ctx *x)
{
	struct rd_unet2d *u = x->u;
	int64_t pad;
	const struct {
		const char *key;
		int64_t def, lo, hi, *out;
	} ints[] = {
		{"in_channels", 3, 1, 4096, &u->in_channels},
		{"out_channels", 3, 1, 4096, &u->out_channels},
		{"layers_per_block", 2, 0, RD_UNET_MAX_LAYERS, &u->layers_per_block},
		{"norm_num_groups", 32, 1, 4096, &u->norm_num_groups},
		{"attn_norm_num_groups", 0, 1, 4096, &u->attn_norm_num_groups},
		{"attention_head_dim", 8, 1, 65536, &u->attention_head_dim},
		{"time_embedding_dim", 0, 0, 65536, &u->time_embedding_dim},
		{"num_class_embeds", 0, 0, 1 << 20, &u->num_class_embeds},
		{"num_train_timesteps", 0, 0, 1 << 20, &u->num_train_timesteps},
		{"downsample_padding", 1, 0, 4096, &pad},
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof ints / sizeof *ints && !rc; i++)
		rc = rd_json_int(x->config, x->file, ints[i].key, ints[i].def, ints[i].lo, ints[i].hi, ints[i].out, x->e);
	if (json_is_null(json_object_get(x->config, "attention_head_dim")))
		u->attention_head_dim = 0;
	if (json_is_null(json_object_get(x->config, "norm_num_groups")))
		u->norm_num_groups = 0;
	if (!u->time_embedding_dim)
		u->time_embedding_dim = 4 * u->block_out_channels[0];
	u->downsample_padding = (int)pad;
	return rc;
}

static int parse_numbers(const struct ctx *x)
{
	struct rd_unet2d *u = x->u;
	int rc = rd_json_num(x->config, x->file, "norm_eps", 1e-5, &u->norm_eps, x->e);

	if (!rc)
		rc = rd_json_num(x->config, x->file, "freq_shift", 0, &u->freq_shift, x->e);
	if (!rc)
		rc = rd_json_num(x->config, x->file, "mid_block_scale_factor", 1, &u->mid_block_scale_factor, x->e);
	if (!rc)
		rc = rd_json_num(x->config, x->file, "dropout", 0, &u->dropout, x->e);
	if (rc)
		return rc;
	if (!(u->norm_eps >= 0))
		return rd_fail(x->e, RD_EINPUT, "%s: norm_eps: %g: a number of at least 0 expected", x->file, u->norm_eps);
	if (u->mid_block_scale_factor == 0)
		return rd_fail(x->e, RD_EINPUT, "%s: mid_block_scale_factor: 0: it divides", x->file);
	if (!(u->dropout >= 0 && u->dropout < 1))
		return rd_fail(x->e, RD_EINPUT, "%s: dropout: %g: a number of at least 0 and below 1 expected", x->file, u->dropout);
	return RD_OK;
}

/* A switch that is off where it is null, as in Python, whatever its default. */
static int parse_bool(const struct ctx *x, const char *key, bool def, bool *out)
{
	return rd_json_bool(x->config, x->file, key, def && !json_is_null(json_object_get(x->config, key)), out, x->e);
}

static int parse_switches(const struct ctx *x)
{
	static const char *const times[] = {"positional", "fourier", "learned", NULL}, *const shifts[] = {"default", "scale_shift", NULL},
	                  *const resample[] = {"conv", "resnet", NULL}, *const mid[] = {"UNetMidBlock2D", NULL};
	struct rd_unet2d *u = x->u;
	int time = 0, shift = 0, down = 0, up = 0, i, rc = parse_bool(x, "flip_sin_to_cos", true, &u->flip_sin_to_cos);

	if (!rc)
		rc = parse_bool(x, "center_input_sample", false, &u->center_input_sample);
	if (!rc)
		rc = parse_bool(x, "add_attention", true, &u->add_attention);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "time_embedding_type", "positional", times, &time, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "resnet_time_scale_shift", "default", shifts, &shift, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "downsample_type", "conv", resample, &down, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "upsample_type", "conv", resample, &up, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "mid_block_type", "UNetMidBlock2D", mid, &i, x->e);
	if (!rc)
		rc = rd_net_act(x->config, x->file, &u->act, x->e);
	u->mid_block = !json_is_null(json_object_get(x->config, "mid_block_type"));
	u->time_embedding = (enum rd_time_embedding)time;
	u->scale_shift = shift == 1;
	u->downsample_resnet = down == 1;
	u->upsample_resnet = up == 1;
	return rc;
}

/* What a network is conditioned on. num_class_embeds only counts where class_embed_type is null. */
static int parse_condition(const struct ctx *x, struct rd_net *net)
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

static int check_time(const struct ctx *x)
{
	const struct rd_unet2d *u = x->u;

	if (u->time_embedding == RD_TIME_LEARNED && !u->num_train_timesteps)
		return rd_fail(x->e, RD_EINPUT, "%s: num_train_timesteps: time_embedding_type learned needs it", x->file);
	if (u->time_embedding == RD_TIME_POSITIONAL && u->block_out_channels[0] > 1 &&
	    u->freq_shift == (double)(u->block_out_channels[0] / 2))
		return rd_fail(x->e, RD_EINPUT, "%s: freq_shift: %g leaves no frequencies to %lld channels", x->file, u->freq_shift,
		               (long long)u->block_out_channels[0]);
	return RD_OK;
}

/* Every block but the last halves, and what comes up again must be what went down. */
static int check_sizes(const struct ctx *x)
{
	const struct rd_unet2d *u = x->u;
	int64_t part = (int64_t)1 << (u->n_blocks - 1);

	if (u->height % part || u->width % part)
		return rd_fail(x->e, RD_EINPUT, "%s: sample_size: %lld x %lld cannot be halved once for each of %d blocks", x->file,
		               (long long)u->height, (long long)u->width, u->n_blocks - 1);
	for (int b = 0; b < u->n_blocks - 1; b++)
		if (u->downsample_padding > 1 &&
		    (u->down[b] == RD_UNET_PLAIN || (u->down[b] == RD_UNET_ATTN && !u->downsample_resnet)))
			return rd_fail(x->e, RD_EINPUT, "%s: downsample_padding: %d does not halve; 0 and 1 do", x->file,
			               u->downsample_padding);
	for (int b = 1; b < u->n_blocks; b++)
		if (!u->layers_per_block && u->block_out_channels[b] != u->block_out_channels[0])
			return rd_fail(x->e, RD_EINPUT, "%s: layers_per_block: with 0 nothing leads from %lld channels to %lld", x->file,
			               (long long)u->block_out_channels[0], (long long)u->block_out_channels[b]);
	return RD_OK;
}

/* Without a number of groups, skip blocks and the middle choose their own, but the others do not. */
static int check_groups(const struct ctx *x)
{
	const struct rd_unet2d *u = x->u;

	for (int b = 0; b < u->n_blocks && !u->norm_num_groups; b++)
		if ((!rd_unet_is_skip(u->down[b]) && u->layers_per_block) || !rd_unet_is_skip(u->up[b]))
			return rd_fail(x->e, RD_EINPUT, "%s: norm_num_groups: only skip blocks go without, not %s and %s", x->file,
			               block_names[u->down[b]].down, block_names[u->up[b]].up);
	return RD_OK;
}

/* The picture that skip blocks carry has three channels, and no other block keeps it at the size of the features. */
static int check_pictures(const struct ctx *x)
{
	const struct rd_unet2d *u = x->u;
	const char *down = NULL, *up = NULL; /* the first block that leaves a picture as it is; that starts to paint one */

	for (int b = 0; b < u->n_blocks; b++) {
		bool last = b == u->n_blocks - 1;

		if (rd_unet_is_skip(u->down[b]) && !last) {
			if (u->in_channels != RD_UNET_PICTURE)
				return rd_fail(x->e, RD_EINPUT, "%s: in_channels: %s takes %d, not %lld", x->file,
				               block_names[u->down[b]].down, RD_UNET_PICTURE, (long long)u->in_channels);
			if (down)
				return rd_fail(x->e, RD_EINPUT, "%s: down_block_types: %s cannot follow %s", x->file,
				               block_names[u->down[b]].down, down);
		} else if (!rd_unet_is_skip(u->down[b])) {
			down = block_names[u->down[b]].down;
		}
		if (up && !rd_unet_is_skip(u->up[b]))
			return rd_fail(x->e, RD_EINPUT, "%s: up_block_types: %s cannot follow %s", x->file, block_names[u->up[b]].up, up);
		if (rd_unet_is_skip(u->up[b]) && !last) {
			if (u->out_channels != RD_UNET_PICTURE)
				return rd_fail(x->e, RD_EINPUT, "%s: out_channels: %s gives %d, not %lld", x->file,
				               block_names[u->up[b]].up, RD_UNET_PICTURE, (long long)u->out_channels);
			up = block_names[u->up[b]].up;
		}
	}
	return RD_OK;
}

int rd_unet2d_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_unet2d *u = &net->u.unet2d;
	struct ctx x = {u, config, file, e};
	int (*const steps[])(const struct ctx *) = {check_nulls, parse_sizes, parse_channels, parse_ints, parse_numbers,
	                                            parse_switches};
	int (*const checks[])(const struct ctx *) = {check_time, check_sizes, check_groups, check_pictures};
	int rc = rd_net_check_keys(config, file, known, e);

	for (size_t i = 0; i < sizeof steps / sizeof *steps && !rc; i++)
		rc = steps[i](&x);
	if (!rc)
		rc = parse_blocks(&x, "down_block_types", true, u->down);
	if (!rc)
		rc = parse_blocks(&x, "up_block_types", false, u->up);
	if (!rc)
		rc = parse_condition(&x, net);
	for (size_t i = 0; i < sizeof checks / sizeof *checks && !rc; i++)
		rc = checks[i](&x);
	if (rc)
		return rc;
	if (u->in_channels != u->out_channels)
		return rd_fail(e, RD_EINPUT, "%s: out_channels %lld differs from in_channels %lld: no diffusion model of samples",
		               file, (long long)u->out_channels, (long long)u->in_channels);
	net->sample = rd_shape_make(3, (int64_t[]){u->in_channels, u->height, u->width});
	return RD_OK;
}
