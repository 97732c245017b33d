/* What processes that were killed left beside an output: its temporary names, and nothing that is merely called like them. */
#ifndef RD_FORMATS_LEFTOVER_H
#define RD_FORMATS_LEFTOVER_H

#include <stdbool.h>

/* Of a file (formats/out.h): .FILE.HOST.PID.N.tmp, the first so many bytes of FILE. Who writes one has it locked, so a process that is at
 * work keeps its own; where the file system has no locks, nothing is removed. A lock need not reach other machines, so that what was made
 * on one of them has to be a day old, unless the caller is alone: it holds a lock without which nobody writes FILE. */
void rd_leftover_file(const char *file, bool alone);
#define RD_LEFTOVER_BASE "150"

/* Of a folder (formats/out_dir.h), which nobody may be writing: DIR.tmp.PID and, where there is a DIR, DIR.tmp.PID.old. The same of its
 * snapshots DIR.NUMBER, but not of one that has a lock DIR.NUMBER.lock: it is the output of another process. */
void rd_leftover_dir(const char *dir);

#endif
