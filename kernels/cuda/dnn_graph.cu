#include "kernels/cuda/dnn_graph.h"

#ifdef RD_CUDNN

#include <string.h>

typedef cudnnBackendDescriptor_t desc;

void rd_dnn_set(struct rd_dnn_graph *g, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *value)
{
	if (g->status == CUDNN_STATUS_SUCCESS)
		g->status = cudnnBackendSetAttribute(d, name, type, n, value);
}

void rd_dnn_set_desc(struct rd_dnn_graph *g, desc d, cudnnBackendAttributeName_t name, desc value)
{
	rd_dnn_set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

desc rd_dnn_make(struct rd_dnn_graph *g, cudnnBackendDescriptorType_t type)
{
	desc d = NULL;

	if (g->status == CUDNN_STATUS_SUCCESS)
		g->status = cudnnBackendCreateDescriptor(type, &d);
	if (d)
		g->d[g->n++] = d;
	return d;
}

void rd_dnn_finish(struct rd_dnn_graph *g, desc d)
{
	if (g->status == CUDNN_STATUS_SUCCESS)
		g->status = cudnnBackendFinalize(d);
}

void rd_dnn_add_op(struct rd_dnn_graph *g, desc op)
{
	rd_dnn_finish(g, op);
	g->ops[g->n_ops++] = op;
}

static void destroy(desc d)
{
	if (d)
		cudnnBackendDestroyDescriptor(d);
}

void rd_dnn_drop(struct rd_dnn_graph *g)
{
	while (g->n)
		destroy(g->d[--g->n]);
}

/* d outlives the others. */
static desc keep(struct rd_dnn_graph *g, desc d)
{
	for (int i = 0; i < g->n; i++)
		if (g->d[i] == d)
			g->d[i] = NULL;
	return d;
}

desc rd_dnn_tensor(struct rd_dnn_graph *g, int64_t uid, cudnnDataType_t type, const int64_t dims[4], const int64_t strides[4],
                   enum rd_dnn_where where)
{
	desc d = rd_dnn_make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
	int64_t align = 16;
	bool yes = true;

	rd_dnn_set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
	rd_dnn_set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
	rd_dnn_set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
	rd_dnn_set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
	rd_dnn_set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
	if (where == RD_DNN_INSIDE)
		rd_dnn_set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes);
	if (where == RD_DNN_BY_VALUE)
		rd_dnn_set(g, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes);
	rd_dnn_finish(g, d);
	return d;
}

/* What an engine says of itself; a note of cuDNN's is the bit of its number. */
struct engine {
	int64_t number;
	unsigned notes;
	bool compiled;
};

#define NOTE(name) (1u << CUDNN_NUMERICAL_NOTE_##name)

static const unsigned transforms = NOTE(FFT) | NOTE(WINOGRAD) | NOTE(WINOGRAD_TILE_4x4) | NOTE(WINOGRAD_TILE_6x6) |
                                   NOTE(WINOGRAD_TILE_13x13);

static bool look_at(desc config, struct engine *en)
{
	cudnnBackendNumericalNote_t notes[16];
	cudnnBackendBehaviorNote_t behaviours[16];
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
	if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, 16, &n, behaviours) ==
	    CUDNN_STATUS_SUCCESS)
		for (int64_t i = 0; i < n && i < 16; i++)
			en->compiled = en->compiled || behaviours[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
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

/* Names t to d, by one of the attributes. */
static void set_target(struct rd_dnn_graph *g, desc d, const struct rd_dnn_target *t, cudnnBackendAttributeName_t handle,
                       cudnnBackendAttributeName_t device)
{
	if (t->handle)
		rd_dnn_set(g, d, handle, CUDNN_TYPE_HANDLE, 1, &t->handle);
	else
		rd_dnn_set_desc(g, d, device, t->device);
}

#if CUDNN_VERSION < 90800 /* there is always a handle */
#define CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP CUDNN_ATTR_EXECUTION_PLAN_HANDLE
#define CUDNN_ATTR_ENGINEHEUR_DEVICEPROP CUDNN_ATTR_ENGINEHEUR_MODE
#endif

static bool make_plan(struct rd_dnn_plan *p, const struct rd_dnn_target *t, desc config)
{
	struct rd_dnn_graph g = {};
	int64_t bytes = 0, got = 0;
	desc plan = rd_dnn_make(&g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);

	set_target(&g, plan, t, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
	rd_dnn_set_desc(&g, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
	rd_dnn_finish(&g, plan);
	if (g.status == CUDNN_STATUS_SUCCESS)
		g.status = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &got, &bytes);
	if (g.status != CUDNN_STATUS_SUCCESS)
		refused(p, RD_DNN_PLAN, g.status);
	if (g.status != CUDNN_STATUS_SUCCESS || bytes < 0 || bytes > (int64_t)1 << 30) {
		rd_dnn_drop(&g);
		return false;
	}
	p->plan = plan;
	p->ws_bytes = (size_t)bytes;
	return true;
}

static bool try_config(struct rd_dnn_plan *p, const struct rd_dnn_target *t, desc config, enum rd_precision precision)
{
	struct engine en;
	enum rd_dnn_reason no = look_at(config, &en) ? objection(en.notes, precision) : RD_DNN_NO_PLAN;

	if (no == RD_DNN_N_REASONS && !make_plan(p, t, config))
		no = RD_DNN_NO_PLAN;
	if (no != RD_DNN_N_REASONS) {
		p->passed_over[no]++;
		return false;
	}
	p->engine = en.number;
	p->tensor_core = en.notes & NOTE(TENSOR_CORE);
	p->transforms = en.notes & transforms;
	p->compiled = en.compiled;
	return true;
}

/* The first acceptable configuration that a heuristic gives. No timing race: a run that goes on from a checkpoint must choose as the
 * one that wrote it did, or its sums are other ones. */
static bool choose(struct rd_dnn_plan *p, const struct rd_dnn_target *t, desc graph, cudnnBackendHeurMode_t mode,
                   enum rd_precision precision)
{
	struct rd_dnn_graph g = {};
	desc heur = rd_dnn_make(&g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), config[RD_DNN_MAX_CONFIGS] = {};
	int64_t n = 0;
	bool found = false;

	rd_dnn_set_desc(&g, heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
	rd_dnn_set(&g, heur, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
	if (!t->handle) /* else the graph has it */
		rd_dnn_set_desc(&g, heur, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, t->device);
	rd_dnn_finish(&g, heur);
	for (int i = 0; i < RD_DNN_MAX_CONFIGS; i++)
		config[i] = rd_dnn_make(&g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
	if (g.status == CUDNN_STATUS_SUCCESS)
		g.status = cudnnBackendGetAttribute(heur, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
		                                    RD_DNN_MAX_CONFIGS, &n, config);
	if (g.status != CUDNN_STATUS_SUCCESS)
		refused(p, RD_DNN_HEURISTICS, g.status);
	for (int64_t i = 0; g.status == CUDNN_STATUS_SUCCESS && i < n && i < RD_DNN_MAX_CONFIGS && !found; i++)
		if (try_config(p, t, config[i], precision)) {
			p->config = keep(&g, config[i]);
			found = true;
		}
	rd_dnn_drop(&g);
	return found;
}

void rd_dnn_plan_make(struct rd_dnn_plan *p, const struct rd_dnn_target *t, struct rd_dnn_graph *g, enum rd_precision precision)
{
	static const struct { /* the more a mode knows of the device the earlier; fallback has what is sure to run */
		cudnnBackendHeurMode_t mode;
		char name;
	} modes[] = { { CUDNN_HEUR_MODE_B, 'B' }, { CUDNN_HEUR_MODE_A, 'A' }, { CUDNN_HEUR_MODE_FALLBACK, 'F' } };
	desc graph = rd_dnn_make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);

	memset(p, 0, sizeof *p);
	if (t->handle)
		rd_dnn_set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &t->handle);
	rd_dnn_set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_ops, g->ops);
	rd_dnn_finish(g, graph);
	if (g->status != CUDNN_STATUS_SUCCESS)
		refused(p, RD_DNN_GRAPH, g->status);
	for (size_t i = 0; i < sizeof modes / sizeof *modes && g->status == CUDNN_STATUS_SUCCESS && !p->plan; i++)
		if (choose(p, t, graph, modes[i].mode, precision))
			p->mode = modes[i].name;
	rd_dnn_drop(g);
}

void rd_dnn_plan_free(struct rd_dnn_plan *p)
{
	destroy(p->plan);
	destroy(p->config);
	p->plan = p->config = NULL;
}

cudnnStatus_t rd_dnn_plan_run(const struct rd_dnn_plan *p, cudnnHandle_t h, int n, const int64_t *uids, const void *const *pointers,
                              void *ws)
{
	struct rd_dnn_graph g = {};
	desc pack = rd_dnn_make(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

	rd_dnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointers);
	rd_dnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids);
	rd_dnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &ws);
	rd_dnn_finish(&g, pack);
	if (g.status == CUDNN_STATUS_SUCCESS)
		g.status = cudnnBackendExecute(h, p->plan, pack);
	rd_dnn_drop(&g);
	return g.status;
}

#endif
