/* What each operation of a graph does on a backend. Operands:
 *   conv           x, residual (added; may be absent)     params weight, bias (may be absent)
 *   groupnorm      x, chan, scale_shift (may be absent)   params weight, bias; aux: statistics
 *   layernorm      x                                      params weight, bias; aux: statistics
 *   rmsnorm        x                                      param weight; aux: statistics
 *   adanorm        x, shift_scale                         aux: statistics
 *   attention      q, k, v                                aux: statistics
 *   act, gate, dropout, affine, slice, tokens, unpatch, upsample2, avgpool2, fir_down2, fir_up2   x
 *   gain           x, residual (added), gain
 *   add, concat, join   a, b
 *   divide         x, divisors (raw)
 *   timestep       times (raw)
 *   fourier        times (raw)                            param frequencies
 *   embed          indices (raw)                          param table
 *   position       none                                   param table */
#include "lib/graph/exec_impl.h"

#define NODE const struct rd_node_op *n = &x->g->node[i]

static struct rd_dims dims(const struct rd_exec *x, rd_ref v)
{
	return x->g->value[v].d;
}

static void *val(const struct rd_exec *x, rd_ref v)
{
	return v == RD_NONE ? NULL : x->val[v];
}

static const float *par(const struct rd_exec *x, rd_pref p)
{
	return x->w + x->g->param[p].offset;
}

static float *dpar(const struct rd_exec *x, rd_pref p)
{
	return x->dw && p != RD_NONE && !x->g->param[p].frozen ? x->dw + x->g->param[p].offset : NULL;
}

/* The buffer for operand k's gradient, NULL where none is to be computed. */
static void *din(const struct rd_exec *x, int i, int k)
{
	enum rd_grad_mode m = x->mode[i][k];

	return m == RD_GRAD_WRITE || m == RD_GRAD_ACC ? x->grad[x->g->node[i].in[k]] : NULL;
}

static int acc(const struct rd_exec *x, int i, int k)
{
	return x->mode[i][k] == RD_GRAD_ACC;
}

static const void *dout(const struct rd_exec *x, int i)
{
	return x->grad[x->g->node[i].out];
}

/* The output's gradient goes on to operand k as it is. */
static int pass_grad(struct rd_exec *x, int i, int k, struct rd_err *e)
{
	NODE;
	void *d = din(x, i, k);

	return d ? x->be->affine(x->dev, dims(x, n->out), 1, 0, dout(x, i), d, acc(x, i, k), e) : 0;
}

static int no_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	(void)x;
	(void)i;
	(void)e;
	return 0;
}

static int timestep_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->timestep(x->dev, &n->u.timestep, val(x, n->in[0]), val(x, n->out), e);
}

static int fourier_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	struct rd_dims d = dims(x, n->out);

	return x->be->fourier(x->dev, d.n, d.c / 2, 1, par(x, n->param[0]), val(x, n->in[0]), val(x, n->out), e);
}

static int embed_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	struct rd_dims d = dims(x, n->out);

	return x->be->embed_fwd(x->dev, d.n, d.c, par(x, n->param[0]), val(x, n->in[0]), val(x, n->out), e);
}

static int embed_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	struct rd_dims d = dims(x, n->out);

	return x->be->embed_bwd(x->dev, d.n, d.c, val(x, n->in[0]), dout(x, i), dpar(x, n->param[0]), e);
}

static int position_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	struct rd_dims d = dims(x, n->out);

	return x->be->embed_fwd(x->dev, d.n, d.c * d.h * d.w, par(x, n->param[0]), NULL, val(x, n->out), e);
}

static size_t conv_ws(const struct rd_exec *x, int i)
{
	return x->be->conv2d_ws_bytes(x->conv[i]);
}

static int conv_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	const void *residual = n->in[1] == RD_NONE ? NULL : x->in_place[i] ? val(x, n->out) : val(x, n->in[1]);

	return x->be->conv2d_fwd(x->dev, x->conv[i], &x->conv_par[i], val(x, n->in[0]), val(x, n->out), residual, x->ws, e);
}

static int conv_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	float *dw = dpar(x, n->param[0]), *db = dpar(x, n->param[1]);
	void *dx = din(x, i, 0);
	int rc = RD_OK;

	if (dx || dw || db) /* else the residual's is wanted alone, and the plan has no way back */
		rc = x->be->conv2d_bwd(x->dev, x->conv[i], &x->conv_par[i], val(x, n->in[0]), dout(x, i), dx, acc(x, i, 0), dw, db,
		                       x->ws, e);
	return rc || n->in[1] == RD_NONE ? rc : pass_grad(x, i, 1, e);
}

static size_t groupnorm_aux(const struct rd_exec *x, const struct rd_node_op *n)
{
	(void)x;
	return (size_t)(n->u.groupnorm.d.n * n->u.groupnorm.groups) * 2 * sizeof(float);
}

static size_t groupnorm_ws(const struct rd_exec *x, int i)
{
	return x->be->groupnorm_ws_bytes(&x->g->node[i].u.groupnorm);
}

static int groupnorm_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->groupnorm_fwd(x->dev, &n->u.groupnorm, val(x, n->in[0]), val(x, n->in[1]), par(x, n->param[0]),
	                            par(x, n->param[1]), val(x, n->in[2]), val(x, n->out), x->aux[i], x->ws, e);
}

static int groupnorm_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->groupnorm_bwd(x->dev, &n->u.groupnorm, val(x, n->in[0]), val(x, n->in[1]), par(x, n->param[0]),
	                            par(x, n->param[1]), val(x, n->in[2]), x->aux[i], dout(x, i), din(x, i, 0), acc(x, i, 0),
	                            din(x, i, 1), acc(x, i, 1), dpar(x, n->param[0]), dpar(x, n->param[1]), din(x, i, 2),
	                            acc(x, i, 2), x->ws, e);
}

static size_t layernorm_aux(const struct rd_exec *x, const struct rd_node_op *n)
{
	const struct rd_dims d = n->u.layernorm.d;

	(void)x;
	return (size_t)(d.n * d.h * d.w) * 2 * sizeof(float);
}

static size_t layernorm_ws(const struct rd_exec *x, int i)
{
	return rd_exec_goes_back(x) ? x->be->layernorm_ws_bytes(x->dev, &x->g->node[i].u.layernorm) : 0;
}

static int layernorm_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->layernorm_fwd(x->dev, &n->u.layernorm, val(x, n->in[0]), par(x, n->param[0]), par(x, n->param[1]),
	                            val(x, n->out), x->aux[i], e);
}

static int layernorm_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->layernorm_bwd(x->dev, &n->u.layernorm, val(x, n->in[0]), par(x, n->param[0]), x->aux[i], dout(x, i),
	                            din(x, i, 0), acc(x, i, 0), dpar(x, n->param[0]), dpar(x, n->param[1]), x->ws, e);
}

static size_t rmsnorm_ws(const struct rd_exec *x, int i)
{
	return rd_exec_goes_back(x) ? x->be->rmsnorm_ws_bytes(x->dev, &x->g->node[i].u.layernorm) : 0;
}

static int rmsnorm_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->rmsnorm_fwd(x->dev, &n->u.layernorm, val(x, n->in[0]), par(x, n->param[0]), val(x, n->out), x->aux[i], e);
}

static int rmsnorm_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->rmsnorm_bwd(x->dev, &n->u.layernorm, val(x, n->in[0]), par(x, n->param[0]), x->aux[i], dout(x, i), din(x, i, 0),
	                          acc(x, i, 0), dpar(x, n->param[0]), x->ws, e);
}

static size_t adanorm_ws(const struct rd_exec *x, int i)
{
	return rd_exec_goes_back(x) ? x->be->adanorm_ws_bytes(x->dev, &x->g->node[i].u.layernorm) : 0;
}

static int adanorm_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->adanorm_fwd(x->dev, &n->u.layernorm, val(x, n->in[0]), val(x, n->in[1]), val(x, n->out), x->aux[i], e);
}

static int adanorm_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->adanorm_bwd(x->dev, &n->u.layernorm, val(x, n->in[0]), val(x, n->in[1]), x->aux[i], dout(x, i), din(x, i, 0),
	                          acc(x, i, 0), din(x, i, 1), acc(x, i, 1), x->ws, e);
}

static size_t attention_aux(const struct rd_exec *x, const struct rd_node_op *n)
{
	const struct rd_attention_desc *a = &n->u.attention;

	return rd_exec_goes_back(x) ? (size_t)(a->d.n * a->heads * a->d.h * a->d.w * 2) * sizeof(float) : 0;
}

static size_t attention_ws(const struct rd_exec *x, int i)
{
	return x->be->attention_ws_bytes(x->dev, &x->g->node[i].u.attention, rd_exec_goes_back(x));
}

static int attention_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->attention_fwd(x->dev, &n->u.attention, val(x, n->in[0]), val(x, n->in[1]), val(x, n->in[2]),
	                            val(x, n->out), rd_exec_goes_back(x) ? x->aux[i] : NULL, x->ws, e);
}

static int attention_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->attention_bwd(x->dev, &n->u.attention, val(x, n->in[0]), val(x, n->in[1]), val(x, n->in[2]),
	                            val(x, n->out), x->aux[i], dout(x, i), din(x, i, 0), acc(x, i, 0), din(x, i, 1),
	                            acc(x, i, 1), din(x, i, 2), acc(x, i, 2), x->ws, e);
}

static int act_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->act_fwd(x->dev, dims(x, n->out), n->u.act, val(x, n->in[0]), val(x, n->out), e);
}

static int act_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->act_bwd(x->dev, dims(x, n->out), n->u.act, val(x, n->in[0]), dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static int gate_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->gate_fwd(x->dev, dims(x, n->out), n->u.act, val(x, n->in[0]), val(x, n->out), e);
}

static int gate_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->gate_bwd(x->dev, dims(x, n->out), n->u.act, val(x, n->in[0]), dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static size_t gain_ws(const struct rd_exec *x, int i)
{
	return rd_exec_goes_back(x) ? x->be->gain_ws_bytes(x->dev, dims(x, x->g->node[i].out)) : 0;
}

static int gain_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	struct rd_dims d = dims(x, n->out);
	int rc = x->in_place[i] ? 0 : x->be->affine(x->dev, d, 1, 0, val(x, n->in[1]), val(x, n->out), 0, e);

	return rc ? rc : x->be->gain_fwd(x->dev, d, val(x, n->in[0]), val(x, n->in[2]), val(x, n->out), 1, e);
}

static int gain_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;
	int rc = x->be->gain_bwd(x->dev, dims(x, n->out), val(x, n->in[0]), val(x, n->in[2]), dout(x, i), din(x, i, 0),
	                         acc(x, i, 0), din(x, i, 2), acc(x, i, 2), x->ws, e);

	return rc ? rc : pass_grad(x, i, 1, e);
}

static int add_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->add(x->dev, dims(x, n->out), val(x, n->in[0]), val(x, n->in[1]), val(x, n->out), e);
}

static int add_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	int rc = pass_grad(x, i, 0, e);

	return rc ? rc : pass_grad(x, i, 1, e);
}

static int affine_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->affine(x->dev, dims(x, n->out), n->u.affine.scale, n->u.affine.shift, val(x, n->in[0]), val(x, n->out), 0,
	                     e);
}

static int affine_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->affine(x->dev, dims(x, n->out), n->u.affine.scale, 0, dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static int divide_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->divide(x->dev, dims(x, n->out), val(x, n->in[1]), val(x, n->in[0]), val(x, n->out), 0, e);
}

static int divide_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->divide(x->dev, dims(x, n->out), val(x, n->in[1]), dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static int drop(struct rd_exec *x, int i, const void *from, void *to, int accumulate, struct rd_err *e)
{
	NODE;
	struct rd_dropout_desc p = n->u.dropout;

	p.seed = x->opts.seed;
	return x->be->dropout(x->dev, dims(x, n->out), &p, x->draw, from, to, accumulate, e);
}

/* Outside training there is nothing to do but to hand x on. */
static int dropout_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	if (x->opts.training)
		return drop(x, i, val(x, n->in[0]), val(x, n->out), 0, e);
	return x->in_place[i] ? 0 : x->be->affine(x->dev, dims(x, n->out), 1, 0, val(x, n->in[0]), val(x, n->out), 0, e);
}

static int dropout_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	if (!x->opts.training)
		return pass_grad(x, i, 0, e);
	return drop(x, i, dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

/* v as concatenations and slices have it. Tokens one after another are an image's channels, if it is taken for a single pixel. */
static struct rd_dims run(const struct rd_exec *x, const struct rd_node_op *n, rd_ref v)
{
	struct rd_dims d = dims(x, v);

	return n->op == RD_OP_JOIN || n->op == RD_OP_TOKENS ? (struct rd_dims){d.n, d.c * d.h * d.w, 1, 1} : d;
}

/* Of a slice, by its channels; of tokens, by those of a token. */
static int64_t first_of(const struct rd_exec *x, const struct rd_node_op *n)
{
	return n->op == RD_OP_TOKENS ? n->u.first * dims(x, n->out).c : n->u.first;
}

static int concat_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->concat_fwd(x->dev, run(x, n, n->in[0]), run(x, n, n->in[1]).c, val(x, n->in[0]), val(x, n->in[1]),
	                         val(x, n->out), e);
}

static int concat_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->concat_bwd(x->dev, run(x, n, n->in[0]), run(x, n, n->in[1]).c, dout(x, i), din(x, i, 0), acc(x, i, 0),
	                         din(x, i, 1), acc(x, i, 1), e);
}

static int slice_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->slice_fwd(x->dev, run(x, n, n->out), run(x, n, n->in[0]).c, first_of(x, n), val(x, n->in[0]), val(x, n->out), e);
}

static int slice_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->slice_bwd(x->dev, run(x, n, n->out), run(x, n, n->in[0]).c, first_of(x, n), dout(x, i), din(x, i, 0),
	                        acc(x, i, 0), e);
}

static int unpatch_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->unpatch_fwd(x->dev, dims(x, n->in[0]), n->u.patch, val(x, n->in[0]), val(x, n->out), e);
}

static int unpatch_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->unpatch_bwd(x->dev, dims(x, n->in[0]), n->u.patch, dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static int upsample2_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->upsample2_fwd(x->dev, dims(x, n->in[0]), val(x, n->in[0]), val(x, n->out), e);
}

static int upsample2_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->upsample2_bwd(x->dev, dims(x, n->in[0]), dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static int avgpool2_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->avgpool2_fwd(x->dev, dims(x, n->in[0]), val(x, n->in[0]), val(x, n->out), e);
}

static int avgpool2_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->avgpool2_bwd(x->dev, dims(x, n->in[0]), dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static int fir_down2_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->fir2_down(x->dev, dims(x, n->in[0]), 1, val(x, n->in[0]), val(x, n->out), 0, e);
}

static int fir_down2_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->fir2_up(x->dev, dims(x, n->out), 0.25f, dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

static int fir_up2_fwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->fir2_up(x->dev, dims(x, n->in[0]), 1, val(x, n->in[0]), val(x, n->out), 0, e);
}

static int fir_up2_bwd(struct rd_exec *x, int i, struct rd_err *e)
{
	NODE;

	return x->be->fir2_down(x->dev, dims(x, n->out), 4, dout(x, i), din(x, i, 0), acc(x, i, 0), e);
}

const struct rd_op_impl rd_ops[RD_N_OPS] = {
	[RD_OP_INPUT] = {.name = "input", .shares = -1, .passes = -1, .fwd = no_fwd},
	[RD_OP_TIMESTEP] = {.name = "timestep", .shares = -1, .passes = -1, .fwd = timestep_fwd},
	[RD_OP_FOURIER] = {.name = "fourier", .shares = -1, .passes = -1, .fwd = fourier_fwd},
	[RD_OP_EMBED] = {.name = "embed", .keeps = {true}, .for_params = true, .shares = -1, .passes = -1, .fwd = embed_fwd, .bwd = embed_bwd},
	[RD_OP_POSITION] = {.name = "position", .shares = -1, .passes = -1, .fwd = position_fwd},
	[RD_OP_CONV] = {.name = "conv", .keeps = {true}, .for_params = true, .shares = 1, .passes = 1, .ws_bytes = conv_ws,
	                .fwd = conv_fwd, .bwd = conv_bwd},
	[RD_OP_GROUPNORM] = {.name = "groupnorm", .keeps = {true, true, true}, .shares = -1, .passes = -1,
	                     .aux_bytes = groupnorm_aux, .ws_bytes = groupnorm_ws, .fwd = groupnorm_fwd, .bwd = groupnorm_bwd},
	[RD_OP_LAYERNORM] = {.name = "layernorm", .keeps = {true}, .shares = -1, .passes = -1, .aux_bytes = layernorm_aux,
	                     .ws_bytes = layernorm_ws, .fwd = layernorm_fwd, .bwd = layernorm_bwd},
	[RD_OP_RMSNORM] = {.name = "rmsnorm", .keeps = {true}, .shares = -1, .passes = -1, .aux_bytes = layernorm_aux,
	                   .ws_bytes = rmsnorm_ws, .fwd = rmsnorm_fwd, .bwd = rmsnorm_bwd},
	[RD_OP_ADANORM] = {.name = "adanorm", .keeps = {true, true}, .shares = -1, .passes = -1, .aux_bytes = layernorm_aux,
	                   .ws_bytes = adanorm_ws, .fwd = adanorm_fwd, .bwd = adanorm_bwd},
	[RD_OP_ATTENTION] = {.name = "attention", .keeps = {true, true, true}, .keeps_out = true, .shares = -1, .passes = -1,
	                     .aux_bytes = attention_aux, .ws_bytes = attention_ws, .fwd = attention_fwd, .bwd = attention_bwd},
	[RD_OP_ACT] = {.name = "act", .keeps = {true}, .shares = 0, .passes = -1, .fwd = act_fwd, .bwd = act_bwd},
	[RD_OP_GATE] = {.name = "gate", .keeps = {true}, .shares = -1, .passes = -1, .fwd = gate_fwd, .bwd = gate_bwd},
	[RD_OP_GAIN] = {.name = "gain", .keeps = {true, false, true}, .shares = 1, .passes = 1, .ws_bytes = gain_ws,
	                .fwd = gain_fwd, .bwd = gain_bwd},
	[RD_OP_ADD] = {.name = "add", .shares = 0, .passes = 0, .fwd = add_fwd, .bwd = add_bwd},
	[RD_OP_DROPOUT] = {.name = "dropout", .shares = 0, .passes = -1, .fwd = dropout_fwd, .bwd = dropout_bwd},
	[RD_OP_AFFINE] = {.name = "affine", .shares = 0, .passes = -1, .fwd = affine_fwd, .bwd = affine_bwd},
	[RD_OP_DIVIDE] = {.name = "divide", .keeps = {false, true}, .shares = 0, .passes = -1, .fwd = divide_fwd,
	                  .bwd = divide_bwd},
	[RD_OP_CONCAT] = {.name = "concat", .shares = -1, .passes = -1, .fwd = concat_fwd, .bwd = concat_bwd},
	[RD_OP_SLICE] = {.name = "slice", .shares = -1, .passes = -1, .fwd = slice_fwd, .bwd = slice_bwd},
	[RD_OP_JOIN] = {.name = "join", .shares = -1, .passes = -1, .fwd = concat_fwd, .bwd = concat_bwd},
	[RD_OP_TOKENS] = {.name = "tokens", .shares = -1, .passes = -1, .fwd = slice_fwd, .bwd = slice_bwd},
	[RD_OP_UNPATCH] = {.name = "unpatch", .shares = -1, .passes = -1, .fwd = unpatch_fwd, .bwd = unpatch_bwd},
	[RD_OP_UPSAMPLE2] = {.name = "upsample2", .shares = -1, .passes = -1, .fwd = upsample2_fwd, .bwd = upsample2_bwd},
	[RD_OP_AVGPOOL2] = {.name = "avgpool2", .shares = -1, .passes = -1, .fwd = avgpool2_fwd, .bwd = avgpool2_bwd},
	[RD_OP_FIR_DOWN2] = {.name = "fir_down2", .shares = -1, .passes = -1, .fwd = fir_down2_fwd, .bwd = fir_down2_bwd},
	[RD_OP_FIR_UP2] = {.name = "fir_up2", .shares = -1, .passes = -1, .fwd = fir_up2_fwd, .bwd = fir_up2_bwd},
};
