#include "formats/out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "formats/leftover.h"
#include "formats/name.h"
#include "formats/retry.h"

#define BUF_BYTES ((size_t)64 << 10)
#define PIPE_BYTES (1 << 20)

struct rd_out {
	int fd;
	char *name;   /* for messages */
	char *target; /* what tmp is renamed to */
	char *tmp;    /* NULL: written in place */
	struct rd_out *_Atomic next;
	size_t fill;
	uint8_t *buf; /* BUF_BYTES; NULL once the output is settled */
};

/* Every output with a temporary file. Who holds the lock keeps all of them from being freed. A signal handler that finds it taken, by the
 * thread that it interrupts perhaps, walks the list without it, so each link is one atomic store that leaves the list whole. */
static struct rd_out *_Atomic open_outputs;
static atomic_flag list_lock = ATOMIC_FLAG_INIT;

static bool lock_within(int tries)
{
	while (tries-- && atomic_flag_test_and_set(&list_lock))
		sched_yield();
	return tries >= 0;
}

static void lock_list(void)
{
	while (!lock_within(INT_MAX))
		;
}

static void unlock_list(void)
{
	atomic_flag_clear(&list_lock);
}

static void list_add(struct rd_out *o)
{
	lock_list();
	atomic_store(&o->next, atomic_load(&open_outputs));
	atomic_store(&open_outputs, o);
	unlock_list();
}

static void list_remove(struct rd_out *o)
{
	struct rd_out *_Atomic *link = &open_outputs;

	lock_list();
	while (atomic_load(link) && atomic_load(link) != o)
		link = &atomic_load(link)->next;
	if (atomic_load(link) == o)
		atomic_store(link, atomic_load(&o->next));
	unlock_list();
}

void rd_out_unlink_all(void)
{
	int saved = errno;
	bool locked = lock_within(100);

	for (struct rd_out *o = atomic_load(&open_outputs); o; o = atomic_load(&o->next))
		unlink(o->tmp);
	if (locked)
		unlock_list();
	errno = saved;
}

static void release(struct rd_out *o)
{
	int saved = errno;

	if (o->tmp)
		list_remove(o);
	if (o->fd >= 0)
		close(o->fd);
	free(o->buf);
	free(o->name);
	free(o->target);
	free(o->tmp);
	free(o);
	errno = saved;
}

/* Two outputs under one name would both be written in full, and one of them lost at the end. */
static int check_single(struct rd_out *o, struct rd_err *e)
{
	bool twice = false;

	lock_list();
	for (struct rd_out *p = atomic_load(&open_outputs); p && !twice; p = atomic_load(&p->next))
		twice = rd_name_same(p->target, o->target);
	unlock_list();
	return twice ? rd_fail(e, RD_EUSAGE, "%s: two outputs under one name", o->name) : RD_OK;
}

/* "DIR/.BASE.HOST.PID.N.tmp", at most 255 bytes of a name: beside the target, since a rename does not cross file systems. */
static char *temp_name(const char *target, unsigned n)
{
	const char *base = rd_name_last(target);
	char host[RD_NAME_HOST], *s;

	rd_name_host(host);
	if (asprintf(&s, "%.*s.%." RD_LEFTOVER_BASE "s.%s.%ld.%u.tmp", (int)(base - target), target, base, host, (long)getpid(), n) < 0)
		return NULL;
	return s;
}

/* The lock says that somebody writes the file, until that is closed. False where it was taken for a leftover before; where there are no
 * locks, nothing is. */
static bool lock_temp(int fd, const char *tmp)
{
	int rc;

	do {
		rc = flock(fd, LOCK_EX | LOCK_NB);
	} while (rc && errno == EINTR);
	return !(rc && errno == EWOULDBLOCK) && !access(tmp, F_OK);
}

/* A new file under a temporary name; open() rather than mkstemp(), so that the umask decides its mode. A target that is
 * there passes its own mode on. */
static int open_temp(struct rd_out *o, const struct stat *old, struct rd_err *e)
{
	static atomic_uint counter;

	for (int tries = 0; tries < 100; tries++) {
		o->tmp = temp_name(o->target, atomic_fetch_add(&counter, 1));
		if (!o->tmp)
			return rd_fail(e, RD_ENOMEM, "%s: no memory for a name", o->name);
		list_add(o);
		o->fd = open(o->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (o->fd >= 0 && lock_temp(o->fd, o->tmp))
			break;
		list_remove(o);
		free(o->tmp);
		o->tmp = NULL;
		if (o->fd < 0 && errno != EEXIST)
			break;
		if (o->fd >= 0)
			close(o->fd);
		o->fd = -1;
	}
	if (o->fd < 0)
		return rd_fail_errno(e, RD_EIO, "%s: cannot create a file beside it", o->name);
	if (old && fchmod(o->fd, old->st_mode & 0777))
		return rd_fail_errno(e, RD_EIO, "%s", o->name);
	return RD_OK;
}

static int open_path(struct rd_out *o, const char *path, struct rd_err *e)
{
	struct stat st;
	bool there = stat(path, &st) == 0;
	int rc;

	if (there && S_ISDIR(st.st_mode))
		return rd_fail(e, RD_EIO, "%s: is a directory", path);
	if (there && !S_ISREG(st.st_mode)) {
		o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return o->fd < 0 ? rd_fail_errno(e, RD_EIO, "%s", path) : RD_OK;
	}
	o->target = there ? realpath(path, NULL) : rd_name_follow(path); /* a symbolic link stays one */
	if (!o->target)
		return rd_fail_errno(e, RD_EIO, "%s", path);
	rc = there ? rd_name_replaceable(o->target, &st, path, e) : RD_OK;
	if (!rc)
		rc = check_single(o, e);
	if (!rc)
		rc = open_temp(o, there ? &st : NULL, e);
	if (!rc)
		rd_leftover_file(o->target, false);
	return rc;
}

static int open_fd(struct rd_out *o, const char *path, unsigned flags, struct rd_err *e)
{
	struct stat st;
	int rc = RD_OK;

	if (path) {
		rc = open_path(o, path, e);
	} else {
		o->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		if (o->fd < 0)
			rc = rd_fail_errno(e, RD_EIO, "%s", o->name);
	}
	if (rc)
		return rc;
	if ((flags & RD_OUT_BINARY) && !(flags & RD_OUT_FORCE) && isatty(o->fd))
		return rd_fail(e, RD_EUSAGE, "%s: is a terminal: binary data is not written there without -f", o->name);
	if (!fstat(o->fd, &st) && S_ISFIFO(st.st_mode))
		fcntl(o->fd, F_SETPIPE_SZ, PIPE_BYTES); /* only speed: a refusal does not matter */
	return RD_OK;
}

int rd_out_open(struct rd_out **out, const char *path, unsigned flags, struct rd_err *e)
{
	struct rd_out *o;
	int rc;

	*out = NULL;
	if (path && !strcmp(path, "-"))
		path = NULL;
	o = calloc(1, sizeof *o);
	if (!o)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", path ? path : "standard output");
	o->fd = -1;
	o->name = strdup(path ? path : "standard output");
	o->buf = malloc(BUF_BYTES);
	if (o->name && o->buf)
		rc = open_fd(o, path, flags, e);
	else
		rc = rd_fail(e, RD_ENOMEM, "%s: no memory for a buffer", path ? path : "standard output");
	if (rc)
		rd_out_abort(o);
	else
		*out = o;
	return rc;
}

/* The buffer, then n bytes of data, in as few calls as the system allows. */
static int drain(struct rd_out *o, const void *data, size_t n, struct rd_err *e)
{
	struct iovec v[2] = {{o->buf, o->fill}, {(void *)(uintptr_t)data, n}};
	int i = 0;

	while (i < 2) {
		ssize_t k = v[i].iov_len ? writev(o->fd, v + i, 2 - i) : 0;

		if (k < 0 && rd_retry(o->fd, POLLOUT))
			continue;
		if (k < 0)
			return rd_fail_errno(e, RD_EIO, "%s", o->name);
		for (; i < 2 && (size_t)k >= v[i].iov_len; i++)
			k -= (ssize_t)v[i].iov_len;
		if (i < 2) {
			v[i].iov_base = (uint8_t *)v[i].iov_base + k;
			v[i].iov_len -= (size_t)k;
		}
	}
	o->fill = 0;
	return RD_OK;
}

int rd_out_write(struct rd_out *o, const void *data, size_t n, struct rd_err *e)
{
	int rc = RD_OK;

	if (n >= BUF_BYTES)
		return drain(o, data, n, e); /* no copy of a payload */
	if (n > BUF_BYTES - o->fill)
		rc = drain(o, NULL, 0, e);
	if (!rc && n) {
		memcpy(o->buf + o->fill, data, n);
		o->fill += n;
	}
	return rc;
}

int rd_out_printf(struct rd_out *o, struct rd_err *e, const char *fmt, ...)
{
	char small[256], *s = small;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof small) {
		va_start(ap, fmt);
		n = vasprintf(&s, fmt, ap);
		va_end(ap);
	}
	if (n < 0)
		return rd_fail(e, RD_ENOMEM, "%s: no memory for a line", o->name);
	rc = rd_out_write(o, s, (size_t)n, e);
	if (s != small)
		free(s);
	return rc;
}

int rd_out_sync(int fd)
{
	return fsync(fd) && errno != EINVAL && errno != EROFS && errno != ENOTSUP && errno != ENOSYS ? -1 : 0;
}

void rd_out_sync_entry(const char *target)
{
	const char *slash = strrchr(target, '/');
	char dir[PATH_MAX] = ".";
	int fd;

	if (slash)
		snprintf(dir, sizeof dir, "%.*s", (int)(slash - target + 1), target);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

int rd_out_settle(struct rd_out *o, struct rd_err *e)
{
	int rc = o->buf ? drain(o, NULL, 0, e) : RD_OK;

	if (rc || !o->buf)
		return rc;
	if (rd_out_sync(o->fd))
		return rd_fail_errno(e, RD_EIO, "%s", o->name);
	free(o->buf);
	o->buf = NULL;
	return RD_OK;
}

/* Until it has its name it stays locked, and so open; what closing could still tell, syncing has told. */
static int put_in_place(struct rd_out *o, struct rd_err *e)
{
	if (rename(o->tmp, o->target)) {
		(void)rd_fail_errno(e, RD_EIO, "%s", o->name);
		rd_name_keep(o->tmp, o->target, e);
		return e->code;
	}
	rd_out_sync_entry(o->target);
	return RD_OK;
}

int rd_out_finish(struct rd_out *o, struct rd_err *e)
{
	int rc = rd_out_settle(o, e);

	if (rc) {
		rd_out_abort(o);
		return rc;
	}
	if (o->tmp)
		rc = put_in_place(o, e);
	if (close(o->fd) && !rc)
		rc = rd_fail_errno(e, RD_EIO, "%s", o->name);
	o->fd = -1;
	release(o);
	return rc;
}

void rd_out_abort(struct rd_out *o)
{
	if (!o)
		return;
	if (o->tmp)
		unlink(o->tmp);
	release(o);
}

int rd_out_file(const char *path, const void *data, size_t n, struct rd_err *e)
{
	struct rd_out *o;
	int rc;

	rc = rd_out_open(&o, path, 0, e);
	if (rc)
		return rc;
	rc = rd_out_write(o, data, n, e);
	if (rc) {
		rd_out_abort(o);
		return rc;
	}
	return rd_out_finish(o, e);
}
