/* diffusers' SD3Transformer2DModel, the network of Stable Diffusion 3 and 3.5 (MMDiT, arXiv 2403.03206): a transformer over the
 * patches of a sample and the tokens of a context, which each have weights of their own and attend to both. */
#ifndef RD_LIB_NET_SD3_H
#define RD_LIB_NET_SD3_H

#include "lib/net/net.h"

/* Its config. RD_EINPUT. */
int rd_sd3_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e) RD_MUST;

#endif
