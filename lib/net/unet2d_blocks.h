/* The blocks of a UNet2DModel or UNet2DConditionModel and what is carried from one to the next. */
#ifndef RD_LIB_NET_UNET2D_BLOCKS_H
#define RD_LIB_NET_UNET2D_BLOCKS_H

#include "lib/net/net.h"
#include "lib/net/unet2d_config.h"

struct rd_unet2d_walk {
	struct rd_graph *g;
	const struct rd_unet2d *u;
	rd_ref temb;                     /* time and condition, after the activation that every block puts first */
	rd_ref context;                  /* what transformers attend to; RD_NONE: there are none */
	rd_ref skip[RD_UNET_MAX_SKIPS];  /* features pushed going down, popped going up */
	int n_skips;
	rd_ref picture;                  /* what the skip blocks carry beside the features; RD_NONE: nothing yet */
};

/* Block number b of the way down or up from features h; its features. */
rd_ref rd_unet2d_down(struct rd_unet2d_walk *w, int b, rd_ref h);
rd_ref rd_unet2d_mid(struct rd_unet2d_walk *w, rd_ref h);
rd_ref rd_unet2d_up(struct rd_unet2d_walk *w, int b, rd_ref h);

rd_ref rd_unet2d_norm(const struct rd_unet2d_walk *w, rd_ref x, const char *name, int64_t groups, enum rd_act act);

/* Groups where the config names none: a quarter of the channels, 32 at most. */
int64_t rd_unet2d_default_groups(int64_t channels);

#endif
