/* The functions of one instruction set, and the helpers that more than one file uses. */
#ifndef RD_KERNELS_CPU_OPS_H
#define RD_KERNELS_CPU_OPS_H

#include "kernels/cpu/isa.h"

extern const struct rd_backend RD_SYM(backend);

RD_OP(open);
RD_OP(conv2d_new);
RD_OP(conv2d_free);
RD_OP(conv2d_packed_bytes);
RD_OP(conv2d_ws_bytes);
RD_OP(conv2d_pack);
RD_OP(conv2d_fwd);
RD_OP(conv2d_bwd);
RD_OP(linear_fwd);
RD_OP(linear_bwd);
RD_OP(groupnorm_ws_bytes);
RD_OP(groupnorm_fwd);
RD_OP(groupnorm_bwd);
RD_OP(attention_ws_bytes);
RD_OP(attention_fwd);
RD_OP(attention_bwd);
RD_OP(act_fwd);
RD_OP(act_bwd);
RD_OP(add);
RD_OP(affine);
RD_OP(divide);
RD_OP(dropout);
RD_OP(concat_fwd);
RD_OP(concat_bwd);
RD_OP(upsample2_fwd);
RD_OP(upsample2_bwd);
RD_OP(avgpool2_fwd);
RD_OP(avgpool2_bwd);
RD_OP(fir2_down);
RD_OP(fir2_up);
RD_OP(timestep);
RD_OP(fourier);
RD_OP(embed_fwd);
RD_OP(embed_bwd);
RD_OP(combine);
RD_OP(clamp);
RD_OP(loss);
RD_OP(sqnorm);
RD_OP(sqnorm_ws_bytes);
RD_OP(adamw);

/* out[j] += sum over rows of x[row, j], in an order that does not depend on the threads. */
void RD_SYM(colsum)(struct rd_dev *dev, int64_t rows, int64_t cols, const float *x, float *out);
/* dst[i] = src[i], or += with acc; on the calling thread. */
void RD_SYM(put)(float *dst, const float *src, int64_t n, int acc);
/* The same over the threads. */
void RD_SYM(put_all)(struct rd_dev *dev, float *dst, const float *src, int64_t n, int acc);

#endif
