#include <string.h>

#include "lib/graph/exec_impl.h"

/* cross[i]: bytes that nodes up to i leave behind for later ones. */
static void count_crossing(const struct rd_exec *x, size_t *cross)
{
	const struct rd_graph *g = x->g;

	memset(cross, 0, (size_t)g->n_nodes * sizeof *cross);
	for (int v = 0; v < g->n_values; v++) {
		size_t bytes = rd_value_bytes(x, v);
		int last = g->value[v].producer;

		for (int i = last; i < g->n_nodes; i++)
			for (int k = 0; k < 3; k++)
				if (g->node[i].in[k] == v)
					last = i;
		for (int i = g->value[v].producer; i < last; i++)
			cross[i] += bytes;
	}
}

/* Fewer bytes cross after node i than on either side: the end of a block. */
static bool is_narrow(const struct rd_exec *x, const size_t *cross, int i)
{
	return i + 1 < x->g->n_nodes && (i == 0 || cross[i] <= cross[i - 1]) && cross[i] <= cross[i + 1];
}

void rd_cut_segments(struct rd_exec *x, int k, size_t *cross)
{
	size_t all = 0, have = 0;
	int number = 0;

	for (int v = 0; v < x->g->n_values; v++)
		all += rd_value_bytes(x, v);
	count_crossing(x, cross);
	for (int i = 0; i < x->g->n_nodes; i++) {
		x->segment[i] = number;
		have += rd_value_bytes(x, x->g->node[i].out);
		if (have >= all / (size_t)k && is_narrow(x, cross, i)) {
			number++;
			have = 0;
		}
	}
}
