#include "lib/base/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Not every file system has nameless files: there the name goes at once. */
static int open_nameless(const char *dir, int *fd, struct rd_err *e)
{
	char *path;

	*fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd >= 0)
		return RD_OK;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return rd_fail_errno(e, RD_EIO, "%s", dir);
	if (asprintf(&path, "%s/.rectdiff.XXXXXX", dir) < 0)
		return rd_fail(e, RD_ENOMEM, "%s: no memory for a name", dir);
	*fd = mkostemp(path, O_CLOEXEC);
	if (*fd >= 0)
		unlink(path);
	free(path);
	return *fd >= 0 ? RD_OK : rd_fail_errno(e, RD_EIO, "%s", dir);
}

/* A file with holes would end the program where it is written to and the disk is full. */
static int set_length(const struct rd_block *b, size_t bytes, struct rd_err *e)
{
	int rc;

	if (bytes <= b->bytes)
		return ftruncate(b->fd - 1, (off_t)bytes) ? rd_fail_errno(e, RD_EIO, "%s", b->dir) : RD_OK;
	rc = posix_fallocate(b->fd - 1, 0, (off_t)bytes);
	if (!rc)
		return RD_OK;
	errno = rc;
	return rd_fail_errno(e, RD_EIO, "%s: %zu bytes of a file", b->dir, bytes);
}

static int resize_file(struct rd_block *b, size_t bytes, const char *what, struct rd_err *e)
{
	int fd, rc = RD_OK;
	void *p;

	if (!b->fd) {
		rc = open_nameless(b->dir, &fd, e);
		b->fd = rc ? 0 : fd + 1;
	}
	if (!rc)
		rc = set_length(b, bytes, e);
	if (rc)
		return rd_context(e, "%s", what);
	p = b->p ? mremap(b->p, b->bytes, bytes, MREMAP_MAYMOVE)
	         : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd - 1, 0);
	if (p == MAP_FAILED)
		return rd_fail_errno(e, RD_ENOMEM, "%s: mapping %zu bytes", what, bytes);
	b->p = p;
	b->bytes = bytes;
	return RD_OK;
}

int rd_block_resize(struct rd_block *b, size_t bytes, const char *what, struct rd_err *e)
{
	void *p;

	if (!bytes)
		bytes = 1;
	if (b->dir)
		return resize_file(b, bytes, what, e);
	p = realloc(b->p, bytes);
	if (!p)
		return rd_fail(e, RD_ENOMEM, "%s: no memory for %zu bytes", what, bytes);
	b->p = p;
	b->bytes = bytes;
	return RD_OK;
}

void rd_block_free(struct rd_block *b)
{
	if (b->fd) {
		if (b->p)
			munmap(b->p, b->bytes);
		close(b->fd - 1);
	} else {
		free(b->p);
	}
	*b = (struct rd_block){0};
}
