/* In place of dnn.cu where cuDNN is not there: it has no convolution. */
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

void rd_dnn_conv_free(struct rd_dnn_conv *) {}

bool rd_dnn_conv_has(const struct rd_dnn_conv *, enum rd_conv2d_way)
{
	return false;
}

size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *, unsigned)
{
	return 0;
}

int rd_dnn_conv_run(struct rd_dev *, struct rd_dnn_conv *, enum rd_conv2d_way, const void *, const void *, const void *,
                    const float *, void *, struct rd_err *e)
{
	return rd_fail(e, RD_EDEVICE, "this build has no cuDNN");
}

#endif
