/* The functions of one instruction set, gathered. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"

#define STR_(s) #s
#define STR(s) STR_(s)

int RD_SYM(open)(struct rd_dev **out, const struct rd_dev_opts *o, struct rd_err *e)
{
	return rd_cpu_open(out, o, STR(RD_ISA), e);
}

#define COMMON(name) .name = rd_cpu_##name
#define OWN(name) .name = RD_SYM(name)

const struct rd_backend RD_SYM(backend) = {
	.name = "cpu",
	OWN(open),
	COMMON(close),
	COMMON(describe),
	COMMON(alloc),
	COMMON(release),
	COMMON(put),
	COMMON(get),
	COMMON(zero),
	COMMON(copy),
	COMMON(sync),
	COMMON(act_bytes),
	COMMON(act_import),
	COMMON(act_export),
	.sample_bytes = rd_cpu_act_bytes,
	.sample_import = rd_cpu_act_import,
	.sample_export = rd_cpu_act_export,
	OWN(conv2d_new),
	OWN(conv2d_free),
	OWN(conv2d_packed_bytes),
	OWN(conv2d_ws_bytes),
	OWN(conv2d_pack),
	OWN(conv2d_fwd),
	OWN(conv2d_bwd),
	OWN(linear_fwd),
	OWN(linear_bwd),
	OWN(groupnorm_ws_bytes),
	OWN(groupnorm_fwd),
	OWN(groupnorm_bwd),
	OWN(attention_ws_bytes),
	OWN(attention_fwd),
	OWN(attention_bwd),
	OWN(act_fwd),
	OWN(act_bwd),
	OWN(add),
	OWN(affine),
	OWN(divide),
	OWN(dropout),
	OWN(concat_fwd),
	OWN(concat_bwd),
	OWN(upsample2_fwd),
	OWN(upsample2_bwd),
	OWN(avgpool2_fwd),
	OWN(avgpool2_bwd),
	OWN(fir2_down),
	OWN(fir2_up),
	OWN(timestep),
	OWN(fourier),
	OWN(embed_fwd),
	OWN(embed_bwd),
	OWN(combine),
	OWN(clamp),
	OWN(loss),
	OWN(sqnorm),
	OWN(sqnorm_ws_bytes),
	OWN(adamw),
	COMMON(normal),
};
