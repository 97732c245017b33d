/* The operations of a graph: each checks its operands, takes its parameters and becomes a node. */
#include <math.h>

#include "lib/graph/graph_impl.h"

static rd_ref add_value(struct rd_graph *g, struct rd_dims d)
{
	void *p = g->value;
	bool ok;

	if (g->err.code)
		return RD_NONE;
	if (d.n < 1 || d.c < 1 || d.h < 1 || d.w < 1 || d.c > 1 << 20 || d.h > 1 << 16 || d.w > 1 << 16 || d.n > 1 << 20)
		return rd_graph_refuse(g, "a value of shape [%lld, %lld, %lld, %lld]: sizes are from 1 to 2^20, 2^20, 2^16 and 2^16",
		                       (long long)d.n, (long long)d.c, (long long)d.h, (long long)d.w);
	ok = rd_graph_grow(g, &p, g->n_values, &g->cap_values, sizeof *g->value);
	g->value = p;
	if (!ok)
		return RD_NONE;
	g->value[g->n_values] = (struct rd_value){.d = d, .kind = RD_VALUE_ACT, .producer = g->n_nodes};
	return g->n_values++;
}

/* Appends op with its output; the output's reference. */
static rd_ref add_node(struct rd_graph *g, struct rd_node_op op, struct rd_dims out)
{
	void *p = g->node;
	bool ok;

	if (g->err.code)
		return RD_NONE;
	ok = rd_graph_grow(g, &p, g->n_nodes, &g->cap_nodes, sizeof *g->node);
	g->node = p;
	if (!ok)
		return RD_NONE;
	op.out = add_value(g, out);
	if (op.out == RD_NONE)
		return RD_NONE;
	g->node[g->n_nodes++] = op;
	return op.out;
}

static struct rd_node_op op_of(enum rd_op op, rd_ref a, rd_ref b, rd_ref c)
{
	return (struct rd_node_op){.op = op, .in = {a, b, c}, .out = RD_NONE, .param = {RD_NONE, RD_NONE}};
}

static bool same_dims(struct rd_dims a, struct rd_dims b)
{
	return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}

rd_ref rd_graph_input(struct rd_graph *g, int64_t c, int64_t h, int64_t w)
{
	return add_node(g, op_of(RD_OP_INPUT, RD_NONE, RD_NONE, RD_NONE), (struct rd_dims){g->batch, c, h, w});
}

static rd_ref raw_input(struct rd_graph *g, enum rd_value_kind kind, int64_t rows)
{
	rd_ref v = rd_graph_input(g, 1, 1, 1);

	if (v == RD_NONE)
		return v;
	g->value[v].kind = kind;
	g->value[v].rows = rows;
	return v;
}

rd_ref rd_graph_number_input(struct rd_graph *g, bool positive)
{
	return raw_input(g, positive ? RD_VALUE_POSITIVE : RD_VALUE_NUMBER, 0);
}

rd_ref rd_graph_index_input(struct rd_graph *g, int64_t rows)
{
	return raw_input(g, RD_VALUE_INDEX, rows);
}

void rd_graph_context_input(struct rd_graph *g, const struct rd_contexts *c)
{
	if (g->contexts.dim)
		rd_graph_refuse(g, "a second sequence that labels stand for");
	g->contexts = *c;
	g->label = rd_graph_input(g, c->dim, c->tokens, 1);
	if (c->vector_dim)
		g->vector = rd_graph_input(g, c->vector_dim, 1, 1);
}

/* y, the output of the layer that is the convolution d of x, with its adapter's output added where it has one. */
static rd_ref adapted(struct rd_graph *g, rd_ref y, rd_ref x, const char *name, const struct rd_conv2d_desc *d)
{
	struct rd_node_op down = op_of(RD_OP_CONV, x, RD_NONE, RD_NONE), up = op_of(RD_OP_CONV, RD_NONE, y, RD_NONE);

	if (y == RD_NONE || !rd_graph_adapter(g, name, &down.param[0], &up.param[0]))
		return y;
	down.u.conv = *d;
	down.u.conv.out_c = g->lora.rank;
	up.in[0] = add_node(g, down, rd_conv2d_out(&down.u.conv));
	up.u.conv = (struct rd_conv2d_desc){rd_graph_dims(g, up.in[0]), d->out_c, .kernel = 1, .stride = 1};
	return add_node(g, up, rd_graph_dims(g, y));
}

/* Weight and bias of a convolution: those of that name, if they are there. */
static void conv_params(struct rd_graph *g, int64_t in_c, const char *name, int64_t out_c, int kernel, rd_pref param[2])
{
	struct rd_shape weight = rd_shape_make(4, (int64_t[]){out_c, in_c, kernel, kernel});
	double fan_in = (double)in_c * kernel * kernel;

	param[0] = rd_graph_find_param(g, name, "weight");
	param[1] = rd_graph_find_param(g, name, "bias");
	if (param[0] == RD_NONE && param[1] == RD_NONE) {
		param[0] = rd_graph_add_param(g, name, "weight", weight, RD_INIT_FAN_IN, fan_in);
		param[1] = rd_graph_add_param(g, name, "bias", rd_shape_make(1, &out_c), RD_INIT_FAN_IN, fan_in);
	} else if (param[0] == RD_NONE || param[1] == RD_NONE || !rd_shape_eq(&g->param[param[0]].shape, &weight)) {
		rd_graph_refuse(g, "%s: parameters of that name are there, and are others", name);
	}
}

void rd_graph_conv_declare(struct rd_graph *g, int64_t in_c, const char *name, int64_t out_c, int kernel)
{
	rd_pref param[2];

	if (!g->err.code)
		conv_params(g, in_c, name, out_c, kernel, param);
}

rd_ref rd_graph_conv(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c, struct rd_conv_opts o)
{
	struct rd_dims d = rd_graph_dims(g, x), y;
	struct rd_node_op op = op_of(RD_OP_CONV, x, o.residual, RD_NONE);

	if (g->err.code)
		return RD_NONE;
	op.u.conv = (struct rd_conv2d_desc){d, out_c, o.kernel, o.stride, o.pad_lo, o.pad_hi};
	if (out_c < 1 || d.h + o.pad_lo + o.pad_hi < o.kernel || d.w + o.pad_lo + o.pad_hi < o.kernel)
		return rd_graph_refuse(g, "%s: a %dx%d convolution does not fit %lldx%lld", name, o.kernel, o.kernel, (long long)d.h,
		           (long long)d.w);
	y = rd_conv2d_out(&op.u.conv);
	if (o.residual != RD_NONE && !same_dims(y, rd_graph_dims(g, o.residual)))
		return rd_graph_refuse(g, "%s: the residual has another shape", name);
	conv_params(g, d.c, name, out_c, o.kernel, op.param);
	return adapted(g, add_node(g, op, y), x, name, &op.u.conv);
}

static rd_ref linear(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c, bool bias, enum rd_init init, rd_ref residual)
{
	struct rd_dims d = rd_graph_dims(g, x), y = {d.n, out_c, d.h, d.w};
	struct rd_node_op op = op_of(RD_OP_CONV, x, residual, RD_NONE);

	if (g->err.code)
		return RD_NONE;
	op.u.conv = (struct rd_conv2d_desc){d, out_c, .kernel = 1, .stride = 1};
	if (out_c < 1 || (residual != RD_NONE && !same_dims(y, rd_graph_dims(g, residual))))
		return rd_graph_refuse(g, "%s: the residual has another shape", name);
	op.param[0] = rd_graph_add_param(g, name, "weight", rd_shape_make(2, (int64_t[]){out_c, d.c}), init, (double)d.c);
	if (bias)
		op.param[1] = rd_graph_add_param(g, name, "bias", rd_shape_make(1, (int64_t[]){out_c}), init, (double)d.c);
	return adapted(g, add_node(g, op, y), x, name, &op.u.conv);
}

rd_ref rd_graph_linear(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c, rd_ref residual)
{
	return linear(g, x, name, out_c, true, RD_INIT_FAN_IN, residual);
}

rd_ref rd_graph_matrix(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c)
{
	return linear(g, x, name, out_c, false, RD_INIT_FAN_IN, RD_NONE);
}

rd_ref rd_graph_linear_zero(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c)
{
	return linear(g, x, name, out_c, true, RD_INIT_ZERO, RD_NONE);
}

/* Gains and offsets of a normalisation. */
static void norm_params(struct rd_graph *g, const char *name, int64_t c, rd_pref param[2])
{
	param[0] = rd_graph_add_param(g, name, "weight", rd_shape_make(1, &c), RD_INIT_ONE, 1);
	param[1] = rd_graph_add_param(g, name, "bias", rd_shape_make(1, &c), RD_INIT_ZERO, 1);
}

rd_ref rd_graph_groupnorm(struct rd_graph *g, rd_ref x, const char *name, struct rd_norm_opts o)
{
	struct rd_dims d = rd_graph_dims(g, x), c = {d.n, d.c, 1, 1}, ss = {d.n, 2 * d.c, 1, 1};
	struct rd_node_op op = op_of(RD_OP_GROUPNORM, x, o.chan, o.scale_shift);

	if (g->err.code)
		return RD_NONE;
	if (o.groups < 1 || d.c % o.groups)
		return rd_graph_refuse(g, "%s: %lld channels do not divide into %lld groups", name, (long long)d.c, (long long)o.groups);
	if ((o.chan != RD_NONE && !same_dims(c, rd_graph_dims(g, o.chan))) ||
	    (o.scale_shift != RD_NONE && !same_dims(ss, rd_graph_dims(g, o.scale_shift))))
		return rd_graph_refuse(g, "%s: the time embedding has another shape", name);
	op.u.groupnorm = (struct rd_groupnorm_desc){d, o.groups, o.eps, o.act};
	norm_params(g, name, d.c, op.param);
	return add_node(g, op, d);
}

rd_ref rd_graph_layernorm(struct rd_graph *g, rd_ref x, const char *name, float eps)
{
	struct rd_dims d = rd_graph_dims(g, x);
	struct rd_node_op op = op_of(RD_OP_LAYERNORM, x, RD_NONE, RD_NONE);

	op.u.layernorm = (struct rd_layernorm_desc){d, eps};
	norm_params(g, name, d.c, op.param);
	return add_node(g, op, d);
}

/* A head is a pixel of its own. */
rd_ref rd_graph_rmsnorm(struct rd_graph *g, rd_ref x, const char *name, int64_t heads, float eps)
{
	struct rd_dims d = rd_graph_dims(g, x), each = {d.n, 0, d.h * d.w * heads, 1};
	struct rd_node_op op = op_of(RD_OP_RMSNORM, x, RD_NONE, RD_NONE);

	if (g->err.code)
		return RD_NONE;
	if (heads < 1 || d.c % heads)
		return rd_graph_refuse(g, "%s: %lld channels do not divide into %lld heads", name, (long long)d.c, (long long)heads);
	each.c = d.c / heads;
	op.u.layernorm = (struct rd_layernorm_desc){each, eps};
	op.param[0] = rd_graph_add_param(g, name, "weight", rd_shape_make(1, &each.c), RD_INIT_ONE, 1);
	return add_node(g, op, d);
}

rd_ref rd_graph_adanorm(struct rd_graph *g, rd_ref x, rd_ref shift_scale, float eps)
{
	struct rd_dims d = rd_graph_dims(g, x), ss = {d.n, 2 * d.c, 1, 1};
	struct rd_node_op op = op_of(RD_OP_ADANORM, x, shift_scale, RD_NONE);

	if (!g->err.code && !same_dims(ss, rd_graph_dims(g, shift_scale)))
		return rd_graph_refuse(g, "adaptive normalisation: shift and scale have another shape");
	op.u.layernorm = (struct rd_layernorm_desc){d, eps};
	return add_node(g, op, d);
}

rd_ref rd_graph_attention(struct rd_graph *g, rd_ref q, rd_ref k, rd_ref v, int64_t heads)
{
	struct rd_dims d = rd_graph_dims(g, q), dk = rd_graph_dims(g, k);
	struct rd_node_op op = op_of(RD_OP_ATTENTION, q, k, v);

	if (g->err.code)
		return RD_NONE;
	if (dk.n != d.n || dk.c != d.c || !same_dims(dk, rd_graph_dims(g, v)))
		return rd_graph_refuse(g, "attention: q, k and v of different shapes");
	if (heads < 1 || d.c % heads)
		return rd_graph_refuse(g, "attention: %lld channels do not divide into %lld heads", (long long)d.c, (long long)heads);
	if (q == k || q == v || k == v) /* their gradients are written side by side */
		return rd_graph_refuse(g, "attention: q, k and v must be three values");
	op.u.attention = (struct rd_attention_desc){d, dk.h * dk.w, heads, (float)(1 / sqrt((double)(d.c / heads)))};
	return add_node(g, op, d);
}

rd_ref rd_graph_act(struct rd_graph *g, rd_ref x, enum rd_act act)
{
	struct rd_node_op op = op_of(RD_OP_ACT, x, RD_NONE, RD_NONE);

	op.u.act = act;
	return add_node(g, op, rd_graph_dims(g, x));
}

rd_ref rd_graph_gate(struct rd_graph *g, rd_ref x, enum rd_act act)
{
	struct rd_dims d = rd_graph_dims(g, x);
	struct rd_node_op op = op_of(RD_OP_GATE, x, RD_NONE, RD_NONE);

	if (!g->err.code && d.c % 2)
		return rd_graph_refuse(g, "a gate of %lld channels: an even number expected", (long long)d.c);
	op.u.act = act;
	d.c /= 2;
	return add_node(g, op, d);
}

rd_ref rd_graph_gain(struct rd_graph *g, rd_ref x, rd_ref gain, rd_ref residual)
{
	struct rd_dims d = rd_graph_dims(g, x), one = {d.n, d.c, 1, 1};

	if (!g->err.code && (!same_dims(one, rd_graph_dims(g, gain)) || !same_dims(d, rd_graph_dims(g, residual))))
		return rd_graph_refuse(g, "a gain or a residual of another shape");
	return add_node(g, op_of(RD_OP_GAIN, x, residual, gain), d);
}

rd_ref rd_graph_add(struct rd_graph *g, rd_ref a, rd_ref b)
{
	if (!g->err.code && !same_dims(rd_graph_dims(g, a), rd_graph_dims(g, b)))
		return rd_graph_refuse(g, "a sum of two shapes");
	return add_node(g, op_of(RD_OP_ADD, a, b, RD_NONE), rd_graph_dims(g, a));
}

rd_ref rd_graph_affine(struct rd_graph *g, rd_ref x, float s, float shift)
{
	struct rd_node_op op = op_of(RD_OP_AFFINE, x, RD_NONE, RD_NONE);

	op.u.affine.scale = s;
	op.u.affine.shift = shift;
	return add_node(g, op, rd_graph_dims(g, x));
}

rd_ref rd_graph_scale(struct rd_graph *g, rd_ref x, float s)
{
	return s == 1 ? x : rd_graph_affine(g, x, s, 0);
}

rd_ref rd_graph_divide(struct rd_graph *g, rd_ref x, rd_ref t)
{
	return add_node(g, op_of(RD_OP_DIVIDE, x, t, RD_NONE), rd_graph_dims(g, x));
}

rd_ref rd_graph_dropout(struct rd_graph *g, rd_ref x, float p)
{
	struct rd_node_op op = op_of(RD_OP_DROPOUT, x, RD_NONE, RD_NONE);

	if (g->err.code || p == 0)
		return g->err.code ? RD_NONE : x;
	if (!(p > 0 && p < 1) || g->n_dropouts > UINT16_MAX)
		return rd_graph_refuse(g, "dropout of %g: a number of at least 0 and below 1 expected", (double)p);
	op.u.dropout = (struct rd_dropout_desc){.p = p, .layer = (uint32_t)g->n_dropouts++};
	return add_node(g, op, rd_graph_dims(g, x));
}

rd_ref rd_graph_concat(struct rd_graph *g, rd_ref a, rd_ref b)
{
	struct rd_dims da = rd_graph_dims(g, a), db = rd_graph_dims(g, b);

	if (!g->err.code && (da.n != db.n || da.h != db.h || da.w != db.w))
		return rd_graph_refuse(g, "concatenation of %lldx%lld and %lldx%lld images", (long long)da.h, (long long)da.w,
		           (long long)db.h, (long long)db.w);
	if (a == b) /* their gradients are written side by side */
		b = rd_graph_affine(g, b, 1, 0);
	da.c += db.c;
	return add_node(g, op_of(RD_OP_CONCAT, a, b, RD_NONE), da);
}

rd_ref rd_graph_slice(struct rd_graph *g, rd_ref x, int64_t first, int64_t c)
{
	struct rd_dims d = rd_graph_dims(g, x);
	struct rd_node_op op = op_of(RD_OP_SLICE, x, RD_NONE, RD_NONE);

	if (g->err.code || (!first && c == d.c))
		return g->err.code ? RD_NONE : x;
	if (first < 0 || c < 1 || first > d.c - c)
		return rd_graph_refuse(g, "%lld channels from %lld on of %lld", (long long)c, (long long)first, (long long)d.c);
	op.u.first = first;
	d.c = c;
	return add_node(g, op, d);
}

rd_ref rd_graph_join(struct rd_graph *g, rd_ref a, rd_ref b)
{
	struct rd_dims da = rd_graph_dims(g, a), db = rd_graph_dims(g, b);

	if (!g->err.code && (da.n != db.n || da.c != db.c))
		return rd_graph_refuse(g, "tokens of %lld and of %lld channels in a row", (long long)da.c, (long long)db.c);
	if (a == b) /* their gradients are written side by side */
		b = rd_graph_affine(g, b, 1, 0);
	return add_node(g, op_of(RD_OP_JOIN, a, b, RD_NONE), (struct rd_dims){da.n, da.c, da.h * da.w + db.h * db.w, 1});
}

rd_ref rd_graph_tokens(struct rd_graph *g, rd_ref x, int64_t first, int64_t h, int64_t w)
{
	struct rd_dims d = rd_graph_dims(g, x);
	struct rd_node_op op = op_of(RD_OP_TOKENS, x, RD_NONE, RD_NONE);

	if (!g->err.code && (first < 0 || h < 1 || w < 1 || first > d.h * d.w - h * w))
		return rd_graph_refuse(g, "%lldx%lld tokens from %lld on of %lld", (long long)h, (long long)w, (long long)first,
		                       (long long)(d.h * d.w));
	op.u.first = first;
	return add_node(g, op, (struct rd_dims){d.n, d.c, h, w});
}

rd_ref rd_graph_unpatch(struct rd_graph *g, rd_ref x, int patch)
{
	struct rd_dims d = rd_graph_dims(g, x);
	struct rd_node_op op = op_of(RD_OP_UNPATCH, x, RD_NONE, RD_NONE);

	if (!g->err.code && (patch < 1 || d.c % ((int64_t)patch * patch)))
		return rd_graph_refuse(g, "%lld channels are no patches of %d by %d pixels", (long long)d.c, patch, patch);
	op.u.patch = patch;
	return add_node(g, op, (struct rd_dims){d.n, d.c / (patch * patch), d.h * patch, d.w * patch});
}

rd_ref rd_graph_upsample2(struct rd_graph *g, rd_ref x)
{
	struct rd_dims d = rd_graph_dims(g, x);

	d.h *= 2;
	d.w *= 2;
	return add_node(g, op_of(RD_OP_UPSAMPLE2, x, RD_NONE, RD_NONE), d);
}

rd_ref rd_graph_avgpool2(struct rd_graph *g, rd_ref x)
{
	struct rd_dims d = rd_graph_dims(g, x);

	d.h /= 2;
	d.w /= 2;
	return add_node(g, op_of(RD_OP_AVGPOOL2, x, RD_NONE, RD_NONE), d);
}

rd_ref rd_graph_fir_down2(struct rd_graph *g, rd_ref x)
{
	struct rd_dims d = rd_graph_dims(g, x);

	if (!g->err.code && (d.h % 2 || d.w % 2))
		return rd_graph_refuse(g, "filtered downsampling of %lldx%lld: even sizes expected", (long long)d.h,
		                       (long long)d.w);
	d.h /= 2;
	d.w /= 2;
	return add_node(g, op_of(RD_OP_FIR_DOWN2, x, RD_NONE, RD_NONE), d);
}

rd_ref rd_graph_fir_up2(struct rd_graph *g, rd_ref x)
{
	struct rd_dims d = rd_graph_dims(g, x);

	d.h *= 2;
	d.w *= 2;
	return add_node(g, op_of(RD_OP_FIR_UP2, x, RD_NONE, RD_NONE), d);
}

rd_ref rd_graph_timestep(struct rd_graph *g, rd_ref t, int64_t dim, bool flip_sin_to_cos, double freq_shift)
{
	struct rd_node_op op = op_of(RD_OP_TIMESTEP, t, RD_NONE, RD_NONE);

	op.u.timestep = (struct rd_timestep_desc){g->batch, dim, flip_sin_to_cos, (float)freq_shift, 10000};
	return add_node(g, op, (struct rd_dims){g->batch, dim, 1, 1});
}

rd_ref rd_graph_fourier(struct rd_graph *g, rd_ref t, const char *name, int64_t dim)
{
	struct rd_node_op op = op_of(RD_OP_FOURIER, t, RD_NONE, RD_NONE);

	op.param[0] = rd_graph_find_param(g, name, "weight");
	if (op.param[0] == RD_NONE)
		op.param[0] = rd_graph_add_param(g, name, "weight", rd_shape_make(1, &dim), RD_INIT_FREQUENCY, 1);
	return add_node(g, op, (struct rd_dims){g->batch, 2 * dim, 1, 1});
}

rd_ref rd_graph_embed(struct rd_graph *g, rd_ref index, const char *name, int64_t dim)
{
	struct rd_node_op op = op_of(RD_OP_EMBED, index, RD_NONE, RD_NONE);
	struct rd_shape table;

	if (g->err.code)
		return RD_NONE;
	table = rd_shape_make(2, (int64_t[]){g->value[index].rows, dim});
	op.param[0] = rd_graph_find_param(g, name, "weight");
	if (op.param[0] == RD_NONE)
		op.param[0] = rd_graph_add_param(g, name, "weight", table, RD_INIT_NORMAL, 1);
	return add_node(g, op, (struct rd_dims){g->batch, dim, 1, 1});
}

rd_ref rd_graph_position(struct rd_graph *g, const char *name, int64_t c, int64_t h, int64_t w)
{
	struct rd_node_op op = op_of(RD_OP_POSITION, RD_NONE, RD_NONE, RD_NONE);

	if (!g->err.code && c % 4)
		return rd_graph_refuse(g, "%s: %lld channels: a multiple of 4 expected", name, (long long)c);
	op.param[0] = rd_graph_add_param(g, name, "table", rd_shape_make(3, (int64_t[]){h, w, c}), RD_INIT_POSITION, 1);
	return add_node(g, op, (struct rd_dims){g->batch, c, h, w});
}

rd_ref rd_graph_position_of(struct rd_graph *g, const char *name, int64_t c, int64_t h, int64_t w, int64_t side, double per)
{
	struct rd_node_op op = op_of(RD_OP_POSITION, RD_NONE, RD_NONE, RD_NONE);
	rd_pref grid;

	if (!g->err.code && (c % 4 || h > side || w > side))
		return rd_graph_refuse(g, "%s: %lldx%lld positions of %lld channels: a multiple of 4, and at most %lld a side expected", name,
		                       (long long)h, (long long)w, (long long)c, (long long)side);
	grid = rd_graph_add_param(g, name, "pos_embed", rd_shape_make(3, (int64_t[]){1, side * side, c}), RD_INIT_GRID, per);
	op.param[0] = rd_graph_add_param(g, name, "table", rd_shape_make(3, (int64_t[]){h, w, c}), RD_INIT_CROP, 1);
	if (g->err.code)
		return RD_NONE;
	g->param[op.param[0]].grid = grid;
	return add_node(g, op, (struct rd_dims){g->batch, c, h, w});
}
