/* The config of a DiTTransformer2DModel, key by key. */
#include <string.h>

#include "formats/json.h"
#include "lib/net/dit.h"
#include "lib/net/patches.h"

#define MAX_LAYERS 256

static const char *const known[] = {
	"num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "num_layers", "dropout", "norm_num_groups",
	"attention_bias", "sample_size", "patch_size", "activation_fn", "num_embeds_ada_norm", "upcast_attention", "norm_type",
	"norm_elementwise_affine", "norm_eps",
	/* a Transformer2DModel's, which a DiTTransformer2DModel that was loaded from one keeps */
	"cross_attention_dim", "num_vector_embeds", "only_cross_attention", "use_linear_projection", "double_self_attention",
	"caption_channels", "attention_type", "interpolation_scale", "use_additional_conditions", NULL};

static const char *const never_null[] = {
	"num_attention_heads", "attention_head_dim", "in_channels", "num_layers", "dropout", "sample_size", "patch_size",
	"activation_fn", "num_embeds_ada_norm", "norm_type", "norm_eps", NULL};

/* Keys of other networks of that name: null or false. */
static int check_others(const json_t *config, const char *file, struct rd_err *e)
{
	static const char *const off[] = {"cross_attention_dim", "num_vector_embeds", "only_cross_attention", "use_linear_projection",
	                                  "double_self_attention", "caption_channels", "use_additional_conditions",
	                                  "norm_elementwise_affine", NULL};
	static const char *const norms[] = {"ada_norm_zero", NULL}, *const attentions[] = {"default", NULL};
	double scale;
	bool upcast;
	int i, rc = rd_net_check_off(config, file, off, e);

	if (!rc)
		rc = rd_json_choice(config, file, "norm_type", norms[0], norms, &i, e);
	if (!rc)
		rc = rd_json_choice(config, file, "attention_type", attentions[0], attentions, &i, e);
	if (!rc)
		rc = rd_net_bool(config, file, "upcast_attention", false, &upcast, e); /* scores are float32's in any case */
	if (!rc)
		rc = rd_json_num(config, file, "interpolation_scale", 1, &scale, e);
	return rc || scale == 1 ? rc : rd_fail(e, RD_EINPUT, "%s: interpolation_scale: %g: 1 or null expected", file, scale);
}

static int parse_activation(struct rd_dit *d, const json_t *config, const char *file, struct rd_err *e)
{
	static const char *const names[] = {"gelu-approximate", "gelu", "linear-silu", "geglu", "swiglu", NULL};
	static const enum rd_act acts[] = {RD_ACT_GELU_TANH, RD_ACT_GELU, RD_ACT_SILU, RD_ACT_GELU, RD_ACT_SILU};
	int i, rc = rd_json_choice(config, file, "activation_fn", names[0], names, &i, e);

	if (rc)
		return rc;
	d->act = acts[i];
	d->gated = i >= 3;
	return RD_OK;
}

static int parse_ints(struct rd_dit *d, const json_t *config, const char *file, struct rd_err *e)
{
	const struct {
		const char *key;
		int64_t def, hi, *out;
	} ints[] = {
		{"num_attention_heads", 16, 4096, &d->heads},
		{"attention_head_dim", 72, 65536, &d->head_dim},
		{"in_channels", 4, 4096, &d->in_channels},
		{"out_channels", 0, 8192, &d->out_channels},
		{"num_layers", 28, MAX_LAYERS, &d->layers},
		{"sample_size", 32, 4096, &d->size},
		{"patch_size", 2, 64, &d->patch},
		{"num_embeds_ada_norm", 1000, 1 << 20, &d->num_classes},
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof ints / sizeof *ints && !rc; i++)
		rc = rd_json_int(config, file, ints[i].key, ints[i].def, 1, ints[i].hi, ints[i].out, e);
	if (!rc && !d->out_channels)
		d->out_channels = d->in_channels;
	return rc;
}

static int parse_numbers(struct rd_dit *d, const json_t *config, const char *file, struct rd_err *e)
{
	int rc = rd_json_num(config, file, "dropout", 0, &d->dropout, e);

	if (!rc)
		rc = rd_json_num(config, file, "norm_eps", 1e-5, &d->norm_eps, e);
	if (rc)
		return rc;
	if (!(d->dropout >= 0 && d->dropout < 1))
		return rd_fail(e, RD_EINPUT, "%s: dropout: %g: a number of at least 0 and below 1 expected", file, d->dropout);
	if (!(d->norm_eps >= 0))
		return rd_fail(e, RD_EINPUT, "%s: norm_eps: %g: a number of at least 0 expected", file, d->norm_eps);
	return RD_OK;
}

int rd_dit_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_dit *d = &net->u.dit;
	int rc = rd_net_check_keys(config, file, known, e);

	if (!rc && net->kind == &rd_net_dit_legacy && !json_object_get(config, "norm_type"))
		rc = rd_fail(e, RD_EINPUT, "%s: norm_type: a %s without it is no DiT", file, net->kind->class_name);
	if (!rc)
		rc = rd_net_check_nulls(config, file, never_null, e);
	if (!rc)
		rc = check_others(config, file, e);
	if (!rc)
		rc = parse_ints(d, config, file, e);
	if (!rc)
		rc = parse_numbers(d, config, file, e);
	if (!rc)
		rc = parse_activation(d, config, file, e);
	if (!rc)
		rc = rd_net_bool(config, file, "attention_bias", true, &d->attention_bias, e);
	if (!rc)
		rc = rd_patches_check(&(struct rd_patches){d->size, d->patch, d->heads, d->head_dim}, file, e);
	if (rc)
		return rc;
	net->cond = RD_COND_CLASS;
	net->classes = d->num_classes + 1;
	net->last_is_null = true;
	return rd_net_set_channels(net, d->in_channels, d->out_channels, d->size, d->size, file, e);
}
