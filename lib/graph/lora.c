/* Low-rank adapters: what they add to a layer, and what becomes of the layer's weight when they are taken in. */
#include <stdio.h>
#include <string.h>

#include "lib/graph/graph_impl.h"

#define A "lora_A.weight"
#define B "lora_B.weight"

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n >= k && !strcmp(name + n - k, end) && (n == k || name[n - k - 1] == '.');
}

static bool has_adapter(const struct rd_graph *g, const char *name)
{
	static const char *const attention[] = {"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", NULL};

	if (!g->lora.rank || g->lora.layers == RD_LORA_ALL)
		return g->lora.rank;
	for (const char *const *end = attention; *end; end++)
		if (ends_in(name, *end))
			return true;
	return false;
}

/* A matrix of as many dimensions as the layer's own weight; a layer that is used twice has the same one twice. */
static rd_pref matrix(struct rd_graph *g, const char *layer, const char *leaf, const struct rd_shape *shape, enum rd_init init)
{
	rd_pref p = rd_graph_find_param(g, layer, leaf);
	double fan_in = 1;

	for (int i = 1; i < shape->nd; i++)
		fan_in *= (double)shape->d[i];
	return p != RD_NONE ? p : rd_graph_add_adapter(g, layer, leaf, *shape, init, fan_in);
}

bool rd_graph_adapter(struct rd_graph *g, const char *layer, rd_pref *a, rd_pref *b)
{
	rd_pref weight = rd_graph_find_param(g, layer, "weight");
	struct rd_shape sa, sb;

	if (g->err.code || !has_adapter(g, layer))
		return false;
	sa = sb = g->param[weight].shape;
	sa.d[0] = sb.d[1] = g->lora.rank;
	for (int i = 2; i < sb.nd; i++)
		sb.d[i] = 1;
	*a = matrix(g, layer, A, &sa, RD_INIT_FAN_IN);
	*b = matrix(g, layer, B, &sb, RD_INIT_ZERO);
	return true;
}

/* w [rows, cols] += b [rows, rank] a [rank, cols] */
static void add_product(float *w, const float *b, const float *a, size_t rows, size_t rank, size_t cols)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t k = 0; k < rank; k++) {
			const float f = b[i * rank + k];

			for (size_t j = 0; j < cols; j++)
				w[i * cols + j] += f * a[k * cols + j];
		}
}

/* The layer that a weight is of; false where the parameter is none. */
static bool layer_of(const char *param, char *layer, size_t cap)
{
	const char *leaf = strrchr(param, '.');

	return leaf && !strcmp(leaf, ".weight") && snprintf(layer, cap, "%.*s", (int)(leaf - param), param) < (int)cap;
}

void rd_graph_merge_adapters(const struct rd_graph *g, const float *adapters, float *base)
{
	char layer[RD_PARAM_NAME];

	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *w = &g->param[i], *a, *b;
		rd_pref pa;

		if (w->adapter || !layer_of(w->name, layer, sizeof layer) || (pa = rd_graph_find_param(g, layer, A)) == RD_NONE)
			continue;
		a = &g->param[pa];
		b = &g->param[rd_graph_find_param(g, layer, B)];
		add_product(base + (w->offset - g->n_adapters), adapters + b->offset, adapters + a->offset, (size_t)b->shape.d[0],
		            (size_t)b->shape.d[1], a->n_elems / (size_t)a->shape.d[0]);
	}
}
