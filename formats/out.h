/* Output that is complete or not there: a temporary name beside the target, synced and renamed at the end. The temporary file is locked
 * until then, which tells it from those that killed processes left (formats/leftover.h); these are removed when the output is opened. */
#ifndef RD_FORMATS_OUT_H
#define RD_FORMATS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rd_out;

enum { RD_OUT_BINARY = 1, RD_OUT_FORCE = 2 };

/* path NULL or "-": standard output. With RD_OUT_BINARY a terminal is refused unless RD_OUT_FORCE. A path that
 * exists and is not a regular file (/dev/full, a fifo) is written in place. Links are followed, though they lead to nothing yet. RD_EIO
 * where the file could not be replaced in the end, as far as that can be known. */
int rd_out_open(struct rd_out **out, const char *path, unsigned flags, struct rd_err *e) RD_MUST;
int rd_out_write(struct rd_out *o, const void *data, size_t n, struct rd_err *e) RD_MUST;
int rd_out_printf(struct rd_out *o, struct rd_err *e, const char *fmt, ...) RD_MUST RD_PRINTF(3, 4);

/* Flushes, syncs, renames over the target and frees, also when it fails (then the target is as it was). Where only the renaming failed,
 * the file is kept beside the target, and the message says how it is called. */
int rd_out_finish(struct rd_out *o, struct rd_err *e) RD_MUST;

/* The first half of finish: flushed and synced, under its temporary name still. What is left for finish is a
 * rename, so that several outputs appear together or not at all. */
int rd_out_settle(struct rd_out *o, struct rd_err *e) RD_MUST;

/* Removes the temporary file and frees; NULL-safe. */
void rd_out_abort(struct rd_out *o);

/* Removes the temporary files of all open outputs; async-signal-safe, for a handler of SIGINT and SIGTERM. */
void rd_out_unlink_all(void);

/* fsync(fd); 0 also where that is no failure: pipes, terminals, and the folders of some file systems cannot be synced. */
int rd_out_sync(int fd) RD_MUST;
/* The directory entry of a path on disk; what cannot be synced is left to the system, as the data are safe already. */
void rd_out_sync_entry(const char *path);

/* The whole file at once, the same way. */
int rd_out_file(const char *path, const void *data, size_t n, struct rd_err *e) RD_MUST;

#endif
