#include "formats/leftover.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "formats/name.h"
#include "lib/base/tree.h"

#define PATH 8192
#define DAY 86400 /* seconds */

/* The output that is looked after: its folder, with the slash, its name there, and whether the caller alone may write it. */
struct place {
	char folder[PATH / 2], base[256];
	bool alone;
};

/* Removes what is called name in the folder, where it is a leftover of the output. */
typedef void (*clean_fn)(const struct place *p, const char *name);

/* False where the path is too long to have been written to. */
static bool place_of(struct place *p, const char *path)
{
	const char *base = rd_name_last(path);

	return snprintf(p->folder, sizeof p->folder, "%.*s", (int)(base - path), path) < (int)sizeof p->folder &&
	       snprintf(p->base, sizeof p->base, "%s", base) < (int)sizeof p->base;
}

/* What follows `text`, or one number, at the front of s; NULL: something else is there, or s is NULL. */
static const char *after(const char *s, const char *text)
{
	size_t n = strlen(text);

	return s && !strncmp(s, text, n) ? s + n : NULL;
}

static const char *after_number(const char *s)
{
	size_t n = s ? strspn(s, "0123456789") : 0;

	return n ? s + n : NULL;
}

static bool is_there(const struct place *p, const char *name, size_t n, const char *ending)
{
	char path[PATH];

	snprintf(path, sizeof path, "%s%.*s%s", p->folder, (int)n, name, ending);
	return !access(path, F_OK);
}

/* What follows the name of a machine; *ours: of this one. */
static const char *after_host(const char *s, bool *ours)
{
	char host[RD_NAME_HOST];
	size_t n = s ? strspn(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") : 0;

	rd_name_host(host);
	*ours = n == strlen(host) && !strncmp(s, host, n);
	return n ? s + n : NULL;
}

/* Whether the temporary names of p are those of no other file, which they are where its name is not cut in them. */
static bool is_whole(const struct place *p)
{
	return strlen(p->base) <= (size_t)atoi(RD_LEFTOVER_BASE);
}

/* Removes a file that nobody writes, as its lock tells. A lock need not reach other machines: what was made on one of them must also have
 * been left alone for a day, unless the caller knows (sure) that nobody is at work there. */
static void remove_abandoned(const char *path, bool sure)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (sure || st.st_mtime < time(NULL) - DAY) && !flock(fd, LOCK_EX | LOCK_NB))
		unlink(path);
	close(fd);
}

static void clean_file(const struct place *p, const char *name)
{
	char front[256], path[PATH];
	const char *s;
	bool ours;

	snprintf(front, sizeof front, ".%." RD_LEFTOVER_BASE "s.", p->base);
	s = after_host(after(name, front), &ours);
	s = after(after_number(after(after_number(after(s, ".")), ".")), ".tmp");
	if (s && !*s && snprintf(path, sizeof path, "%s%s", p->folder, name) < (int)sizeof path)
		remove_abandoned(path, ours || (p->alone && is_whole(p)));
}

static bool is_of_dir(const struct place *p, const char *name)
{
	const char *s = after(name, p->base), *step = after_number(after(s, ".")), *end;
	size_t n;

	if (step && is_there(p, name, (size_t)(step - name), ".lock"))
		return false;
	s = step ? step : s;
	n = s ? (size_t)(s - name) : 0;
	end = after_number(after(s, ".tmp."));
	return end && (!*end || (!strcmp(end, ".old") && is_there(p, name, n, "")));
}

static void clean_dir(const struct place *p, const char *name)
{
	char path[PATH];

	if (is_of_dir(p, name) && snprintf(path, sizeof path, "%s%s", p->folder, name) < (int)sizeof path)
		rd_remove_tree(path);
}

static void clean(const char *path, bool alone, clean_fn clean_one)
{
	struct place p = {.alone = alone};
	struct dirent *f;
	DIR *d;

	if (!place_of(&p, path))
		return;
	d = opendir(*p.folder ? p.folder : ".");
	while (d && (f = readdir(d)))
		clean_one(&p, f->d_name);
	if (d)
		closedir(d);
}

/* Temporary names lie beside the real path; those of snapshots beside the name that was given. */
static void clean_both(const char *path, bool alone, clean_fn clean_one)
{
	char *real = realpath(path, NULL);

	clean(path, alone, clean_one);
	if (real)
		clean(real, alone, clean_one);
	free(real);
}

void rd_leftover_file(const char *file, bool alone)
{
	clean_both(file, alone, clean_file);
}

void rd_leftover_dir(const char *dir)
{
	clean_both(dir, true, clean_dir);
}
