#include "tools/common/common.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/out.h"
#include "lib/base/names.h"
#include "lib/ode/schedule.h"
#include "tools/common/threads.h"

static struct {
	const char *name, *usage;
	const struct rd_common *c;
} tool = {.name = "rectdiff", .usage = ""};

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* One line, and nothing that a terminal acts on, whatever the names in it hold. */
static void say_line(const char *prefix, char *msg)
{
	for (char *s = msg; *s; s++)
		if (iscntrl((unsigned char)*s))
			*s = '?';
	rd_progress_hide();
	fprintf(stderr, "%s: %s%s\n", tool.name, prefix, msg);
}

static void say(const char *prefix, const char *fmt, va_list ap)
{
	char msg[2048];

	vsnprintf(msg, sizeof msg, fmt, ap);
	say_line(prefix, msg);
}

void rd_die(const struct rd_err *e)
{
	char msg[sizeof e->msg];

	memcpy(msg, e->msg, sizeof msg);
	say_line("", msg);
	rd_out_unlink_all();
	exit(rd_exit_status(e));
}

void rd_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void rd_tell(const char *fmt, ...)
{
	va_list ap;

	if (tool.c && tool.c->quiet)
		return;
	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void rd_warn(const char *fmt, ...)
{
	va_list ap;

	if (tool.c && tool.c->quiet)
		return;
	va_start(ap, fmt);
	say("warning: ", fmt, ap);
	va_end(ap);
}

void rd_info(const char *fmt, ...)
{
	va_list ap;

	if (!tool.c || !tool.c->verbose)
		return;
	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void rd_usage_error(const char *fmt, ...)
{
	va_list ap;

	if (fmt) { /* NULL: getopt has said what is wrong */
		va_start(ap, fmt);
		say("", fmt, ap);
		va_end(ap);
	}
	fprintf(stderr, "%s: try --help\n", tool.name);
	rd_out_unlink_all();
	exit(2);
}

const char *rd_tool_name(void)
{
	return tool.name;
}

/* --- start -------------------------------------------------------------------------------------------------------- */

/* Dies of the signal after all, with nothing left behind. */
static void on_signal(int sig)
{
	rd_out_unlink_all();
	raise(sig); /* SA_RESETHAND: the default action now */
}

/* A closed descriptor would be that of the first file opened, and messages would go into it. What is put there fails as a closed one
 * does: it is read where one writes, and written where one reads. */
static void hold_descriptors(void)
{
	static const int mode[] = {O_WRONLY, O_RDONLY, O_RDONLY};

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode[fd]) < 0) /* the lowest that is free: fd */
			_exit(1);
}

void rd_tool_init(const char *name, const char *usage, char **argv, struct rd_common *c)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_NODEFER}, old;

	rd_threads_be_patient(argv);
	hold_descriptors();
	tool.name = name;
	tool.usage = usage;
	tool.c = c;
	memset(c, 0, sizeof *c);
	c->device = "auto";
	signal(SIGXFSZ, SIG_IGN); /* a write over the limit of a file's size fails, and is told, as one on a full disk */
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
		if (!sigaction(sigs[i], NULL, &old) && old.sa_handler != SIG_IGN) /* as nohup wants it */
			sigaction(sigs[i], &sa, NULL);
}

/* Text that was asked for, on standard output; a full disk is an error here too. */
static void print_and_exit(const char *fmt, ...) RD_PRINTF(1, 2) __attribute__((noreturn));
static void print_and_exit(const char *fmt, ...)
{
	struct rd_err e;
	va_list ap;
	int bad;

	va_start(ap, fmt);
	bad = vprintf(fmt, ap) < 0;
	va_end(ap);
	if (fclose(stdout) || bad) {
		(void)rd_fail_errno(&e, RD_EIO, "standard output");
		rd_die(&e);
	}
	exit(0);
}

bool rd_common_opt(struct rd_common *c, int opt)
{
	static const char *const modes[] = {"auto", "always", "never", NULL};

	switch (opt) {
	case 'h': print_and_exit("%s", tool.usage);
	case 'V': print_and_exit("%s (rectdiff) %s\n", tool.name, RD_VERSION);
	case 'q': c->quiet = true; return true;
	case 'v': c->verbose++; return true;
	case 'f': c->force = true; return true;
	case 'o':
		if (!*optarg)
			rd_usage_error("--output: the name is empty");
		c->out = optarg;
		return true;
	case 'd': c->device = optarg; return true;
	case RD_OPT_PRECISION:
		c->precision = (enum rd_precision)rd_opt_choice("--precision", optarg, rd_precision_names);
		return true;
	case 'b': c->batch = rd_opt_int("--batch", optarg, 1, 1 << 24); return true;
	case 'j':
		c->threads = (int)rd_opt_int("--threads", optarg, 0, 4096);
		if (c->threads)
			omp_set_num_threads(c->threads);
		return true;
	case RD_OPT_PROGRESS: c->progress = (enum rd_progress_mode)rd_opt_choice("--progress", optarg, modes); return true;
	default: return false;
	}
}

static void tell_note(const char *line)
{
	rd_info("%s", line);
}

int rd_common_device(const struct rd_common *c, const struct rd_backend **be, struct rd_dev **dev, struct rd_err *e)
{
	struct rd_dev_opts o = {.threads = c->threads, .precision = c->precision, .note = tell_note};
	int rc = rd_device_open_with(c->device, o, be, dev, e);

	if (!rc && !strcmp(c->device, "auto") && !strcmp((*be)->name, "cpu"))
		rd_info("%s; the CPU computes", e->msg);
	return rc;
}

unsigned rd_common_out_flags(const struct rd_common *c)
{
	return RD_OUT_BINARY | (c->force ? RD_OUT_FORCE : 0u);
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

int64_t rd_opt_int(const char *option, const char *text, int64_t lo, int64_t hi)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end)
		rd_usage_error("%s: '%s' is not an integer", option, text);
	if (errno || v < lo || v > hi)
		rd_usage_error("%s: %s is outside %lld..%lld", option, text, (long long)lo, (long long)hi);
	return v;
}

uint64_t rd_opt_u64(const char *option, const char *text)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, !strncasecmp(text, "0x", 2) ? 16 : 10); /* 010 is ten, as everywhere here */
	if (text[strspn(text, " \t+")] == '-' || end == text || *end) /* strtoull would wrap a minus round */
		rd_usage_error("%s: '%s' is not an integer >= 0", option, text);
	if (errno)
		rd_usage_error("%s: %s is 2^64 or more", option, text);
	return v;
}

double rd_opt_num(const char *option, const char *text, double lo, double hi)
{
	char *end;
	double v;

	v = strtod(text, &end);
	if (end == text || *end)
		rd_usage_error("%s: '%s' is not a number", option, text);
	if (!(v >= lo && v <= hi)) /* NaN too */
		rd_usage_error("%s: %s is outside %g..%g", option, text, lo, hi);
	return v;
}

const char *rd_opt_form(const char *option, const char *text)
{
	if (rd_form_table_file(text))
		return text;
	if (!rd_form_find(text))
		rd_usage_error("%s: '%s' is not one of ddpm, vp, subvp, ve, fm, table:FILE", option, text);
	return text;
}

int rd_opt_choice(const char *option, const char *text, const char *const *names)
{
	char list[256];
	int i = rd_names_find(names, text);

	if (i < 0)
		rd_usage_error("%s: '%s' is not one of %s", option, text, rd_names_text(names, list, sizeof list));
	return i;
}

/* --- provenance --------------------------------------------------------------------------------------------------- */

/* As a shell takes it back: within '...' a ' is '\''. */
static void put_word(FILE *f, const char *s)
{
	bool plain = *s && !s[strcspn(s, " \t\n'\"\\$`*?[]{}()<>|&;!#~")];

	if (plain) {
		fputs(s, f);
		return;
	}
	fputc('\'', f);
	for (; *s; s++)
		if (*s == '\'')
			fputs("'\\''", f);
		else
			fputc(*s, f);
	fputc('\'', f);
}

char *rd_command_line(int argc, char **argv)
{
	char *s = NULL;
	size_t n;
	FILE *f = open_memstream(&s, &n);

	for (int i = 0; f && i < argc; i++) {
		if (i)
			fputc(' ', f);
		put_word(f, argv[i]);
	}
	if (f)
		fclose(f);
	return s;
}

void rd_meta_history(json_t *meta, json_t *args)
{
	json_t *list = json_object_get(meta, "history"), *step;

	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(meta, "history", list);
	}
	step = json_pack("{s:s, s:s}", "tool", tool.name, "version", RD_VERSION);
	json_object_update(step, args);
	json_array_append_new(list, step);
	json_decref(args);
}
