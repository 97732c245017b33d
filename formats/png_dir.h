/* Folders of pictures: .png files side by side, or folders of them, each a class. */
#ifndef RD_FORMATS_PNG_DIR_H
#define RD_FORMATS_PNG_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_png_file {
	char *path;
	int32_t label; /* 0 where there are none */
};

struct rd_png_dir {
	struct rd_png_file *file; /* [n], of room; in the order of their names' bytes, class by class */
	size_t n, room;
	bool labelled;
	size_t n_classes;
	char **class_name; /* [n_classes] the folders' names in the order of their bytes: what the labels are ranks in */
};

/* Whether the folder looks like one. */
bool rd_png_dir_is(const char *dir);

/* What starts with a dot is left out. Folders whose names are all numbers (0 .. 2^31 - 1, no leading zeros) are labelled by these and have
 * no class_name. RD_EINPUT where there are no pictures, or pictures of other kinds, or both files and folders of them, or a folder without
 * any beside others, or where a .png is not a regular file. */
int rd_png_dir_list(const char *dir, struct rd_png_dir *d, struct rd_err *e) RD_MUST;
void rd_png_dir_free(struct rd_png_dir *d); /* leaves a zeroed struct */

#endif
