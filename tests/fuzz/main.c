/* libFuzzer's entry points around the one target that the Makefile names: -DTARGET=fuzz_npy. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rng.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);

/* In place of kernels/rng.c, which would bring every kernel of the CPU along: weights are read here and never drawn. */
static _Noreturn void no_random_numbers(void)
{
	fuzz_fail(__FILE__, __LINE__, "random numbers were asked for");
}

void rd_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
	(void)ctr, (void)key, (void)out;
	no_random_numbers();
}

void rd_rng_words(uint64_t seed, enum rd_rng_stream stream, uint64_t index, uint32_t *out, size_t n)
{
	(void)seed, (void)stream, (void)index, (void)out, (void)n;
	no_random_numbers();
}

void rd_rng_normal(uint64_t seed, enum rd_rng_stream stream, uint64_t index, float *out, size_t n)
{
	(void)seed, (void)stream, (void)index, (void)out, (void)n;
	no_random_numbers();
}

void rd_rng_normal_batch(uint64_t seed, enum rd_rng_stream stream, uint64_t index, float *out, size_t count, size_t n)
{
	(void)seed, (void)stream, (void)index, (void)out, (void)count, (void)n;
	no_random_numbers();
}

struct dir {
	const char *path;
	int n;
};

static FILE *create(const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f) {
		perror(path);
		exit(2);
	}
	return f;
}

static void write_seed(void *arg, const void *data, size_t n)
{
	struct dir *d = arg;
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof path, "%s/seed-%03d", d->path, d->n++);
	f = create(path);
	ENSURE(fwrite(data, 1, n, f) == n && !fclose(f));
}

/* libFuzzer's dictionary: a quoted string a line, and not a file without a line. */
static void write_words(const char *path, const char *const *words)
{
	FILE *f = create(path);

	fputs("# strings of the format\n", f);
	for (; words && *words; words++) {
		if (!**words)
			continue;
		fputc('"', f);
		for (const char *p = *words; *p; p++)
			fprintf(f, "\\x%02x", (unsigned)(uint8_t)*p);
		fputs("\"\n", f);
	}
	ENSURE(!fclose(f));
}

static void write_seeds(const char *path)
{
	struct dir d = {path, 0};
	char dict[PATH_MAX];

	TARGET.seeds(write_seed, &d);
	snprintf(dict, sizeof dict, "%s.dict", path);
	write_words(dict, TARGET.words);
}

/* --seeds=DIR: writes the seeds there and the words to DIR.dict, prints the size of the longest input worth trying, and
 * ends. libFuzzer itself passes over options with two dashes. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char option[] = "--seeds=";

	fuzz_init();
	fuzz_bytes = LLVMFuzzerMutate;
	for (int i = 1; i < *argc; i++)
		if (!strncmp((*argv)[i], option, strlen(option))) {
			write_seeds((*argv)[i] + strlen(option));
			fuzz_out_restore();
			printf("%zu\n", TARGET.max_bytes);
			exit(0);
		}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	fuzz_run(&TARGET, data, n);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed)
{
	return fuzz_mutate(&TARGET, data, n, max, seed);
}
