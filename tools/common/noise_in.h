/* Where a sampler's noise comes from: its own generator, or a stream (of data, where the ODE is run back); one way to ask for the
 * next batch. */
#ifndef RD_TOOLS_NOISE_IN_H
#define RD_TOOLS_NOISE_IN_H

#include "lib/data/batch.h"
#include "lib/data/labels.h"
#include "lib/model/model.h"

#define RD_NOISE_LABELS 64

struct rd_noise_in {
	/* a stream */
	struct rd_source *src; /* NULL: generated */
	int noise, label;      /* fields; label -1: none */
	int64_t classes;       /* of the model */
	const struct rd_batch *cur;
	int64_t at;
	/* generated */
	uint64_t seed, next, end;
	struct rd_labels *labels; /* NULL: none */
	/* the batch given out */
	struct rd_shape sample;   /* of one sample */
	size_t dim;
	int64_t batch;
	float *x;
	int32_t *y;
};

/* -S I/N: of samples *first .. *first + *count - 1 the I-th of N parts, I from 1, that differ by at most one sample and follow one
 * another. A usage error where text is no such thing. */
void rd_noise_shard(const char *text, uint64_t *first, uint64_t *count);

/* The labels of noise that is made for a model, where -l says nothing: uniform over its classes without the null class; "none" where it
 * has no classes. null_class -1: none is known. */
void rd_noise_default_labels(char text[RD_NOISE_LABELS], const struct rd_net *net, int64_t null_class);

/* Samples first .. first+count-1 of seed. labels: -l's text; classes: the model's. */
int rd_noise_generate(struct rd_noise_in *in, const struct rd_shape *sample, int64_t batch, uint64_t seed, uint64_t first,
                      uint64_t count, const char *labels, int64_t classes, struct rd_err *e) RD_MUST;
/* The field `noise` of a stream of role noise, or (data) the field `sample` of whatever has one; samples as those of m. Its labels are
 * used where m has classes. */
int rd_noise_stream(struct rd_noise_in *in, const char *path, bool data, const struct rd_model *m, int64_t batch,
                    struct rd_err *e) RD_MUST;

/* Samples first .. first+n-1 (n <= batch): noise [n, dim], label [n] or NULL, both valid until the next call. ref: the noise is
 * that of ref_seed, and came or may go as a reference. */
struct rd_noise_batch {
	uint64_t first, ref_seed;
	int64_t n;
	const float *noise;
	const int32_t *label;
	bool ref;
};
/* 1: a batch in *b; 0: the end. */
int rd_noise_next(struct rd_noise_in *in, struct rd_noise_batch *b, struct rd_err *e) RD_MUST;
bool rd_noise_has_labels(const struct rd_noise_in *in);
/* [n, (points,) sample...] at data, which it borrows; points 0: no such dimension. */
struct rd_array rd_noise_view(const struct rd_noise_in *in, int64_t n, int64_t points, const float *data);
void rd_noise_close(struct rd_noise_in *in);

#endif
