#include "lib/train/trainlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "formats/in.h"
#include "formats/json.h"
#include "formats/name.h"
#include "formats/out.h"
#include "lib/base/clock.h"
#include "lib/base/size.h"

#define LOG_MAX ((size_t)1 << 30)
#define LINE_FRONT "{\"run\":\"" /* of every line; the run and the rest follow */

struct rd_trainlog {
	FILE *f;
	char *path, run[17];
	double opened;
	struct rd_unlogged sum;
	double lr;
};

int rd_trainlog_file(struct rd_trainlog_file *f, const char *path, bool replace, const json_t *run, struct rd_err *e)
{
	char *text;

	*f = (struct rd_trainlog_file){.path = path, .replace = replace};
	if (!strcmp(path, "-"))
		return rd_fail(e, RD_EUSAGE, "--log -: a log is a file, which a run that is started again goes on with");
	text = rd_json_text(run);
	if (!text)
		return rd_fail(e, RD_ENOMEM, "--log %s: no memory", path);
	snprintf(f->run, sizeof f->run, "%016" PRIx64, (uint64_t)XXH3_64bits(text, strlen(text)));
	free(text);
	return RD_OK;
}

int rd_trainlog_apart(const struct rd_trainlog_file *f, const char *output, struct rd_err *e)
{
	char *log = rd_name_follow(f->path), *trimmed = strndup(output, rd_name_length(output));
	char *out = trimmed ? rd_name_follow(trimmed) : NULL;
	int rc = RD_OK;

	if (!log || !out)
		rc = rd_fail_errno(e, RD_EIO, "--log %s", f->path);
	else if (rd_name_same(log, out) || rd_name_within(log, out))
		rc = rd_fail(e, RD_EUSAGE, "--log %s: the run itself writes there: %s is replaced as a whole", f->path, trimmed);
	free(log);
	free(trimmed);
	free(out);
	return rc;
}

/* --- a file that is there --------------------------------------------------------------------------------------------- */

enum kind { OF_THIS_RUN, OF_ANOTHER, NO_LOG };

/* Of a whole line, and its step. */
static enum kind kind_of_line(const char *line, size_t n, const char *run, int64_t *step)
{
	json_t *o = json_loadb(line, n, 0, NULL);
	const char *theirs = json_string_value(json_object_get(o, "run"));
	bool is_log = json_is_integer(json_object_get(o, "step")) && json_is_number(json_object_get(o, "loss")) &&
	              json_is_number(json_object_get(o, "grad_norm"));
	enum kind k = !is_log ? NO_LOG : theirs && !strcmp(theirs, run) ? OF_THIS_RUN : OF_ANOTHER;

	*step = json_integer_value(json_object_get(o, "step"));
	json_decref(o);
	return k;
}

/* Of a line that a killed run has begun, where no line of this run is before it: behind one there may be anything, such as the zeros
 * that a file system leaves when the machine fails. */
static enum kind kind_of_torn(const char *line, size_t n, const char *run)
{
	char front[64];
	const size_t any = strlen(LINE_FRONT), ours = (size_t)snprintf(front, sizeof front, LINE_FRONT "%s\",", run);

	if (!memcmp(line, front, n < ours ? n : ours))
		return OF_THIS_RUN;
	return memcmp(line, front, n < any ? n : any) ? NO_LOG : OF_ANOTHER;
}

/* What the text is, as a whole; *kept: bytes of this run's lines at its front whose step is at most `step`. */
static enum kind survey(const char *text, size_t n, const char *run, int64_t step, size_t *kept)
{
	enum kind worst = OF_THIS_RUN, k = NO_LOG;
	bool keeping = true;
	int64_t s;

	*kept = 0;
	for (size_t at = 0, len; at < n; at += len) {
		const char *nl = memchr(text + at, '\n', n - at);

		len = nl ? (size_t)(nl - (text + at)) + 1 : n - at;
		if (nl)
			k = kind_of_line(text + at, len, run, &s);
		else if (k != OF_THIS_RUN)
			k = kind_of_torn(text + at, len, run);
		worst = k > worst ? k : worst;
		keeping = keeping && nl && k == OF_THIS_RUN && s <= step;
		*kept += keeping ? len : 0;
	}
	return worst;
}

static int look(const struct rd_trainlog_file *f, int64_t step, bool cut, struct rd_err *e)
{
	struct stat st;
	size_t n, kept;
	enum kind k;
	char *text;
	int rc;

	if (stat(f->path, &st) || !S_ISREG(st.st_mode))
		return RD_OK;
	rc = rd_in_file(f->path, LOG_MAX, &text, &n, e);
	if (rc)
		return rc;
	k = survey(text, n, f->run, step, &kept);
	if (k == NO_LOG)
		rc = rd_fail(e, RD_EFAIL, "--log %s: is there already and is no log of a training: it is not replaced", f->path);
	else if (k == OF_ANOTHER && !f->replace)
		rc = rd_fail(e, RD_EFAIL, "--log %s: is the log of another run (-f replaces it)", f->path);
	else if (cut && kept < n)
		rc = rd_out_file(f->path, text, kept, e);
	free(text);
	return rc;
}

int rd_trainlog_try(const struct rd_trainlog_file *f, struct rd_err *e)
{
	return look(f, 0, false, e);
}

/* --- a log being written ---------------------------------------------------------------------------------------------- */

int rd_trainlog_open(struct rd_trainlog **out, const struct rd_trainlog_file *f, int64_t step, struct rd_unlogged unlogged,
                     struct rd_err *e)
{
	struct rd_trainlog *l;
	void *p;
	int rc = look(f, step, true, e);

	*out = NULL;
	if (!rc)
		rc = rd_alloc0(&p, 1, sizeof *l, "log", e);
	if (rc)
		return rc;
	l = p;
	l->opened = rd_clock();
	l->sum = unlogged;
	memcpy(l->run, f->run, sizeof l->run);
	l->path = strdup(f->path);
	l->f = l->path ? fopen(f->path, "a") : NULL;
	if (!l->f) {
		rc = rd_fail_errno(e, RD_EIO, "%s", f->path);
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
	l->sum.steps++;
	l->lr = r->lr;
}

struct rd_unlogged rd_trainlog_sum(const struct rd_trainlog *l)
{
	return l ? l->sum : (struct rd_unlogged){0};
}

int rd_trainlog_write(struct rd_trainlog *l, int64_t step, const double *held_out, struct rd_err *e)
{
	const double n = l ? (double)l->sum.steps : 0;
	char held[48] = "";

	if (!(n > 0))
		return RD_OK;
	if (held_out)
		snprintf(held, sizeof held, ",\"held_out\":%.9g", *held_out);
	if (fprintf(l->f, LINE_FRONT "%s\",\"step\":%lld,\"loss\":%.9g,\"grad_norm\":%.9g,\"lr\":%.9g%s,\"seconds\":%.3f}\n", l->run,
	            (long long)step, l->sum.loss / n, l->sum.grad_norm / n, l->lr, held, rd_clock() - l->opened) < 0 ||
	    fflush(l->f))
		return rd_fail_errno(e, RD_EIO, "%s", l->path);
	l->sum = (struct rd_unlogged){0};
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
