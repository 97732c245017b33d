#include "formats/out_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/out.h"
#include "lib/base/size.h"
#include "lib/base/tree.h"

#define MAX_SUBS 8
#define NAME 256

struct rd_out_dir {
	char target[4096], tmp[4096], path[4096 + NAME];
	char sub[MAX_SUBS][NAME];
	int n_subs;
};

static int sync_dir(const char *path, struct rd_err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY), rc = RD_OK;

	if (fd < 0)
		return rd_fail_errno(e, RD_EIO, "%s", path);
	if (fsync(fd) && errno != EINVAL)
		rc = rd_fail_errno(e, RD_EIO, "%s: sync", path);
	close(fd);
	return rc;
}

static int make_dir(const char *path, struct rd_err *e)
{
	return mkdir(path, 0777) ? rd_fail_errno(e, RD_EIO, "%s", path) : RD_OK;
}

int rd_out_dir_open(struct rd_out_dir **out, const char *dir, struct rd_err *e)
{
	struct rd_out_dir *o;
	size_t n = strlen(dir);
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *o, "output folder", e);

	*out = NULL;
	if (rc)
		return rc;
	o = p;
	while (n > 1 && dir[n - 1] == '/')
		n--;
	snprintf(o->target, sizeof o->target, "%.*s", (int)n, dir);
	if (snprintf(o->tmp, sizeof o->tmp, "%.*s.tmp.%ld", (int)n, dir, (long)getpid()) >= (int)sizeof o->tmp)
		rc = rd_fail(e, RD_EFAIL, "%s: the path is too long", dir);
	if (!rc) {
		rd_remove_tree(o->tmp);
		rc = make_dir(o->tmp, e);
	}
	if (rc)
		free(o);
	else
		*out = o;
	return rc;
}

const char *rd_out_dir_path(struct rd_out_dir *o, const char *name)
{
	snprintf(o->path, sizeof o->path, "%s/%.*s", o->tmp, NAME - 2, name);
	return o->path;
}

int rd_out_dir_sub(struct rd_out_dir *o, const char *name, struct rd_err *e)
{
	if (o->n_subs == MAX_SUBS)
		return rd_fail(e, RD_EUSAGE, "%s: more than %d folders in it", o->target, MAX_SUBS);
	snprintf(o->sub[o->n_subs++], NAME, "%s", name);
	return make_dir(rd_out_dir_path(o, name), e);
}

int rd_out_dir_text(struct rd_out_dir *o, const char *name, const char *text, struct rd_err *e)
{
	return rd_out_file(rd_out_dir_path(o, name), text, strlen(text), e);
}

/* tmp becomes the target; what was there is swapped out in the same instant and then removed. */
static int put_in_place(const struct rd_out_dir *o, bool replace, struct rd_err *e)
{
	if (!renameat2(AT_FDCWD, o->tmp, AT_FDCWD, o->target, RENAME_NOREPLACE))
		return RD_OK;
	if (errno != EEXIST && errno != EINVAL)
		return rd_fail_errno(e, RD_EIO, "%s", o->target);
	if (errno == EINVAL) { /* a file system without the flag */
		if (access(o->target, F_OK) && !rename(o->tmp, o->target))
			return RD_OK;
	}
	if (!replace)
		return rd_fail(e, RD_EFAIL, "%s: is there already", o->target);
	if (renameat2(AT_FDCWD, o->tmp, AT_FDCWD, o->target, RENAME_EXCHANGE))
		return rd_fail_errno(e, RD_EIO, "%s", o->target);
	rd_remove_tree(o->tmp);
	return RD_OK;
}

static int sync_parent(struct rd_out_dir *o, struct rd_err *e)
{
	char *slash = strrchr(o->target, '/');

	if (slash == o->target)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	return sync_dir(slash ? o->target : ".", e);
}

int rd_out_dir_finish(struct rd_out_dir *o, bool replace, struct rd_err *e)
{
	int rc = RD_OK;

	for (int i = 0; i < o->n_subs && !rc; i++)
		rc = sync_dir(rd_out_dir_path(o, o->sub[i]), e);
	if (!rc)
		rc = sync_dir(o->tmp, e);
	if (!rc)
		rc = put_in_place(o, replace, e);
	if (rc) {
		rd_out_dir_abort(o);
		return rc;
	}
	rc = sync_parent(o, e);
	free(o);
	return rc;
}

void rd_out_dir_abort(struct rd_out_dir *o)
{
	if (!o)
		return;
	rd_remove_tree(o->tmp);
	free(o);
}
