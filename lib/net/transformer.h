/* diffusers' Transformer2DModel as a UNet2DConditionModel has it: transformer blocks over the pixels of an image, which attend to
 * one another and to a context. */
#ifndef RD_LIB_NET_TRANSFORMER_H
#define RD_LIB_NET_TRANSFORMER_H

#include "lib/graph/graph.h"

struct rd_transformer {
	int64_t heads, layers, groups; /* groups divide the channels */
	bool linear; /* the projections in and out are linear layers; else convolutions, which differ by their weights' shape */
};

/* x + transformer(x, context); x (n, c, h, w), context (n, dim, tokens, 1). `name` is what the parameters' names begin with. */
rd_ref rd_net_transformer(struct rd_graph *g, rd_ref x, rd_ref context, const char *name, const struct rd_transformer *o);

#endif
