/* What the files of bench_gpu share. */
#ifndef RD_TESTS_GPU_BENCH_H
#define RD_TESTS_GPU_BENCH_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/model/model.h"

#define OK(call) \
	do { \
		if ((call) < 0) \
			bench_die(#call); \
	} while (0)

extern struct rd_err e;

struct target {
	const struct rd_backend *be;
	struct rd_dev *dev;
	enum rd_precision precision;
	bool quick;          /* sizes that show that it works, and no more */
	double flops, bytes; /* a second, of the product and the copy */
};

void bench_die(const char *what);
double bench_now(void);

/* The next row of the record, without its closing brace; bench_end_row writes that. */
FILE *bench_row(void);
void bench_end_row(void);

/* Device buffers of standard normal numbers: a sample, an activation. Zeros cost a device less than numbers do. */
void *bench_sample(const struct target *t, struct rd_dims d);
void *bench_act(const struct target *t, struct rd_dims d);

/* rates.c: of a large matrix product, its operands as products take them, and of a copy, read and written. */
double bench_product_rate(const struct target *t);
double bench_copy_rate(const struct target *t);

/* profile.c: where a training step's time goes, by kinds of operations: a row. */
void bench_profile(const struct target *t, const char *network, const struct rd_model *m, int64_t batch);

#endif
