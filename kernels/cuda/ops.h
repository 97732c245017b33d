/* The functions of the CUDA backend that the table gathers; the same file names as kernels/cpu. C and C++. */
#ifndef RD_KERNELS_CUDA_OPS_H
#define RD_KERNELS_CUDA_OPS_H

#ifdef __cplusplus
extern "C" {
#endif
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

/* What differs between the tables: how wide an activation is. */
size_t rd_cuda_bytes_f32(struct rd_dims d);
size_t rd_cuda_bytes_bf16(struct rd_dims d);

RD_OP(act_import);
RD_OP(act_export);
RD_OP(sample_import);
RD_OP(sample_export);
RD_OP(narrow);
RD_OP(widen);
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
RD_OP(normal);

#ifdef __cplusplus
}
#endif

#endif
