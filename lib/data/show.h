/* What is in a file, as text for people: shapes, statistics, first values, provenance. Frame streams, archives, arrays,
 * safetensors, and model folders. */
#ifndef RD_LIB_DATA_SHOW_H
#define RD_LIB_DATA_SHOW_H

#include <stdbool.h>

#include "formats/out.h"
#include "lib/base/tensor.h"

/* True for a folder, and for a file that begins as safetensors do; neither is read as samples. */
int rd_show_is_tensors(const char *path, bool *yes, struct rd_err *e) RD_MUST;

/* name: only that field or tensor; NULL: all. */
int rd_show_samples(const char *path, const char *name, struct rd_out *o, struct rd_err *e) RD_MUST;
int rd_show_tensors(const char *path, const char *name, struct rd_out *o, struct rd_err *e) RD_MUST;

#endif
