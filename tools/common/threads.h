/* How OpenMP's threads wait for one another. */
#ifndef RD_TOOLS_THREADS_H
#define RD_TOOLS_THREADS_H

/* Begins the program once more with GOMP_SPINCOUNT=1000 in its environment, unless that or OMP_WAIT_POLICY is there already: to be
 * called before anything else. By default libgomp's threads spin for milliseconds at every barrier; where another process has one of
 * the processors, the others burn theirs until the scheduler has come round. A thousand turns outlast the gap between two loops, and
 * no more. It is read when the library is loaded, hence the second start (some milliseconds), which is left out where something else
 * runs the program: a loader, valgrind. */
void rd_threads_be_patient(char **argv);

#endif
