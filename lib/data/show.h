/* What is in a stream, an archive or an array, as text for people: shapes, statistics, first values, provenance. */
#ifndef RD_LIB_DATA_SHOW_H
#define RD_LIB_DATA_SHOW_H

#include "formats/out.h"

/* name: only that field; NULL: all. */
int rd_show_samples(const char *path, const char *name, struct rd_out *o, struct rd_err *e) RD_MUST;

#endif
