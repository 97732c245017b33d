/* 3x3 convolution to a few channels (the last layer of a network), where a direct algorithm that works on 16 output
 * channels at a time leaves most lanes empty. */
#ifndef RD_KERNELS_CPU_NARROW_H
#define RD_KERNELS_CPU_NARROW_H

#include <stddef.h>

#include "kernels/cpu/isa.h"

int RD_SYM(narrow_fits)(const struct rd_conv2d_desc *d);
size_t RD_SYM(narrow_packed_bytes)(const struct rd_conv2d_desc *d);
size_t RD_SYM(narrow_ws_bytes)(const struct rd_conv2d_desc *d, int threads, int training);
void RD_SYM(narrow_pack)(const struct rd_conv2d_desc *d, const float *w, float *packed);
void RD_SYM(narrow_fwd)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *packed, const float *b,
                        const float *x, float *y, int accumulate, float *ws);
/* dw += */
void RD_SYM(narrow_bwd_weights)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *x, const float *dy,
                                float *dw, float *ws);

#endif
