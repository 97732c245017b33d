#include "tools/common/stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "formats/out.h"
#include "lib/base/clock.h"
#include "tools/common/common.h"

/* The signals are blocked in every thread but one that waits for them: a handler must not run in the middle of a step, since
 * oneDNN's generated matrix products keep data below the stack pointer, where a signal's frame overwrites it. */
static atomic_int asked; /* the signal; 0: none came */
static atomic_bool begun;
static sigset_t watched; /* settled before there is a second thread */

/* What was ignored when the program started stays so: SIGINT in a shell's background jobs, SIGHUP under nohup. */
static void settle_watched(void)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGXCPU};
	struct sigaction old;

	sigemptyset(&watched);
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
		if (!sigaction(sigs[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaddset(&watched, sigs[i]);
}

static void die_of_signal(int sig)
{
	rd_out_unlink_all();
	signal(sig, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &watched, NULL);
	raise(sig);
}

/* timeout(1) and whoever signals a whole process group send the same request twice, at once: only a SIGINT that comes later than
 * that after another is somebody's impatience. */
static const double at_once = 0.1; /* seconds */

static void *wait_for_signals(void *arg)
{
	int sig, interrupts = 0;
	double last = -1;

	for (;;) {
		if (sigwait(&watched, &sig))
			return arg;
		if (sig == SIGINT) {
			double now = rd_clock();

			interrupts += !interrupts || now - last > at_once;
			last = now;
		}
		if (!atomic_load(&begun) || interrupts > 1)
			die_of_signal(sig);
		if (!atomic_load(&asked))
			atomic_store(&asked, sig);
	}
}

void rd_stop_watch(void)
{
	pthread_t t;

	settle_watched();
	if (pthread_sigmask(SIG_BLOCK, &watched, NULL) || pthread_create(&t, NULL, wait_for_signals, NULL) || pthread_detach(t)) {
		pthread_sigmask(SIG_UNBLOCK, &watched, NULL);
		rd_warn("no thread to watch for signals: SIGTERM will end the run without a checkpoint");
	}
}

void rd_stop_begin(void)
{
	atomic_store(&begun, true);
}

bool rd_stop_asked(void)
{
	return atomic_load(&asked) != 0;
}

void rd_stop_die(void)
{
	die_of_signal(atomic_load(&asked));
}
