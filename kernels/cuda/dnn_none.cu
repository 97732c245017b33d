/* In place of the other dnn files where cuDNN is not there: it has nothing. */
#include "kernels/cuda/dnn.h"

#ifndef RD_CUDNN

int rd_dnn_new(struct rd_dnn **out, struct rd_dev *, struct rd_err *)
{
	*out = NULL;
	return RD_OK;
}

void rd_dnn_free(struct rd_dnn *) {}

const char *rd_dnn_text(const struct rd_dnn *)
{
	return "no cuDNN";
}

const char *rd_cuda_engines(struct rd_dev *)
{
	return "";
}

struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *, const struct rd_conv2d_desc *, unsigned)
{
	return NULL;
}

bool rd_dnn_conv_has(const struct rd_dnn_conv *, enum rd_dnn_kind)
{
	return false;
}

size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *)
{
	return 0;
}

int rd_dnn_conv_run(struct rd_dev *, struct rd_dnn_conv *, enum rd_dnn_kind, const struct rd_dnn_operands *, void *, struct rd_err *e)
{
	return rd_fail(e, RD_EDEVICE, "this build has no cuDNN");
}

bool rd_dnn_attention_plan(struct rd_dev *, const struct rd_attention_desc *, bool)
{
	return false;
}

bool rd_dnn_attention_has(struct rd_dev *, const struct rd_attention_desc *, bool)
{
	return false;
}

size_t rd_dnn_attention_ws_bytes(struct rd_dev *, const struct rd_attention_desc *, bool)
{
	return 0;
}

int rd_dnn_attention_fwd(struct rd_dev *, const struct rd_attention_desc *, const void *, const void *, const void *, void *, float *,
                         void *, struct rd_err *e)
{
	return rd_fail(e, RD_EDEVICE, "this build has no cuDNN");
}

#endif
