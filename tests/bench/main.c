/* bench [--quick] [-j THREADS]: how fast the suite is on this machine, as one table. Run from the repository's root. */
#include <ftw.h>
#include <getopt.h>
#include <libgen.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double bench_least(const double *v, int n)
{
	double m = v[0];

	for (int i = 1; i < n; i++)
		m = fmin(m, v[i]);
	return m;
}

double bench_time(void (*f)(void *ctx), void *ctx)
{
	double t0 = bench_now();

	f(ctx);
	return bench_now() - t0;
}

void bench_times(void (*f)(void *ctx), void *ctx, int runs, double *t)
{
	f(ctx);
	for (int i = 0; i < runs; i++)
		t[i] = bench_time(f, ctx);
}

void bench_die(const char *what, const struct rd_err *e)
{
	fprintf(stderr, "bench: %s: %s\n", what, e->msg);
	exit(1);
}

/* Text in a column of the line: on its left side, or with width < 0 on its right. */
static void cell(char *line, size_t cap, int width, const char *text)
{
	size_t n = strlen(line);

	snprintf(line + n, cap - n, "%*s ", -width, text);
}

static void number(char *line, size_t cap, int width, const char *fmt, double v)
{
	char s[32] = "";

	if (v > 0)
		snprintf(s, sizeof s, fmt, v);
	cell(line, cap, -width, s);
}

void bench_print(const struct bench_row *r, const char *fmt, ...)
{
	char what[80], line[160] = "";
	va_list ap;
	int n;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	cell(line, sizeof line, 53, what);
	number(line, sizeof line, 7, r->rate < 10 ? "%.2f" : r->rate < 100 ? "%.1f" : "%.0f", r->rate);
	cell(line, sizeof line, 8, r->unit ? r->unit : "");
	number(line, sizeof line, 7, "%.0f", r->gflops);
	number(line, sizeof line, 6, "%.0f%%", 100 * r->share);
	number(line, sizeof line, 7, "%.1f", r->mib);
	for (n = (int)strlen(line); n > 0 && line[n - 1] == ' '; n--)
		;
	printf("%.*s\n", n, line);
	fflush(stdout);
}

static void print_head(const struct bench *b)
{
	printf("rectdiff %s, %s, files in %s; medians of %d runs\n"
	       "GFLOP/s  multiplications and additions of convolutions, linear layers and attention; training: 3 x forward\n"
	       "share    networks: of the rate of the convolution above them (direct algorithm, the best of its runs),\n"
	       "         forward for sampling, forward and backward for training; files: of plain write(2) and read(2) of\n"
	       "         as many bytes, 1 MiB at a time, in turns with the format's; written files end with sync and rename\n"
	       "MiB      the largest resident size\n\n",
	       RD_VERSION, b->be->describe(b->dev), b->tmp, b->runs);
	printf("%-53s %7s %-8s %7s %6s %7s\n", "", "rate", "", "GFLOP/s", "share", "MiB");
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A tmpfs with half a gigabyte to spare, else TMPDIR, else /tmp. */
static void make_tmp(struct bench *b)
{
	const char *env = getenv("TMPDIR"), *base = env ? env : "/tmp";
	struct statfs f;

	if (!statfs("/dev/shm", &f) && (double)f.f_bavail * (double)f.f_bsize > 512.0 * (1 << 20) && !access("/dev/shm", W_OK))
		base = "/dev/shm";
	if (snprintf(b->tmp, sizeof b->tmp, "%s/rectdiff-bench.XXXXXX", base) >= (int)sizeof b->tmp || !mkdtemp(b->tmp)) {
		fprintf(stderr, "bench: no folder for files under %s\n", base);
		exit(1);
	}
}

static void parse(struct bench *b, int argc, char **argv)
{
	static const struct option longs[] = {{"quick", no_argument, 0, 'q'}, {"threads", required_argument, 0, 'j'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "j:", longs, NULL)) != -1)
		if (c == 'q') {
			b->quick = true;
			b->runs = 2;
		} else if (c == 'j') {
			b->threads = atoi(optarg);
		} else {
			optind = argc + 1;
			break;
		}
	if (optind != argc || b->threads < 0) {
		fprintf(stderr, "usage: bench [--quick] [-j THREADS]\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct bench b = {.runs = 5};
	struct rd_err e;
	char self[512];

	parse(&b, argc, argv);
	snprintf(self, sizeof self, "%s", argv[0]);
	snprintf(b.bin, sizeof b.bin, "%s/../bin", dirname(self));
	make_tmp(&b);
	BENCH_OK(rd_device_open("cpu", b.threads, &b.be, &b.dev, &e), &e);
	print_head(&b);
	bench_tools(&b);
	bench_networks(&b);
	bench_normals(&b);
	bench_formats(&b);
	b.be->close(b.dev);
	nftw(b.tmp, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return b.failed;
}
