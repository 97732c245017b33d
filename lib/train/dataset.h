/* Training data in memory: samples, with the noise and the labels that belong to them where they are there. */
#ifndef RD_LIB_TRAIN_DATASET_H
#define RD_LIB_TRAIN_DATASET_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/tensor.h"
#include "lib/model/model.h"

struct rd_dataset {
	int64_t n;
	size_t dim;       /* floats of one sample */
	float *sample;    /* [n, dim] */
	float *eps;       /* [n, dim]; NULL where the coupling is independent */
	int32_t *label;   /* [n] or NULL */
	json_t *meta;     /* of the first input */
	char hash[17];    /* of all that training sees */
};

/* Reads all of the inputs (see rd_source_open). The sample shape must be that of m; labels are checked against its classes.
 * paired: inputs must hold role pairs, and noise becomes the pair's epsilon: the ODE started at x_T = noise, so on a first-order
 * path through x_T and x0 it is (x_T - alpha_T x0)/sigma_T, with (alpha_T, sigma_T) the start that the pairs' meta records
 * (the schedule's last time where it records none). Pairs of another form are refused unless any_form (epsilon is then
 * the noise). Not paired: any input with a field `sample`. */
int rd_dataset_load(struct rd_dataset *d, const char *const *paths, int n_paths, bool paired, bool any_form,
                    const struct rd_model *m, struct rd_err *e) RD_MUST;
void rd_dataset_free(struct rd_dataset *d);

#endif
