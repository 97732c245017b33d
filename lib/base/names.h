/* Lists of names that end in NULL: the values of an option or a key. */
#ifndef RD_BASE_NAMES_H
#define RD_BASE_NAMES_H

#include <stddef.h>

/* The index of a name; -1: it is not in the list. */
int rd_names_find(const char *const *names, const char *name);

/* "a, b, c" to buf, cut where that is full; buf. */
const char *rd_names_text(const char *const *names, char *buf, size_t cap);

#endif
