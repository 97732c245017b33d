/* A folder that is complete or not there: made beside its target, synced, and renamed. */
#ifndef RD_FORMATS_OUT_DIR_H
#define RD_FORMATS_OUT_DIR_H

#include <stdbool.h>

#include "lib/base/err.h"

struct rd_out_dir;

/* Makes DIR.tmp.PID, for the caller to fill. A DIR that is there already is refused; with replace it is one that is empty or
 * holds a model, and anything else is refused still, as are mount points and names that end in . or .. */
int rd_out_dir_open(struct rd_out_dir **out, const char *dir, bool replace, struct rd_err *e) RD_MUST;
/* Whether DIR could be opened: to be asked before long work. Leaves nothing. */
int rd_out_dir_try(const char *dir, bool replace, struct rd_err *e) RD_MUST;
/* NAME in the folder that is being filled; valid until the next call. */
const char *rd_out_dir_path(struct rd_out_dir *o, const char *name);
int rd_out_dir_sub(struct rd_out_dir *o, const char *name, struct rd_err *e) RD_MUST; /* makes a folder in it */
int rd_out_dir_text(struct rd_out_dir *o, const char *name, const char *text, struct rd_err *e) RD_MUST;

/* Syncs, renames and frees, also when it fails. A target that is there is replaced in one instant, unless the file system cannot
 * exchange names: then it is renamed first. Where what is complete cannot be renamed to DIR, it is kept, and the message says where;
 * after any other failure nothing is left of it. */
int rd_out_dir_finish(struct rd_out_dir *o, struct rd_err *e) RD_MUST;
void rd_out_dir_abort(struct rd_out_dir *o); /* removes and frees; NULL-safe */

#endif
