/* The config of an SD3Transformer2DModel, key by key. */
#include "formats/json.h"
#include "lib/net/patches.h"
#include "lib/net/sd3.h"

#define MAX_GRID 1024

static const char *const known[] = {
	"sample_size", "patch_size", "in_channels", "num_layers", "attention_head_dim", "num_attention_heads", "joint_attention_dim",
	"caption_projection_dim", "pooled_projection_dim", "out_channels", "pos_embed_max_size", "dual_attention_layers", "qk_norm",
	NULL};

static const char *const never_null[] = {
	"sample_size", "patch_size", "in_channels", "num_layers", "attention_head_dim", "num_attention_heads", "joint_attention_dim",
	"caption_projection_dim", "pooled_projection_dim", "pos_embed_max_size", "dual_attention_layers", NULL};

static int parse_ints(struct rd_net *net, int64_t *caption, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_sd3 *s = &net->u.sd3;
	const struct {
		const char *key;
		int64_t def, hi, *out;
	} ints[] = {
		{"sample_size", 128, 4096, &s->size},
		{"patch_size", 2, 64, &s->patch},
		{"in_channels", 16, 4096, &s->in_channels},
		{"num_layers", 18, RD_SD3_MAX_LAYERS, &s->layers},
		{"attention_head_dim", 64, 65536, &s->head_dim},
		{"num_attention_heads", 18, 4096, &s->heads},
		{"joint_attention_dim", 4096, 65536, &net->cond_dim},
		{"caption_projection_dim", 1152, 1 << 20, caption},
		{"pooled_projection_dim", 2048, 65536, &net->vector_dim},
		{"out_channels", 16, 8192, &s->out_channels},
		{"pos_embed_max_size", 96, MAX_GRID, &s->grid},
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof ints / sizeof *ints && !rc; i++)
		rc = rd_json_int(config, file, ints[i].key, ints[i].def, 1, ints[i].hi, ints[i].out, e);
	if (!rc && json_is_null(json_object_get(config, "out_channels")))
		s->out_channels = s->in_channels;
	return rc;
}

static int parse_dual(struct rd_sd3 *s, const json_t *config, const char *file, struct rd_err *e)
{
	const json_t *list = json_object_get(config, "dual_attention_layers"), *v;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, v) {
		double d = json_number_value(v);

		if (!json_is_number(v) || !(d >= 0 && d < (double)s->layers) || d != (double)(int64_t)d)
			return rd_fail(e, RD_EINPUT, "%s: dual_attention_layers: whole numbers from 0 to %lld expected (num_layers)", file,
			               (long long)s->layers - 1);
		s->dual[(int64_t)d] = true;
	}
	return RD_OK;
}

static int parse_qk_norm(struct rd_sd3 *s, const json_t *config, const char *file, struct rd_err *e)
{
	static const char *const norms[] = {"rms_norm", NULL};
	const json_t *v = json_object_get(config, "qk_norm");
	int i;

	s->qk_norm = v && !json_is_null(v);
	return s->qk_norm ? rd_json_choice(config, file, "qk_norm", norms[0], norms, &i, e) : RD_OK;
}

static int check_sizes(const struct rd_sd3 *s, int64_t caption, const char *file, struct rd_err *e)
{
	const int64_t width = s->heads * s->head_dim, side = s->size / s->patch;
	int rc = rd_patches_check(&(struct rd_patches){s->size, s->patch, s->heads, s->head_dim}, file, e);

	if (rc)
		return rc;
	if (side > s->grid)
		return rd_fail(e, RD_EINPUT, "%s: pos_embed_max_size: %lld for the %lld patches of a side (sample_size, patch_size)", file,
		               (long long)s->grid, (long long)side);
	if (caption != width)
		return rd_fail(e, RD_EINPUT, "%s: caption_projection_dim: %lld for %lld heads of %lld: their product expected", file,
		               (long long)caption, (long long)s->heads, (long long)s->head_dim);
	return RD_OK;
}

int rd_sd3_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_sd3 *s = &net->u.sd3;
	int64_t caption;
	int rc = rd_net_check_keys(config, file, known, e);

	if (!rc)
		rc = rd_net_check_nulls(config, file, never_null, e);
	if (!rc)
		rc = parse_ints(net, &caption, config, file, e);
	if (!rc)
		rc = parse_dual(s, config, file, e);
	if (!rc)
		rc = parse_qk_norm(s, config, file, e);
	if (!rc)
		rc = check_sizes(s, caption, file, e);
	if (rc)
		return rc;
	net->cond = RD_COND_CONTEXT;
	return rd_net_set_channels(net, s->in_channels, s->out_channels, s->size, s->size, file, e);
}
