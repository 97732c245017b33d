/* What the stand-in for cuDNN has of a graph: descriptors as they were set, and what a graph of a convolution or of attention is to do. */
#ifndef RD_TESTS_CUDNN_GRAPH_H
#define RD_TESTS_CUDNN_GRAPH_H

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

template <class T> static inline T get(const state &s, int name, cudnnBackendAttributeType_t type, size_t i = 0)
{
	auto v = s.attr.find(name);
	T t = {};

	if (v != s.attr.end() && v->second.type == type && (i + 1) * sizeof t <= v->second.bytes.size())
		memcpy(&t, v->second.bytes.data() + i * sizeof t, sizeof t);
	return t;
}

static inline const state *held(const state &s, int name)
{
	auto v = s.attr.find(name);

	return v == s.attr.end() || v->second.held.empty() ? nullptr : v->second.held[0].get();
}

struct tensor {
	int64_t d[4], stride[4], uid;
	bool bf16, inside, by_value;
};

static inline tensor tensor_of(const state &s)
{
	tensor t = {};

	for (size_t i = 0; i < 4; i++) {
		t.d[i] = get<int64_t>(s, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, i);
		t.stride[i] = get<int64_t>(s, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, i);
	}
	t.uid = get<int64_t>(s, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64);
	t.bf16 = get<int>(s, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE) == CUDNN_DATA_BFLOAT16;
	t.inside = get<bool>(s, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN);
	t.by_value = get<bool>(s, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN);
	return t;
}

static inline int64_t place(const tensor &t, const int64_t *i)
{
	return i[0] * t.stride[0] + i[1] * t.stride[1] + i[2] * t.stride[2] + i[3] * t.stride[3];
}

static inline double number(const tensor &t, const void *p, int64_t i)
{
	return (double)(t.bf16 ? rd_to_float(((const rd_bf16 *)p)[i]) : ((const float *)p)[i]);
}

static inline void put(const tensor &t, void *p, int64_t i, double v)
{
	if (t.bf16)
		rd_from_float((rd_bf16 *)p + i, (float)v);
	else
		((float *)p)[i] = (float)v;
}

enum { BY_ARRIVAL = 1, PLAIN, NARROW_SUMS, TENSOR_CORES, PLAIN_TOO, COMPILED };

/* What a graph is to do. The words: why it is no graph, why no heuristic has anything, why there is no plan; NULL: nothing is wrong. */
struct job {
	virtual ~job() {}
	virtual const char *no_graph() const { return nullptr; }
	virtual const char *no_heuristics() const { return nullptr; }
	virtual const char *no_plan() const { return nullptr; }
	virtual std::vector<int> engines(int mode) const = 0;
	virtual int64_t ws_bytes() const = 0;
	virtual std::vector<tensor> operands() const = 0;
	virtual void run(const std::vector<void *> &pointers) const = 0; /* of the operands, in their order */
};

/* NULL: it is none. */
std::shared_ptr<job> convolution_of(const std::vector<ref> &ops);
std::shared_ptr<job> attention_of(const std::vector<ref> &ops);

#endif
