/* The class of each sample, as -l LABELS of the tools says it:
 *
 *   none        no labels
 *   uniform:K   each of K classes equally likely, a function of (seed, index)
 *   cycle:K     sample i has class i mod K
 *   uniform:K:without:N, cycle:K:without:N   the same of the K - 1 classes that are not N, in their order
 *   NUMBER      that class for every sample
 *   FILE        an array (.npy, idx) with one integer per sample: sample i has the i-th, counted from 0 */
#ifndef RD_LIB_DATA_LABELS_H
#define RD_LIB_DATA_LABELS_H

#include <stdint.h>

#include "lib/base/err.h"

struct rd_labels;

/* *out is NULL for "none". classes: how many the model has, every label is below it; 0: not known. RD_EUSAGE for a text
 * that is none of these, and where K or NUMBER are beyond the classes. */
int rd_labels_open(struct rd_labels **out, const char *spec, uint64_t seed, int64_t classes, struct rd_err *e) RD_MUST;
void rd_labels_close(struct rd_labels *l); /* NULL-safe */

/* The labels of samples first .. first+n-1. A file is read forward once: first may not fall from call to call.
 * RD_EINPUT where the file is too short or holds a label out of range. */
int rd_labels_get(struct rd_labels *l, uint64_t first, int64_t n, int32_t *out, struct rd_err *e) RD_MUST;

#endif
