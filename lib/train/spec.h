/* A choice with numbers of its own, as options and descriptions write it: "name", "name:1" or "name:1,2". */
#ifndef RD_LIB_TRAIN_SPEC_H
#define RD_LIB_TRAIN_SPEC_H

#include <stddef.h>

#include "lib/base/err.h"

#define RD_SPEC_NUMBERS 2

struct rd_spec_number {
	const char *name; /* NULL: there is none */
	double usual, lo, hi;
};

struct rd_spec_kind {
	const char *name; /* NULL ends a list */
	struct rd_spec_number number[RD_SPEC_NUMBERS];
};

struct rd_spec {
	int kind; /* index of a list of rd_spec_kind */
	double a[RD_SPEC_NUMBERS];
};

/* RD_EUSAGE "OPTION TEXT: why" for a name that is not listed, or numbers that are too many or out of range. */
int rd_spec_parse(struct rd_spec *s, const struct rd_spec_kind *kinds, const char *option, const char *text, struct rd_err *e) RD_MUST;

/* Kind i with its usual numbers. */
struct rd_spec rd_spec_usual(const struct rd_spec_kind *kinds, int i);

/* The text that reads back as s; buf holds at least 80 bytes. */
const char *rd_spec_text(const struct rd_spec *s, const struct rd_spec_kind *kinds, char *buf, size_t size);

#endif
