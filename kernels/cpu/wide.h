/* Products for --precision f64: operands and results are f32, products and sums double, and a result is rounded once. A product
 * of two f32 is exact in double, so that every instruction set gives the same bits. */
#ifndef RD_KERNELS_CPU_WIDE_H
#define RD_KERNELS_CPU_WIDE_H

#include <stddef.h>

#include "kernels/cpu/isa.h"

/* c(i, j) = bias[j] + alpha sum_l a(i, l) b(l, j), or += with acc; i < m, j < n, l < k. Element (i, j) of a matrix lies
 * i * rs + j * cs elements from its first. On the calling thread. */
struct rd_wide {
	int64_t m, n, k;
	const float *a;
	int64_t ars, acs;
	const float *b;
	int64_t brs, bcs;
	const float *bias; /* or NULL */
	float alpha;
	int acc;
	float *c;
	int64_t crs, ccs;
};
void RD_SYM(wide_product)(const struct rd_wide *p);

/* Convolution by patches: the functions of kernels.h for a plan of this precision. packed: the weights in the order of
 * forward's patches and, for training, in that of backward's. */
size_t RD_SYM(wide_conv_packed_bytes)(const struct rd_conv2d_desc *d, int training);
size_t RD_SYM(wide_conv_ws_bytes)(const struct rd_conv2d_desc *d, int threads, int training);
void RD_SYM(wide_conv_pack)(const struct rd_conv2d_desc *d, int training, const float *w, float *packed);
void RD_SYM(wide_conv_fwd)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *packed, const float *b,
                           const float *x, float *y, int accumulate, float *ws);
void RD_SYM(wide_conv_bwd_data)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *packed, const float *dy,
                                float *dx, int acc_dx, float *ws);
/* dw += */
void RD_SYM(wide_conv_bwd_weights)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *x, const float *dy,
                                   float *dw, float *ws);

#endif
