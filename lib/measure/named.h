/* Inputs that are given a name for legends and tables: NAME=FILE. */
#ifndef RD_LIB_MEASURE_NAMED_H
#define RD_LIB_MEASURE_NAMED_H

#include "lib/base/err.h"

/* FILE of spec, within it. A NAME is not empty and holds no slash: a file with '=' in its name is ./FILE. */
const char *rd_named_path(const char *spec);

/* NAME of spec, or where it has none the other one. free() releases it. */
int rd_named_name(char **out, const char *spec, const char *other, struct rd_err *e) RD_MUST;

#endif
