#include "lib/net/net.h"

#include <string.h>

#include "formats/json.h"

static const struct rd_net_kind *const kinds[] = {&rd_net_unet2d, &rd_net_mlp};

int rd_net_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	char name[64];
	int rc = rd_json_str(config, file, "_class_name", NULL, name, sizeof name, e);

	memset(net, 0, sizeof *net);
	if (rc)
		return rc;
	net->time_scale = 1;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(name, kinds[i]->class_name)) {
			net->kind = kinds[i];
			return kinds[i]->parse(net, config, file, e);
		}
	return rd_fail(e, RD_EINPUT, "%s: _class_name %s: only UNet2DModel and MLPModel are known", file, name);
}

int rd_net_build(const struct rd_net *net, int64_t batch, struct rd_graph **out, struct rd_err *e)
{
	int rc = rd_graph_new(out, batch, e);

	if (rc)
		return rc;
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

	json_object_foreach((json_t *)(uintptr_t)config, key, value) {
		int i = 0;

		while (known[i] && strcmp(known[i], key))
			i++;
		if (!known[i] && key[0] != '_')
			return rd_fail(e, RD_EINPUT, "%s: %s: a key that is not known here", file, key);
	}
	return RD_OK;
}

int rd_net_act(const json_t *config, const char *file, enum rd_act *out, struct rd_err *e)
{
	static const char *const names[] = {"silu", "swish", "relu", "gelu", "mish", NULL};
	static const enum rd_act acts[] = {RD_ACT_SILU, RD_ACT_SILU, RD_ACT_RELU, RD_ACT_GELU, RD_ACT_MISH};
	int i, rc = rd_json_choice(config, file, "act_fn", "silu", names, &i, e);

	if (!rc)
		*out = acts[i];
	return rc;
}

rd_ref rd_net_time_embedding(struct rd_graph *g, int64_t sinusoids, int64_t dim, bool flip_sin_to_cos, double freq_shift,
                             int64_t classes)
{
	rd_ref h;

	g->t = rd_graph_raw_input(g);
	h = rd_graph_timestep(g, g->t, sinusoids, flip_sin_to_cos, freq_shift);
	h = rd_graph_linear(g, h, "time_embedding.linear_1", dim, RD_NONE);
	h = rd_graph_act(g, h, RD_ACT_SILU);
	h = rd_graph_linear(g, h, "time_embedding.linear_2", dim, RD_NONE);
	if (!classes)
		return h;
	g->label = rd_graph_raw_input(g);
	return rd_graph_add(g, h, rd_graph_embed(g, g->label, "class_embedding", classes, dim));
}
