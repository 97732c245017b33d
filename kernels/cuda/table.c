/* The functions of the CUDA backend, gathered: one table where activations are f32 and one where they are bf16. */
#include "kernels/cuda/ops.h"
#include "kernels/plugin.h"

#define OWN(name) .name = rd_cuda_##name
#define WIDTH(bytes) .act_bytes = bytes, .sample_bytes = rd_cuda_bytes_f32

#define TABLE \
	.name = "cuda", \
	OWN(open), \
	OWN(close), \
	OWN(describe), \
	OWN(alloc), \
	OWN(release), \
	OWN(put), \
	OWN(get), \
	OWN(zero), \
	OWN(copy), \
	OWN(sync), \
	OWN(record_begin), \
	OWN(record_end), \
	OWN(replay), \
	OWN(replay_free), \
	OWN(act_import), \
	OWN(act_export), \
	OWN(sample_import), \
	OWN(sample_export), \
	OWN(conv2d_new), \
	OWN(conv2d_free), \
	OWN(conv2d_packed_bytes), \
	OWN(conv2d_ws_bytes), \
	OWN(conv2d_pack), \
	OWN(conv2d_fwd), \
	OWN(conv2d_bwd), \
	OWN(linear_fwd), \
	OWN(linear_bwd), \
	OWN(groupnorm_ws_bytes), \
	OWN(groupnorm_fwd), \
	OWN(groupnorm_bwd), \
	OWN(attention_ws_bytes), \
	OWN(attention_fwd), \
	OWN(attention_bwd), \
	OWN(act_fwd), \
	OWN(act_bwd), \
	OWN(add), \
	OWN(affine), \
	OWN(divide), \
	OWN(dropout), \
	OWN(concat_fwd), \
	OWN(concat_bwd), \
	OWN(upsample2_fwd), \
	OWN(upsample2_bwd), \
	OWN(avgpool2_fwd), \
	OWN(avgpool2_bwd), \
	OWN(fir2_down), \
	OWN(fir2_up), \
	OWN(timestep), \
	OWN(fourier), \
	OWN(embed_fwd), \
	OWN(embed_bwd), \
	OWN(combine), \
	OWN(clamp), \
	OWN(loss), \
	OWN(sqnorm), \
	OWN(sqnorm_ws_bytes), \
	OWN(adamw), \
	OWN(normal)

static const struct rd_backend f32 = { TABLE, WIDTH(rd_cuda_bytes_f32) };
static const struct rd_backend bf16 = { TABLE, WIDTH(rd_cuda_bytes_bf16), OWN(narrow), OWN(widen) };

static const struct rd_backend *backend(enum rd_precision p)
{
	return p == RD_PRECISION_BF16 ? &bf16 : &f32;
}

extern const struct rd_plugin rd_plugin;
const struct rd_plugin rd_plugin = { RD_VERSION, sizeof(struct rd_backend), backend };
