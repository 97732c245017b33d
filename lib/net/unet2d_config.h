/* The configs of a UNet2DModel and a UNet2DConditionModel. */
#ifndef RD_LIB_NET_UNET2D_CONFIG_H
#define RD_LIB_NET_UNET2D_CONFIG_H

#include "lib/net/net.h"

#define RD_UNET_MAX_LAYERS 16
#define RD_UNET_MAX_SKIPS (RD_UNET_MAX_BLOCKS * (RD_UNET_MAX_LAYERS + 1) + 1)
#define RD_UNET_PICTURE 3 /* channels of what the skip blocks carry: diffusers has no other number */

int rd_unet2d_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e) RD_MUST;
int rd_unet2d_condition_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e) RD_MUST;

#endif
