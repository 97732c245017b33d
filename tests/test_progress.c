/* Progress where standard error is no terminal, by a clock of the test's own. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/check.h"
#include "tools/common/common.h"

static double now;

double rd_clock(void)
{
	return now;
}

const char *rd_tool_name(void)
{
	return "tool";
}

/* What is said of 1000 units, of which `before` are done already, one a second for `seconds`. */
static const char *said(enum rd_progress_mode mode, bool quiet, uint64_t before, int seconds)
{
	static char text[8192];
	const struct rd_common c = {.progress = mode, .quiet = quiet};
	FILE *f = tmpfile();
	int err = dup(STDERR_FILENO);
	size_t n;

	CHECK(f && err >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	rd_progress_start(&c, "steps", 1000);
	rd_progress_resume(before);
	for (int i = 0; i < seconds; i++) {
		now++;
		rd_progress_note("loss %d", i);
		rd_progress_add(1);
	}
	rd_progress_end();
	CHECK(dup2(err, STDERR_FILENO) >= 0);
	close(err);
	rewind(f);
	n = fread(text, 1, sizeof text - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static int lines(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

int main(void)
{
	CHECK(!strcmp(said(RD_PROGRESS_AUTO, false, 0, 59), "")); /* what is soon done says nothing */
	CHECK(!strcmp(said(RD_PROGRESS_AUTO, false, 0, 130), "tool: 60/1000 steps  1.00/s  ETA 15:40  loss 59\n"
	                                                     "tool: 120/1000 steps  1.00/s  ETA 14:40  loss 119\n"
	                                                     "tool: 130/1000 steps  1.00/s  in 2:10  loss 129\n"));
	CHECK(!strncmp(said(RD_PROGRESS_AUTO, false, 500, 100), "tool: 560/1000 steps  1.00/s  ETA 7:20", 38)); /* gone on with */
	CHECK(!strcmp(said(RD_PROGRESS_AUTO, true, 0, 300), ""));
	CHECK(!strcmp(said(RD_PROGRESS_NEVER, false, 0, 300), ""));
	CHECK(lines(said(RD_PROGRESS_ALWAYS, false, 0, 60)) == 13);
	CHECK(lines(said(RD_PROGRESS_ALWAYS, false, 0, 3)) == 1);
	return check_report("progress");
}
