/* The fuzz targets without a fuzzer: every finding there was (tests/fuzz/regressions/TARGET/), and for each target its seeds,
 * every cut of them, and mutants of them, always the same. Sanitizers see more, but a broken promise stops this program, and
 * a reader that asks for memory on the word of a header finds none. */
#include <glob.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "formats/in.h"
#include "tests/check.h"
#include "tests/fuzz/fuzz.h"

/* AddressSanitizer's shadow is larger than any limit; gcc and clang say in two ways that it is there. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

enum { MUTANTS = 400, CUTS = 64, ROUNDS = 6, SPARE = 64 << 20 };

static const struct fuzz_target *const targets[] = {&fuzz_safetensors, &fuzz_config, &fuzz_scheduler, &fuzz_model, &fuzz_frame,
                                                    &fuzz_npy, &fuzz_idx, &fuzz_idxgz, &fuzz_pairs,
                                                    &fuzz_index, &fuzz_png, &fuzz_contexts};
static char now[256]; /* the input at work, for the handler of signals */
static uint32_t state = 1;

struct corpus {
	const struct fuzz_target *t;
	int seeds, inputs;
};

static void say_where(int sig)
{
	static const char before[] = "test_fuzz_replay: stopped at ";

	if (write(STDERR_FILENO, before, sizeof before - 1) > 0 && write(STDERR_FILENO, now, strlen(now)) > 0)
		(void)!write(STDERR_FILENO, "\n", 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* One change of a byte, a cut, a repeated or an inserted run. */
static size_t change_bytes(uint8_t *data, size_t n, size_t max)
{
	size_t at = n ? fuzz_random(&state) % n : 0, run = 1 + fuzz_random(&state) % 8;

	switch (n ? fuzz_random(&state) % 6 : 5) {
	case 0: data[at] = (uint8_t)(data[at] ^ 1 << fuzz_random(&state) % 8); break;
	case 1: data[at] = (uint8_t)fuzz_random(&state); break;
	case 2: data[at] = fuzz_random(&state) & 1 ? 0xff : 0; break;
	case 3: return at;
	case 4:
		if (at + run >= n)
			break;
		memmove(data + at, data + at + run, n - at - run);
		return n - run;
	default:
		if (n + run > max)
			break;
		memmove(data + at + run, data + at, n - at);
		memset(data + at, (int)(fuzz_random(&state) & 0xff), run);
		return n + run;
	}
	return n;
}

/* From a buffer of its own size: a byte read behind it is seen by valgrind. */
static void run(struct corpus *c, const uint8_t *data, size_t n)
{
	uint8_t *own = malloc(n + 1);

	if (!own)
		abort();
	memcpy(own, data, n);
	fuzz_run(c->t, own, n);
	free(own);
	c->inputs++;
}

static void replay_seed(void *arg, const void *data, size_t n)
{
	struct corpus *c = arg;
	size_t max = n > c->t->max_bytes ? n : c->t->max_bytes, m;
	uint8_t *buf = malloc(max + 1);

	CHECK(buf != NULL);
	if (!buf)
		return;
	snprintf(now, sizeof now, "%s, seed %d", c->t->name, c->seeds);
	run(c, data, n);
	for (size_t k = 0; k < CUTS; k++) {
		snprintf(now, sizeof now, "%s, seed %d, cut %zu", c->t->name, c->seeds, k);
		run(c, data, n * k / CUTS);
	}
	for (int k = 0; k < MUTANTS / ROUNDS; k++) {
		memcpy(buf, data, n);
		m = n;
		for (int round = 0; round < ROUNDS; round++) {
			snprintf(now, sizeof now, "%s, seed %d, mutant %d of round %d", c->t->name, c->seeds, k, round);
			m = fuzz_mutate(c->t, buf, m, max, fuzz_random(&state));
			run(c, buf, m);
		}
	}
	free(buf);
	c->seeds++;
}

static void replay_file(struct corpus *c, const char *path)
{
	struct rd_err e;
	char *data;
	size_t n;

	snprintf(now, sizeof now, "%s", path);
	CHECK_OK(rd_in_file(path, (size_t)1 << 20, &data, &n, &e), &e);
	run(c, (const uint8_t *)data, n);
	free(data);
}

static void replay(const struct fuzz_target *t)
{
	struct corpus c = {t, 0, 0};
	char pattern[256];
	glob_t g;

	snprintf(pattern, sizeof pattern, "tests/fuzz/regressions/%s/*", t->name);
	if (!glob(pattern, 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			replay_file(&c, g.gl_pathv[i]);
		globfree(&g);
	}
	t->seeds(replay_seed, &c);
	CHECK(c.seeds > 0 && c.inputs > 100);
}

#if !defined(SANITIZED)
/* What a target may ask for beyond what this program has already. Large blocks go back to the system at once. */
static void limit_memory(void)
{
	struct rlimit r;
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%ld", &pages) == 1);
	if (f)
		fclose(f);
	r.rlim_cur = r.rlim_max = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + SPARE;
	CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 17) && !setrlimit(RLIMIT_AS, &r));
}
#endif

int main(void)
{
	static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		signal(deadly[i], say_where);
	fuzz_init();
	fuzz_bytes = change_bytes;
#if !defined(SANITIZED)
	limit_memory();
#endif
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		replay(targets[i]);
	fuzz_out_restore();
	return check_report("test_fuzz_replay");
}
