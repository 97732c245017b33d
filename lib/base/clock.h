/* Seconds of a clock that only goes on. */
#ifndef RD_LIB_BASE_CLOCK_H
#define RD_LIB_BASE_CLOCK_H

double rd_clock(void);

#endif
