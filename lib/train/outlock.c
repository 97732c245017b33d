#include "lib/train/outlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* RD_OK without a lock where the file system has none: NFS without its lock service, Lustre without -o flock. */
static int lock_file(const struct rd_outlock *l, int fd, bool *held, const char *out, struct rd_err *e)
{
	int rc;

	do {
		rc = flock(fd, LOCK_EX | LOCK_NB);
	} while (rc && errno == EINTR);
	*held = !rc;
	if (!rc || errno == ENOLCK || errno == ENOSYS || errno == ENOTSUP)
		return RD_OK;
	return errno == EWOULDBLOCK ? rd_fail(e, RD_EFAIL, "%s: another rectrain is at work on it", out)
	                            : rd_fail_errno(e, RD_EIO, "%s: cannot be locked", l->path);
}

/* created: the file was not there before. */
static int open_file(const char *path, bool *created)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	*created = fd >= 0;
	return fd >= 0 || errno != EEXIST ? fd : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
}

/* Who held the lock removes the file before letting go: what was locked may no longer be what the name stands for. */
int rd_outlock_take(struct rd_outlock *l, const char *out, struct rd_err *e)
{
	struct stat mine, named;
	bool held, created;
	int fd, rc;

	*l = RD_OUTLOCK_NONE;
	if (asprintf(&l->path, "%s.lock", out) < 0) {
		l->path = NULL;
		return rd_fail(e, RD_ENOMEM, "no memory");
	}
	for (;;) {
		fd = open_file(l->path, &created);
		if (fd < 0)
			return rd_fail_errno(e, RD_EIO, "%s", l->path);
		rc = lock_file(l, fd, &held, out, e);
		if (rc || !held) {
			close(fd);
			if (!rc && created) /* else another process may have locked it before locks went away */
				unlink(l->path);
			return rc;
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
