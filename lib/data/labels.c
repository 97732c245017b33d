#include "lib/data/labels.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "lib/base/size.h"
#include "lib/base/tree.h"
#include "lib/data/batch.h"

#define WITHOUT ":without:"

enum kind { UNIFORM, CYCLE, NUMBER, FROM_FILE };

struct rd_labels {
	enum kind kind;
	uint64_t seed;
	int64_t classes; /* 0: not known */
	int32_t value;   /* K or NUMBER */
	int32_t without; /* of the K the one that is left out; -1: none */

	struct rd_source *file;
	const struct rd_batch *batch; /* labels at .. at+batch->n-1 of the file; NULL before the first */
	uint64_t at;
};

/* A whole number of digits only, n of them; false for another text, *out = INT32_MAX for one that is too large. */
static bool digits(const char *text, size_t n, int32_t *out)
{
	unsigned long v;

	if (!n || strspn(text, "0123456789") != n)
		return false;
	errno = 0;
	v = strtoul(text, NULL, 10);
	*out = errno || v > INT32_MAX ? INT32_MAX : (int32_t)v;
	return true;
}

/* "label=PATH": read as an array of that field, whatever the file is. */
static int open_file(struct rd_labels *l, const char *path, struct rd_err *e)
{
	size_t cap = strlen(path) + sizeof "label=";
	char *named;
	int rc = rd_alloc((void **)&named, cap, 1, "a path", e);

	if (rc)
		return rc;
	snprintf(named, cap, "label=%s", path);
	rc = rd_source_open(&l->file, (const char *const[]){ named }, 1, NULL, e);
	free(named);
	return rc;
}

/* Behind "uniform:" or "cycle:": K or K:without:N. */
static int parse_count(struct rd_labels *l, const char *spec, struct rd_err *e)
{
	const char *k = strchr(spec, ':') + 1, *without = strstr(k, WITHOUT);
	const char *n = without ? without + strlen(WITHOUT) : NULL;

	if (!digits(k, without ? (size_t)(without - k) : strlen(k), &l->value) || l->value < 1)
		return rd_fail(e, RD_EUSAGE, "labels %s: %.*sK with K a number of classes from 1 expected", spec, (int)(k - spec), spec);
	if (l->classes && l->value > l->classes)
		return rd_fail(e, RD_EUSAGE, "labels %s: the model has %lld classes", spec, (long long)l->classes);
	if (n && (!digits(n, strlen(n), &l->without) || l->without >= l->value || l->value < 2))
		return rd_fail(e, RD_EUSAGE, "labels %s: K" WITHOUT "N leaves out one of the classes 0 to K - 1, and not the only one", spec);
	return RD_OK;
}

static int parse(struct rd_labels *l, const char *spec, struct rd_err *e)
{
	if (!strncmp(spec, "uniform:", 8) || !strncmp(spec, "cycle:", 6)) {
		l->kind = *spec == 'u' ? UNIFORM : CYCLE;
		return parse_count(l, spec, e);
	}
	if (digits(spec, strlen(spec), &l->value)) {
		l->kind = NUMBER;
		if (l->value == INT32_MAX || (l->classes && l->value >= l->classes))
			return rd_fail(e, RD_EUSAGE, "label %s: not a class of the model, which has 0 to %lld", spec,
			               (long long)(l->classes ? l->classes : INT32_MAX) - 1);
		return RD_OK;
	}
	if (strcmp(spec, "-") && !rd_exists("%s", spec))
		return rd_fail(e, RD_EUSAGE, "labels %s: none, uniform:K, cycle:K, a class, or a file expected, and no file has this name",
		               spec);
	l->kind = FROM_FILE;
	return open_file(l, spec, e);
}

int rd_labels_open(struct rd_labels **out, const char *spec, uint64_t seed, int64_t classes, struct rd_err *e)
{
	struct rd_labels *l;
	int rc;

	*out = NULL;
	if (!strcmp(spec, "none"))
		return RD_OK;
	rc = rd_alloc0((void **)&l, 1, sizeof *l, "labels", e);
	if (rc)
		return rc;
	l->seed = seed;
	l->classes = classes;
	l->without = -1;
	rc = parse(l, spec, e);
	if (rc)
		rd_labels_close(l);
	else
		*out = l;
	return rc;
}

void rd_labels_close(struct rd_labels *l)
{
	if (!l)
		return;
	if (l->file)
		rd_source_close(l->file);
	free(l);
}

/* The next batch of the file, whose label array must be one-dimensional. */
static int next_batch(struct rd_labels *l, uint64_t wanted, struct rd_err *e)
{
	int rc;

	if (l->batch)
		l->at += (uint64_t)l->batch->n;
	rc = rd_source_next(l->file, &l->batch, e);
	if (rc < 0)
		return rc;
	if (!rc) {
		l->batch = NULL;
		return rd_fail(e, RD_EINPUT, "%s: holds %llu labels, sample %llu needs one more", rd_source_name(l->file),
		               (unsigned long long)l->at, (unsigned long long)wanted);
	}
	if (l->batch->f[0].shape.nd != 1 || l->batch->f[0].dtype != RD_I32)
		return rd_fail(e, RD_EINPUT, "%s: labels are one integer per sample, one dimension", rd_source_name(l->file));
	return RD_OK;
}

static int from_file(struct rd_labels *l, uint64_t first, int64_t n, int32_t *out, struct rd_err *e)
{
	for (int64_t k = 0; k < n; k++) {
		const uint64_t i = first + (uint64_t)k;

		while (!l->batch || i >= l->at + (uint64_t)l->batch->n) {
			int rc = next_batch(l, i, e);

			if (rc)
				return rc;
		}
		if (i < l->at)
			return rd_fail(e, RD_EFAIL, "labels are read forward only");
		out[k] = ((const int32_t *)l->batch->f[0].data)[i - l->at];
		if (out[k] < 0 || (l->classes && out[k] >= l->classes))
			return rd_fail(e, RD_EINPUT, "%s: label %d of sample %llu: not a class of the model, which has 0 to %lld",
			               rd_source_name(l->file), (int)out[k], (unsigned long long)i,
			               (long long)(l->classes ? l->classes : INT32_MAX) - 1);
	}
	return RD_OK;
}

/* Where a class is left out, those that remain are numbered without it first: what is drawn depends on how many they are. */
static int32_t label_of(const struct rd_labels *l, uint64_t i)
{
	const uint32_t drawn = (uint32_t)l->value - (l->without >= 0);
	int32_t k;

	if (l->kind == NUMBER)
		return l->value;
	k = (int32_t)(l->kind == UNIFORM ? rd_rng_below(l->seed, RD_RNG_LABEL, i, drawn) : (uint32_t)(i % drawn));
	return k + (l->without >= 0 && k >= l->without);
}

int rd_labels_get(struct rd_labels *l, uint64_t first, int64_t n, int32_t *out, struct rd_err *e)
{
	if (l->kind == FROM_FILE)
		return from_file(l, first, n, out, e);
	for (int64_t k = 0; k < n; k++)
		out[k] = label_of(l, first + (uint64_t)k);
	return RD_OK;
}
