/* Training data: samples, with the noise and the labels that belong to them where they are there. */
#ifndef RD_LIB_TRAIN_DATASET_H
#define RD_LIB_TRAIN_DATASET_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/block.h"
#include "lib/base/tensor.h"
#include "lib/model/model.h"
#include "lib/train/provenance.h"

struct rd_dataset {
	int64_t n;
	size_t dim;       /* floats of one sample */
	float *sample;    /* [n, dim] */
	float *eps;       /* [n, dim]; NULL where the data are no pairs */
	float *knots;     /* [n, n_knots, dim]: states between the noise and the sample; NULL where none are wanted */
	int64_t n_knots;
	int32_t *label;   /* [n] or NULL */
	struct rd_block mem[4]; /* what these four are in */
	json_t *meta;     /* of the inputs; of pairs also which noise they are of, as rd_provenance_noise says it */
	struct rd_provenance *made_by; /* of pairs; else NULL */
	char hash[17];    /* of all that training sees */
};

struct rd_dataset_opts {
	bool paired;   /* inputs must hold role pairs */
	bool any_form; /* pairs of another form are not refused; epsilon is then the noise */
	bool knots;    /* inputs must hold the field knots */
	const char *scratch; /* a folder for files that hold the data, mapped; NULL: memory does */
};

/* Reads all of the inputs (see rd_source_open). The sample shape must be that of m; labels are checked against its classes.
 * The noise of a pair becomes its epsilon: the ODE started at x_T = noise, so on a first-order path through x_T and x0 it is
 * (x_T - alpha_T x0)/sigma_T, with (alpha_T, sigma_T) the start that the pairs' meta records (RD_EINPUT where that has no noise), or
 * the schedule's last time where it records none. A pair that is there twice is RD_EFAIL. Not paired: any input with a field `sample`. */
int rd_dataset_load(struct rd_dataset *d, const char *const *paths, int n_paths, const struct rd_dataset_opts *o,
                    const struct rd_model *m, struct rd_err *e) RD_MUST;

/* Moves n samples, one of each of n equal parts of d, into *held; d keeps the others. RD_EUSAGE where d has no more than n. */
int rd_dataset_split(struct rd_dataset *d, int64_t n, struct rd_dataset *held, struct rd_err *e) RD_MUST;
size_t rd_dataset_bytes(const struct rd_dataset *d); /* of memory or scratch */
void rd_dataset_free(struct rd_dataset *d);

#endif
