/* Signals that ask a long run to put its state away and end. */
#ifndef RD_TOOLS_STOP_H
#define RD_TOOLS_STOP_H

#include <stdbool.h>

/* SIGINT and SIGTERM; SIGUSR1, by which batch systems tell that a job's time is up; SIGHUP, of a terminal that is gone; SIGXCPU, of a
 * limit of processor time. Not those of them that the program was started to ignore. To be called before there are other threads,
 * which inherit what is blocked. */
void rd_stop_watch(void);

/* From here on a signal only asks, and its repeats do nothing; a second SIGINT after a moment, and any signal before, ends at once. */
void rd_stop_begin(void);
bool rd_stop_asked(void);

/* Once the state is away: as if the signal that asked had not been caught, so that whoever waits for us sees it. */
void rd_stop_die(void);

#endif
