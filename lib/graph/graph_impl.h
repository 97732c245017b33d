/* Shared by graph.c (the structure), params.c (its parameters), layers.c (its operations) and lora.c (adapters). */
#ifndef RD_LIB_GRAPH_GRAPH_IMPL_H
#define RD_LIB_GRAPH_GRAPH_IMPL_H

#include "lib/graph/graph.h"

/* Room for one more element; false with the graph's error set. */
bool rd_graph_grow(struct rd_graph *g, void **array, int n, int *cap, size_t size);

/* A new parameter `name.leaf`. */
rd_pref rd_graph_add_param(struct rd_graph *g, const char *name, const char *leaf, struct rd_shape shape, enum rd_init init,
                           double fan_in);
/* The same of an adapter. */
rd_pref rd_graph_add_adapter(struct rd_graph *g, const char *name, const char *leaf, struct rd_shape shape, enum rd_init init,
                             double fan_in);
/* RD_NONE where there is none of that name. */
rd_pref rd_graph_find_param(const struct rd_graph *g, const char *name, const char *leaf);

/* The matrices A and B of the layer's adapter; false where it has none. */
bool rd_graph_adapter(struct rd_graph *g, const char *layer, rd_pref *a, rd_pref *b);

#endif
