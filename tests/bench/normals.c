/* Standard normal numbers, on one core. */
#include <stdlib.h>

#include "kernels/rng.h"
#include "tests/bench/bench.h"

#define N ((size_t)1 << 18) /* one sample of 1 MiB: within the caches, as the tools' are */
#define TIMES 64

static void normals(void *ctx)
{
	for (uint64_t i = 0; i < TIMES; i++)
		rd_rng_normal(1, RD_RNG_NOISE, i, ctx, N);
}

void bench_normals(struct bench *b)
{
	float *buf = malloc(N * sizeof *buf);
	double t[BENCH_MAX_RUNS];

	bench_times(normals, buf, b->runs, t);
	bench_print(&BENCH_ROW(.rate = 1e-9 * TIMES * (double)(N * sizeof *buf) / bench_median(t, b->runs), .unit = "GB/s"),
	            "normal numbers, one core");
	free(buf);
}
