/* A network as a graph of operations over logical shapes. A network's file calls these and knows nothing else: forward,
 * backward, memory and device are the executor's (lib/graph/exec.h).
 *
 * Errors are sticky: after the first, every call returns RD_NONE, and rd_graph_check gives the message. Shapes are checked
 * as the graph is built. */
#ifndef RD_LIB_GRAPH_GRAPH_H
#define RD_LIB_GRAPH_GRAPH_H

#include <stdbool.h>

#include "kernels/kernels.h"
#include "lib/base/tensor.h"

#define RD_NONE (-1)
#define RD_PARAM_NAME 112
#define RD_PARAM_ALIGN 16 /* floats; every parameter starts at a multiple of this in the flat array */

typedef int rd_ref;   /* a value of the graph */
typedef int rd_pref;  /* a parameter of the graph */

enum rd_init { RD_INIT_FAN_IN /* uniform in +-1/sqrt(fan_in) */, RD_INIT_ZERO, RD_INIT_ONE, RD_INIT_NORMAL,
               RD_INIT_FREQUENCY /* normal, 16 wide */, RD_INIT_POSITION /* sinusoids of row and column: [h, w, c] */,
               RD_INIT_GRID /* the same in a file: [1, side^2, c] */, RD_INIT_CROP /* the middle of a grid: [h, w, c] */ };

struct rd_param {
	char name[RD_PARAM_NAME];
	struct rd_shape shape;
	size_t offset, n_elems; /* in the flat array of all parameters */
	bool frozen;            /* stored, but no gradient and no optimiser touches it: fixed, or there are adapters, of which it is none */
	bool fixed;             /* never trained */
	bool computed;          /* fixed, and not in files: a function of its shape and, of a crop, of the grid that comes before it */
	bool adapter;           /* of an adapter (below) */
	enum rd_init init;
	double fan_in;          /* of a grid and a position: what rows and columns are divided by */
	int grid;               /* of a crop: the parameter that it is the middle of */
};

enum rd_op {
	RD_OP_INPUT, RD_OP_TIMESTEP, RD_OP_FOURIER, RD_OP_EMBED, RD_OP_POSITION, RD_OP_CONV, RD_OP_GROUPNORM, RD_OP_LAYERNORM,
	RD_OP_RMSNORM, RD_OP_ADANORM, RD_OP_ATTENTION, RD_OP_ACT, RD_OP_GATE, RD_OP_GAIN, RD_OP_DROPOUT, RD_OP_ADD, RD_OP_AFFINE, RD_OP_DIVIDE,
	RD_OP_CONCAT, RD_OP_SLICE, RD_OP_JOIN, RD_OP_TOKENS, RD_OP_UNPATCH, RD_OP_UPSAMPLE2, RD_OP_AVGPOOL2, RD_OP_FIR_DOWN2, RD_OP_FIR_UP2, RD_N_OPS
};

struct rd_node_op {
	enum rd_op op;
	rd_ref in[3];    /* RD_NONE where absent; what each slot is, op by op, is in lib/graph/ops.c */
	rd_ref out;
	rd_pref param[2];
	union {
		struct rd_conv2d_desc conv;
		struct rd_groupnorm_desc groupnorm;
		struct rd_layernorm_desc layernorm; /* of rmsnorm, whose pixels are heads, and adanorm as well */
		struct rd_attention_desc attention;
		struct rd_timestep_desc timestep;
		struct rd_dropout_desc dropout; /* the seed is the executor's */
		enum rd_act act; /* of a gate as well */
		int64_t first;   /* of a slice; of tokens */
		int patch;       /* of unpatch */
		struct {
			float scale, shift;
		} affine;
	} u;
};

/* A raw value is not an activation but n 32-bit words, one an image: times, labels. */
enum rd_value_kind { RD_VALUE_ACT, RD_VALUE_NUMBER /* raw f32 */, RD_VALUE_POSITIVE /* raw f32 > 0 */, RD_VALUE_INDEX /* raw i32 */ };

struct rd_value {
	struct rd_dims d;
	enum rd_value_kind kind;
	int64_t rows; /* an index is in [0, rows) */
	int producer;
};

/* What labels stand for in a graph that is conditioned on sequences: label i on row i, [tokens, dim] and, where vector_dim is not
 * 0, a vector beside it, of types that rd_to_f32 reads. Borrowed. */
struct rd_contexts {
	int64_t rows, tokens, dim, vector_dim; /* rows 0: not known yet; a graph is built all the same, but takes no labels */
	enum rd_dtype type, vector_type;
	const void *data, *vectors;
};

/* Low-rank adapters (arXiv 2106.09685): beside a layer's W x + b there is B A x with A [rank, in] and B [out, rank], `name.lora_A.weight`
 * and `name.lora_B.weight`, which alone are trained. A layer that is a convolution has A for its kernel, B for a kernel of 1. They are of
 * a graph, not in a model's files; B is 0 at first. */
enum rd_lora_layers { RD_LORA_ALL, RD_LORA_ATTENTION /* what makes its q, k, v and output */ };
struct rd_lora {
	int rank; /* 0: none */
	enum rd_lora_layers layers;
};

struct rd_graph {
	int64_t batch;
	struct rd_lora lora;
	int n_nodes, n_values, n_params;
	struct rd_node_op *node;
	struct rd_value *value;
	struct rd_param *param;
	size_t n_flat;                 /* floats of the flat parameter array, padding (zero) included */
	size_t n_trained;              /* its first floats; what is frozen comes after them */
	size_t n_adapters;             /* its first floats, with adapters: what comes after them is laid out as without */
	int n_dropouts;
	rd_ref x, t, label, y;         /* the network's inputs (label may be RD_NONE) and its output */
	struct rd_contexts contexts;   /* of a context input: label and */
	rd_ref vector;                 /* RD_NONE: no vectors */
	struct rd_err err;
	int cap_nodes, cap_values, cap_params;
};

/* Adapters are for its caller to ask for (g->lora), before there are layers. */
int rd_graph_new(struct rd_graph **out, int64_t batch, struct rd_err *e) RD_MUST;
void rd_graph_free(struct rd_graph *g);
int rd_graph_check(const struct rd_graph *g, struct rd_err *e) RD_MUST;
struct rd_dims rd_graph_dims(const struct rd_graph *g, rd_ref v);
/* Of what is in a model's files: elements without padding, and tensors. */
int64_t rd_graph_param_count(const struct rd_graph *g);
int rd_graph_tensor_count(const struct rd_graph *g);
int64_t rd_graph_adapter_count(const struct rd_graph *g); /* elements of adapters without padding */

/* Inputs: x (batch, c, h, w); raw ones for times and labels (lib/graph/exec.h puts them there). */
rd_ref rd_graph_input(struct rd_graph *g, int64_t c, int64_t h, int64_t w);
rd_ref rd_graph_number_input(struct rd_graph *g, bool positive);
rd_ref rd_graph_index_input(struct rd_graph *g, int64_t rows);
/* (batch, dim, tokens, 1), which becomes the graph's label, and where there are vectors (batch, vector_dim, 1, 1), its vector: the
 * rows of labels (lib/graph/exec.h puts them there). One in a graph at most. */
void rd_graph_context_input(struct rd_graph *g, const struct rd_contexts *c);

/* For what a description finds out for itself: the graph's error, if it is the first. */
rd_ref rd_graph_refuse(struct rd_graph *g, const char *fmt, ...) RD_PRINTF(2, 3);

/* Parameters are declared by the layers below as `name.weight` and `name.bias`. */
struct rd_conv_opts {
	int kernel, stride, pad_lo, pad_hi;
	rd_ref residual; /* added to the result; RD_NONE: nothing */
};
rd_ref rd_graph_conv(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c, struct rd_conv_opts o);
/* The parameters of the convolution of that name, which comes later: for their order, which new weights and checkpoints depend on. */
void rd_graph_conv_declare(struct rd_graph *g, int64_t in_c, const char *name, int64_t out_c, int kernel);
/* A convolution with a kernel of 1 whose weight is [out_c, c]. */
rd_ref rd_graph_linear(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c, rd_ref residual);
/* The same without a bias; and with one, both 0 where the network is new. */
rd_ref rd_graph_matrix(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c);
rd_ref rd_graph_linear_zero(struct rd_graph *g, rd_ref x, const char *name, int64_t out_c);

struct rd_norm_opts {
	int64_t groups;
	float eps;
	enum rd_act act;
	rd_ref chan, scale_shift; /* see groupnorm_fwd; RD_NONE: not there */
};
rd_ref rd_graph_groupnorm(struct rd_graph *g, rd_ref x, const char *name, struct rd_norm_opts o);

/* Over the channels of each pixel; adaptive: with each image's own shift_scale (batch, 2 c, 1, 1), see adanorm_fwd. */
rd_ref rd_graph_layernorm(struct rd_graph *g, rd_ref x, const char *name, float eps);
/* By the root mean square over the channels of each pixel and head; one gain for all heads, name.weight [c / heads]. */
rd_ref rd_graph_rmsnorm(struct rd_graph *g, rd_ref x, const char *name, int64_t heads, float eps);
rd_ref rd_graph_adanorm(struct rd_graph *g, rd_ref x, rd_ref shift_scale, float eps);

/* k and v may have other heights and widths than q. */
rd_ref rd_graph_attention(struct rd_graph *g, rd_ref q, rd_ref k, rd_ref v, int64_t heads);
rd_ref rd_graph_gate(struct rd_graph *g, rd_ref x, enum rd_act act); /* a act(b), a and b the halves of x's channels */
rd_ref rd_graph_gain(struct rd_graph *g, rd_ref x, rd_ref gain, rd_ref residual); /* residual + gain x, gain (batch, c, 1, 1) */
rd_ref rd_graph_act(struct rd_graph *g, rd_ref x, enum rd_act act);
rd_ref rd_graph_add(struct rd_graph *g, rd_ref a, rd_ref b);
rd_ref rd_graph_scale(struct rd_graph *g, rd_ref x, float s); /* s = 1 gives x itself */
rd_ref rd_graph_affine(struct rd_graph *g, rd_ref x, float s, float shift);
rd_ref rd_graph_divide(struct rd_graph *g, rd_ref x, rd_ref t); /* image i over number i */
rd_ref rd_graph_dropout(struct rd_graph *g, rd_ref x, float p); /* in training only; p = 0 gives x itself */
rd_ref rd_graph_concat(struct rd_graph *g, rd_ref a, rd_ref b);
rd_ref rd_graph_slice(struct rd_graph *g, rd_ref x, int64_t first, int64_t c); /* these channels of x; all of them: x itself */
/* Pixels as tokens, row by row: (n, c, tokens, 1), those of a before those of b; and (n, c, h, w) of x's tokens from first on. */
rd_ref rd_graph_join(struct rd_graph *g, rd_ref a, rd_ref b);
rd_ref rd_graph_tokens(struct rd_graph *g, rd_ref x, int64_t first, int64_t h, int64_t w);
rd_ref rd_graph_unpatch(struct rd_graph *g, rd_ref x, int patch); /* see unpatch_fwd */
rd_ref rd_graph_upsample2(struct rd_graph *g, rd_ref x);
rd_ref rd_graph_avgpool2(struct rd_graph *g, rd_ref x);
rd_ref rd_graph_fir_down2(struct rd_graph *g, rd_ref x); /* even sizes only */
rd_ref rd_graph_fir_up2(struct rd_graph *g, rd_ref x);
rd_ref rd_graph_timestep(struct rd_graph *g, rd_ref t, int64_t dim, bool flip_sin_to_cos, double freq_shift);
/* (batch, 2 dim, 1, 1) of ln t; the frequencies name.weight [dim] are frozen. A name that is there already is the same
 * parameter, for embed as well. */
rd_ref rd_graph_fourier(struct rd_graph *g, rd_ref t, const char *name, int64_t dim);
rd_ref rd_graph_embed(struct rd_graph *g, rd_ref index, const char *name, int64_t dim); /* of the index's rows */

/* (batch, c, h, w), the same for all images: RD_INIT_POSITION's table; c is a multiple of 4. */
rd_ref rd_graph_position(struct rd_graph *g, const char *name, int64_t c, int64_t h, int64_t w);
/* The same from the middle of a grid of side x side that is in files, name.pos_embed [1, side^2, c], frozen. In a new network it has
 * the sinusoids of rows and columns over `per`. */
rd_ref rd_graph_position_of(struct rd_graph *g, const char *name, int64_t c, int64_t h, int64_t w, int64_t side, double per);

/* The parameters of the flat array that are computed. */
void rd_graph_compute_params(const struct rd_graph *g, float *flat);
/* The flat array of new weights: a function of seed and the parameters' order alone. */
void rd_graph_init_params(const struct rd_graph *g, uint64_t seed, float *flat);
/* The first n_adapters floats of it alone. */
void rd_graph_init_adapters(const struct rd_graph *g, uint64_t seed, float *flat);
/* W += B A for every layer with an adapter. adapters: the first n_adapters floats of g's flat array; base: what comes after them. */
void rd_graph_merge_adapters(const struct rd_graph *g, const float *adapters, float *base);

#endif
