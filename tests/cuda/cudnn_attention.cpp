/* Attention of the stand-in for cuDNN, by plain loops. Three images at a time have an engine, which compiles. */
#include <cmath>

#include "tests/cuda/cudnn_graph.h"

struct attention : job {
	tensor q, k, v, o, scale, stats;
	bool has_stats;

	std::vector<int> engines(int) const override
	{
		if (q.d[0] == 3)
			return { COMPILED };
		return {};
	}

	int64_t ws_bytes() const override { return 100 + q.d[2]; }

	std::vector<tensor> operands() const override
	{
		std::vector<tensor> all = { q, k, v, o, scale };

		if (has_stats)
			all.push_back(stats);
		return all;
	}

	void row(const std::vector<void *> &p, int64_t *at) const;
	void run(const std::vector<void *> &p) const override;
};

void attention::row(const std::vector<void *> &p, int64_t *at) const
{
	std::vector<double> s((size_t)k.d[2]);
	double top = -INFINITY, sum = 0.0;
	float by;

	memcpy(&by, p[4], sizeof by);
	for (int64_t j = 0; j < k.d[2]; j++) {
		for (int64_t l = 0; l < q.d[3]; l++) {
			int64_t i[4] = { at[0], at[1], at[2], l }, kj[4] = { at[0], at[1], j, l };

			s[(size_t)j] += number(q, p[0], place(q, i)) * number(k, p[1], place(k, kj)) * (double)by;
		}
		top = fmax(top, s[(size_t)j]);
	}
	for (double &x : s)
		sum += x = exp(x - top);
	for (int64_t l = 0; l < v.d[3]; l++) {
		int64_t i[4] = { at[0], at[1], at[2], l };
		double out = 0.0;

		for (int64_t j = 0; j < k.d[2]; j++) {
			int64_t vj[4] = { at[0], at[1], j, l };

			out += s[(size_t)j] / sum * number(v, p[2], place(v, vj));
		}
		put(o, p[3], place(o, i), out);
	}
	if (has_stats) {
		int64_t i[4] = { at[0], at[1], at[2], 0 };

		put(stats, p[5], place(stats, i), top + log(sum));
	}
}

void attention::run(const std::vector<void *> &p) const
{
	int64_t at[4] = {};

	for (at[0] = 0; at[0] < q.d[0]; at[0]++)
		for (at[1] = 0; at[1] < q.d[1]; at[1]++)
			for (at[2] = 0; at[2] < q.d[2]; at[2]++)
				row(p, at);
}

std::shared_ptr<job> attention_of(const std::vector<ref> &ops)
{
	std::shared_ptr<attention> a = std::make_shared<attention>();
	const state &op = *ops[0], *stats = held(op, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC);
	const struct {
		int name;
		tensor *to;
	} all[] = { { CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, &a->q }, { CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, &a->k },
		    { CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, &a->v }, { CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, &a->o },
		    { CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, &a->scale } };

	if (op.type != CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR || ops.size() != 1)
		return nullptr;
	for (auto &one : all) {
		if (!held(op, one.name))
			return nullptr;
		*one.to = tensor_of(*held(op, one.name));
	}
	a->has_stats = stats;
	if (stats) /* rows of anything but a packed array are written elsewhere, on a device */
		a->stats = tensor_of(*stats);
	if (stats && (a->stats.bf16 || a->stats.stride[2] != 1 || a->stats.stride[1] != a->q.d[2] ||
	              a->stats.stride[0] != a->q.d[1] * a->q.d[2]))
		return nullptr;
	return a->scale.by_value && !a->scale.bf16 && a->q.bf16 ? a : nullptr;
}
