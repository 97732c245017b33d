#include "formats/out_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/name.h"
#include "formats/out.h"
#include "lib/base/size.h"
#include "lib/base/tree.h"

#define MAX_SUBS 8
#define NAME 256

struct rd_out_dir {
	char target[4096], tmp[4096], path[4096 + NAME];
	bool replace;
	char sub[MAX_SUBS][NAME];
	int n_subs;
};

static int sync_dir(const char *path, struct rd_err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY), rc = RD_OK;

	if (fd < 0)
		return rd_fail_errno(e, RD_EIO, "%s", path);
	if (rd_out_sync(fd))
		rc = rd_fail_errno(e, RD_EIO, "%s: sync", path);
	close(fd);
	return rc;
}

static int make_dir(const char *path, struct rd_err *e)
{
	return mkdir(path, 0777) ? rd_fail_errno(e, RD_EIO, "%s", path) : RD_OK;
}

static bool is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	bool empty = d != NULL;

	while (d && empty && (f = readdir(d)))
		empty = !strcmp(f->d_name, ".") || !strcmp(f->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

/* One of these files is in every folder that this suite or diffusers writes. */
static bool is_model(const char *dir)
{
	static const char *const files[] = {"model_index.json", "unet/config.json", "transformer/config.json",
	                                    "diffusion_pytorch_model.safetensors"};
	char path[4096 + NAME];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

static bool is_mount_point(const char *dir)
{
	struct statx st;

	return !statx(AT_FDCWD, dir, 0, STATX_BASIC_STATS, &st) && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* A folder that is renamed needs a name of its own. */
static bool is_dots(const char *dir)
{
	const char *last = rd_name_last(dir);

	return !strcmp(last, ".") || !strcmp(last, "..");
}

/* What stands in the target's place goes for good, so it has to be what one expects to lose: never a file or a device, nor a
 * folder of something else. A symbolic link stays one. */
static int check_target(struct rd_out_dir *o, const char *dir, struct rd_err *e)
{
	struct stat st;
	char *real;

	if (!*o->target)
		return rd_fail(e, RD_EUSAGE, "an output folder's name is empty");
	if (is_dots(o->target))
		return rd_fail(e, RD_EUSAGE, "%s: an output folder is put in its place by its name: say what it is called", dir);
	if (lstat(o->target, &st))
		return RD_OK; /* what else is wrong shows when the folder beside it is made */
	if (S_ISLNK(st.st_mode)) {
		real = realpath(o->target, NULL);
		if (!real || stat(real, &st)) {
			free(real); /* errno stays */
			return rd_fail_errno(e, RD_EIO, "%s: a link that leads nowhere", dir);
		}
		snprintf(o->target, sizeof o->target, "%s", real);
		free(real);
	}
	if (!S_ISDIR(st.st_mode))
		return rd_fail(e, RD_EFAIL, "%s: is there already and is no folder", dir);
	if (is_mount_point(o->target))
		return rd_fail(e, RD_EFAIL, "%s: is a mount point, which cannot be replaced; a folder in it can be written", dir);
	if (!is_model(o->target) && !is_empty(o->target))
		return rd_fail(e, RD_EFAIL, "%s: is a folder of something else than a model: it is not replaced", dir);
	return o->replace ? rd_name_replaceable(o->target, &st, dir, e) : rd_fail(e, RD_EFAIL, "%s: is there already (-f replaces it)", dir);
}

static int make_temp(struct rd_out_dir *o, const char *dir, struct rd_err *e)
{
	if (snprintf(o->tmp, sizeof o->tmp, "%s.tmp.%ld", o->target, (long)getpid()) >= (int)sizeof o->tmp)
		return rd_fail(e, RD_EFAIL, "%.200s: the path is too long", dir);
	rd_remove_tree(o->tmp);
	return mkdir(o->tmp, 0777) ? rd_fail_errno(e, RD_EIO, "%s: cannot make a folder beside it", dir) : RD_OK;
}

int rd_out_dir_open(struct rd_out_dir **out, const char *dir, bool replace, struct rd_err *e)
{
	struct rd_out_dir *o;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *o, "output folder", e);

	*out = NULL;
	if (rc)
		return rc;
	o = p;
	o->replace = replace;
	if (snprintf(o->target, sizeof o->target, "%.*s", (int)rd_name_length(dir), dir) >= (int)sizeof o->target)
		rc = rd_fail(e, RD_EFAIL, "%.200s: the path is too long", dir);
	if (!rc)
		rc = check_target(o, dir, e);
	if (!rc)
		rc = make_temp(o, dir, e);
	if (rc)
		free(o);
	else
		*out = o;
	return rc;
}

int rd_out_dir_try(const char *dir, bool replace, struct rd_err *e)
{
	struct rd_out_dir *o;
	int rc = rd_out_dir_open(&o, dir, replace, e);

	if (!rc)
		rd_out_dir_abort(o);
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

/* Of renameat2: a file system or a kernel that has no such rename. */
static bool is_unsupported(int error)
{
	return error == EINVAL || error == ENOSYS || error == ENOTSUP;
}

/* Where two names cannot be exchanged, the old one steps aside; for a moment the target is not there. */
static int put_aside(const struct rd_out_dir *o, struct rd_err *e)
{
	char old[sizeof o->tmp + 8];
	int saved;

	snprintf(old, sizeof old, "%s.old", o->tmp);
	if (rename(o->target, old))
		return rd_fail_errno(e, RD_EIO, "%s", o->target);
	if (rename(o->tmp, o->target)) {
		saved = errno;
		if (rename(old, o->target))
			return rd_fail_errno(e, RD_EIO, "%s: is now %s, and cannot be put back", o->target, old);
		errno = saved;
		return rd_fail_errno(e, RD_EIO, "%s", o->target);
	}
	rd_remove_tree(old);
	return RD_OK;
}

/* tmp becomes the target; what was there is swapped out, in the same instant if that can be, and then removed. */
static int put_in_place(const struct rd_out_dir *o, struct rd_err *e)
{
	if (!renameat2(AT_FDCWD, o->tmp, AT_FDCWD, o->target, RENAME_NOREPLACE))
		return RD_OK;
	if (errno != EEXIST && !is_unsupported(errno))
		return rd_fail_errno(e, RD_EIO, "%s", o->target);
	if (errno != EEXIST && access(o->target, F_OK))
		return rename(o->tmp, o->target) ? rd_fail_errno(e, RD_EIO, "%s", o->target) : RD_OK;
	if (!o->replace)
		return rd_fail(e, RD_EFAIL, "%s: has come to be there meanwhile", o->target);
	if (renameat2(AT_FDCWD, o->tmp, AT_FDCWD, o->target, RENAME_EXCHANGE))
		return is_unsupported(errno) ? put_aside(o, e) : rd_fail_errno(e, RD_EIO, "%s", o->target);
	rd_remove_tree(o->tmp);
	return RD_OK;
}

int rd_out_dir_finish(struct rd_out_dir *o, struct rd_err *e)
{
	int rc = RD_OK;

	for (int i = 0; i < o->n_subs && !rc; i++)
		rc = sync_dir(rd_out_dir_path(o, o->sub[i]), e);
	if (!rc)
		rc = sync_dir(o->tmp, e);
	if (rc) {
		rd_out_dir_abort(o);
		return rc;
	}
	rc = put_in_place(o, e);
	if (rc)
		rd_name_keep(o->tmp, o->target, e);
	else
		rd_out_sync_entry(o->target);
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
