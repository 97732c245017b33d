#include "lib/net/unet2d_keys.h"

#include <string.h>

#include "formats/json.h"
#include "lib/net/unet2d_config.h"

static const struct {
	const char *down, *up;
} block_names[] = {
	[RD_UNET_PLAIN] = {"DownBlock2D", "UpBlock2D"},
	[RD_UNET_ATTN] = {"AttnDownBlock2D", "AttnUpBlock2D"},
	[RD_UNET_RESNET] = {"ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"},
	[RD_UNET_SKIP] = {"SkipDownBlock2D", "SkipUpBlock2D"},
	[RD_UNET_ATTN_SKIP] = {"AttnSkipDownBlock2D", "AttnSkipUpBlock2D"},
	[RD_UNET_CROSS] = {"CrossAttnDownBlock2D", "CrossAttnUpBlock2D"},
};

const char *rd_unet2d_block_name(enum rd_unet_block kind, bool down)
{
	return down ? block_names[kind].down : block_names[kind].up;
}

static int check_nulls(const struct rd_unet2d_keys *x)
{
	return rd_net_check_nulls(x->config, x->file, x->class->never_null, x->e);
}

static int parse_sizes(const struct rd_unet2d_keys *x)
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

static int parse_channels(const struct rd_unet2d_keys *x)
{
	const json_t *a = json_object_get(x->config, "block_out_channels"), *v;
	size_t i;

	if (!a) {
		x->u->n_blocks = RD_UNET_DEFAULT_BLOCKS;
		memcpy(x->u->block_out_channels, x->class->widths, sizeof x->class->widths);
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
static int parse_block(const struct rd_unet2d_keys *x, const char *key, bool down, const json_t *v, enum rd_unet_block *out)
{
	static const char front[] = "UNetRes";
	const char *s = json_string_value(v), *name = s;

	if (s && !strncmp(s, front, sizeof front - 1))
		name = s + sizeof front - 1;
	for (size_t i = 0; name && i < sizeof block_names / sizeof *block_names; i++)
		if (x->class->blocks >> i & 1 && !strcmp(name, rd_unet2d_block_name((enum rd_unet_block)i, down))) {
			*out = (enum rd_unet_block)i;
			return RD_OK;
		}
	return rd_fail(x->e, RD_EINPUT, "%s: %s: there is no block %.64s here", x->file, key, s ? s : "but by a name");
}

/* One per entry of block_out_channels. */
static int parse_blocks(const struct rd_unet2d_keys *x, const char *key, bool down, enum rd_unet_block *out)
{
	const json_t *a = json_object_get(x->config, key);
	int n = x->u->n_blocks, rc = 0;

	if (a ? !json_is_array(a) || json_array_size(a) != (size_t)n : n != RD_UNET_DEFAULT_BLOCKS)
		return rd_fail(x->e, RD_EINPUT, "%s: %s: %d entries expected, as in block_out_channels", x->file, key, n);
	if (!a)
		memcpy(out, down ? x->class->down : x->class->up, sizeof x->class->down);
	for (int i = 0; i < n && a && !rc; i++)
		rc = parse_block(x, key, down, json_array_get(a, (size_t)i), &out[i]);
	return rc;
}

static int parse_ints(const struct rd_unet2d_keys *x)
{
	struct rd_unet2d *u = x->u;
	int64_t pad = 0;
	const struct {
		const char *key;
		int64_t def, lo, hi, *out;
	} ints[] = {
		{"in_channels", x->class->channels, 1, 4096, &u->in_channels},
		{"out_channels", x->class->channels, 1, 4096, &u->out_channels},
		{"layers_per_block", 2, 0, RD_UNET_MAX_LAYERS, &u->layers_per_block},
		{"norm_num_groups", 32, 1, 4096, &u->norm_num_groups},
		{"time_embedding_dim", 0, 0, 65536, &u->time_embedding_dim},
		{"downsample_padding", 1, 0, 4096, &pad},
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof ints / sizeof *ints && !rc; i++)
		rc = rd_json_int(x->config, x->file, ints[i].key, ints[i].def, ints[i].lo, ints[i].hi, ints[i].out, x->e);
	if (json_is_null(json_object_get(x->config, "norm_num_groups")))
		u->norm_num_groups = 0;
	if (!u->time_embedding_dim)
		u->time_embedding_dim = 4 * u->block_out_channels[0];
	u->downsample_padding = (int)pad;
	return rc;
}

static int parse_numbers(const struct rd_unet2d_keys *x)
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

static int parse_switches(const struct rd_unet2d_keys *x)
{
	static const char *const shifts[] = {"default", "scale_shift", NULL};
	struct rd_unet2d *u = x->u;
	int shift = 0, rc = rd_net_bool(x->config, x->file, "flip_sin_to_cos", true, &u->flip_sin_to_cos, x->e);

	if (!rc)
		rc = rd_net_bool(x->config, x->file, "center_input_sample", false, &u->center_input_sample, x->e);
	if (!rc)
		rc = rd_json_choice(x->config, x->file, "resnet_time_scale_shift", "default", shifts, &shift, x->e);
	if (!rc)
		rc = rd_net_act(x->config, x->file, &u->act, x->e);
	u->scale_shift = shift == 1;
	return rc;
}

int rd_unet2d_common(const struct rd_unet2d_keys *x)
{
	int (*const steps[])(const struct rd_unet2d_keys *) = {check_nulls, parse_sizes, parse_channels, parse_ints, parse_numbers,
	                                                       parse_switches};
	int rc = rd_net_check_keys(x->config, x->file, x->class->known, x->e);

	for (size_t i = 0; i < sizeof steps / sizeof *steps && !rc; i++)
		rc = steps[i](x);
	if (!rc)
		rc = parse_blocks(x, "down_block_types", true, x->u->down);
	return rc ? rc : parse_blocks(x, "up_block_types", false, x->u->up);
}

static int check_frequencies(const struct rd_unet2d_keys *x)
{
	const struct rd_unet2d *u = x->u;

	if (u->time_embedding == RD_TIME_POSITIONAL && u->block_out_channels[0] > 1 &&
	    u->freq_shift == (double)(u->block_out_channels[0] / 2))
		return rd_fail(x->e, RD_EINPUT, "%s: freq_shift: %g leaves no frequencies to %lld channels", x->file, u->freq_shift,
		               (long long)u->block_out_channels[0]);
	return RD_OK;
}

static int check_sizes(const struct rd_unet2d_keys *x)
{
	const struct rd_unet2d *u = x->u;
	int64_t part = (int64_t)1 << (u->n_blocks - 1);

	if (u->height % part || u->width % part)
		return rd_fail(x->e, RD_EINPUT, "%s: sample_size: %lld x %lld cannot be halved once for each of %d blocks", x->file,
		               (long long)u->height, (long long)u->width, u->n_blocks - 1);
	for (int b = 0; b < u->n_blocks - 1; b++)
		if (u->downsample_padding > 1 &&
		    (u->down[b] == RD_UNET_PLAIN || u->down[b] == RD_UNET_CROSS || (u->down[b] == RD_UNET_ATTN && !u->downsample_resnet)))
			return rd_fail(x->e, RD_EINPUT, "%s: downsample_padding: %d does not halve; 0 and 1 do", x->file,
			               u->downsample_padding);
	for (int b = 1; b < u->n_blocks; b++)
		if (!u->layers_per_block && u->block_out_channels[b] != u->block_out_channels[0])
			return rd_fail(x->e, RD_EINPUT, "%s: layers_per_block: with 0 nothing leads from %lld channels to %lld", x->file,
			               (long long)u->block_out_channels[0], (long long)u->block_out_channels[b]);
	return RD_OK;
}

int rd_unet2d_finish(const struct rd_unet2d_keys *x, struct rd_net *net)
{
	const struct rd_unet2d *u = x->u;
	int rc = check_frequencies(x);

	if (!rc)
		rc = check_sizes(x);
	if (rc)
		return rc;
	return rd_net_set_channels(net, u->in_channels, u->out_channels, u->height, u->width, x->file, x->e);
}
