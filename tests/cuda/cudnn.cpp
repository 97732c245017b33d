/* In place of cuDNN: its descriptors, and engines that are plain loops. Each heuristic names engines as on a device: some that are to be
 * passed over, one without tensor cores, and one that has them where both numbers of channels divide by 8. Not for all shapes, so
 * that what is done without an engine is tested as well: where padding differs from side to side heuristics fail, with 1, 5, 17, ..
 * channels plans do, patches of an even number of images are no graph, a bias in the same kernel with an odd number of outputs has no
 * engine, and attention has one for three images alone. */
#include <cstdio>

#include "tests/cuda/cudnn_graph.h"

static char last_words[128];

/* As the library's probes may, it leaves an error of the runtime's behind. */
static cudnnStatus_t failed(cudnnStatus_t s, const char *words)
{
	(void)cudaSetDevice(-1);
	snprintf(last_words, sizeof last_words, "%s", words);
	return s;
}

static state *at(cudnnBackendDescriptor_t d)
{
	return d ? ((ref *)d)->get() : nullptr;
}

size_t cudnnGetVersion(void)
{
	return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t s)
{
	return s == CUDNN_STATUS_SUCCESS ? "success" : s == CUDNN_STATUS_BAD_PARAM ? "bad parameter" : "not supported";
}

void cudnnGetLastErrorString(char *to, size_t n)
{
	snprintf(to, n, "%s", last_words);
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *h)
{
	*h = new cudnnContext();
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
	delete h;
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
	h->stream = stream;
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
	*out = new ref(new state{ type, false, {}, 0, nullptr });
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
	delete (ref *)d;
	return CUDNN_STATUS_SUCCESS;
}

static size_t bytes_of(cudnnBackendAttributeType_t t)
{
	return t <= CUDNN_TYPE_INT64 ? 8 : t == CUDNN_TYPE_BOOLEAN ? 1 : 4;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                       int64_t n, const void *from)
{
	state *s = at(d);
	value v = { type, {}, {} };

	if (!s || s->final || !from || n < 1)
		return failed(CUDNN_STATUS_BAD_PARAM, "an attribute of nothing, or of what is finished");
	v.bytes.assign((const char *)from, (const char *)from + (size_t)n * bytes_of(type));
	for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < n; i++) {
		state *held = at(((void *const *)from)[i]);

		if (!held || (!held->final && held->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR))
			return failed(CUDNN_STATUS_BAD_PARAM, "an attribute that is not finished");
		v.held.push_back(*((ref *const *)from)[i]);
	}
	s->attr[name] = std::move(v);
	return CUDNN_STATUS_SUCCESS;
}

/* NULL where the graph is none that there are engines for. */
static std::shared_ptr<job> job_of(const state *graph)
{
	const value *v = graph && graph->attr.count(CUDNN_ATTR_OPERATIONGRAPH_OPS) ? &graph->attr.at(CUDNN_ATTR_OPERATIONGRAPH_OPS) : nullptr;
	std::shared_ptr<job> j;

	if (!v || v->held.empty())
		return nullptr;
	j = attention_of(v->held);
	return j ? j : convolution_of(v->held);
}

static std::vector<int> notes_of(int engine)
{
	switch (engine) {
	case BY_ARRIVAL: return { CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC };
	case NARROW_SUMS: return { CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION };
	case TENSOR_CORES:
	case COMPILED: return { CUDNN_NUMERICAL_NOTE_TENSOR_CORE };
	default: return {};
	}
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d)
{
	state *s = at(d);

	if (!s || s->final)
		return failed(CUDNN_STATUS_BAD_PARAM, "nothing to finish");
	if (s->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
		std::shared_ptr<job> j = get<void *>(*s, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE) ? job_of(s) : nullptr;

		if (!j || j->no_graph())
			return failed(CUDNN_STATUS_BAD_PARAM, j ? j->no_graph() : "not of a kind that is known");
	}
	if (s->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
		const state *config = held(*s, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
		std::shared_ptr<job> j = config ? job_of(config->graph.get()) : nullptr;

		if (!j)
			return failed(CUDNN_STATUS_BAD_PARAM, "a plan of nothing");
		if (j->no_plan())
			return failed(CUDNN_STATUS_NOT_SUPPORTED, j->no_plan());
		s->graph = config->graph;
	}
	s->final = true;
	return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t heuristics(const state &s, int64_t room, int64_t *n, void *to)
{
	std::shared_ptr<job> j = job_of(held(s, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH));

	if (!j || j->no_heuristics())
		return failed(CUDNN_STATUS_NOT_SUPPORTED, j ? j->no_heuristics() : "heuristics of nothing");
	*n = 0;
	for (int engine : j->engines(get<int>(s, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE)))
		if (*n < room) {
			state *config = at(((void **)to)[(*n)++]);

			config->engine = engine;
			config->graph = s.attr.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).held[0];
		}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t,
                                       int64_t room, int64_t *n, void *to)
{
	state *s = at(d);

	*n = 1;
	switch (name) {
	case CUDNN_ATTR_ENGINEHEUR_RESULTS: return heuristics(*s, room, n, to);
	case CUDNN_ATTR_ENGINECFG_ENGINE: at(*(void **)to)->engine = s->engine; return CUDNN_STATUS_SUCCESS;
	case CUDNN_ATTR_ENGINE_GLOBAL_INDEX: *(int64_t *)to = s->engine; return CUDNN_STATUS_SUCCESS;
	case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
		*n = 0;
		for (int note : notes_of(s->engine))
			((int *)to)[(*n)++] = note;
		return CUDNN_STATUS_SUCCESS;
	case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
		*n = s->engine == COMPILED;
		*(int *)to = CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
		return CUDNN_STATUS_SUCCESS;
	case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: *(int64_t *)to = job_of(s->graph.get())->ws_bytes(); return CUDNN_STATUS_SUCCESS;
	default: return failed(CUDNN_STATUS_BAD_PARAM, "an attribute that is not to be had");
	}
}

static void *pointer(const state &pack, int64_t uid)
{
	auto ids = pack.attr.find(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);

	for (size_t i = 0; ids != pack.attr.end() && i < ids->second.bytes.size() / sizeof uid; i++)
		if (get<int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, i) == uid)
			return get<void *>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, i);
	return nullptr;
}

/* What is given by value is read now, and the rest when the stream comes to it. */
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
	void *ws = get<void *>(*at(pack), CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR);
	std::shared_ptr<job> j = job_of(at(plan)->graph.get());
	std::vector<std::shared_ptr<float>> values;
	size_t bytes = (size_t)j->ws_bytes();
	std::vector<void *> p;

	for (const tensor &t : j->operands()) {
		p.push_back(pointer(*at(pack), t.uid));
		if (!p.back() || !ws)
			return failed(CUDNN_STATUS_BAD_PARAM, "a pointer is missing");
		if (t.by_value) {
			values.push_back(std::make_shared<float>(*(const float *)p.back()));
			p.back() = values.back().get();
		}
	}
	rd_shim_enqueue(h->stream, [j, ws, bytes, p, values] {
		memset(ws, 0xff, bytes);
		j->run(p);
		memset(ws, 0xff, bytes);
	});
	return CUDNN_STATUS_SUCCESS;
}
