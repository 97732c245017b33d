#include "lib/net/net.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "formats/json.h"
#include "lib/base/names.h"

static const struct rd_net_kind *const kinds[] = {&rd_net_unet2d, &rd_net_unet2d_condition, &rd_net_dit, &rd_net_dit_legacy,
                                                  &rd_net_sd3, &rd_net_mlp, NULL};

const char *const rd_net_parts[] = {"unet", "transformer", NULL};

const struct rd_net_kind *rd_net_kind_named(const char *class_name)
{
	const struct rd_net_kind *const *k = kinds;

	while (class_name && *k && strcmp((*k)->class_name, class_name))
		k++;
	return class_name ? *k : NULL;
}

int rd_net_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	char name[64];
	int rc = rd_json_str(config, file, "_class_name", NULL, name, sizeof name, e);

	memset(net, 0, sizeof *net);
	if (rc)
		return rc;
	net->time_scale = 1;
	net->kind = rd_net_kind_named(name);
	if (net->kind)
		return net->kind->parse(net, config, file, e);
	return rd_fail(e, RD_EINPUT, "%s: _class_name %s: only " RD_NET_CLASSES " are known", file, name);
}

int rd_net_build(const struct rd_net *net, int64_t batch, struct rd_graph **out, struct rd_err *e)
{
	return rd_net_build_adapted(net, batch, (struct rd_lora){0}, out, e);
}

int rd_net_build_adapted(const struct rd_net *net, int64_t batch, struct rd_lora lora, struct rd_graph **out, struct rd_err *e)
{
	int rc = rd_graph_new(out, batch, e);

	if (rc)
		return rc;
	(*out)->lora = lora;
	net->kind->describe(net, *out);
	rc = rd_graph_check(*out, e);
	if (rc) {
		rd_graph_free(*out);
		*out = NULL;
	}
	return rc;
}

int rd_net_check_keys(const json_t *config, const char *file, const char *const *known, struct rd_err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)config, key, value)
		if (rd_names_find(known, key) < 0 && key[0] != '_')
			return rd_fail(e, RD_EINPUT, "%s: %s: a key that is not known here", file, key);
	return RD_OK;
}

int rd_net_check_nulls(const json_t *config, const char *file, const char *const *keys, struct rd_err *e)
{
	for (; *keys; keys++)
		if (json_is_null(json_object_get(config, *keys)))
			return rd_fail(e, RD_EINPUT, "%s: %s: null is no value for it", file, *keys);
	return RD_OK;
}

int rd_net_check_off(const json_t *config, const char *file, const char *const *keys, struct rd_err *e)
{
	for (; *keys; keys++) {
		const json_t *v = json_object_get(config, *keys);

		if (v && !json_is_null(v) && !json_is_false(v))
			return rd_fail(e, RD_EINPUT, "%s: %s: not supported here: null or false expected", file, *keys);
	}
	return RD_OK;
}

int rd_net_bool(const json_t *config, const char *file, const char *key, bool def, bool *out, struct rd_err *e)
{
	return rd_json_bool(config, file, key, def && !json_is_null(json_object_get(config, key)), out, e);
}

int rd_net_set_channels(struct rd_net *net, int64_t in, int64_t out, int64_t height, int64_t width, const char *file,
                        struct rd_err *e)
{
	net->variance = out == 2 * in;
	if (out != in && !net->variance)
		return rd_fail(e, RD_EINPUT, "%s: out_channels: %lld for the %lld that go in (in_channels): as many expected, or twice as "
		               "many where a variance is among them", file, (long long)out, (long long)in);
	net->sample = rd_shape_make(3, (int64_t[]){in, height, width});
	return RD_OK;
}

int rd_net_set_contexts(struct rd_net *net, const struct rd_contexts *c, const char *file, struct rd_err *e)
{
	if (net->cond != RD_COND_CONTEXT)
		return rd_fail(e, RD_EINPUT, "%s: the network is not conditioned on contexts", file);
	if (c->dim != net->cond_dim)
		return rd_fail(e, RD_EINPUT, "%s: contexts of %lld numbers a token, the network takes %lld (%s)", file, (long long)c->dim,
		               (long long)net->cond_dim, net->kind->context_key);
	if (c->vector_dim != net->vector_dim)
		return rd_fail(e, RD_EINPUT, "%s: vectors of %lld numbers, the network takes %lld (0: none; %s)", file, (long long)c->vector_dim,
		               (long long)net->vector_dim, net->kind->vector_key);
	net->contexts = *c;
	net->classes = c->rows;
	return RD_OK;
}

int rd_net_takes_labels(const struct rd_net *net, struct rd_err *e)
{
	if (net->cond == RD_COND_CONTEXT && !net->contexts.rows)
		return rd_fail(e, RD_EUSAGE, "the network is conditioned on contexts (texts' embeddings), and the model has no "
		               "contexts.safetensors of them: see rdmodel(5)");
	if (net->cond != RD_COND_VECTOR)
		return RD_OK;
	return rd_fail(e, RD_EUSAGE, "class_embed_type identity: the network's condition is a vector of %lld numbers, not a label",
	               (long long)net->cond_dim);
}

/* diffusers looks a name up in lower case. */
int rd_net_act(const json_t *config, const char *file, enum rd_act *out, struct rd_err *e)
{
	static const struct {
		const char *name;
		enum rd_act act;
	} acts[] = {{"silu", RD_ACT_SILU}, {"swish", RD_ACT_SILU}, {"relu", RD_ACT_RELU}, {"gelu", RD_ACT_GELU},
	            {"mish", RD_ACT_MISH}};
	char name[32];
	int rc = rd_json_str(config, file, "act_fn", "silu", name, sizeof name, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
		if (!strcasecmp(acts[i].name, name)) {
			*out = acts[i].act;
			return RD_OK;
		}
	return rd_fail(e, RD_EINPUT, "%s: act_fn: '%s' is not one of silu, swish, relu, gelu, mish", file, name);
}

void rd_net_context_input(const struct rd_net *net, struct rd_graph *g)
{
	struct rd_contexts none = {.tokens = 1, .dim = net->cond_dim, .vector_dim = net->vector_dim};

	rd_graph_context_input(g, net->contexts.rows ? &net->contexts : &none);
}

rd_ref rd_net_embedding(struct rd_graph *g, rd_ref x, const char *name, int64_t dim, enum rd_act act)
{
	char full[64];

	snprintf(full, sizeof full, "%s.linear_1", name);
	x = rd_graph_act(g, rd_graph_linear(g, x, full, dim, RD_NONE), act);
	snprintf(full, sizeof full, "%s.linear_2", name);
	return rd_graph_linear(g, x, full, dim, RD_NONE);
}

rd_ref rd_net_prediction(struct rd_graph *g, rd_ref y)
{
	return rd_graph_slice(g, y, 0, rd_graph_dims(g, g->x).c);
}
