#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tools/common/common.h"

/* Seconds between two lines: on a terminal; where each line stays, as in a batch job's log; there and not asked for. */
#define EVERY_TTY 0.2
#define EVERY_ASKED 5.0
#define EVERY_UNASKED 60.0

static struct {
	bool on, tty, shown, last_line, verbose;
	const char *unit;
	uint64_t done, before, total;
	double start, drawn, every;
	char note[80];
} p;

void rd_progress_start(const struct rd_common *c, const char *unit, uint64_t total)
{
	memset(&p, 0, sizeof p);
	p.tty = isatty(STDERR_FILENO);
	p.on = !c->quiet && c->progress != RD_PROGRESS_NEVER;
	p.every = p.tty ? EVERY_TTY : c->progress == RD_PROGRESS_ALWAYS ? EVERY_ASKED : EVERY_UNASKED;
	p.last_line = c->progress == RD_PROGRESS_ALWAYS;
	p.verbose = c->verbose && !c->quiet;
	p.unit = unit;
	p.total = total;
	p.start = p.drawn = rd_clock();
}

double rd_progress_seconds(void)
{
	return rd_clock() - p.start;
}

/* "2:04", "1:02:04" */
static void clock_text(char *buf, size_t cap, double s)
{
	unsigned long long t = s < 1e9 ? (unsigned long long)(s + 0.5) : 1000000000ull;

	if (t >= 3600)
		snprintf(buf, cap, "%llu:%02llu:%02llu", t / 3600, t / 60 % 60, t % 60);
	else
		snprintf(buf, cap, "%llu:%02llu", t / 60, t % 60);
}

static void draw(bool last)
{
	double s = rd_progress_seconds(), rate = s > 0 ? (double)(p.done - p.before) / s : 0;
	char of[32] = "", eta[32] = "", left[24];

	if (p.total)
		snprintf(of, sizeof of, "/%llu", (unsigned long long)p.total);
	if (last) {
		clock_text(left, sizeof left, s);
		snprintf(eta, sizeof eta, "  in %s", left);
	} else if (p.total > p.done && rate > 0) {
		clock_text(left, sizeof left, (double)(p.total - p.done) / rate);
		snprintf(eta, sizeof eta, "  ETA %s", left);
	}
	fprintf(stderr, "%s%s: %llu%s %s  %.*f/s%s%s%s%s", p.tty ? "\r" : "", rd_tool_name(), (unsigned long long)p.done, of,
	        p.unit, rate < 100 ? 2 : 0, rate, eta, *p.note ? "  " : "", p.note, p.tty ? "\033[K" : "\n");
	fflush(stderr);
	p.shown = p.tty;
	p.drawn = rd_clock();
	p.last_line = true;
}

void rd_progress_hide(void)
{
	if (p.shown)
		fputs("\r\033[K", stderr);
	p.shown = false;
}

void rd_progress_resume(uint64_t before)
{
	p.done = p.before = before;
}

void rd_progress_add(uint64_t n)
{
	p.done += n;
	if (p.on && rd_clock() - p.drawn >= p.every)
		draw(false);
}

void rd_progress_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p.note, sizeof p.note, fmt, ap);
	va_end(ap);
}

void rd_progress_end(void)
{
	rd_progress_hide();
	if (p.verbose || (p.on && !p.tty && p.last_line)) {
		draw(true);
		if (p.tty)
			fputc('\n', stderr);
	}
	p.on = p.shown = false;
}
