#include "kernels/rng.h"

#include <stdatomic.h>

#include "kernels/cpu/common/cpu.h"
#include "kernels/cpu/common/normal.h"
#include "kernels/normal.h"

extern rd_normal_rows_fn rd_cpu_normal_rows_base;
#ifdef __x86_64__
extern rd_normal_rows_fn rd_cpu_normal_rows_avx2, rd_cpu_normal_rows_avx512;
#endif

/* In the order of rd_cpu_isa_name. */
static rd_normal_rows_fn *const normal_rows[] = {
	rd_cpu_normal_rows_base,
#ifdef __x86_64__
	rd_cpu_normal_rows_avx2,
	rd_cpu_normal_rows_avx512,
#endif
};

static atomic_int selected = -1; /* -1: not yet known which is the best */

const char *rd_rng_isa_name(int i)
{
	return rd_cpu_isa_name(i);
}

int rd_rng_isa_select(int i)
{
	if (i < 0)
		i = rd_cpu_isa_best();
	if (!rd_cpu_backend(i))
		return 0;
	atomic_store(&selected, i);
	return 1;
}

static rd_normal_rows_fn *rows_fn(void)
{
	int i = atomic_load(&selected);

	if (i < 0) {
		i = rd_cpu_isa_best();
		atomic_store(&selected, i);
	}
	return normal_rows[i];
}

void rd_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
	struct rd_u32x4 v = rd_philox_block((struct rd_u32x4){ ctr[0], ctr[1], ctr[2], ctr[3] }, key[0], key[1]);

	out[0] = v.a;
	out[1] = v.b;
	out[2] = v.c;
	out[3] = v.d;
}

/* The words of (seed, stream, index) one after another. */
struct words {
	uint32_t ctr[4], key[2], w[4];
	unsigned used; /* of w */
};

static struct words words_start(uint64_t seed, enum rd_rng_stream stream, uint64_t index)
{
	return (struct words){
		.ctr = { 0, (uint32_t)stream, (uint32_t)index, (uint32_t)(index >> 32) },
		.key = { (uint32_t)seed, (uint32_t)(seed >> 32) },
		.used = 4,
	};
}

static uint32_t words_next(struct words *s)
{
	if (s->used == 4) {
		rd_philox4x32_10(s->ctr, s->key, s->w);
		s->ctr[0]++;
		s->used = 0;
	}
	return s->w[s->used++];
}

/* Uniform in [0, k): the high half of word * k, words that would favour some results drawn again. */
static uint32_t words_below(struct words *s, uint32_t k)
{
	uint64_t p = (uint64_t)words_next(s) * k;

	if ((uint32_t)p < k) {
		uint32_t least = -k % k;

		while ((uint32_t)p < least)
			p = (uint64_t)words_next(s) * k;
	}
	return (uint32_t)(p >> 32);
}

void rd_rng_words(uint64_t seed, enum rd_rng_stream stream, uint64_t index, uint32_t *out, size_t n)
{
	struct words s = words_start(seed, stream, index);

	for (size_t i = 0; i < n; i++)
		out[i] = words_next(&s);
}

void rd_rng_normal(uint64_t seed, enum rd_rng_stream stream, uint64_t index, float *out, size_t n)
{
	if (n)
		rows_fn()(&(struct rd_normal_key){ seed, (uint32_t)stream }, index, out, 1, n);
}

/* Rows go to the threads in runs of about 1 MiB, a tenth of a millisecond's work or more: what is less than two of them
 * is done sooner than a second thread can be woken on a busy machine. */
enum { RUN_FLOATS = 1 << 18 };

void rd_rng_normal_batch(uint64_t seed, enum rd_rng_stream stream, uint64_t index, float *out, size_t count, size_t n)
{
	const struct rd_normal_key k = { seed, (uint32_t)stream };
	rd_normal_rows_fn *const fn = rows_fn();
	const size_t run = n && n < RUN_FLOATS ? RUN_FLOATS / n : 1; /* rows */
	const size_t n_runs = n ? (count + run - 1) / run : 0;

#pragma omp parallel for schedule(static) if (n_runs > 1)
	for (size_t r = 0; r < n_runs; r++) {
		size_t first = r * run;
		size_t rows = count - first < run ? count - first : run;

		fn(&k, index + first, out + first * n, rows, n);
	}
}

/* The 53-bit odd numbers over 2^53: half-way between the 52-bit ones, so neither 0 nor 1. */
double rd_rng_uniform(uint64_t seed, enum rd_rng_stream stream, uint64_t index)
{
	struct words s = words_start(seed, stream, index);
	uint64_t hi = words_next(&s) >> 6;
	uint64_t lo = words_next(&s) >> 6;

	return (double)((hi << 26 | lo) * 2 + 1) * 0x1p-53;
}

uint32_t rd_rng_below(uint64_t seed, enum rd_rng_stream stream, uint64_t index, uint32_t k)
{
	struct words s = words_start(seed, stream, index);

	return words_below(&s, k);
}

/* Fisher-Yates from the front, each element placed as it comes. */
void rd_rng_permutation(uint64_t seed, enum rd_rng_stream stream, uint64_t index, uint32_t *order, size_t n)
{
	struct words s = words_start(seed, stream, index);

	if (n)
		order[0] = 0;
	for (size_t i = 1; i < n; i++) {
		uint32_t j = words_below(&s, (uint32_t)i + 1);

		order[i] = order[j];
		order[j] = (uint32_t)i;
	}
}
