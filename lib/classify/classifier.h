/* A classifier's folder, config.json beside the weights, and the running of what is in it (rdmodel(5)). */
#ifndef RD_LIB_CLASSIFY_CLASSIFIER_H
#define RD_LIB_CLASSIFY_CLASSIFIER_H

#include "lib/net/classifier.h"

struct rd_classifier {
	char *dir;                    /* where it came from, for messages; NULL for a new one */
	struct rd_classifier_net net;
	struct rd_shape sample;       /* [c, h, w] */
	struct rd_graph *params;      /* of batch 1: the table of parameters */
	float *w;                     /* flat, params->n_flat floats */
	char hash[17];                /* of the weights */
};

/* Tensors that are missing, extra or misshapen, and a config that is none, are RD_EINPUT. */
int rd_classifier_load(struct rd_classifier *c, const char *dir, struct rd_err *e) RD_MUST;
/* A new one with weights of the seed. RD_ESHAPE for sizes that do not fit one another. */
int rd_classifier_new(struct rd_classifier *c, const struct rd_classifier_net *net, uint64_t seed, struct rd_err *e) RD_MUST;
void rd_classifier_free(struct rd_classifier *c); /* NULL-safe */
void rd_classifier_rehash(struct rd_classifier *c); /* after w has changed */

/* Writes DIR as a whole or not at all; one that is there is replaced only with replace. meta: strings, for the weights' file;
 * card: README.md. */
int rd_classifier_save(const struct rd_classifier *c, const char *dir, const json_t *meta, const char *card, bool replace,
                       struct rd_err *e) RD_MUST;

struct rd_classifier_run;

/* On a device, `batch` images at a time. c and its weights are borrowed, and uploaded here. */
int rd_classifier_open(struct rd_classifier_run **out, const struct rd_classifier *c, const struct rd_backend *be,
                       struct rd_dev *dev, int64_t batch, struct rd_err *e) RD_MUST;
void rd_classifier_close(struct rd_classifier_run *r); /* NULL-safe */

/* n images x, at most a batch, to features [n, rd_classifier_features] and logits [n, num_classes]; either may be NULL. */
int rd_classifier_apply(struct rd_classifier_run *r, const float *x, int64_t n, float *features, float *logits,
                        struct rd_err *e) RD_MUST;

#endif
