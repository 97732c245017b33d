#include "lib/train/outlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who held the lock removes the file before letting go: what was locked may no longer be what the name stands for. */
int rd_outlock_take(struct rd_outlock *l, const char *out, struct rd_err *e)
{
	struct stat mine, named;
	int fd;

	*l = RD_OUTLOCK_NONE;
	if (asprintf(&l->path, "%s.lock", out) < 0) {
		l->path = NULL;
		return rd_fail(e, RD_ENOMEM, "no memory");
	}
	for (;;) {
		fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0)
			return rd_fail_errno(e, RD_EIO, "%s", l->path);
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			return rd_fail(e, RD_EFAIL, "%s: another rectrain is at work on it", out);
		}
		if (!fstat(fd, &mine) && !stat(l->path, &named) && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino)
			break;
		close(fd);
	}
	l->fd = fd;
	return RD_OK;
}

void rd_outlock_drop(struct rd_outlock *l)
{
	if (l->fd >= 0) {
		unlink(l->path);
		close(l->fd);
	}
	free(l->path);
	*l = RD_OUTLOCK_NONE;
}
