#include "formats/png_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/base/size.h"

/* --- names in a folder ------------------------------------------------------------------------------------------------ */

struct names {
	size_t n, room;
	char **v; /* sorted by their bytes */
};

static void drop(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct names){0};
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add(struct names *l, const char *dir, const char *name, struct rd_err *e)
{
	void *p = l->v;
	int rc = rd_reserve(&p, &l->room, l->n + 1, sizeof *l->v, dir, e);

	l->v = p;
	if (rc)
		return rc;
	l->v[l->n] = strdup(name);
	if (!l->v[l->n])
		return rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	l->n++;
	return RD_OK;
}

/* NULL at the end, and with errno set where the system cannot go on. */
static struct dirent *next(DIR *d)
{
	errno = 0;
	return readdir(d);
}

static int list(struct names *l, const char *dir, struct rd_err *e)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	int rc = RD_OK;

	*l = (struct names){0};
	if (!d)
		return rd_fail_errno(e, RD_EIO, "%s", dir);
	while (!rc && (f = next(d)))
		if (f->d_name[0] != '.')
			rc = add(l, dir, f->d_name, e);
	if (!rc && errno)
		rc = rd_fail_errno(e, RD_EIO, "%s", dir);
	closedir(d);
	if (rc)
		drop(l);
	else if (l->n)
		qsort(l->v, l->n, sizeof *l->v, by_bytes);
	return rc;
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && !strcasecmp(name + n - k, end);
}

/* The path of a name, to be freed, and its kind as S_IFMT has it. */
static int find(char **path, mode_t *kind, const char *dir, const char *name, struct rd_err *e)
{
	struct stat st;
	int rc = RD_OK;

	if (asprintf(path, "%s/%s", dir, name) < 0) {
		*path = NULL;
		return rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	}
	if (stat(*path, &st)) {
		rc = rd_fail_errno(e, RD_EIO, "%s", *path);
		free(*path);
		*path = NULL;
	} else {
		*kind = st.st_mode & S_IFMT;
	}
	return rc;
}

/* The folders among the names stay. */
static int keep_folders(struct names *l, const char *dir, struct rd_err *e)
{
	size_t kept = 0;
	int rc = RD_OK;

	for (size_t i = 0; i < l->n; i++) {
		char *path = NULL;
		mode_t kind = 0;

		if (!rc)
			rc = find(&path, &kind, dir, l->v[i], e);
		free(path);
		if (!rc && kind == S_IFDIR)
			l->v[kept++] = l->v[i];
		else
			free(l->v[i]);
	}
	l->n = kept;
	return rc;
}

static int list_folders(struct names *l, const char *dir, struct rd_err *e)
{
	int rc = list(l, dir, e);

	if (!rc)
		rc = keep_folders(l, dir, e);
	if (rc)
		drop(l);
	return rc;
}

/* --- pictures --------------------------------------------------------------------------------------------------------- */

static int add_picture(struct rd_png_dir *d, const char *dir, const char *name, int32_t label, struct rd_err *e)
{
	struct rd_png_file f = {.label = label};
	void *p = d->file;
	mode_t kind;
	int rc = find(&f.path, &kind, dir, name, e);

	if (!rc && kind != S_IFREG)
		rc = rd_fail(e, RD_EINPUT, "%s: not a file, as a picture is", f.path);
	if (!rc)
		rc = rd_reserve(&p, &d->room, d->n + 1, sizeof f, dir, e);
	d->file = p;
	if (rc)
		free(f.path);
	else
		d->file[d->n++] = f;
	return rc;
}

static int add_folder(struct rd_png_dir *d, const char *dir, int32_t label, struct rd_err *e)
{
	static const char *const others[] = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"};
	struct names in;
	int rc = list(&in, dir, e);

	for (size_t i = 0; !rc && i < in.n; i++) {
		for (size_t k = 0; k < sizeof others / sizeof *others && !rc; k++)
			if (ends_in(in.v[i], others[k]))
				rc = rd_fail(e, RD_EINPUT, "%s/%s: of pictures only .png are read", dir, in.v[i]);
		if (!rc && ends_in(in.v[i], ".png"))
			rc = add_picture(d, dir, in.v[i], label, e);
	}
	drop(&in);
	return rc;
}

/* --- classes ---------------------------------------------------------------------------------------------------------- */

/* The number that a name is, written in the one way there is; -1: it is none that a label can be. */
static int32_t number(const char *name)
{
	const size_t digits = strspn(name, "0123456789");
	long long v;

	if (!digits || name[digits] || digits > 10 || (*name == '0' && digits > 1))
		return -1;
	v = strtoll(name, NULL, 10);
	return v <= INT32_MAX ? (int32_t)v : -1;
}

static bool are_numbers(const struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (number(l->v[i]) < 0)
			return false;
	return true;
}

/* The pictures of the folders, and the first folder without any, l->n where there is none. */
static int add_labelled(struct rd_png_dir *d, const struct names *l, size_t *empty, const char *dir, struct rd_err *e)
{
	const bool numbered = are_numbers(l);
	int rc = l->n > INT32_MAX ? rd_fail(e, RD_EINPUT, "%s: too many folders", dir) : RD_OK;

	*empty = l->n;
	for (size_t i = 0; !rc && i < l->n; i++) {
		const size_t before = d->n;
		char *path;

		if (asprintf(&path, "%s/%s", dir, l->v[i]) < 0)
			return rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
		rc = add_folder(d, path, numbered ? number(l->v[i]) : (int32_t)i, e);
		if (d->n == before && *empty == l->n)
			*empty = i;
		free(path);
	}
	return rc;
}

static int add_classes(struct rd_png_dir *d, const char *dir, struct rd_err *e)
{
	struct names in;
	size_t empty;
	int rc = list_folders(&in, dir, e);

	if (!rc)
		rc = add_labelled(d, &in, &empty, dir, e);
	if (!rc && d->n && empty < in.n)
		rc = rd_fail(e, RD_EINPUT, "%s/%s: a class without .png files", dir, in.v[empty]);
	if (!rc && !are_numbers(&in)) {
		d->class_name = in.v;
		d->n_classes = in.n;
		in = (struct names){0};
	}
	drop(&in);
	d->labelled = true;
	return rc;
}

static bool holds_png(const char *dir)
{
	struct rd_err e;
	struct names in;
	bool yes = false;

	if (list(&in, dir, &e))
		return false;
	for (size_t i = 0; i < in.n && !yes; i++)
		yes = ends_in(in.v[i], ".png");
	drop(&in);
	return yes;
}

static bool has_classes(const char *dir)
{
	struct rd_err e;
	struct names in;
	bool yes = false;
	char *path;

	if (list_folders(&in, dir, &e))
		return false;
	for (size_t i = 0; i < in.n && !yes; i++)
		if (asprintf(&path, "%s/%s", dir, in.v[i]) >= 0) {
			yes = holds_png(path);
			free(path);
		}
	drop(&in);
	return yes;
}

bool rd_png_dir_is(const char *dir)
{
	return holds_png(dir) || has_classes(dir);
}

int rd_png_dir_list(const char *dir, struct rd_png_dir *d, struct rd_err *e)
{
	int rc;

	*d = (struct rd_png_dir){0};
	rc = add_folder(d, dir, 0, e);
	if (!rc && !d->n)
		rc = add_classes(d, dir, e);
	else if (!rc && has_classes(dir))
		rc = rd_fail(e, RD_EINPUT, "%s: pictures beside folders of pictures: which are the classes?", dir);
	if (!rc && !d->n)
		rc = rd_fail(e, RD_EINPUT, "%s: a folder without .png files", dir);
	if (rc)
		rd_png_dir_free(d);
	return rc;
}

void rd_png_dir_free(struct rd_png_dir *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->file[i].path);
	for (size_t i = 0; i < d->n_classes; i++)
		free(d->class_name[i]);
	free(d->file);
	free(d->class_name);
	*d = (struct rd_png_dir){0};
}
