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
#define ITEM(name) OWN(name),

const struct rd_backend RD_SYM(backend) = {
	.name = "cpu",
	.on_host = 1,
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
	RD_EACH_OP(ITEM)
	COMMON(normal),
};
