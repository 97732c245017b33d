#include "tools/common/stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "formats/out.h"
#include "tools/common/common.h"

/* The signals are blocked in every thread but one that waits for them: a handler must not run in the middle of a step, since
 * oneDNN's generated matrix products keep data below the stack pointer, where a signal's frame overwrites it. */
static atomic_int asked; /* the signal; 0: none came */
static atomic_bool begun;

static sigset_t stop_signals(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGINT);
	sigaddset(&s, SIGTERM);
	sigaddset(&s, SIGUSR1);
	return s;
}

static void die_of_signal(int sig)
{
	const sigset_t s = stop_signals();

	rd_out_unlink_all();
	signal(sig, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &s, NULL);
	raise(sig);
}

static void *wait_for_signals(void *arg)
{
	const sigset_t s = stop_signals();
	int sig;

	for (;;) {
		if (sigwait(&s, &sig))
			return arg;
		if (!atomic_load(&begun) || atomic_load(&asked))
			die_of_signal(sig);
		atomic_store(&asked, sig);
	}
}

void rd_stop_watch(void)
{
	const sigset_t s = stop_signals();
	pthread_t t;

	if (pthread_sigmask(SIG_BLOCK, &s, NULL) || pthread_create(&t, NULL, wait_for_signals, NULL) || pthread_detach(t)) {
		pthread_sigmask(SIG_UNBLOCK, &s, NULL);
		rd_warn("warning: no thread to watch for signals: SIGTERM will end the run without a checkpoint");
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
