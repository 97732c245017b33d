/* The functions of the CUDA backend that the table gathers; the same file names as kernels/cpu. C and C++. */
#ifndef RD_KERNELS_CUDA_OPS_H
#define RD_KERNELS_CUDA_OPS_H

#ifdef __cplusplus
extern "C" {
#endif
#include "kernels/each_op.h"
#include "kernels/kernels.h"

/* A function of the table, declared with the type that the table gives it. */
#define RD_OP(name) __typeof__(*((struct rd_backend *)0)->name) rd_cuda_##name

/* device.cu */
RD_OP(open);
RD_OP(close);
RD_OP(describe);
RD_OP(alloc);
RD_OP(release);
RD_OP(put);
RD_OP(get);
RD_OP(zero);
RD_OP(copy);
RD_OP(sync);
RD_OP(record_begin);
RD_OP(record_end);
RD_OP(replay);
RD_OP(replay_free);
RD_OP(record_drop);

/* dnn.cu or dnn_none.cu */
RD_OP(engines);

/* What differs between the tables: how wide an activation is. */
size_t rd_cuda_bytes_f32(struct rd_dims d);
size_t rd_cuda_bytes_bf16(struct rd_dims d);

RD_OP(act_import);
RD_OP(act_export);
RD_OP(sample_import);
RD_OP(sample_export);
RD_OP(narrow);
RD_OP(widen);
#define DECLARE(name) RD_OP(name);
RD_EACH_OP(DECLARE)
#undef DECLARE
RD_OP(normal);

#ifdef __cplusplus
}
#endif

#endif
