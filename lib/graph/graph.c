#include "lib/graph/graph_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/size.h"

/* No network here comes near it; it bounds what a hostile config can ask for. */
#define MAX_NODES 20000

int rd_graph_new(struct rd_graph **out, int64_t batch, struct rd_err *e)
{
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof **out, "graph", e);

	*out = NULL;
	if (rc)
		return rc;
	*out = p;
	(*out)->batch = batch;
	(*out)->x = (*out)->t = (*out)->label = (*out)->vector = (*out)->y = RD_NONE;
	return RD_OK;
}

void rd_graph_free(struct rd_graph *g)
{
	if (!g)
		return;
	free(g->node);
	free(g->value);
	free(g->param);
	free(g);
}

int rd_graph_check(const struct rd_graph *g, struct rd_err *e)
{
	if (g->err.code)
		*e = g->err;
	return g->err.code;
}

struct rd_dims rd_graph_dims(const struct rd_graph *g, rd_ref v)
{
	return v >= 0 && v < g->n_values ? g->value[v].d : (struct rd_dims){0, 0, 0, 0};
}

rd_ref rd_graph_refuse(struct rd_graph *g, const char *fmt, ...)
{
	va_list ap;

	if (!g->err.code) {
		g->err.code = RD_ESHAPE;
		va_start(ap, fmt);
		vsnprintf(g->err.msg, sizeof g->err.msg, fmt, ap);
		va_end(ap);
	}
	return RD_NONE;
}

/* Room for one more element; false with the graph's error set. */
bool rd_graph_grow(struct rd_graph *g, void **array, int n, int *cap, size_t size)
{
	size_t room = (size_t)*cap;
	struct rd_err e;

	if (n >= MAX_NODES) {
		rd_graph_refuse(g, "a network of more than %d operations", MAX_NODES);
		return false;
	}
	if (rd_reserve(array, &room, (size_t)n + 1, size, "a network's graph", &e)) {
		rd_graph_refuse(g, "%s", e.msg);
		return false;
	}
	*cap = (int)room;
	return true;
}
