/* In place of cuDNN: its descriptors, and engines that are plain loops. Each heuristic names engines as on a device: some that are to be
 * passed over, one without tensor cores, and one that has them where both numbers of channels divide by 8. Not for all shapes, so
 * that what is done without an engine is tested as well: where padding differs from side to side heuristics fail, with 1, 5, 17, ..
 * channels plans do, patches of an even number of images are no graph, and a bias in the same kernel with an odd number of outputs has
 * no engine. */
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include <cudnn.h>

#include "kernels/cuda/types.h"

struct state; /* a descriptor's contents: they outlive it where others hold them */
typedef std::shared_ptr<state> ref;

struct value {
	cudnnBackendAttributeType_t type;
	std::vector<char> bytes;
	std::vector<ref> held; /* of descriptors */
};

struct state {
	cudnnBackendDescriptorType_t type;
	bool final;
	std::map<int, value> attr;
	int engine; /* of a configuration or an engine */
	ref graph;  /* of a configuration or a plan */
};

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
	return 90000;
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

/* --- what a graph says ---------------------------------------------------------------------------------------------- */

template <class T> static T get(const state &s, int name, cudnnBackendAttributeType_t type, size_t i = 0)
{
	auto v = s.attr.find(name);
	T t = {};

	if (v != s.attr.end() && v->second.type == type && (i + 1) * sizeof t <= v->second.bytes.size())
		memcpy(&t, v->second.bytes.data() + i * sizeof t, sizeof t);
	return t;
}

static const state *held(const state &s, int name)
{
	auto v = s.attr.find(name);

	return v == s.attr.end() || v->second.held.empty() ? nullptr : v->second.held[0].get();
}

struct tensor {
	int64_t d[4], stride[4], uid;
	bool bf16, inside;
};

static tensor tensor_of(const state &s)
{
	tensor t = {};

	for (size_t i = 0; i < 4; i++) {
		t.d[i] = get<int64_t>(s, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, i);
		t.stride[i] = get<int64_t>(s, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, i);
	}
	t.uid = get<int64_t>(s, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64);
	t.bf16 = get<int>(s, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE) == CUDNN_DATA_BFLOAT16;
	t.inside = get<bool>(s, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN);
	return t;
}

struct convolution {
	int way; /* 0, 1, 2: y, x or w is written */
	tensor t[3]; /* x, w, y; y is what is written at last */
	tensor bias;
	bool biased;
	int64_t stride[2], lo[2], hi[2];
	float alpha, beta;
};

/* False where the graph is none that there are engines for. */
static bool read(const state &graph, convolution *c)
{
	const std::vector<ref> &ops = graph.attr.at(CUDNN_ATTR_OPERATIONGRAPH_OPS).held;
	const state &op = *ops[0], *conv;
	int first;

	*c = {};
	c->way = op.type - CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
	first = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X + 6 * c->way;
	conv = held(op, first + 3);
	if (c->way < 0 || c->way > 2 || !conv || ops.size() > 2)
		return false;
	for (int i = 0; i < 3; i++) {
		if (!held(op, first + i))
			return false;
		c->t[i] = tensor_of(*held(op, first + i));
	}
	c->alpha = get<float>(op, first + 4, CUDNN_TYPE_FLOAT);
	c->beta = get<float>(op, first + 5, CUDNN_TYPE_FLOAT);
	for (size_t i = 0; i < 2; i++) {
		c->stride[i] = get<int64_t>(*conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, i);
		c->lo[i] = get<int64_t>(*conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, i);
		c->hi[i] = get<int64_t>(*conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, i);
	}
	c->biased = ops.size() == 2;
	if (c->t[2].inside != c->biased)
		return false;
	if (c->biased) {
		const state *in = held(*ops[1], CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
		const state *b = held(*ops[1], CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
		const state *out = held(*ops[1], CUDNN_ATTR_OPERATION_POINTWISE_YDESC);

		if (c->way || !in || !b || !out || tensor_of(*in).uid != c->t[2].uid)
			return false;
		c->bias = tensor_of(*b);
		c->t[2] = tensor_of(*out);
	}
	return true;
}

/* --- engines -------------------------------------------------------------------------------------------------------- */

enum { BY_ARRIVAL = 1, PLAIN, NARROW_SUMS, TENSOR_CORES, PLAIN_TOO };

static std::vector<int> engines_for(const convolution &c, int mode)
{
	if (c.biased && c.t[1].d[0] % 2)
		return {};
	if (mode == CUDNN_HEUR_MODE_B)
		return { BY_ARRIVAL, PLAIN };
	if (mode == CUDNN_HEUR_MODE_FALLBACK)
		return { PLAIN_TOO };
	if (c.t[0].d[1] % 8 || c.t[1].d[0] % 8)
		return { NARROW_SUMS };
	return { NARROW_SUMS, TENSOR_CORES };
}

static std::vector<int> notes_of(int engine)
{
	switch (engine) {
	case BY_ARRIVAL: return { CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC };
	case NARROW_SUMS: return { CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION };
	case TENSOR_CORES: return { CUDNN_NUMERICAL_NOTE_TENSOR_CORE };
	default: return {};
	}
}

static int64_t ws_bytes(const convolution &c)
{
	return 1000 * (1 + c.biased) + c.t[1].d[0];
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d)
{
	state *s = at(d);
	convolution c;

	if (!s || s->final)
		return failed(CUDNN_STATUS_BAD_PARAM, "nothing to finish");
	if (s->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
		bool ok = get<void *>(*s, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE) && read(*s, &c);

		if (!ok || (c.t[1].d[2] > 1 && c.t[1].d[2] == c.stride[0] && c.t[0].d[0] % 2 == 0))
			return failed(CUDNN_STATUS_BAD_PARAM, "not a \"graph\"");
	}
	if (s->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
		const state *config = held(*s, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);

		if (!config || !config->graph || !read(*config->graph, &c))
			return failed(CUDNN_STATUS_BAD_PARAM, "a plan of nothing");
		if (c.t[0].d[1] % 4 == 1)
			return failed(CUDNN_STATUS_NOT_SUPPORTED, "odd channels");
		s->graph = config->graph;
	}
	s->final = true;
	return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t heuristics(const state &s, int64_t room, int64_t *n, void *to)
{
	const state *graph = held(s, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
	convolution c;

	if (!graph || !read(*graph, &c) || c.lo[0] != c.hi[0])
		return failed(CUDNN_STATUS_NOT_SUPPORTED, "lopsided");
	*n = 0;
	for (int engine : engines_for(c, get<int>(s, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE)))
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
	convolution c;

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
	case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
		read(*s->graph, &c);
		*(int64_t *)to = ws_bytes(c);
		return CUDNN_STATUS_SUCCESS;
	default: return failed(CUDNN_STATUS_BAD_PARAM, "an attribute that is not to be had");
	}
}

/* --- execution ------------------------------------------------------------------------------------------------------ */

static int64_t place(const tensor &t, const int64_t *i)
{
	return i[0] * t.stride[0] + i[1] * t.stride[1] + i[2] * t.stride[2] + i[3] * t.stride[3];
}

static double number(const tensor &t, const void *p, int64_t i)
{
	return (double)(t.bf16 ? rd_to_float(((const rd_bf16 *)p)[i]) : ((const float *)p)[i]);
}

/* x, w and y of the way that is written are sums of products of the other two, over every place of the kernel at every pixel of y. */
static void convolve(const convolution &c, void *const *p, const void *bias)
{
	const tensor &x = c.t[0], &w = c.t[1], &y = c.t[2], &out = c.t[c.way == 0 ? 2 : c.way == 1 ? 0 : 1];
	void *to = p[c.way == 0 ? 2 : c.way == 1 ? 0 : 1];
	std::vector<double> sum((size_t)(out.d[0] * out.d[1] * out.d[2] * out.d[3]));
	int64_t i[4];

	for (i[0] = 0; i[0] < y.d[0]; i[0]++)
		for (i[1] = 0; i[1] < y.d[1]; i[1]++)
			for (i[2] = 0; i[2] < y.d[2]; i[2]++)
				for (i[3] = 0; i[3] < y.d[3]; i[3]++) {
					int64_t py = place(y, i), t[4] = { i[1] };

					for (t[2] = 0; t[2] < w.d[2]; t[2]++)
						for (t[3] = 0; t[3] < w.d[3]; t[3]++)
							for (t[1] = 0; t[1] < w.d[1]; t[1]++) {
								int64_t jy = i[2] * c.stride[0] - c.lo[0] + t[2], jx = i[3] * c.stride[1] - c.lo[1] + t[3];
								int64_t j[4] = { i[0], t[1], jy, jx };
								int64_t px = place(x, j), pw = place(w, t);

								if (j[2] < 0 || j[2] >= x.d[2] || j[3] < 0 || j[3] >= x.d[3])
									continue;
								if (c.way == 0)
									sum[(size_t)py] += number(x, p[0], px) * number(w, p[1], pw);
								else if (c.way == 1)
									sum[(size_t)px] += number(w, p[1], pw) * number(y, p[2], py);
								else
									sum[(size_t)pw] += number(x, p[0], px) * number(y, p[2], py);
							}
				}
	for (int64_t k = 0; k < (int64_t)sum.size(); k++) {
		double v = (double)c.alpha * sum[(size_t)k] + (c.beta != 0.0f ? (double)c.beta * number(out, to, k) : 0.0);

		v += c.biased ? number(c.bias, bias, k % out.d[1]) : 0.0;
		if (out.bf16)
			rd_from_float((rd_bf16 *)to + k, (float)v);
		else
			((float *)to)[k] = (float)v;
	}
}

static void *pointer(const state &pack, int64_t uid)
{
	for (size_t i = 0; i < 4; i++)
		if (get<int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, i) == uid)
			return get<void *>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, i);
	return nullptr;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
	void *ws = get<void *>(*at(pack), CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR), *p[3], *bias;
	convolution c;
	size_t bytes;

	read(*at(plan)->graph, &c);
	bytes = (size_t)ws_bytes(c);
	for (int i = 0; i < 3; i++)
		p[i] = pointer(*at(pack), c.t[i].uid);
	bias = c.biased ? pointer(*at(pack), c.bias.uid) : nullptr;
	if (!p[0] || !p[1] || !p[2] || !ws || !bias != !c.biased)
		return failed(CUDNN_STATUS_BAD_PARAM, "a pointer is missing");
	rd_shim_enqueue(h->stream, [=] {
		void *at[3] = { p[0], p[1], p[2] };

		memset(ws, 0xff, bytes);
		convolve(c, at, bias);
		memset(ws, 0xff, bytes);
	});
	return CUDNN_STATUS_SUCCESS;
}
