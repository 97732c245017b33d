/* What processes that were killed left beside an output: its temporary names, and nothing that is merely called like them. Nobody may
 * be writing that output. */
#ifndef RD_FORMATS_LEFTOVER_H
#define RD_FORMATS_LEFTOVER_H

/* Of a file (formats/out.h): .FILE.PID.N.tmp. */
void rd_leftover_file(const char *file);

/* Of a folder (formats/out_dir.h): DIR.tmp.PID and, where there is a DIR, DIR.tmp.PID.old. The same of its snapshots DIR.NUMBER, but
 * not of one that has a lock DIR.NUMBER.lock: it is the output of another process. */
void rd_leftover_dir(const char *dir);

#endif
