/* Folders of pictures: .png files side by side, or folders of them, each a class. */
#ifndef RD_FORMATS_PNG_DIR_H
#define RD_FORMATS_PNG_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_png_dir {
	size_t n;
	char **path;        /* [n], in the order of their bytes, class by class */
	int32_t *label;     /* [n] the class of each; NULL where there are none */
	size_t n_classes;
	char **class_name;  /* [n_classes] the folders' names, in the order of their bytes */
};

/* Whether the folder looks like one. */
bool rd_png_dir_is(const char *dir);

/* What starts with a dot is left out. RD_EINPUT where there are no pictures, or pictures of other kinds, or both files and folders of
 * them. */
int rd_png_dir_list(const char *dir, struct rd_png_dir *d, struct rd_err *e) RD_MUST;
void rd_png_dir_free(struct rd_png_dir *d); /* leaves a zeroed struct */

#endif
