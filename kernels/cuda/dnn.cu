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

enum { FWD, FWD_ACC, FWD_BIAS, BWD_DATA, BWD_DATA_ACC, BWD_WEIGHTS };

const struct rd_dnn_kind rd_dnn_kinds[RD_DNN_N_KINDS] = {
	{ "forward", RD_DNN_FWD, 0, 0 },           { "forward +=", RD_DNN_FWD, 1, 0 },
	{ "forward with bias", RD_DNN_FWD, 0, 1 }, { "by the input", RD_DNN_BWD_DATA, 0, 0 },
	{ "by the input +=", RD_DNN_BWD_DATA, 1, 0 }, { "by the weights", RD_DNN_BWD_WEIGHTS, 0, 0 },
};

/* Of the same description: one, for training and without it. */
struct rd_dnn_conv {
	struct rd_dnn_conv *next;
	struct rd_conv2d_desc d;
	bool made[RD_DNN_N_KINDS];
	struct rd_dnn_plan plan[RD_DNN_N_KINDS]; /* of those made */
};

struct rd_dnn {
	cudnnHandle_t handle;
	struct rd_dnn_conv *convs;
	char text[48];
	char *engines; /* as last told */
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
	for (int i = 0; i < RD_DNN_N_KINDS; i++)
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
	free(d->engines);
	free(d);
}

const char *rd_dnn_text(const struct rd_dnn *d)
{
	return d ? d->text : "no cuDNN";
}

static void tell_plan(FILE *f, const struct rd_conv2d_desc *d, const struct rd_dnn_kind *k, const struct rd_dnn_plan *p)
{
	static const char *const why[RD_DNN_N_REASONS] = { "order of sums", "narrow sums", "narrow operands", "no plan" };

	fprintf(f, "%lldx%lldx%lldx%lld to %lld, %dx%d over %d, %s: ", (long long)d->in.n, (long long)d->in.c, (long long)d->in.h,
	        (long long)d->in.w, (long long)d->out_c, d->kernel, d->kernel, d->stride, k->name);
	if (p->plan)
		fprintf(f, "engine %lld by mode %c%s%s, %zu bytes", (long long)p->engine, p->mode, p->tensor_core ? ", tensor cores" : "",
		        p->transforms ? ", transforms" : "", p->ws_bytes);
	else
		fputs("none", f);
	for (int i = 0; i < RD_DNN_N_REASONS; i++)
		if (p->passed_over[i])
			fprintf(f, "; passed over for %s: %d", why[i], p->passed_over[i]);
	fputc('\n', f);
}

const char *rd_cuda_engines(struct rd_dev *dev)
{
	struct rd_dnn *dnn = dev->dnn;
	size_t bytes;
	FILE *f;

	if (!dnn)
		return "";
	free(dnn->engines);
	dnn->engines = NULL;
	f = open_memstream(&dnn->engines, &bytes);
	for (struct rd_dnn_conv *c = f ? dnn->convs : NULL; c; c = c->next)
		for (int i = 0; i < RD_DNN_N_KINDS; i++)
			if (c->made[i])
				tell_plan(f, &c->d, &rd_dnn_kinds[i], &c->plan[i]);
	if (f)
		fclose(f);
	return dnn->engines ? dnn->engines : "";
}

static void make_plan(struct rd_dev *dev, struct rd_dnn_conv *c, int kind)
{
	if (!c->made[kind])
		rd_dnn_plan_make(&c->plan[kind], dev->dnn->handle, &c->d, dev->precision, &rd_dnn_kinds[kind]);
	c->made[kind] = true;
}

static struct rd_dnn_conv *find(struct rd_dnn *dnn, const struct rd_conv2d_desc *d)
{
	struct rd_dnn_conv *c = dnn->convs;

	while (c && memcmp(&c->d, d, sizeof *d) != 0)
		c = c->next;
	if (c)
		return c;
	c = (struct rd_dnn_conv *)calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->d = *d;
	c->next = dnn->convs;
	return dnn->convs = c;
}

/* Forward with a bias, which cuDNN compiles as the plan is made, waits until it is wanted. */
struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, int training)
{
	struct rd_dnn_conv *c = find(dev->dnn, d);

	for (int i = 0; c && i < RD_DNN_N_KINDS; i++)
		if (!rd_dnn_kinds[i].bias && (training || rd_dnn_kinds[i].way == RD_DNN_FWD))
			make_plan(dev, c, i);
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

	for (int i = 0; i < RD_DNN_N_KINDS; i++)
		if (!rd_dnn_kinds[i].bias && c->plan[i].ws_bytes > n)
			n = c->plan[i].ws_bytes;
	return n;
}

static int run(struct rd_dev *dev, const struct rd_dnn_plan *p, const void *x, const void *w, const void *y,
               const void *bias, void *ws, struct rd_err *e)
{
	cudnnStatus_t s = rd_dnn_plan_run(p, dev->dnn->handle, x, w, y, bias, ws);

	return s == CUDNN_STATUS_SUCCESS ? RD_OK : rd_fail(e, RD_EDEVICE, "cuDNN: convolution: %s", cudnnGetErrorString(s));
}

/* Its work space is borrowed: what the caller has was measured before this plan was made. */
static int fwd_bias(struct rd_dev *dev, struct rd_dnn_conv *c, const void *w, const float *bias, const void *x, void *y,
                    bool *done, struct rd_err *e)
{
	const struct rd_dnn_plan *p = &c->plan[FWD_BIAS];
	void *ws = NULL;
	int rc = RD_OK;

	if (!c->made[FWD_BIAS] && dev->recording)
		return rd_fail(e, RD_EDEVICE, "device cuda: a convolution with a bias, recorded without one like it before");
	make_plan(dev, c, FWD_BIAS);
	*done = p->plan != NULL;
	if (*done && p->ws_bytes)
		rc = rd_cuda_scratch(dev, p->ws_bytes, &ws, e);
	return rc || !*done ? rc : run(dev, p, x, w, y, bias, ws, e);
}

int rd_dnn_conv_fwd(struct rd_dev *dev, struct rd_dnn_conv *c, const void *w, const float *bias, const void *x, void *y,
                    int acc, void *ws, struct rd_err *e)
{
	struct rd_dims o = rd_conv2d_out(&c->d);
	bool done = false;
	int rc = bias && !acc ? fwd_bias(dev, c, w, bias, x, y, &done, e) : RD_OK;

	if (!rc && !done)
		rc = run(dev, &c->plan[acc ? FWD_ACC : FWD], x, w, y, NULL, ws, e);
	return rc || done || !bias ? rc : rd_cuda_add_bias(dev, o.n * o.h * o.w, o.c, bias, y, e);
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
