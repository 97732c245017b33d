#include "formats/png_dir.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/base/size.h"

/* --- names in a folder ------------------------------------------------------------------------------------------------ */

struct names {
	size_t n;
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

static int add(struct names *l, size_t *room, const char *dir, const char *name, struct rd_err *e)
{
	void *p = l->v;
	size_t bytes = *room;
	int rc = rd_grow(&p, &bytes, (l->n + 1) * sizeof *l->v, "names", e);

	l->v = p;
	*room = bytes;
	if (rc)
		return rc;
	l->v[l->n] = strdup(name);
	if (!l->v[l->n])
		return rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	l->n++;
	return RD_OK;
}

static int list(struct names *l, const char *dir, struct rd_err *e)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	size_t room = 0;
	int rc = RD_OK;

	*l = (struct names){0};
	if (!d)
		return rd_fail_errno(e, RD_EIO, "%s", dir);
	while (!rc && (f = readdir(d)))
		if (f->d_name[0] != '.')
			rc = add(l, &room, dir, f->d_name, e);
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

static bool is_folder(const char *dir, const char *name)
{
	struct stat st;
	char *path;
	bool yes;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return false;
	yes = !stat(path, &st) && S_ISDIR(st.st_mode);
	free(path);
	return yes;
}

/* --- pictures --------------------------------------------------------------------------------------------------------- */

struct listing {
	struct rd_png_dir *d;
	size_t path_room, label_room;
};

static int add_picture(struct listing *l, const char *dir, const char *name, int32_t label, struct rd_err *e)
{
	struct rd_png_dir *d = l->d;
	void *paths = d->path, *labels = d->label;
	int rc = rd_grow(&paths, &l->path_room, (d->n + 1) * sizeof *d->path, "pictures", e);

	if (!rc)
		rc = rd_grow(&labels, &l->label_room, (d->n + 1) * sizeof *d->label, "pictures", e);
	d->path = paths;
	d->label = labels;
	if (rc)
		return rc;
	if (asprintf(&d->path[d->n], "%s/%s", dir, name) < 0)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	d->label[d->n++] = label;
	return RD_OK;
}

static int add_folder(struct listing *l, const char *dir, int32_t label, struct rd_err *e)
{
	static const char *const others[] = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"};
	struct names in;
	int rc = list(&in, dir, e);

	for (size_t i = 0; !rc && i < in.n; i++) {
		for (size_t k = 0; k < sizeof others / sizeof *others && !rc; k++)
			if (ends_in(in.v[i], others[k]))
				rc = rd_fail(e, RD_EINPUT, "%s/%s: of pictures only .png are read", dir, in.v[i]);
		if (!rc && ends_in(in.v[i], ".png"))
			rc = add_picture(l, dir, in.v[i], label, e);
	}
	drop(&in);
	return rc;
}

/* A class is a folder with pictures in it. */
static int add_class(struct listing *l, const char *dir, const char *name, struct rd_err *e)
{
	struct rd_png_dir *d = l->d;
	const size_t before = d->n;
	char *path;
	int rc;

	if (d->n_classes == INT32_MAX)
		return rd_fail(e, RD_EINPUT, "%s: too many folders", dir);
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	rc = add_folder(l, path, (int32_t)d->n_classes, e);
	free(path);
	if (rc || d->n == before)
		return rc;
	d->class_name[d->n_classes] = strdup(name);
	if (!d->class_name[d->n_classes])
		return rd_fail(e, RD_ENOMEM, "%s: no memory", dir);
	d->n_classes++;
	return RD_OK;
}

static int add_classes(struct listing *l, const char *dir, struct rd_err *e)
{
	struct names in;
	void *p;
	int rc = list(&in, dir, e);

	if (!rc)
		rc = rd_alloc0(&p, in.n, sizeof *l->d->class_name, "classes", e);
	if (!rc)
		l->d->class_name = p;
	for (size_t i = 0; !rc && i < in.n; i++)
		if (is_folder(dir, in.v[i]))
			rc = add_class(l, dir, in.v[i], e);
	drop(&in);
	return rc;
}

int rd_png_dir_list(const char *dir, struct rd_png_dir *d, struct rd_err *e)
{
	struct listing l = {.d = d};
	size_t plain;
	int rc;

	*d = (struct rd_png_dir){0};
	rc = add_folder(&l, dir, 0, e);
	plain = d->n;
	if (!rc)
		rc = add_classes(&l, dir, e);
	if (!rc && plain && d->n > plain)
		rc = rd_fail(e, RD_EINPUT, "%s: pictures beside folders of pictures: which are the classes?", dir);
	if (!rc && !d->n)
		rc = rd_fail(e, RD_EINPUT, "%s: a folder without .png files", dir);
	if (rc) {
		rd_png_dir_free(d);
	} else if (plain) {
		free(d->label);
		d->label = NULL;
	}
	return rc;
}

void rd_png_dir_free(struct rd_png_dir *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->path[i]);
	for (size_t i = 0; i < d->n_classes; i++)
		free(d->class_name[i]);
	free(d->path);
	free(d->label);
	free(d->class_name);
	*d = (struct rd_png_dir){0};
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

bool rd_png_dir_is(const char *dir)
{
	struct rd_err e;
	struct names in;
	bool yes = holds_png(dir);
	char *path;

	if (yes || list(&in, dir, &e))
		return yes;
	for (size_t i = 0; i < in.n && !yes; i++)
		if (is_folder(dir, in.v[i]) && asprintf(&path, "%s/%s", dir, in.v[i]) >= 0) {
			yes = holds_png(path);
			free(path);
		}
	drop(&in);
	return yes;
}
