/* diffusers' DiTTransformer2DModel (arXiv 2212.09748): a transformer over the patches of a sample, whose normalisations are given
 * their gains and offsets by time and class. */
#ifndef RD_LIB_NET_DIT_H
#define RD_LIB_NET_DIT_H

#include "lib/net/net.h"

/* Its config; also that of a Transformer2DModel, as this network was called. RD_EINPUT. */
int rd_dit_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e) RD_MUST;

#endif
