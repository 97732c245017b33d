/* Whether a read or a write that failed is to be tried again. */
#ifndef RD_FORMATS_RETRY_H
#define RD_FORMATS_RETRY_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

/* To be asked with errno as the call left it: the call was interrupted; or whoever shares the pipe has made it non-blocking (ssh and
 * programs with event loops do), and it is not ready, for which this waits. events: POLLIN or POLLOUT. errno stays where false. */
static inline bool rd_retry(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return false;
	return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

#endif
