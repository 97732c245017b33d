/* Networks: a config.json becomes a description, a description becomes a graph. */
#ifndef RD_LIB_NET_NET_H
#define RD_LIB_NET_NET_H

#include <jansson.h>

#include "lib/graph/graph.h"

#define RD_UNET_MAX_BLOCKS 12

/* Blocks of a UNet2DModel or UNet2DConditionModel; each has a form for the way down and one for the way up. */
enum rd_unet_block {
	RD_UNET_PLAIN,     /* DownBlock2D, UpBlock2D */
	RD_UNET_ATTN,      /* AttnDownBlock2D, AttnUpBlock2D */
	RD_UNET_RESNET,    /* ResnetDownsampleBlock2D, ResnetUpsampleBlock2D */
	RD_UNET_SKIP,      /* SkipDownBlock2D, SkipUpBlock2D: filtered resampling, and a picture beside the features */
	RD_UNET_ATTN_SKIP, /* AttnSkipDownBlock2D, AttnSkipUpBlock2D */
	RD_UNET_CROSS      /* CrossAttnDownBlock2D, CrossAttnUpBlock2D: a transformer over pixels and context */
};

static inline bool rd_unet_is_skip(enum rd_unet_block k)
{
	return k == RD_UNET_SKIP || k == RD_UNET_ATTN_SKIP;
}

static inline bool rd_unet_has_attention(enum rd_unet_block k)
{
	return k == RD_UNET_ATTN || k == RD_UNET_ATTN_SKIP;
}

enum rd_time_embedding { RD_TIME_POSITIONAL, RD_TIME_FOURIER, RD_TIME_LEARNED };

/* What a network is conditioned on beside the time. */
enum rd_cond {
	RD_COND_NONE,
	RD_COND_CLASS,  /* the label is a row of a table */
	RD_COND_NUMBER, /* the label goes where the time goes */
	RD_COND_VECTOR, /* cond_dim numbers: no label at all */
	RD_COND_CONTEXT /* the label is a row of the contexts: a sequence of cond_dim numbers each, such as a text's embedding */
};

/* diffusers' UNet2DModel and UNet2DConditionModel, by their configs' names. */
struct rd_unet2d {
	int64_t in_channels, out_channels, height, width;
	int n_blocks;
	int64_t block_out_channels[RD_UNET_MAX_BLOCKS];
	enum rd_unet_block down[RD_UNET_MAX_BLOCKS], up[RD_UNET_MAX_BLOCKS];
	int64_t layers_per_block;
	int64_t norm_num_groups;         /* 0: null, as many as diffusers then takes */
	int64_t attn_norm_num_groups;    /* 0: null */
	int64_t attention_head_dim;      /* 0: null, one head as wide as the layer */
	int64_t time_embedding_dim;
	int64_t num_class_embeds;        /* 0: null */
	int64_t num_train_timesteps;     /* 0: null */
	enum rd_time_embedding time_embedding;
	double norm_eps, freq_shift, mid_block_scale_factor, dropout;
	bool flip_sin_to_cos, center_input_sample, mid_block, add_attention, scale_shift;
	bool downsample_resnet, upsample_resnet; /* how blocks of kind RD_UNET_ATTN resample */
	int downsample_padding;
	enum rd_act act, time_act, out_act; /* in the blocks; within the time's embedding; before conv_out */
	/* of a UNet2DConditionModel, by resolution from the highest; of attention_head_dim, which there says how many heads */
	int64_t heads[RD_UNET_MAX_BLOCKS], transformer_layers[RD_UNET_MAX_BLOCKS];
	bool linear_projection, mid_cross; /* mid_cross: the middle attends to the context */
};

/* diffusers' DiTTransformer2DModel, by its config's names where they say what is meant. */
struct rd_dit {
	int64_t in_channels, out_channels, size, patch, heads, head_dim, layers;
	int64_t num_classes; /* num_embeds_ada_norm */
	double dropout, norm_eps;
	bool attention_bias;
	enum rd_act act;     /* of the perceptron; gated: of half of its channels, which the other half is multiplied by */
	bool gated;
};

#define RD_SD3_MAX_LAYERS 256

/* diffusers' SD3Transformer2DModel. */
struct rd_sd3 {
	int64_t in_channels, out_channels, size, patch, heads, head_dim, layers;
	int64_t grid;                 /* pos_embed_max_size */
	bool qk_norm;                 /* q and k are normalised by their root mean square, head by head */
	bool dual[RD_SD3_MAX_LAYERS]; /* dual_attention_layers: the patches also attend to themselves alone */
};

/* A residual multilayer perceptron over flat samples; rdmodel(5) describes it. */
struct rd_mlp {
	struct rd_shape sample;      /* without the batch dimension */
	int64_t dim, hidden_dim, num_layers, time_embedding_dim, num_class_embeds;
	enum rd_act act;
};

struct rd_net;

#define RD_NET_CLASSES "UNet2DModel, UNet2DConditionModel, DiTTransformer2DModel, SD3Transformer2DModel and MLPModel" /* for messages */

struct rd_net_kind {
	const char *class_name; /* _class_name in config.json */
	const char *part;       /* what a pipeline of diffusers calls its network, and the folder that holds it: "unet", "transformer" */
	bool latent;            /* samples are latents: a pipeline has parts beside the network and the scheduler, which are not read */
	const char *context_key, *vector_key; /* of RD_COND_CONTEXT: the keys that say how wide these are */
	int (*parse)(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e);
	void (*describe)(const struct rd_net *net, struct rd_graph *g); /* declares inputs and output of g as well */
};

struct rd_net {
	const struct rd_net_kind *kind;
	union {
		struct rd_unet2d unet2d;
		struct rd_dit dit;
		struct rd_sd3 sd3;
		struct rd_mlp mlp;
	} u;
	struct rd_shape sample;   /* of one sample: [c, h, w], or what an MLP's config says */
	enum rd_cond cond;
	int64_t classes;          /* labels are below it; 0: the network takes none */
	bool last_is_null;        /* the last class stands for "no class" */
	bool variance;            /* the network puts out as many channels again, a variance, which the prediction leaves out */
	int64_t cond_dim;         /* of RD_COND_VECTOR and RD_COND_CONTEXT */
	int64_t vector_dim;       /* of RD_COND_CONTEXT: numbers of the vector beside each sequence; 0: there is none */
	struct rd_contexts contexts; /* of RD_COND_CONTEXT; no rows: none were given */
	double time_scale;        /* the network is fed this times the schedule's net_time */
};

/* Reads a config; `file` is for messages. Keys that are not known must have their default; what we do not have is refused
 * by name. RD_EINPUT. */
int rd_net_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e) RD_MUST;

/* The graph of a batch; adapted: with low-rank adapters beside its layers. Its parameters' names, shapes and offsets do not depend on
 * the batch. */
int rd_net_build(const struct rd_net *net, int64_t batch, struct rd_graph **out, struct rd_err *e) RD_MUST;
int rd_net_build_adapted(const struct rd_net *net, int64_t batch, struct rd_lora lora, struct rd_graph **out, struct rd_err *e) RD_MUST;

/* What labels stand for in a network of RD_COND_CONTEXT; data is borrowed. `file` is for messages. RD_EINPUT for contexts that
 * do not fit. */
int rd_net_set_contexts(struct rd_net *net, const struct rd_contexts *c, const char *file, struct rd_err *e) RD_MUST;

/* RD_EUSAGE for a network whose condition is no label, or one whose labels stand for contexts that were not given: the tools
 * have nothing to feed it with. */
int rd_net_takes_labels(const struct rd_net *net, struct rd_err *e) RD_MUST;

extern const struct rd_net_kind rd_net_unet2d, rd_net_unet2d_condition, rd_net_dit, rd_net_dit_legacy, rd_net_sd3, rd_net_mlp;

/* What pipelines call their networks: the values of a kind's part, NULL-terminated. */
extern const char *const rd_net_parts[];

/* NULL where none is called so, and for NULL. */
const struct rd_net_kind *rd_net_kind_named(const char *class_name);

/* The class that the config itself says stands for none; -1: it says none. */
static inline int64_t rd_net_null_class(const struct rd_net *net)
{
	return net->last_is_null ? net->classes - 1 : -1;
}

/* By either of its names. */
static inline bool rd_net_is_dit(const struct rd_net *net)
{
	return net->kind == &rd_net_dit || net->kind == &rd_net_dit_legacy;
}

/* For the parsers: a key that is not among `known` (NULL-terminated) and does not start with '_' is refused; act_fn's names. */
int rd_net_check_keys(const json_t *config, const char *file, const char *const *known, struct rd_err *e) RD_MUST;
int rd_net_act(const json_t *config, const char *file, enum rd_act *out, struct rd_err *e) RD_MUST;
/* Keys, NULL-terminated, that may not be null though they have a default; that may only be null or false. */
int rd_net_check_nulls(const json_t *config, const char *file, const char *const *keys, struct rd_err *e) RD_MUST;
int rd_net_check_off(const json_t *config, const char *file, const char *const *keys, struct rd_err *e) RD_MUST;
/* A switch that is off where it is null, as in Python, whatever its default. */
int rd_net_bool(const json_t *config, const char *file, const char *key, bool def, bool *out, struct rd_err *e) RD_MUST;
/* The last word of the parsers of networks over images: samples go in and come out, a variance beside them or not. */
int rd_net_set_channels(struct rd_net *net, int64_t in, int64_t out, int64_t height, int64_t width, const char *file,
                        struct rd_err *e) RD_MUST;

/* For the descriptions: the contexts of net, or where none were given one of a single token: parameters do not depend on how many
 * there are. */
void rd_net_context_input(const struct rd_net *net, struct rd_graph *g);

/* For the descriptions: name.linear_2(act(name.linear_1(x))); and of an output the channels of g->x, without a variance. */
rd_ref rd_net_embedding(struct rd_graph *g, rd_ref x, const char *name, int64_t dim, enum rd_act act);
rd_ref rd_net_prediction(struct rd_graph *g, rd_ref y);

#endif
