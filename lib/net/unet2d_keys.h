/* The keys that a UNet2DModel and a UNet2DConditionModel have in common. */
#ifndef RD_LIB_NET_UNET2D_KEYS_H
#define RD_LIB_NET_UNET2D_KEYS_H

#include "lib/net/net.h"

#define RD_UNET_DEFAULT_BLOCKS 4

/* How the two differ in these keys. */
struct rd_unet2d_class {
	const char *const *known;       /* all keys there are, NULL-terminated */
	const char *const *never_null;  /* those that have a default but for which null is no value */
	int64_t channels;               /* defaults: of in_channels and out_channels, */
	int64_t widths[RD_UNET_DEFAULT_BLOCKS];                      /* of block_out_channels, */
	enum rd_unet_block down[RD_UNET_DEFAULT_BLOCKS], up[RD_UNET_DEFAULT_BLOCKS]; /* and of the blocks */
	unsigned blocks;                /* the kinds there are, a bit each */
};

/* A value that diffusers has no use for is refused even where the rest of the config keeps it from being looked at: it is
 * a mistake. One that has a meaning is only refused where diffusers would fail on it. */
struct rd_unet2d_keys {
	struct rd_unet2d *u;
	const struct rd_unet2d_class *class;
	const json_t *config;
	const char *file; /* for messages */
	struct rd_err *e;
};

/* Sizes, widths, blocks, numbers and switches; diffusers' defaults apply to keys that are absent. RD_EINPUT. */
int rd_unet2d_common(const struct rd_unet2d_keys *x) RD_MUST;

/* "DownBlock2D": a block's name in a config. */
const char *rd_unet2d_block_name(enum rd_unet_block kind, bool down);

/* The last word on a config: every block but the last halves, what goes down must come up again, and samples go in and out. Sets the
 * shape of net's samples. */
int rd_unet2d_finish(const struct rd_unet2d_keys *x, struct rd_net *net) RD_MUST;

#endif
