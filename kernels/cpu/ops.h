/* The functions of one instruction set, and the helpers that more than one file uses. */
#ifndef RD_KERNELS_CPU_OPS_H
#define RD_KERNELS_CPU_OPS_H

#include "kernels/cpu/isa.h"
#include "kernels/each_op.h"

extern const struct rd_backend RD_SYM(backend);

RD_OP(open);
#define DECLARE(name) RD_OP(name);
RD_EACH_OP(DECLARE)
#undef DECLARE

/* out[j] += sum over rows of x[row, j], in an order that does not depend on the threads. */
void RD_SYM(colsum)(struct rd_dev *dev, int64_t rows, int64_t cols, const float *x, float *out);
/* dst[i] = src[i], or += with acc; on the calling thread. */
void RD_SYM(put)(float *dst, const float *src, int64_t n, int acc);
/* The same over the threads. */
void RD_SYM(put_all)(struct rd_dev *dev, float *dst, const float *src, int64_t n, int acc);

#endif
