/* A model's network on given inputs: its output and the gradients of mean(y^2)/2, without dropout. What comparisons with
 * diffusers are made of. */
#ifndef RD_TESTS_NETRUN_H
#define RD_TESTS_NETRUN_H

#include "lib/model/model.h"

struct netrun_in {
	int64_t n;
	struct rd_shape shape; /* of x */
	float *x, *t;          /* [n, c, h, w], [n] */
	int32_t *label;        /* [n] or NULL */
	float *vector;         /* [n, cond_dim] or NULL */
};

/* Arrays from .npy files. label may be NULL; one of floats has vectors, one of integers labels. */
int netrun_load(struct netrun_in *in, const char *x, const char *t, const char *label, struct rd_err *e) RD_MUST;
void netrun_in_free(struct netrun_in *in);

struct netrun_out {
	size_t n;          /* elements of x and y */
	float *y, *grad_x;
	float *grads;      /* flat, as m->params has it */
};

int netrun(struct netrun_out *out, const struct rd_model *m, const struct rd_backend *be, struct rd_dev *dev,
           const struct netrun_in *in, struct rd_err *e) RD_MUST;
void netrun_out_free(struct netrun_out *out);

#endif
