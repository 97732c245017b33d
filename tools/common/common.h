/* What every tool does the same way: the common options, the one-line messages, the exit statuses, progress. */
#ifndef RD_TOOLS_COMMON_H
#define RD_TOOLS_COMMON_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "lib/data/batch.h"

enum rd_progress_mode { RD_PROGRESS_AUTO, RD_PROGRESS_ALWAYS, RD_PROGRESS_NEVER };

struct rd_common {
	const char *out;   /* -o; NULL: standard output */
	bool force;        /* -f */
	bool quiet;        /* -q: no warnings, no progress */
	int verbose;       /* -v, counted */
	int threads;       /* -j; 0: all */
	const char *device; /* -d; "auto" */
	enum rd_precision precision; /* f32 */
	int64_t batch;     /* -b; 0: the tool's default */
	enum rd_progress_mode progress;
};

/* Long options with no short form are numbered from here in a tool's own table. */
enum { RD_OPT_PROGRESS = 256, RD_OPT_PRECISION, RD_OPT_TOOL = 300 };

/* Parts of a tool's getopt tables: every tool has RD_COMMON_*; those that compute add RD_COMPUTE_*. */
#define RD_COMMON_SHORT "hVqvfo:j:"
#define RD_COMMON_LONG \
	{"help", no_argument, 0, 'h'}, {"version", no_argument, 0, 'V'}, {"quiet", no_argument, 0, 'q'}, \
	{"verbose", no_argument, 0, 'v'}, {"force", no_argument, 0, 'f'}, {"output", required_argument, 0, 'o'}, \
	{"threads", required_argument, 0, 'j'}, {"progress", required_argument, 0, RD_OPT_PROGRESS}
#define RD_COMPUTE_SHORT "d:b:"
#define RD_COMPUTE_LONG \
	{"device", required_argument, 0, 'd'}, {"batch", required_argument, 0, 'b'}, \
	{"precision", required_argument, 0, RD_OPT_PRECISION}

/* Sets the tool's name and usage text (printed whole by -h), the defaults, how threads wait, and the signal handlers that remove
 * temporary output. To be called first, with main's argv. */
void rd_tool_init(const char *name, const char *usage, char **argv, struct rd_common *c);

const char *rd_tool_name(void);

/* Handles a common option; true where it was one. --help and --version print and exit 0; a bad value exits 2. */
bool rd_common_opt(struct rd_common *c, int opt);

/* After getopt: nothing handled the option; exits 2 with "try --help". */
void rd_usage_error(const char *fmt, ...) RD_PRINTF(1, 2) __attribute__((noreturn));

/* Numbers from the command line, checked whole; a bad one exits 2 naming the option. */
int64_t rd_opt_int(const char *option, const char *text, int64_t lo, int64_t hi);
uint64_t rd_opt_u64(const char *option, const char *text);
double rd_opt_num(const char *option, const char *text, double lo, double hi);
const char *rd_opt_form(const char *option, const char *text); /* a form's name, or table:FILE */
int rd_opt_choice(const char *option, const char *text, const char *const *names); /* NULL-terminated; index */

/* "tool: message"; rd_die exits with rd_exit_status(e). rd_say always speaks; rd_tell and rd_warn, "tool: warning: message", are silent
 * under -q; rd_info speaks under -v only. */
void rd_die(const struct rd_err *e) __attribute__((noreturn));
void rd_say(const char *fmt, ...) RD_PRINTF(1, 2);
void rd_tell(const char *fmt, ...) RD_PRINTF(1, 2);
void rd_warn(const char *fmt, ...) RD_PRINTF(1, 2);
void rd_info(const char *fmt, ...) RD_PRINTF(1, 2);

/* Opens the device that -d, -j and --precision ask for; under -v says why "auto" took the CPU. */
int rd_common_device(const struct rd_common *c, const struct rd_backend **be, struct rd_dev **dev, struct rd_err *e) RD_MUST;

/* Flags for rd_out_open / rd_sink_open of binary output under these options. */
unsigned rd_common_out_flags(const struct rd_common *c);

/* A line on stderr that is rewritten: "denoise: 1280/50000 samples  412.3/s  ETA 2:04". total 0: unknown. Where stderr is no
 * terminal lines stay, one a minute. Time-based, cheap to call for every batch. */
void rd_progress_start(const struct rd_common *c, const char *unit, uint64_t total);
void rd_progress_resume(uint64_t before); /* so many were done before the start */
void rd_progress_add(uint64_t n);
void rd_progress_note(const char *fmt, ...) RD_PRINTF(1, 2); /* a short text shown behind the rate (a loss) */
void rd_progress_end(void); /* clears the line; with -v prints the final count and rate */
void rd_progress_hide(void); /* takes the line away until the next one is due, so that a message can be printed */
double rd_progress_seconds(void); /* since start */

/* The command as it was typed, with quotes where the shell needs them; free() releases it, NULL without memory. */
char *rd_command_line(int argc, char **argv);

/* Appends {"tool":name,"version":V} plus the members of args (taken over; may be NULL) to meta's array "history". */
void rd_meta_history(json_t *meta, json_t *args);

#endif
