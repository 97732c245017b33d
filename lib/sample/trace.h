/* The trace of an image's Jacobian from vector-Jacobian products v^T J v: over the unit vectors, exactly; or by Hutchinson's
 * estimate, the mean over directions v of independent signs, whose expectation is the trace. The signs are a function of
 * (seed, image, probe), and the same all along a trajectory, so that the integrand stays smooth. */
#ifndef RD_LIB_SAMPLE_TRACE_H
#define RD_LIB_SAMPLE_TRACE_H

#include <stdint.h>

#include "lib/base/err.h"

enum rd_trace_kind { RD_TRACE_NONE, RD_TRACE_EXACT, RD_TRACE_HUTCHINSON };

struct rd_trace_opts {
	enum rd_trace_kind kind;
	int probes;      /* hutchinson: how many, 1 .. RD_TRACE_MAX_PROBES */
	uint64_t seed;
};

#define RD_TRACE_MAX_PROBES 65536
#define RD_TRACE_MAX_DIM 64 /* exact: a backward pass for every number of a sample */

struct rd_trace;

/* For batches of n images of dim numbers. */
int rd_trace_new(struct rd_trace **out, const struct rd_trace_opts *o, int64_t n, int64_t dim, struct rd_err *e) RD_MUST;
void rd_trace_free(struct rd_trace *t);

/* The directions are those of images first .. first+n-1 from here on. */
void rd_trace_images(struct rd_trace *t, uint64_t first);

/* Direction k of rd_trace_count: v [n, dim], valid until the next call. The trace is the sum of their v^T J v times
 * rd_trace_weight. */
int rd_trace_count(const struct rd_trace *t);
const float *rd_trace_direction(struct rd_trace *t, int k);
double rd_trace_weight(const struct rd_trace *t);

/* to[i] += w v^T u of image i, for the direction last asked for and u [n, dim]. */
void rd_trace_add(const struct rd_trace *t, double w, const float *u, double *to);

#endif
