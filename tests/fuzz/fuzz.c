#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "formats/in.h"
#include "formats/json.h"

#define SECONDS_MAX 1.0

static struct {
	int fd;
	size_t bytes;
	char path[32];
} file[FUZZ_SLOTS];
static int out_fd = -1, stdout_fd = -1;

size_t (*fuzz_bytes)(uint8_t *data, size_t n, size_t max);

_Noreturn void fuzz_fail(const char *name, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", name, line, what);
	abort();
}

/* Standard output becomes the file that the writers write to: an rd_out by any other name would sync and rename. */
void fuzz_init(void)
{
	for (int i = 0; i < FUZZ_SLOTS; i++) {
		file[i].fd = memfd_create("fuzz", MFD_CLOEXEC);
		ENSURE(file[i].fd >= 0);
		snprintf(file[i].path, sizeof file[i].path, "/proc/self/fd/%d", file[i].fd);
	}
	json_object_seed(1); /* the same run from the same input */
	fflush(stdout);
	stdout_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	out_fd = memfd_create("fuzz-out", MFD_CLOEXEC);
	ENSURE(stdout_fd >= 0 && out_fd >= 0 && dup2(out_fd, STDOUT_FILENO) == STDOUT_FILENO);
}

void fuzz_out_restore(void)
{
	ENSURE(dup2(stdout_fd, STDOUT_FILENO) == STDOUT_FILENO);
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int lowest_free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	ENSURE(fd >= 0);
	close(fd);
	return fd;
}

void fuzz_run(const struct fuzz_target *t, const uint8_t *data, size_t n)
{
	double start = cpu_seconds();
	int fd = lowest_free_fd();

	t->run(data, n);
	ENSURE(lowest_free_fd() == fd);
	ENSURE(cpu_seconds() - start < SECONDS_MAX);
}

size_t fuzz_mutate(const struct fuzz_target *t, uint8_t *data, size_t n, size_t max, uint32_t seed)
{
	if (max > t->max_bytes)
		max = t->max_bytes;
	if (n > max)
		n = max;
	return t->mutate ? t->mutate(data, n, max, seed | 1) : fuzz_bytes(data, n, max);
}

bool fuzz_accepted(int rc, const struct rd_err *e)
{
	if (rc >= 0)
		return true;
	ENSURE(e->code == (enum rd_code)rc);
	ENSURE(e->code == RD_EINPUT || e->code == RD_ESHAPE || e->code == RD_EDOMAIN);
	ENSURE(e->msg[0] && memchr(e->msg, '\0', sizeof e->msg));
	return false;
}

const char *fuzz_file(int slot, const void *data, size_t n)
{
	int fd = file[slot].fd;

	ENSURE(pwrite(fd, data, n, 0) == (ssize_t)n);
	ENSURE(n >= file[slot].bytes || !ftruncate(fd, (off_t)n));
	file[slot].bytes = n;
	return file[slot].path;
}

struct rd_out *fuzz_out_open(void)
{
	struct rd_out *o;
	struct rd_err e;

	ENSURE(!ftruncate(out_fd, 0) && lseek(out_fd, 0, SEEK_SET) == 0);
	ENSURE_OK(rd_out_open(&o, NULL, 0, &e), &e);
	return o;
}

void *fuzz_out_take(struct rd_out *o, size_t *n)
{
	struct rd_err e;
	void *p;

	ENSURE_OK(rd_out_finish(o, &e), &e);
	*n = (size_t)lseek(out_fd, 0, SEEK_END);
	p = malloc(*n + 1);
	ENSURE(p && pread(out_fd, p, *n + 1, 0) == (ssize_t)*n);
	return p;
}

/* xorshift */
uint32_t fuzz_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

void fuzz_emit_files(const char *pattern, fuzz_emit *emit, void *arg)
{
	glob_t g;

	ENSURE(!glob(pattern, 0, NULL, &g));
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct rd_err e;
		char *text;
		size_t n;

		ENSURE_OK(rd_in_file(g.gl_pathv[i], (size_t)1 << 20, &text, &n, &e), &e);
		emit(arg, text, n);
		free(text);
	}
	globfree(&g);
}

void fuzz_check_json(const json_t *o)
{
	char *text = rd_json_text(o);
	json_t *again;

	ENSURE(text);
	again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	ENSURE(again && json_equal(again, o));
	json_decref(again);
	free(text);
}
