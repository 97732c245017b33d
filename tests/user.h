/* For tests of what one user may do to another's files. */
#ifndef RD_TESTS_USER_H
#define RD_TESTS_USER_H

#include <stdbool.h>
#include <unistd.h>

#define NOBODY 65534

/* Goes on without privileges; false where there were none. */
static inline bool as_nobody(void)
{
	return !geteuid() && !seteuid(NOBODY);
}

static inline void as_before(void)
{
	if (seteuid(getuid()))
		_exit(9);
}

#endif
