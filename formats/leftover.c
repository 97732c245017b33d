#include "formats/leftover.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/tree.h"

#define PATH 8192

/* The output that is looked after: its folder, with the slash, and its name there. */
struct place {
	char folder[PATH / 2], base[256];
};

typedef bool (*leftover_fn)(const struct place *p, const char *name);

/* False where the path is too long to have been written to. */
static bool place_of(struct place *p, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

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

static bool is_of_file(const struct place *p, const char *name)
{
	char front[256];
	const char *s;

	snprintf(front, sizeof front, ".%.200s.", p->base);
	s = after(after_number(after(after_number(after(name, front)), ".")), ".tmp");
	return s && !*s;
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

static void clean(const char *path, leftover_fn is_leftover)
{
	char victim[PATH];
	struct place p;
	struct dirent *f;
	DIR *d;

	if (!place_of(&p, path))
		return;
	d = opendir(*p.folder ? p.folder : ".");
	while (d && (f = readdir(d)))
		if (is_leftover(&p, f->d_name) &&
		    snprintf(victim, sizeof victim, "%s%s", p.folder, f->d_name) < (int)sizeof victim)
			rd_remove_tree(victim);
	if (d)
		closedir(d);
}

/* Temporary names lie beside the real path; those of snapshots beside the name that was given. */
static void clean_both(const char *path, leftover_fn is_leftover)
{
	char *real = realpath(path, NULL);

	clean(path, is_leftover);
	if (real)
		clean(real, is_leftover);
	free(real);
}

void rd_leftover_file(const char *file)
{
	clean_both(file, is_of_file);
}

void rd_leftover_dir(const char *dir)
{
	clean_both(dir, is_of_dir);
}
