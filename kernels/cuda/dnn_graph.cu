#include "kernels/cuda/dnn_graph.h"

#ifdef RD_CUDNN

#include <string.h>

typedef cudnnBackendDescriptor_t desc;

/* Numbers by which an execution finds its pointers. */
enum { UID_X = 1, UID_W, UID_Y, UID_BIAS, UID_SUM };

/* Heuristics name the fastest first; what sums in one order alone, or rounds nothing, may come late. */
enum { MAX_CONFIGS = 48, MAX_DESCS = MAX_CONFIGS + 2 };

/* Descriptors that go together; after the first error nothing more is done. */
struct graph {
	cudnnStatus_t status;
	desc d[MAX_DESCS];
	int n;
	desc ops[2];
	int n_ops;
};

static void set(struct graph *g, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *value)
{
	if (g->status == CUDNN_STATUS_SUCCESS)
		g->status = cudnnBackendSetAttribute(d, name, type, n, value);
}

static desc make(struct graph *g, cudnnBackendDescriptorType_t type)
{
	desc d = NULL;

	if (g->status == CUDNN_STATUS_SUCCESS)
		g->status = cudnnBackendCreateDescriptor(type, &d);
	if (d)
		g->d[g->n++] = d;
	return d;
}

static void finish(struct graph *g, desc d)
{
	if (g->status == CUDNN_STATUS_SUCCESS)
		g->status = cudnnBackendFinalize(d);
}

static void destroy(desc d)
{
	if (d)
		cudnnBackendDestroyDescriptor(d);
}

static void drop(struct graph *g)
{
	while (g->n)
		destroy(g->d[--g->n]);
}

/* d outlives the others. */
static desc keep(struct graph *g, desc d)
{
	for (int i = 0; i < g->n; i++)
		if (g->d[i] == d)
			g->d[i] = NULL;
	return d;
}

/* dims (n,c,h,w) with c innermost; a virtual tensor lives inside a kernel. */
static desc tensor(struct graph *g, int64_t uid, cudnnDataType_t type, int64_t n, int64_t c, int64_t h, int64_t w,
                   bool is_virtual)
{
	desc d = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
	int64_t dims[4] = { n, c, h, w }, strides[4] = { h * w * c, 1, w * c, c }, align = 16;

	set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
	set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
	set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
	set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
	set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
	if (is_virtual)
		set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
	finish(g, d);
	return d;
}

static desc convolution(struct graph *g, const struct rd_conv2d_desc *c)
{
	desc d = make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
	int64_t two = 2, ones[2] = { 1, 1 }, stride[2] = { c->stride, c->stride }, lo[2] = { c->pad_lo, c->pad_lo };
	int64_t hi[2] = { c->pad_hi, c->pad_hi };
	cudnnDataType_t sums = CUDNN_DATA_FLOAT;
	cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;

	set(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
	set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
	set(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
	set(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
	set(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
	set(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, lo);
	set(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, hi);
	finish(g, d);
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

/* out = in + bias */
static void add_bias(struct graph *g, desc in, desc bias, desc out)
{
	desc add = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;
	cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
	cudnnDataType_t type = CUDNN_DATA_FLOAT;

	set(g, add, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
	set(g, add, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
	finish(g, add);
	op = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
	set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &add);
	set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &in);
	set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &bias);
	set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &out);
	finish(g, op);
	g->ops[g->n_ops++] = op;
}

/* The graph's operations; needs no device. */
static void build(struct graph *g, const struct rd_conv2d_desc *d, enum rd_precision precision, const struct rd_dnn_kind *k)
{
	cudnnDataType_t type = precision == RD_PRECISION_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
	struct rd_dims i = d->in, o = rd_conv2d_out(d);
	desc x = tensor(g, UID_X, type, i.n, i.c, i.h, i.w, false), w, y, sum, conv, op;
	float alpha = 1.0f, beta = k->acc ? 1.0f : 0.0f;

	w = tensor(g, UID_W, type, o.c, i.c, d->kernel, d->kernel, false);
	y = tensor(g, UID_Y, type, o.n, o.c, o.h, o.w, false);
	sum = k->bias ? tensor(g, UID_SUM, CUDNN_DATA_FLOAT, o.n, o.c, o.h, o.w, true) : y;
	conv = convolution(g, d);
	op = make(g, ops[k->op].op);
	set(g, op, ops[k->op].x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x);
	set(g, op, ops[k->op].w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w);
	set(g, op, ops[k->op].y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &sum);
	set(g, op, ops[k->op].conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv);
	set(g, op, ops[k->op].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
	set(g, op, ops[k->op].beta, CUDNN_TYPE_FLOAT, 1, &beta);
	finish(g, op);
	g->ops[g->n_ops++] = op;
	if (k->bias)
		add_bias(g, sum, tensor(g, UID_BIAS, CUDNN_DATA_FLOAT, 1, o.c, 1, 1, false), y);
}

/* What an engine says of itself; a note of cuDNN's is the bit of its number. */
struct engine {
	int64_t number;
	unsigned notes;
};

#define NOTE(name) (1u << CUDNN_NUMERICAL_NOTE_##name)

static const unsigned transforms = NOTE(FFT) | NOTE(WINOGRAD) | NOTE(WINOGRAD_TILE_4x4) | NOTE(WINOGRAD_TILE_6x6) |
                                   NOTE(WINOGRAD_TILE_13x13);

static bool look_at(desc config, struct engine *en)
{
	cudnnBackendNumericalNote_t notes[16];
	int64_t n = 0, got = 0;
	desc engine;
	bool ok;

	*en = {};
	if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != CUDNN_STATUS_SUCCESS)
		return false;
	ok = cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &got, &engine) ==
	             CUDNN_STATUS_SUCCESS &&
	     cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, 16, &n, notes) ==
	             CUDNN_STATUS_SUCCESS;
	for (int64_t i = 0; ok && i < n && i < 16; i++)
		en->notes |= 1u << notes[i];
	if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &got, &en->number) !=
	    CUDNN_STATUS_SUCCESS)
		en->number = -1;
	cudnnBackendDestroyDescriptor(engine);
	return ok;
}

/* Why an engine is passed over, or RD_DNN_N_REASONS: it sums in the order of its threads' arrival, or in less than f32, or it
 * makes the operands less than their type; or, in f32, rounds them to tf32 or transforms them, which loses digits; or, in tf32 and
 * bf16, it has no tensor cores: a product over unfolded images, which has, is then many times as fast. */
static enum rd_dnn_reason objection(unsigned notes, enum rd_precision precision)
{
	if (notes & NOTE(NONDETERMINISTIC))
		return RD_DNN_ORDER;
	if (notes & NOTE(REDUCED_PRECISION_REDUCTION))
		return RD_DNN_SUMS;
	if (notes & NOTE(DOWN_CONVERT_INPUTS) || (precision == RD_PRECISION_F32 && notes & (NOTE(TENSOR_CORE) | transforms)))
		return RD_DNN_OPERANDS;
	if (precision != RD_PRECISION_F32 && !(notes & NOTE(TENSOR_CORE)))
		return RD_DNN_PLAIN;
	return RD_DNN_N_REASONS;
}

static void refused(struct rd_dnn_plan *p, enum rd_dnn_refused what, cudnnStatus_t status)
{
	(void)cudaGetLastError(); /* what the library tried is not the next launch's error */
	if (p->refused >= what)
		return;
	p->refused = what;
	p->status = status;
	cudnnGetLastErrorString(p->text, sizeof p->text);
	for (char *c = p->text; *c; c++)
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			*c = ' ';
}

static bool make_plan(struct rd_dnn_plan *p, cudnnHandle_t h, desc config)
{
	struct graph g = {};
	int64_t bytes = 0, got = 0;
	desc plan = make(&g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);

	set(&g, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &h);
	set(&g, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
	finish(&g, plan);
	if (g.status == CUDNN_STATUS_SUCCESS)
		g.status = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &got, &bytes);
	if (g.status != CUDNN_STATUS_SUCCESS)
		refused(p, RD_DNN_PLAN, g.status);
	if (g.status != CUDNN_STATUS_SUCCESS || bytes < 0 || bytes > (int64_t)1 << 30) {
		drop(&g);
		return false;
	}
	p->plan = plan;
	p->ws_bytes = (size_t)bytes;
	return true;
}

static bool try_config(struct rd_dnn_plan *p, cudnnHandle_t h, desc config, enum rd_precision precision)
{
	struct engine en;
	enum rd_dnn_reason no = look_at(config, &en) ? objection(en.notes, precision) : RD_DNN_NO_PLAN;

	if (no == RD_DNN_N_REASONS && !make_plan(p, h, config))
		no = RD_DNN_NO_PLAN;
	if (no != RD_DNN_N_REASONS) {
		p->passed_over[no]++;
		return false;
	}
	p->engine = en.number;
	p->tensor_core = en.notes & NOTE(TENSOR_CORE);
	p->transforms = en.notes & transforms;
	return true;
}

/* The first acceptable configuration that a heuristic gives. No timing race: a run that goes on from a checkpoint must choose as the
 * one that wrote it did, or its sums are other ones. */
static bool choose(struct rd_dnn_plan *p, cudnnHandle_t h, desc graph, cudnnBackendHeurMode_t mode,
                   enum rd_precision precision)
{
	struct graph g = {};
	desc heur = make(&g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), config[MAX_CONFIGS] = {};
	int64_t n = 0;
	bool found = false;

	set(&g, heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
	set(&g, heur, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
	finish(&g, heur);
	for (int i = 0; i < MAX_CONFIGS; i++)
		config[i] = make(&g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
	if (g.status == CUDNN_STATUS_SUCCESS)
		g.status = cudnnBackendGetAttribute(heur, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_CONFIGS,
		                                    &n, config);
	if (g.status != CUDNN_STATUS_SUCCESS)
		refused(p, RD_DNN_HEURISTICS, g.status);
	for (int64_t i = 0; g.status == CUDNN_STATUS_SUCCESS && i < n && i < MAX_CONFIGS && !found; i++)
		if (try_config(p, h, config[i], precision)) {
			p->config = keep(&g, config[i]);
			found = true;
		}
	drop(&g);
	return found;
}

void rd_dnn_plan_make(struct rd_dnn_plan *p, cudnnHandle_t h, const struct rd_conv2d_desc *d, enum rd_precision precision,
                      const struct rd_dnn_kind *k)
{
	static const struct { /* the more a mode knows of the device the earlier; fallback has what is sure to run */
		cudnnBackendHeurMode_t mode;
		char name;
	} modes[] = { { CUDNN_HEUR_MODE_B, 'B' }, { CUDNN_HEUR_MODE_A, 'A' }, { CUDNN_HEUR_MODE_FALLBACK, 'F' } };
	struct graph g = {};
	desc graph;

	memset(p, 0, sizeof *p);
	p->bias = k->bias;
	build(&g, d, precision, k);
	graph = make(&g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
	set(&g, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &h);
	set(&g, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g.n_ops, g.ops);
	finish(&g, graph);
	if (g.status != CUDNN_STATUS_SUCCESS)
		refused(p, RD_DNN_GRAPH, g.status);
	for (size_t i = 0; i < sizeof modes / sizeof *modes && g.status == CUDNN_STATUS_SUCCESS && !p->plan; i++)
		if (choose(p, h, graph, modes[i].mode, precision))
			p->mode = modes[i].name;
	drop(&g);
}

void rd_dnn_plan_free(struct rd_dnn_plan *p)
{
	destroy(p->plan);
	destroy(p->config);
	p->plan = p->config = NULL;
}

cudnnStatus_t rd_dnn_plan_run(const struct rd_dnn_plan *p, cudnnHandle_t h, const void *x, const void *w, const void *y,
                              const void *bias, void *ws)
{
	const void *pointers[4] = { x, w, y, bias };
	int64_t ids[4] = { UID_X, UID_W, UID_Y, UID_BIAS };
	struct graph g = {};
	desc pack = make(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

	set(&g, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, p->bias ? 4 : 3, pointers);
	set(&g, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, p->bias ? 4 : 3, ids);
	set(&g, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &ws);
	finish(&g, pack);
	if (g.status == CUDNN_STATUS_SUCCESS)
		g.status = cudnnBackendExecute(h, p->plan, pack);
	drop(&g);
	return g.status;
}

int rd_dnn_try(const struct rd_conv2d_desc *d, enum rd_precision precision, struct rd_err *e)
{
	for (int i = 0; i < RD_DNN_N_KINDS; i++) {
		struct graph g = {};

		build(&g, d, precision, &rd_dnn_kinds[i]);
		drop(&g);
		if (g.status != CUDNN_STATUS_SUCCESS)
			return rd_fail(e, RD_EDEVICE, "cuDNN: %s: %s", rd_dnn_kinds[i].name, cudnnGetErrorString(g.status));
	}
	return RD_OK;
}

#endif
