/* cuDNN's graph API in C: an execution plan for each direction of a convolution, NHWC. Plans are kept with the device and
 * shared by convolutions of the same shape. Engines whose sums depend on the order of arrival or are less than f32 are passed
 * over, and in f32 those that round operands or transform them. */
#include "kernels/cuda/dnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/colsum.h"
#include "kernels/cuda/dnn_graph.h"

#ifdef RD_CUDNN

/* Ways to do it: with the sum written or added to, and forward with the bias in the same kernel. */
enum { FWD, FWD_ACC, FWD_BIAS, BWD_DATA, BWD_DATA_ACC, BWD_WEIGHTS, N_PLANS };

struct rd_dnn_conv {
	struct rd_dnn_conv *next;
	struct rd_conv2d_desc d;
	int training;
	struct rd_dnn_plan plan[N_PLANS];
};

struct rd_dnn {
	cudnnHandle_t handle;
	struct rd_dnn_conv *convs;
	char text[48];
};

int rd_dnn_new(struct rd_dnn **out, struct rd_dev *dev, struct rd_err *e)
{
	struct rd_dnn *d = (struct rd_dnn *)calloc(1, sizeof *d);
	size_t v = cudnnGetVersion();
	cudnnStatus_t s;

	*out = NULL;
	if (!d)
		return rd_fail(e, RD_ENOMEM, "no memory");
	s = cudnnCreate(&d->handle);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnSetStream(d->handle, dev->stream);
	if (s != CUDNN_STATUS_SUCCESS) {
		rd_dnn_free(d);
		return rd_fail(e, RD_EDEVICE, "cuDNN: %s", cudnnGetErrorString(s));
	}
	snprintf(d->text, sizeof d->text, "cuDNN %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
	*out = d;
	return RD_OK;
}

static void free_conv(struct rd_dnn_conv *c)
{
	for (int i = 0; i < N_PLANS; i++)
		rd_dnn_plan_free(&c->plan[i]);
	free(c);
}

void rd_dnn_free(struct rd_dnn *d)
{
	if (!d)
		return;
	while (d->convs) {
		struct rd_dnn_conv *c = d->convs;

		d->convs = c->next;
		free_conv(c);
	}
	if (d->handle)
		cudnnDestroy(d->handle);
	free(d);
}

const char *rd_dnn_text(const struct rd_dnn *d)
{
	return d ? d->text : "no cuDNN";
}

static void make_plans(struct rd_dev *dev, struct rd_dnn_conv *c)
{
	cudnnHandle_t h = dev->dnn->handle;

	rd_dnn_plan_make(&c->plan[FWD], h, &c->d, dev->precision, RD_DNN_FWD, 0, 0);
	rd_dnn_plan_make(&c->plan[FWD_ACC], h, &c->d, dev->precision, RD_DNN_FWD, 1, 0);
	rd_dnn_plan_make(&c->plan[FWD_BIAS], h, &c->d, dev->precision, RD_DNN_FWD, 0, 1);
	if (!c->training)
		return;
	rd_dnn_plan_make(&c->plan[BWD_DATA], h, &c->d, dev->precision, RD_DNN_BWD_DATA, 0, 0);
	rd_dnn_plan_make(&c->plan[BWD_DATA_ACC], h, &c->d, dev->precision, RD_DNN_BWD_DATA, 1, 0);
	rd_dnn_plan_make(&c->plan[BWD_WEIGHTS], h, &c->d, dev->precision, RD_DNN_BWD_WEIGHTS, 0, 0);
}

struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, int training)
{
	struct rd_dnn_conv *c;

	for (c = dev->dnn->convs; c; c = c->next)
		if (memcmp(&c->d, d, sizeof *d) == 0 && c->training == training)
			return c;
	c = (struct rd_dnn_conv *)calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->d = *d;
	c->training = training;
	make_plans(dev, c);
	c->next = dev->dnn->convs;
	dev->dnn->convs = c;
	return c;
}

void rd_dnn_conv_free(struct rd_dnn_conv *c)
{
	(void)c; /* it goes with the device */
}

bool rd_dnn_conv_has(const struct rd_dnn_conv *c, enum rd_dnn_way way, int acc)
{
	if (!c)
		return false;
	switch (way) {
	case RD_DNN_FWD: return c->plan[acc ? FWD_ACC : FWD].plan != NULL;
	case RD_DNN_BWD_DATA: return c->plan[acc ? BWD_DATA_ACC : BWD_DATA].plan != NULL;
	default: return c->plan[BWD_WEIGHTS].plan != NULL;
	}
}

size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *c)
{
	size_t n = 0;

	for (int i = 0; i < N_PLANS; i++)
		if (c->plan[i].plan && c->plan[i].ws_bytes > n)
			n = c->plan[i].ws_bytes;
	return n;
}

static int run(struct rd_dev *dev, const struct rd_dnn_plan *p, const void *x, const void *w, const void *y,
               const void *bias, void *ws, struct rd_err *e)
{
	cudnnStatus_t s = rd_dnn_plan_run(p, dev->dnn->handle, x, w, y, bias, ws);

	return s == CUDNN_STATUS_SUCCESS ? RD_OK : rd_fail(e, RD_EDEVICE, "cuDNN: convolution: %s", cudnnGetErrorString(s));
}

int rd_dnn_conv_fwd(struct rd_dev *dev, struct rd_dnn_conv *c, const void *w, const float *bias, const void *x, void *y,
                    int acc, void *ws, struct rd_err *e)
{
	struct rd_dims o = rd_conv2d_out(&c->d);
	int rc;

	if (bias && !acc && c->plan[FWD_BIAS].plan)
		return run(dev, &c->plan[FWD_BIAS], x, w, y, bias, ws, e);
	rc = run(dev, &c->plan[acc ? FWD_ACC : FWD], x, w, y, NULL, ws, e);
	return rc || !bias ? rc : rd_cuda_add_bias(dev, o.n * o.h * o.w, o.c, bias, y, e);
}

int rd_dnn_conv_bwd_data(struct rd_dev *dev, struct rd_dnn_conv *c, const void *w, const void *dy, void *dx, int acc,
                         void *ws, struct rd_err *e)
{
	return run(dev, &c->plan[acc ? BWD_DATA_ACC : BWD_DATA], dx, w, dy, NULL, ws, e);
}

int rd_dnn_conv_bwd_weights(struct rd_dev *dev, struct rd_dnn_conv *c, const void *x, const void *dy, void *dw, void *ws,
                            struct rd_err *e)
{
	return run(dev, &c->plan[BWD_WEIGHTS], x, dw, dy, NULL, ws, e);
}

#endif
