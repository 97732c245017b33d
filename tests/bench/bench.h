/* The benchmark's parts and what they share. Each part prints rows of the one table. */
#ifndef RD_TESTS_BENCH_BENCH_H
#define RD_TESTS_BENCH_BENCH_H

#include <stdbool.h>

#include "kernels/kernels.h"

#define BENCH_MAX_RUNS 101

struct bench {
	bool quick;
	int threads;         /* 0: all there are */
	int runs;            /* of which the median is printed */
	bool failed;         /* something could not be measured; it has been said */
	char bin[512];       /* where the tools are */
	char tmp[512];       /* a folder for files, in memory where there is such a place */
	const struct rd_backend *be;
	struct rd_dev *dev;
};

/* A row's figures; 0 leaves its column empty. */
struct bench_row {
	double rate;
	const char *unit;   /* of rate */
	double gflops, share /* of 1 */, mib;
};
#define BENCH_ROW(...) ((struct bench_row){__VA_ARGS__})

void bench_print(const struct bench_row *r, const char *fmt, ...) RD_PRINTF(2, 3);

double bench_now(void); /* seconds */
double bench_median(double *v, int n);
double bench_least(const double *v, int n);

/* Seconds of f(ctx) once, and in t[0 .. runs-1] after a run that is not counted. */
double bench_time(void (*f)(void *ctx), void *ctx);
void bench_times(void (*f)(void *ctx), void *ctx, int runs, double *t);

/* Prints the message and exits: a benchmark that fails has no result. */
void bench_die(const char *what, const struct rd_err *e) __attribute__((noreturn));
#define BENCH_OK(call, e) \
	do { \
		if ((call) < 0) \
			bench_die(#call, e); \
	} while (0)

/* Start-up and peak memory: first, while this process is small. */
void bench_tools(struct bench *b);
void bench_networks(struct bench *b);
void bench_normals(struct bench *b);
void bench_formats(struct bench *b);

#endif
