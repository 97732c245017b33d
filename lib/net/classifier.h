/* A classifier of images: residual blocks with group normalisation, each after a halving, and the mean over what is left of
 * the image. That mean is its features; the logits are linear in them. */
#ifndef RD_LIB_NET_CLASSIFIER_H
#define RD_LIB_NET_CLASSIFIER_H

#include <jansson.h>

#include "lib/graph/graph.h"

#define RD_CLASSIFIER_MAX_WIDTHS 8
#define RD_CLASSIFIER_MAX_SIZE 4096 /* of channels, height, width and groups */
#define RD_CLASSIFIER_MAX_CLASSES 65536
#define RD_CLASSIFIER_NAME "RectdiffClassifier" /* _class_name in config.json */

/* config.json's keys. */
struct rd_classifier_net {
	int64_t in_channels, height, width;
	int n_widths;
	int64_t block_out_channels[RD_CLASSIFIER_MAX_WIDTHS]; /* at full size, then after each halving; the last: features */
	int64_t norm_num_groups, num_classes;
};

static inline int64_t rd_classifier_features(const struct rd_classifier_net *c)
{
	return c->block_out_channels[c->n_widths - 1];
}

/* Reads a config; `file` is for messages. Every key but norm_num_groups must be there; others are refused. RD_EINPUT. */
int rd_classifier_parse(struct rd_classifier_net *c, const json_t *config, const char *file, struct rd_err *e) RD_MUST;
json_t *rd_classifier_config(const struct rd_classifier_net *c); /* the inverse; NULL without memory */

/* The graph of a batch: x [c, h, w] in; y: the features, and behind them the logits. RD_ESHAPE for sizes that no config may have, or
 * that do not fit one another; the message names the key. */
int rd_classifier_build(const struct rd_classifier_net *c, int64_t batch, struct rd_graph **out, struct rd_err *e) RD_MUST;

#endif
