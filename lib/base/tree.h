/* Folders as a whole. */
#ifndef RD_BASE_TREE_H
#define RD_BASE_TREE_H

/* Removes path and, for a folder, everything in it; symbolic links are not followed. What is not there, or cannot be
 * removed, is passed over: this cleans up. */
void rd_remove_tree(const char *path);

#endif
