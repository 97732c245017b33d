#include "formats/in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/retry.h"
#include "lib/base/size.h"

#define PEEK_MAX ((size_t)64 << 10)
#define BUF_BYTES (PEEK_MAX + PEEK_MAX / 2) /* less than malloc gets from the system one by one */
#define PIPE_BYTES (1 << 20)

struct rd_in {
	int fd;
	bool eof;
	size_t pos, len; /* unread bytes: buf[pos..len) */
	uint64_t offset;
	char *name;
	uint8_t buf[BUF_BYTES];
};

static int open_fd(struct rd_in *in, const char *path, struct rd_err *e)
{
	struct stat st;

	in->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
	                           : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (in->fd < 0 || fstat(in->fd, &st))
		return rd_fail_errno(e, RD_EIO, "%s", in->name);
	if (S_ISDIR(st.st_mode))
		return rd_fail(e, RD_EIO, "%s: is a directory", in->name);
	if (S_ISFIFO(st.st_mode))
		fcntl(in->fd, F_SETPIPE_SZ, PIPE_BYTES); /* only speed: a refusal does not matter */
	return RD_OK;
}

int rd_in_open(struct rd_in **out, const char *path, struct rd_err *e)
{
	struct rd_in *in;
	int rc;

	*out = NULL;
	in = malloc(sizeof *in);
	if (!in)
		return rd_fail(e, RD_ENOMEM, "%s: no memory for a buffer", path);
	in->fd = -1;
	in->eof = false;
	in->pos = in->len = 0;
	in->offset = 0;
	in->name = strdup(strcmp(path, "-") ? path : "standard input");
	rc = in->name ? open_fd(in, path, e) : rd_fail(e, RD_ENOMEM, "%s: no memory for a name", path);
	if (rc)
		rd_in_close(in);
	else
		*out = in;
	return rc;
}

void rd_in_close(struct rd_in *in)
{
	if (!in)
		return;
	if (in->fd >= 0)
		close(in->fd);
	free(in->name);
	free(in);
}

const char *rd_in_name(const struct rd_in *in)
{
	return in->name;
}

uint64_t rd_in_offset(const struct rd_in *in)
{
	return in->offset;
}

/* One read(2); *got = 0 at the end of the input only. */
static int read_some(struct rd_in *in, void *dst, size_t n, size_t *got, struct rd_err *e)
{
	ssize_t k;

	*got = 0;
	if (in->eof)
		return RD_OK;
	do
		k = read(in->fd, dst, n);
	while (k < 0 && rd_retry(in->fd, POLLIN));
	if (k < 0)
		return rd_fail_errno(e, RD_EIO, "%s", in->name);
	in->eof = k == 0;
	*got = (size_t)k;
	return RD_OK;
}

static size_t take_buffered(struct rd_in *in, void *dst, size_t n)
{
	size_t k = in->len - in->pos;

	if (k > n)
		k = n;
	memcpy(dst, in->buf + in->pos, k);
	in->pos += k;
	if (in->pos == in->len)
		in->pos = in->len = 0;
	return k;
}

int rd_in_read(struct rd_in *in, void *dst, size_t n, size_t *got, struct rd_err *e)
{
	uint8_t *p = dst;
	size_t done, k;
	int rc = RD_OK;

	done = take_buffered(in, p, n);
	while (done < n) {
		if (n - done >= PEEK_MAX) {
			rc = read_some(in, p + done, n - done, &k, e);
		} else {
			rc = read_some(in, in->buf, sizeof in->buf, &in->len, e);
			k = take_buffered(in, p + done, n - done);
		}
		if (rc || !k)
			break;
		done += k;
	}
	in->offset += done;
	*got = done;
	return rc;
}

int rd_in_exact(struct rd_in *in, void *dst, size_t n, struct rd_err *e)
{
	size_t got;
	int rc = rd_in_read(in, dst, n, &got, e);

	if (!rc && got < n)
		return rd_fail(e, RD_EINPUT, "%s: truncated at byte %llu", in->name, (unsigned long long)in->offset);
	return rc;
}

/* True where the input is a file with n more bytes. */
static bool has_ahead(const struct rd_in *in, size_t n)
{
	struct stat st;

	return !fstat(in->fd, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= in->offset &&
	       (uint64_t)st.st_size - in->offset >= n;
}

int rd_in_new(struct rd_in *in, size_t n, void **out, struct rd_err *e)
{
	size_t room = 0, have = 0;
	int rc;

	*out = NULL;
	if (has_ahead(in, n)) {
		rc = rd_alloc(out, n, 1, in->name, e);
		return rc ? rc : rd_in_exact(in, *out, n, e);
	}
	do {
		rc = rd_grow(out, &room, n, in->name, e);
		if (!rc)
			rc = rd_in_exact(in, (uint8_t *)*out + have, room - have, e);
		have = room;
	} while (!rc && have < n);
	return rc;
}

int rd_in_peek(struct rd_in *in, size_t n, const uint8_t **view, size_t *got, struct rd_err *e)
{
	size_t k;
	int rc;

	if (n > PEEK_MAX)
		return rd_fail(e, RD_EUSAGE, "%s: a look ahead of %zu bytes is more than %zu", in->name, n, PEEK_MAX);
	if (in->pos && in->pos + n > sizeof in->buf) {
		memmove(in->buf, in->buf + in->pos, in->len - in->pos);
		in->len -= in->pos;
		in->pos = 0;
	}
	while (in->len - in->pos < n) {
		rc = read_some(in, in->buf + in->len, sizeof in->buf - in->len, &k, e);
		if (rc)
			return rc;
		if (!k)
			break;
		in->len += k;
	}
	*view = in->buf + in->pos;
	*got = in->len - in->pos < n ? in->len - in->pos : n;
	return RD_OK;
}

/* All of in, at most max bytes, into a buffer that doubles: a pipe has no size to ask for. */
static int slurp(struct rd_in *in, size_t max, char **out, size_t *n, struct rd_err *e)
{
	size_t cap = BUF_BYTES, got;
	char *buf = NULL, *bigger;
	int rc;

	for (*n = 0;; cap *= 2) {
		if (cap > max)
			cap = max + 1; /* one more than allowed, to see that it is too much */
		bigger = realloc(buf, cap + 1);
		if (!bigger) {
			free(buf);
			return rd_fail(e, RD_ENOMEM, "%s: no memory for %zu bytes", in->name, cap);
		}
		buf = bigger;
		rc = rd_in_read(in, buf + *n, cap - *n, &got, e);
		*n += got;
		if (!rc && *n > max)
			rc = rd_fail(e, RD_EINPUT, "%s: larger than the limit of %zu bytes", in->name, max);
		if (rc) {
			free(buf);
			return rc;
		}
		if (*n < cap)
			break;
	}
	buf[*n] = '\0';
	*out = buf;
	return RD_OK;
}

int rd_in_file(const char *path, size_t max, char **out, size_t *n, struct rd_err *e)
{
	struct rd_in *in;
	int rc;

	*out = NULL;
	rc = rd_in_open(&in, path, e);
	if (rc)
		return rc;
	rc = slurp(in, max, out, n, e);
	rd_in_close(in);
	return rc;
}
