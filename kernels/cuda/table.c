/* The functions of the CUDA backend, gathered: one table where activations are f32 and one where they are bf16. */
#include "kernels/cuda/ops.h"
#include "kernels/plugin.h"

#define OWN(name) .name = rd_cuda_##name
#define ITEM(name) OWN(name),
#define WIDTH(bytes) .act_bytes = bytes, .sample_bytes = rd_cuda_bytes_f32

#define TABLE \
	.name = "cuda", \
	.adds_apart = 1, \
	OWN(open), \
	OWN(close), \
	OWN(describe), \
	OWN(engines), \
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
	OWN(record_drop), \
	OWN(act_import), \
	OWN(act_export), \
	OWN(sample_import), \
	OWN(sample_export), \
	RD_EACH_OP(ITEM) \
	OWN(normal)

static const struct rd_backend f32 = { TABLE, WIDTH(rd_cuda_bytes_f32) };
static const struct rd_backend bf16 = { TABLE, WIDTH(rd_cuda_bytes_bf16), OWN(narrow), OWN(widen) };

static const struct rd_backend *backend(enum rd_precision p)
{
	return p == RD_PRECISION_BF16 ? &bf16 : &f32;
}

extern const struct rd_plugin rd_plugin;
const struct rd_plugin rd_plugin = { RD_VERSION, sizeof(struct rd_backend), backend };
