/* Files and folders by their names. */
#ifndef RD_BASE_TREE_H
#define RD_BASE_TREE_H

#include <stdbool.h>

#include "lib/base/err.h"

/* Whether there is a file or folder of that name; a link that leads nowhere is none, nor is a name that is too long. */
bool rd_exists(const char *fmt, ...) RD_PRINTF(1, 2);

/* Removes path and, for a folder, everything in it; symbolic links are not followed. What is not there, or cannot be
 * removed, is passed over: this cleans up. */
void rd_remove_tree(const char *path);

#endif
