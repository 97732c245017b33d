/* A convolution, NHWC, by cuDNN: forward, with what is added to it in the same kernel, and both directions of backward. */
#include "kernels/cuda/dnn_graph.h"

#ifdef RD_CUDNN

#include <stdlib.h>
#include <string.h>

typedef cudnnBackendDescriptor_t desc;

/* Numbers by which an execution finds its pointers. */
enum { X = 1, W, Y, BIAS, ADD, SUM, SUM_ADDED };

enum direction { FORWARD, BY_INPUT, BY_WEIGHTS };

/* way: for which of enum rd_conv2d_way it is made. acc: the result is added to what is there. */
static const struct kind {
	const char *name;
	enum direction direction;
	unsigned way;
	bool acc, add, bias;
} kinds[RD_DNN_N_KINDS] = {
	{ "forward", FORWARD, RD_CONV_Y, false, false, false },
	{ "forward +=", FORWARD, RD_CONV_Y_ACC, true, false, false },
	{ "forward with bias", FORWARD, RD_CONV_Y_BIAS, false, false, true },
	{ "forward with sum and bias", FORWARD, RD_CONV_Y_ACC, false, true, true },
	{ "by the input", BY_INPUT, RD_CONV_DX, false, false, false },
	{ "by the input +=", BY_INPUT, RD_CONV_DX_ACC, true, false, false },
	{ "by the weights", BY_WEIGHTS, RD_CONV_DW, false, false, false },
};

/* (n,c,h,w) with c innermost. */
static desc tensor(struct rd_dnn_graph *g, int64_t uid, cudnnDataType_t type, struct rd_dims d, enum rd_dnn_where where)
{
	const int64_t dims[4] = { d.n, d.c, d.h, d.w }, strides[4] = { d.h * d.w * d.c, 1, d.w * d.c, d.c };

	return rd_dnn_tensor(g, uid, type, dims, strides, where);
}

static desc convolution(struct rd_dnn_graph *g, const struct rd_conv2d_desc *c)
{
	desc d = rd_dnn_make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
	int64_t two = 2, ones[2] = { 1, 1 }, stride[2] = { c->stride, c->stride }, lo[2] = { c->pad_lo, c->pad_lo };
	int64_t hi[2] = { c->pad_hi, c->pad_hi };
	cudnnDataType_t sums = CUDNN_DATA_FLOAT;
	cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;

	rd_dnn_set(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
	rd_dnn_set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
	rd_dnn_set(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
	rd_dnn_set(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
	rd_dnn_set(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
	rd_dnn_set(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, lo);
	rd_dnn_set(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, hi);
	rd_dnn_finish(g, d);
	return d;
}

/* The names of one direction's operation and attributes. */
static const struct {
	cudnnBackendDescriptorType_t op;
	cudnnBackendAttributeName_t x, w, y, conv, alpha, beta;
} ops[] = {
	{ CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
	{ CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
	{ CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
	  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
};

/* out = in + what */
static void add(struct rd_dnn_graph *g, desc in, desc what, desc out)
{
	desc sum = rd_dnn_make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;
	cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
	cudnnDataType_t type = CUDNN_DATA_FLOAT;

	rd_dnn_set(g, sum, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
	rd_dnn_set(g, sum, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
	rd_dnn_finish(g, sum);
	op = rd_dnn_make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, sum);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, in);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, what);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
	rd_dnn_add_op(g, op);
}

/* All operands are of the activations' type, the bias too: so the pattern, in this order, is one that cuDNN has kernels for, and need
 * not compile. Sums on the way are f32. */
void rd_dnn_conv_graph(struct rd_dnn_graph *g, const struct rd_conv2d_desc *d, enum rd_precision precision, enum rd_dnn_kind kind)
{
	const struct kind *k = &kinds[kind];
	cudnnDataType_t type = precision == RD_PRECISION_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
	struct rd_dims o = rd_conv2d_out(d);
	desc x = tensor(g, X, type, d->in, RD_DNN_MEMORY), w, y, sum, conv, op;
	float alpha = 1.0f, beta = k->acc ? 1.0f : 0.0f;

	w = tensor(g, W, type, { o.c, d->in.c, d->kernel, d->kernel }, RD_DNN_MEMORY);
	y = tensor(g, Y, type, o, RD_DNN_MEMORY);
	sum = k->bias ? tensor(g, SUM, CUDNN_DATA_FLOAT, o, RD_DNN_INSIDE) : y;
	conv = convolution(g, d);
	op = rd_dnn_make(g, ops[k->direction].op);
	rd_dnn_set_desc(g, op, ops[k->direction].x, x);
	rd_dnn_set_desc(g, op, ops[k->direction].w, w);
	rd_dnn_set_desc(g, op, ops[k->direction].y, sum);
	rd_dnn_set_desc(g, op, ops[k->direction].conv, conv);
	rd_dnn_set(g, op, ops[k->direction].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
	rd_dnn_set(g, op, ops[k->direction].beta, CUDNN_TYPE_FLOAT, 1, &beta);
	rd_dnn_add_op(g, op);
	if (k->add) {
		desc added = tensor(g, SUM_ADDED, CUDNN_DATA_FLOAT, o, RD_DNN_INSIDE);

		add(g, sum, tensor(g, ADD, type, o, RD_DNN_MEMORY), added);
		sum = added;
	}
	if (k->bias)
		add(g, sum, tensor(g, BIAS, type, { 1, o.c, 1, 1 }, RD_DNN_MEMORY), y);
}

/* Of the same description: one, for training and without it. */
struct rd_dnn_conv {
	struct rd_dnn_conv *next;
	struct rd_conv2d_desc d;
	struct rd_dnn_entry *plan[RD_DNN_N_KINDS]; /* NULL: not asked for */
};

void rd_dnn_convs_free(struct rd_dnn_conv *c)
{
	while (c) {
		struct rd_dnn_conv *next = c->next;

		free(c);
		c = next;
	}
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

void rd_dnn_conv_name(char *to, size_t n, const struct rd_conv2d_desc *d, enum rd_dnn_kind kind)
{
	snprintf(to, n, "%lldx%lldx%lldx%lld to %lld, %dx%d over %d, %s", (long long)d->in.n, (long long)d->in.c, (long long)d->in.h,
	         (long long)d->in.w, (long long)d->out_c, d->kernel, d->kernel, d->stride, kinds[kind].name);
}

static void make_plan(struct rd_dev *dev, struct rd_dnn_conv *c, enum rd_dnn_kind kind)
{
	struct rd_dnn_graph g = {};
	char name[RD_DNN_NAME];

	if (c->plan[kind])
		return;
	rd_dnn_conv_name(name, sizeof name, &c->d, kind);
	rd_dnn_conv_graph(&g, &c->d, dev->precision, kind);
	c->plan[kind] = rd_dnn_entry_new(dev, &g, true, name);
}

struct rd_dnn_conv *rd_dnn_conv_new(struct rd_dev *dev, const struct rd_conv2d_desc *d, unsigned ways)
{
	struct rd_dnn_conv *c = find(dev->dnn, d);

	if (!c)
		return NULL;
	for (int i = 0; i < RD_DNN_N_KINDS; i++)
		if (ways & kinds[i].way)
			make_plan(dev, c, (enum rd_dnn_kind)i);
	if (ways & RD_CONV_Y_BIAS && !rd_dnn_conv_has(c, RD_DNN_Y_BIAS)) /* the bias is added after it */
		make_plan(dev, c, RD_DNN_Y);
	return c;
}

bool rd_dnn_conv_has(const struct rd_dnn_conv *c, enum rd_dnn_kind kind)
{
	return c && c->plan[kind] && c->plan[kind]->plan.plan;
}

size_t rd_dnn_conv_ws_bytes(const struct rd_dnn_conv *c)
{
	size_t n = 0;

	for (int i = 0; i < RD_DNN_N_KINDS; i++)
		if (c->plan[i] && c->plan[i]->plan.ws_bytes > n)
			n = c->plan[i]->plan.ws_bytes;
	return n;
}

int rd_dnn_conv_run(struct rd_dev *dev, struct rd_dnn_conv *c, enum rd_dnn_kind kind, const struct rd_dnn_operands *o, void *ws,
                    struct rd_err *e)
{
	int64_t uids[5] = { X, W, Y };
	const void *pointers[5] = { o->x, o->w, o->y };
	cudnnStatus_t s;
	int n = 3;

	if (kinds[kind].bias) {
		uids[n] = BIAS;
		pointers[n++] = o->bias;
	}
	if (kinds[kind].add) {
		uids[n] = ADD;
		pointers[n++] = o->add;
	}
	s = rd_dnn_plan_run(&c->plan[kind]->plan, dev->dnn->handle, n, uids, pointers, ws);
	return s == CUDNN_STATUS_SUCCESS ? RD_OK : rd_fail(e, RD_EDEVICE, "cuDNN: convolution: %s", cudnnGetErrorString(s));
}

#endif
