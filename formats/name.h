/* The names of outputs: where links lead, which names are of one file, and how a temporary name becomes that of the output. */
#ifndef RD_FORMATS_NAME_H
#define RD_FORMATS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "lib/base/err.h"

/* What a file of this name is called where it is: links are followed, though the last one leads to nothing yet. free() releases it;
 * NULL sets errno. */
char *rd_name_follow(const char *path);

const char *rd_name_last(const char *path); /* behind the last slash */
size_t rd_name_length(const char *path);    /* without the slashes that a folder's name may end in */

/* Whether two names stand for one entry of one folder, however they are spelt; and whether path is somewhere below the folder dir. No
 * link at the end of a path is followed. */
bool rd_name_same(const char *a, const char *b);
bool rd_name_within(const char *path, const char *dir);

/* Whether something else may be renamed to target, of which st tells; name is for the message. RD_EIO where it may not be written, or
 * where it is somebody else's in a folder with the sticky bit. */
int rd_name_replaceable(const char *target, const struct stat *st, const char *name, struct rd_err *e) RD_MUST;

/* What is complete as tmp and could not be renamed to target, which *e tells, becomes TARGET.complete.PID; *e then tells that too. */
void rd_name_keep(const char *tmp, const char *target, struct rd_err *e);

/* This machine, as temporary names have it: one word of letters, digits and dashes. */
#define RD_NAME_HOST 65
void rd_name_host(char host[RD_NAME_HOST]);

#endif
