/* The audit of pairs: what goes wrong when (noise, sample) pairs are collected, and does not show until a model was
 * trained on them. */
#ifndef RD_LIB_DATA_AUDIT_H
#define RD_LIB_DATA_AUDIT_H

#include "formats/out.h"
#include "lib/data/batch.h"
#include "lib/base/moments.h"

#define RD_AUDIT_LIMIT 5.0 /* standard scores beyond this are no chance */
#define RD_AUDIT_MAX 16    /* findings */
#define RD_AUDIT_QUANTILES 3 /* of the errors: 0.05, 0.5 and 0.95 */

struct rd_audit;

int rd_audit_new(struct rd_audit **out, struct rd_err *e) RD_MUST;
void rd_audit_free(struct rd_audit *a); /* NULL-safe */

/* A batch of a stream of role pairs; streams may follow one another. */
int rd_audit_add(struct rd_audit *a, const struct rd_stream *s, const struct rd_batch *b, struct rd_err *e) RD_MUST;

/* What was found. noise and sample: their statistics; label_n = 0: no labels. */
struct rd_audit_report {
	uint64_t pairs;
	struct rd_moments noise, sample;
	uint64_t label_n;
	int32_t label_min, label_max;
	uint64_t error_n;                  /* of the solver, where they are known; 0: they are not */
	double error_mean, error_max, error_quantile[RD_AUDIT_QUANTILES];
	int n_findings;
	char finding[RD_AUDIT_MAX][200];
};
void rd_audit_finish(struct rd_audit *a, struct rd_audit_report *r);

/* The report as text: a line of statistics per field, a line per finding, the verdict. */
int rd_audit_print(const struct rd_audit_report *r, struct rd_out *o, struct rd_err *e) RD_MUST;

#endif
