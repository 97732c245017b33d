#include "lib/train/trainlog.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/in.h"
#include "formats/out.h"
#include "lib/base/size.h"

#define LOG_MAX ((size_t)1 << 30)

struct rd_trainlog {
	FILE *f;
	char *path;
};

/* Bytes of the whole lines at the front of text whose step is at most `step`. */
static size_t keep(const char *text, size_t n, int64_t step)
{
	size_t at = 0;

	while (at < n) {
		const char *nl = memchr(text + at, '\n', n - at);
		json_t *line = nl ? json_loadb(text + at, (size_t)(nl - (text + at)), 0, NULL) : NULL;
		bool good = line && json_integer_value(json_object_get(line, "step")) <= step;

		json_decref(line);
		if (!good)
			break;
		at = (size_t)(nl - text) + 1;
	}
	return at;
}

static int cut(const char *path, int64_t step, struct rd_err *e)
{
	struct stat st;
	char *text;
	size_t n, kept;
	int rc;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return RD_OK;
	rc = rd_in_file(path, LOG_MAX, &text, &n, e);
	if (rc)
		return rc;
	kept = keep(text, n, step);
	rc = kept < n ? rd_out_file(path, text, kept, e) : RD_OK;
	free(text);
	return rc;
}

int rd_trainlog_open(struct rd_trainlog **out, const char *path, int64_t step, struct rd_err *e)
{
	struct rd_trainlog *l;
	void *p;
	int rc = cut(path, step, e);

	*out = NULL;
	if (!rc)
		rc = rd_alloc0(&p, 1, sizeof *l, "log", e);
	if (rc)
		return rc;
	l = p;
	l->path = strdup(path);
	l->f = l->path ? fopen(path, "a") : NULL;
	if (!l->f) {
		rc = rd_fail_errno(e, RD_EIO, "%s", path);
		free(l->path);
		free(l);
		return rc;
	}
	*out = l;
	return RD_OK;
}

int rd_trainlog_write(struct rd_trainlog *l, int64_t step, const struct rd_step_report *mean, double seconds, struct rd_err *e)
{
	char held[48] = "";

	if (!isnan(mean->held_out))
		snprintf(held, sizeof held, ",\"held_out\":%.9g", mean->held_out);
	if (fprintf(l->f, "{\"step\":%lld,\"loss\":%.9g,\"grad_norm\":%.9g,\"lr\":%.9g%s,\"seconds\":%.3f}\n", (long long)step,
	            mean->loss, mean->grad_norm, mean->lr, held, seconds) < 0 || fflush(l->f))
		return rd_fail_errno(e, RD_EIO, "%s", l->path);
	return RD_OK;
}

int rd_trainlog_close(struct rd_trainlog *l, struct rd_err *e)
{
	int rc = RD_OK;

	if (!l)
		return RD_OK;
	if (fclose(l->f))
		rc = rd_fail_errno(e, RD_EIO, "%s", l->path);
	free(l->path);
	free(l);
	return rc;
}
