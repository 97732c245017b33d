/* The kernels of a backend's table that each backend has its own of: kernels.h says what they do, a backend's ops.h declares
 * them and its table.c gathers them. */
#ifndef RD_KERNELS_EACH_OP_H
#define RD_KERNELS_EACH_OP_H

#define RD_EACH_OP(X) \
	X(conv2d_new) X(conv2d_free) X(conv2d_packed_bytes) X(conv2d_ws_bytes) X(conv2d_pack) X(conv2d_fwd) X(conv2d_bwd) \
	X(groupnorm_ws_bytes) X(groupnorm_fwd) X(groupnorm_bwd) \
	X(layernorm_ws_bytes) X(layernorm_fwd) X(layernorm_bwd) \
	X(rmsnorm_ws_bytes) X(rmsnorm_fwd) X(rmsnorm_bwd) \
	X(adanorm_ws_bytes) X(adanorm_fwd) X(adanorm_bwd) \
	X(attention_ws_bytes) X(attention_fwd) X(attention_bwd) \
	X(act_fwd) X(act_bwd) X(gate_fwd) X(gate_bwd) X(gain_fwd) X(gain_ws_bytes) X(gain_bwd) \
	X(add) X(affine) X(divide) X(dropout) \
	X(concat_fwd) X(concat_bwd) X(slice_fwd) X(slice_bwd) X(unpatch_fwd) X(unpatch_bwd) \
	X(upsample2_fwd) X(upsample2_bwd) X(avgpool2_fwd) X(avgpool2_bwd) X(fir2_down) X(fir2_up) \
	X(timestep) X(fourier) X(embed_fwd) X(embed_bwd) \
	X(combine) X(clamp) \
	X(loss) X(sqnorm) X(sqnorm_ws_bytes) X(adamw)

#endif
