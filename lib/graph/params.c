/* The parameters of a graph: their places in the flat array, and what new ones are. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/graph/graph_impl.h"

/* No network here comes near it; it bounds what a hostile config can ask for. */
#define MAX_FLAT ((size_t)1 << 33)

static bool is_in_files(const struct rd_param *q)
{
	return !q->computed && !q->adapter;
}

int64_t rd_graph_param_count(const struct rd_graph *g)
{
	size_t n = 0;

	for (int i = 0; i < g->n_params; i++)
		n += is_in_files(&g->param[i]) ? g->param[i].n_elems : 0;
	return (int64_t)n;
}

int64_t rd_graph_adapter_count(const struct rd_graph *g)
{
	size_t n = 0;

	for (int i = 0; i < g->n_params; i++)
		n += g->param[i].adapter ? g->param[i].n_elems : 0;
	return (int64_t)n;
}

int rd_graph_tensor_count(const struct rd_graph *g)
{
	int n = 0;

	for (int i = 0; i < g->n_params; i++)
		n += is_in_files(&g->param[i]);
	return n;
}

static size_t padded(size_t n)
{
	return (n + RD_PARAM_ALIGN - 1) / RD_PARAM_ALIGN * RD_PARAM_ALIGN;
}

/* Adapters, what is trained without them, what never is. */
static int zone(const struct rd_param *q)
{
	return q->adapter ? 0 : q->fixed ? 2 : 1;
}

/* A place in the flat array, behind those of its zone; those of later zones make room. */
static void place(struct rd_graph *g, struct rd_param *q)
{
	size_t size = padded(q->n_elems);

	q->offset = 0;
	for (int i = 0; i < g->n_params; i++)
		if (zone(&g->param[i]) <= zone(q))
			q->offset += padded(g->param[i].n_elems);
		else
			g->param[i].offset += size;
	g->n_flat += size;
	if (!q->frozen)
		g->n_trained += size;
	if (q->adapter)
		g->n_adapters += size;
}

static rd_pref add(struct rd_graph *g, const char *name, const char *leaf, struct rd_shape shape, enum rd_init init, double fan_in,
                   bool adapter)
{
	struct rd_param *q;
	void *p = g->param;
	bool ok;

	if (g->err.code)
		return RD_NONE;
	ok = rd_graph_grow(g, &p, g->n_params, &g->cap_params, sizeof *g->param);
	g->param = p;
	if (!ok)
		return RD_NONE;
	q = &g->param[g->n_params];
	if (snprintf(q->name, sizeof q->name, "%s.%s", name, leaf) >= (int)sizeof q->name)
		return rd_graph_refuse(g, "parameter name %.40s... is too long", name);
	q->shape = shape;
	q->init = init;
	q->fan_in = fan_in;
	q->adapter = adapter;
	q->computed = init == RD_INIT_POSITION || init == RD_INIT_CROP;
	q->fixed = q->computed || init == RD_INIT_FREQUENCY || init == RD_INIT_GRID;
	q->frozen = q->fixed || (g->lora.rank && !adapter);
	if (rd_shape_elems(&shape, &q->n_elems, &g->err))
		return RD_NONE;
	if (q->n_elems > MAX_FLAT || g->n_flat > MAX_FLAT - q->n_elems)
		return rd_graph_refuse(g, "%s: more parameters than a model may have", q->name);
	place(g, q);
	return g->n_params++;
}

rd_pref rd_graph_add_param(struct rd_graph *g, const char *name, const char *leaf, struct rd_shape shape, enum rd_init init,
                           double fan_in)
{
	return add(g, name, leaf, shape, init, fan_in, false);
}

rd_pref rd_graph_add_adapter(struct rd_graph *g, const char *name, const char *leaf, struct rd_shape shape, enum rd_init init,
                             double fan_in)
{
	return add(g, name, leaf, shape, init, fan_in, true);
}

rd_pref rd_graph_find_param(const struct rd_graph *g, const char *name, const char *leaf)
{
	char full[RD_PARAM_NAME];

	snprintf(full, sizeof full, "%s.%s", name, leaf);
	for (int i = 0; i < g->n_params; i++)
		if (!strcmp(g->param[i].name, full))
			return i;
	return RD_NONE;
}

/* Sinusoids of a column in the first half of the channels and of its row in the second, both over `per`, sines before cosines: as
 * diffusers.models.embeddings.get_2d_sincos_pos_embed computes them, the quotients in float and the rest in double. */
static void positions(int64_t h, int64_t w, int64_t c, float per, float *out)
{
	int64_t q = c / 4;

	for (int64_t k = 0; k < q; k++) {
		double omega = 1 / pow(10000, (double)k / (double)q);

		for (int64_t i = 0; i < h; i++)
			for (int64_t j = 0; j < w; j++) {
				float *at = out + (i * w + j) * c + k;

				at[0] = (float)sin((double)((float)j / per) * omega);
				at[q] = (float)cos((double)((float)j / per) * omega);
				at[2 * q] = (float)sin((double)((float)i / per) * omega);
				at[3 * q] = (float)cos((double)((float)i / per) * omega);
			}
	}
}

static int64_t side_of(const struct rd_param *grid)
{
	return (int64_t)sqrt((double)grid->shape.d[1]);
}

/* Where the margins are not even, the smaller one is above and to the left. */
static void crop(const struct rd_param *p, const struct rd_param *grid, float *flat)
{
	int64_t h = p->shape.d[0], w = p->shape.d[1], c = p->shape.d[2], side = side_of(grid);
	const float *from = flat + grid->offset + ((side - h) / 2 * side + (side - w) / 2) * c;

	for (int64_t i = 0; i < h; i++)
		memcpy(flat + p->offset + i * w * c, from + i * side * c, (size_t)(w * c) * sizeof *flat);
}

void rd_graph_compute_params(const struct rd_graph *g, float *flat)
{
	for (int i = 0; i < g->n_params; i++) {
		const struct rd_param *p = &g->param[i];

		if (p->init == RD_INIT_POSITION)
			positions(p->shape.d[0], p->shape.d[1], p->shape.d[2], (float)p->fan_in, flat + p->offset);
		else if (p->init == RD_INIT_CROP)
			crop(p, &g->param[p->grid], flat);
	}
}

/* Parameter i, whose place w is 0. */
static void init_param(const struct rd_param *p, int i, uint64_t seed, float *w)
{
	float bound = (float)(1 / sqrt(p->fan_in));
	uint32_t *words = (uint32_t *)(void *)w;

	switch (p->init) {
	case RD_INIT_FAN_IN: /* 24 bits of each word as a point of (-1, 1) */
		rd_rng_words(seed, RD_RNG_INIT, (uint64_t)i, words, p->n_elems);
		for (size_t k = 0; k < p->n_elems; k++)
			w[k] = bound * ((float)(2 * (words[k] >> 9) + 1) * 0x1p-23f - 1);
		break;
	case RD_INIT_NORMAL:
	case RD_INIT_FREQUENCY:
		rd_rng_normal(seed, RD_RNG_INIT, (uint64_t)i, w, p->n_elems);
		for (size_t k = 0; k < p->n_elems && p->init == RD_INIT_FREQUENCY; k++)
			w[k] *= 16;
		break;
	case RD_INIT_GRID: positions(side_of(p), side_of(p), p->shape.d[2], (float)p->fan_in, w); break;
	case RD_INIT_ONE:
		for (size_t k = 0; k < p->n_elems; k++)
			w[k] = 1;
		break;
	default: break;
	}
}

void rd_graph_init_params(const struct rd_graph *g, uint64_t seed, float *flat)
{
	memset(flat, 0, g->n_flat * sizeof *flat);
	for (int i = 0; i < g->n_params; i++)
		init_param(&g->param[i], i, seed, flat + g->param[i].offset);
	rd_graph_compute_params(g, flat);
}

void rd_graph_init_adapters(const struct rd_graph *g, uint64_t seed, float *flat)
{
	memset(flat, 0, g->n_adapters * sizeof *flat);
	for (int i = 0; i < g->n_params; i++)
		if (g->param[i].adapter)
			init_param(&g->param[i], i, seed, flat + g->param[i].offset);
}
