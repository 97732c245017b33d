/* Networks: a config.json becomes a description, a description becomes a graph. */
#ifndef RD_LIB_NET_NET_H
#define RD_LIB_NET_NET_H

#include <jansson.h>

#include "lib/graph/graph.h"

#define RD_UNET_MAX_BLOCKS 12

/* diffusers' UNet2DModel, by its config's names. */
struct rd_unet2d {
	int64_t in_channels, out_channels, height, width;
	int n_blocks;
	int64_t block_out_channels[RD_UNET_MAX_BLOCKS];
	bool down_attn[RD_UNET_MAX_BLOCKS], up_attn[RD_UNET_MAX_BLOCKS];
	int64_t layers_per_block, norm_num_groups, attn_norm_num_groups /* 0: none given */;
	int64_t attention_head_dim;      /* 0: one head as wide as the layer */
	int64_t time_embedding_dim;
	int64_t num_class_embeds;        /* 0: no classes */
	double norm_eps, freq_shift, mid_block_scale_factor;
	bool flip_sin_to_cos, center_input_sample, add_attention, scale_shift;
	int downsample_padding;
	enum rd_act act;
};

/* A residual multilayer perceptron over flat samples; rdmodel(5) describes it. */
struct rd_mlp {
	struct rd_shape sample;      /* without the batch dimension */
	int64_t dim, hidden_dim, num_layers, time_embedding_dim, num_class_embeds;
	enum rd_act act;
};

struct rd_net;

struct rd_net_kind {
	const char *class_name; /* _class_name in config.json */
	int (*parse)(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e);
	void (*describe)(const struct rd_net *net, struct rd_graph *g); /* declares inputs and output of g as well */
};

struct rd_net {
	const struct rd_net_kind *kind;
	union {
		struct rd_unet2d unet2d;
		struct rd_mlp mlp;
	} u;
	struct rd_shape sample;   /* of one sample: [c, h, w], or what an MLP's config says */
	int64_t classes;          /* rows of the class embedding; 0: unconditional */
	double time_scale;        /* the network is fed this times the schedule's net_time */
};

/* Reads a config; `file` is for messages. Keys that are not known must have their default; what we do not have is refused
 * by name. RD_EINPUT. */
int rd_net_parse(struct rd_net *net, const json_t *config, const char *file, struct rd_err *e) RD_MUST;

/* The graph of a batch. Its parameters' names, shapes and offsets do not depend on the batch. */
int rd_net_build(const struct rd_net *net, int64_t batch, struct rd_graph **out, struct rd_err *e) RD_MUST;

extern const struct rd_net_kind rd_net_unet2d, rd_net_mlp;

/* For the parsers: a key that is not among `known` (NULL-terminated) and does not start with '_' is refused; act_fn's names. */
int rd_net_check_keys(const json_t *config, const char *file, const char *const *known, struct rd_err *e) RD_MUST;
int rd_net_act(const json_t *config, const char *file, enum rd_act *out, struct rd_err *e) RD_MUST;

/* For the descriptions: linear_2(act(linear_1(sinusoids(t)))), plus the class's row where there are classes. */
rd_ref rd_net_time_embedding(struct rd_graph *g, int64_t sinusoids, int64_t dim, bool flip_sin_to_cos, double freq_shift,
                             int64_t classes);

#endif
