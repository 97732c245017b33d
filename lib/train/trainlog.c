#include "lib/train/trainlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/in.h"
#include "formats/out.h"
#include "lib/base/clock.h"
#include "lib/base/size.h"

#define LOG_MAX ((size_t)1 << 30)

struct rd_trainlog {
	FILE *f;
	char *path;
	double opened;
	struct rd_step_report sum; /* of the n steps since the last line */
	int64_t n;
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
	int rc;

	*out = NULL;
	if (!strcmp(path, "-"))
		return rd_fail(e, RD_EUSAGE, "--log -: a log is a file, which a run that is started again goes on with");
	rc = cut(path, step, e);
	if (!rc)
		rc = rd_alloc0(&p, 1, sizeof *l, "log", e);
	if (rc)
		return rc;
	l = p;
	l->opened = rd_clock();
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

void rd_trainlog_add(struct rd_trainlog *l, const struct rd_step_report *r)
{
	if (!l)
		return;
	l->sum.loss += r->loss;
	l->sum.grad_norm += r->grad_norm;
	l->sum.lr = r->lr;
	l->n++;
}

int rd_trainlog_write(struct rd_trainlog *l, int64_t step, const double *held_out, struct rd_err *e)
{
	char held[48] = "";

	if (!l || !l->n)
		return RD_OK;
	if (held_out)
		snprintf(held, sizeof held, ",\"held_out\":%.9g", *held_out);
	if (fprintf(l->f, "{\"step\":%lld,\"loss\":%.9g,\"grad_norm\":%.9g,\"lr\":%.9g%s,\"seconds\":%.3f}\n", (long long)step,
	            l->sum.loss / (double)l->n, l->sum.grad_norm / (double)l->n, l->sum.lr, held, rd_clock() - l->opened) < 0 ||
	    fflush(l->f))
		return rd_fail_errno(e, RD_EIO, "%s", l->path);
	l->sum = (struct rd_step_report){0};
	l->n = 0;
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
