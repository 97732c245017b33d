#include "formats/name.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS 40 /* as many as the system follows */

const char *rd_name_last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

size_t rd_name_length(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	return n;
}

char *rd_name_follow(const char *path)
{
	char *at = strdup(path), *next, to[PATH_MAX];
	ssize_t n;

	for (int i = 0; at && (n = readlink(at, to, sizeof to)) >= 0; i++) {
		int front = *to == '/' ? 0 : (int)(rd_name_last(at) - at);
		bool good = i < LINKS && n < (ssize_t)sizeof to;

		if (!good)
			errno = i < LINKS ? ENAMETOOLONG : ELOOP;
		if (!good || asprintf(&next, "%.*s%.*s", front, at, (int)n, to) < 0)
			next = NULL;
		free(at); /* errno stays */
		at = next;
	}
	return at;
}

/* The folder that path is in. */
static bool folder_of(const char *path, struct stat *st)
{
	char dir[PATH_MAX];

	return snprintf(dir, sizeof dir, "%.*s.", (int)(rd_name_last(path) - path), path) < (int)sizeof dir && !stat(dir, st);
}

static bool is_one(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool rd_name_same(const char *a, const char *b)
{
	struct stat of_a, of_b;

	return !strcmp(rd_name_last(a), rd_name_last(b)) && folder_of(a, &of_a) && folder_of(b, &of_b) && is_one(&of_a, &of_b);
}

bool rd_name_within(const char *path, const char *dir)
{
	struct stat top, here, below = {0};
	char at[PATH_MAX];
	size_t n = (size_t)snprintf(at, sizeof at, "%.*s.", (int)(rd_name_last(path) - path), path);

	if (stat(dir, &top))
		return false;
	for (; n + 4 < sizeof at && !stat(at, &here) && !is_one(&here, &below); below = here) { /* the root is its own parent */
		if (is_one(&here, &top))
			return true;
		n += (size_t)snprintf(at + n, sizeof at - n, "/..");
	}
	return false;
}

int rd_name_replaceable(const char *target, const struct stat *st, const char *name, struct rd_err *e)
{
	const uid_t me = geteuid();
	struct stat in;

	if (faccessat(AT_FDCWD, target, W_OK, AT_EACCESS))
		return rd_fail_errno(e, RD_EIO, "%s", name);
	if (me && me != st->st_uid && folder_of(target, &in) && (in.st_mode & S_ISVTX) && me != in.st_uid)
		return rd_fail(e, RD_EIO, "%s: is another user's, in a folder whose sticky bit keeps it from being replaced", name);
	return RD_OK;
}

void rd_name_keep(const char *tmp, const char *target, struct rd_err *e)
{
	const struct rd_err why = *e;
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%.*s%.200s.complete.%ld", (int)(rd_name_last(target) - target), target, rd_name_last(target),
	                 (long)getpid());
	bool renamed = n < (int)sizeof path && !rename(tmp, path);

	(void)rd_fail(e, why.code, "%.200s; what was to be there is complete, and is kept beside it as %.255s", why.msg,
	              rd_name_last(renamed ? path : tmp));
}

void rd_name_host(char host[RD_NAME_HOST])
{
	if (gethostname(host, RD_NAME_HOST) || !*host)
		snprintf(host, RD_NAME_HOST, "host");
	host[RD_NAME_HOST - 1] = '\0';
	for (char *s = host; *s; s++)
		if (!isalnum((unsigned char)*s))
			*s = '-';
}
