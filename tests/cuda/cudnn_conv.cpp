/* Convolutions of the stand-in for cuDNN, by plain loops. */
#include "tests/cuda/cudnn_graph.h"

struct convolution : job {
	int way; /* 0, 1, 2: y, x or w is written */
	tensor t[3]; /* x, w, y; y is what is written at last */
	std::vector<tensor> added; /* to y: as y, or one for each channel */
	int64_t stride[2], lo[2], hi[2];
	float alpha, beta;

	const char *no_graph() const override
	{
		return t[1].d[2] > 1 && t[1].d[2] == stride[0] && t[0].d[0] % 2 == 0 ? "not a \"graph\"" : nullptr;
	}

	const char *no_heuristics() const override { return lo[0] != hi[0] ? "lopsided" : nullptr; }

	const char *no_plan() const override { return t[0].d[1] % 4 == 1 ? "odd channels" : nullptr; }

	std::vector<int> engines(int mode) const override
	{
		if (!added.empty() && t[1].d[0] % 2)
			return {};
		if (mode == CUDNN_HEUR_MODE_B)
			return { BY_ARRIVAL, PLAIN };
		if (mode == CUDNN_HEUR_MODE_FALLBACK)
			return { PLAIN_TOO };
		if (t[0].d[1] % 8 || t[1].d[0] % 8)
			return { NARROW_SUMS };
		return { NARROW_SUMS, TENSOR_CORES };
	}

	int64_t ws_bytes() const override { return 1000 * (1 + (int64_t)added.size()) + t[1].d[0]; }

	std::vector<tensor> operands() const override
	{
		std::vector<tensor> all(t, t + 3);

		all.insert(all.end(), added.begin(), added.end());
		return all;
	}

	void run(const std::vector<void *> &p) const override;
};

/* x, w and y of the way that is written are sums of products of the other two, over every place of the kernel at every pixel of y. */
void convolution::run(const std::vector<void *> &p) const
{
	const tensor &x = t[0], &w = t[1], &y = t[2], &out = t[way == 0 ? 2 : way == 1 ? 0 : 1];
	void *to = p[way == 0 ? 2 : way == 1 ? 0 : 1];
	std::vector<double> sum((size_t)(out.d[0] * out.d[1] * out.d[2] * out.d[3]));
	int64_t i[4];

	for (i[0] = 0; i[0] < y.d[0]; i[0]++)
		for (i[1] = 0; i[1] < y.d[1]; i[1]++)
			for (i[2] = 0; i[2] < y.d[2]; i[2]++)
				for (i[3] = 0; i[3] < y.d[3]; i[3]++) {
					int64_t py = place(y, i), at[4] = { i[1] };

					for (at[2] = 0; at[2] < w.d[2]; at[2]++)
						for (at[3] = 0; at[3] < w.d[3]; at[3]++)
							for (at[1] = 0; at[1] < w.d[1]; at[1]++) {
								int64_t jy = i[2] * stride[0] - lo[0] + at[2], jx = i[3] * stride[1] - lo[1] + at[3];
								int64_t j[4] = { i[0], at[1], jy, jx };
								int64_t px = place(x, j), pw = place(w, at);

								if (j[2] < 0 || j[2] >= x.d[2] || j[3] < 0 || j[3] >= x.d[3])
									continue;
								if (way == 0)
									sum[(size_t)py] += number(x, p[0], px) * number(w, p[1], pw);
								else if (way == 1)
									sum[(size_t)px] += number(w, p[1], pw) * number(y, p[2], py);
								else
									sum[(size_t)pw] += number(x, p[0], px) * number(y, p[2], py);
							}
				}
	for (int64_t k = 0; k < (int64_t)sum.size(); k++) {
		double v = (double)alpha * sum[(size_t)k] + (beta != 0.0f ? (double)beta * number(out, to, k) : 0.0);

		for (size_t a = 0; a < added.size(); a++)
			v += number(added[a], p[3 + a], added[a].d[0] * added[a].d[2] * added[a].d[3] == 1 ? k % out.d[1] : k);
		put(out, to, k, v);
	}
}

/* The sums after a convolution, each of the last one's result; false: not such. */
static bool read_sums(convolution *c, const std::vector<ref> &ops)
{
	for (size_t i = 1; i < ops.size(); i++) {
		const state *in = held(*ops[i], CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
		const state *what = held(*ops[i], CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
		const state *out = held(*ops[i], CUDNN_ATTR_OPERATION_POINTWISE_YDESC);

		if (ops[i]->type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR || c->way || !in || !what || !out || !c->t[2].inside ||
		    c->t[2].bf16 || tensor_of(*in).uid != c->t[2].uid)
			return false;
		c->added.push_back(tensor_of(*what));
		c->t[2] = tensor_of(*out);
	}
	return !c->t[2].inside;
}

std::shared_ptr<job> convolution_of(const std::vector<ref> &ops)
{
	std::shared_ptr<convolution> c = std::make_shared<convolution>();
	const state &op = *ops[0], *conv;
	int first;

	c->way = op.type - CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
	if (c->way < 0 || c->way > 2)
		return nullptr;
	first = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X + 6 * c->way;
	conv = held(op, first + 3);
	for (int i = 0; i < 3; i++) {
		if (!conv || !held(op, first + i))
			return nullptr;
		c->t[i] = tensor_of(*held(op, first + i));
	}
	c->alpha = get<float>(op, first + 4, CUDNN_TYPE_FLOAT);
	c->beta = get<float>(op, first + 5, CUDNN_TYPE_FLOAT);
	for (size_t i = 0; i < 2; i++) {
		c->stride[i] = get<int64_t>(*conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, i);
		c->lo[i] = get<int64_t>(*conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, i);
		c->hi[i] = get<int64_t>(*conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, i);
	}
	return read_sums(c.get(), ops) ? c : nullptr;
}
