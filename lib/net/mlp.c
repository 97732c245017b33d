/* A residual MLP: h = in(x); h += out_i(act(in_i(act(h)) + time_i(act(temb)))) for each layer; y = out(act(h)). */
#include <stdio.h>

#include "formats/json.h"
#include "lib/net/net.h"

static const char *const known[] = {"sample_shape", "hidden_dim", "num_layers", "time_embedding_dim", "num_class_embeds",
                                    "act_fn", "time_scale", NULL};

static int parse_shape(struct rd_mlp *m, const json_t *config, const char *file, struct rd_err *e)
{
	const json_t *a = json_object_get(config, "sample_shape"), *v;
	size_t i, dim = 1;

	if (!json_is_array(a) || json_array_size(a) < 1 || json_array_size(a) > 3)
		return rd_fail(e, RD_EINPUT, "%s: sample_shape: a list of one to three sizes expected", file);
	json_array_foreach(a, i, v) {
		json_int_t d = json_integer_value(v);

		if (!json_is_integer(v) || d < 1 || d > 1 << 20 || (dim *= (size_t)d) > 1 << 20)
			return rd_fail(e, RD_EINPUT, "%s: sample_shape: sizes whose product is between 1 and 1048576 expected",
			               file);
		m->sample.d[i] = d;
	}
	m->sample.nd = (int)json_array_size(a);
	m->dim = (int64_t)dim;
	return RD_OK;
}

static int parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e)
{
	struct rd_mlp *m = &net->u.mlp;
	int rc = rd_net_check_keys(config, file, known, e);

	if (!rc)
		rc = parse_shape(m, config, file, e);
	if (!rc)
		rc = rd_json_int(config, file, "hidden_dim", 256, 1, 1 << 16, &m->hidden_dim, e);
	if (!rc)
		rc = rd_json_int(config, file, "num_layers", 4, 1, 256, &m->num_layers, e);
	if (!rc)
		rc = rd_json_int(config, file, "time_embedding_dim", 64, 4, 1 << 16, &m->time_embedding_dim, e);
	if (!rc)
		rc = rd_json_int(config, file, "num_class_embeds", 0, 0, 1 << 20, &m->num_class_embeds, e);
	if (!rc)
		rc = rd_json_num(config, file, "time_scale", 1, &net->time_scale, e);
	if (!rc)
		rc = rd_net_act(config, file, &m->act, e);
	if (rc)
		return rc;
	net->sample = m->sample;
	net->classes = m->num_class_embeds;
	net->cond = net->classes ? RD_COND_CLASS : RD_COND_NONE;
	return RD_OK;
}

static void describe(const struct rd_net *net, struct rd_graph *g)
{
	const struct rd_mlp *m = &net->u.mlp;
	rd_ref temb, h, b;
	char name[64];

	g->x = rd_graph_input(g, m->dim, 1, 1);
	g->t = rd_graph_number_input(g, false);
	temb = rd_graph_timestep(g, g->t, m->time_embedding_dim, false, 0);
	temb = rd_net_embedding(g, temb, "time_embedding", m->hidden_dim, RD_ACT_SILU);
	if (m->num_class_embeds) {
		g->label = rd_graph_index_input(g, m->num_class_embeds);
		temb = rd_graph_add(g, temb, rd_graph_embed(g, g->label, "class_embedding", m->hidden_dim));
	}
	temb = rd_graph_act(g, temb, m->act);
	h = rd_graph_linear(g, g->x, "in", m->hidden_dim, RD_NONE);
	for (int64_t i = 0; i < m->num_layers; i++) {
		snprintf(name, sizeof name, "layers.%d.time", (int)i);
		b = rd_graph_linear(g, temb, name, m->hidden_dim, RD_NONE);
		snprintf(name, sizeof name, "layers.%d.in", (int)i);
		b = rd_graph_linear(g, rd_graph_act(g, h, m->act), name, m->hidden_dim, b);
		snprintf(name, sizeof name, "layers.%d.out", (int)i);
		h = rd_graph_linear(g, rd_graph_act(g, b, m->act), name, m->hidden_dim, h);
	}
	g->y = rd_graph_linear(g, rd_graph_act(g, h, m->act), "out", m->dim, RD_NONE);
}

const struct rd_net_kind rd_net_mlp = {.class_name = "MLPModel", .part = "unet", .parse = parse, .describe = describe};
