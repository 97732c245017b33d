/* Output is complete or not there: renames, full disks, signals, links, modes. And input: peeks, sizes, names. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/in.h"
#include "formats/out.h"
#include "tests/check.h"
#include "tests/folder.h"
#include "tests/user.h"

static struct rd_err e;

static int holds(const char *path, const char *text)
{
	char *s;
	size_t n;
	int same;

	if (rd_in_file(path, 1 << 20, &s, &n, &e))
		return 0;
	same = n == strlen(text) && !memcmp(s, text, n);
	free(s);
	return same;
}

static void test_whole_file(void)
{
	struct rd_out *o;

	CHECK_OK(rd_out_open(&o, "a", 0, &e), &e);
	CHECK_OK(rd_out_write(o, "hel", 3, &e), &e);
	CHECK_OK(rd_out_printf(o, &e, "%s %d\n", "lo", 1), &e);
	CHECK(access("a", F_OK) != 0 && entries() == 1);
	CHECK_OK(rd_out_finish(o, &e), &e);
	CHECK(holds("a", "hello 1\n") && entries() == 1);
	CHECK_OK(rd_out_file("a", "new", 3, &e), &e);
	CHECK(holds("a", "new") && entries() == 1);
	unlink("a");
}

static void test_abort(void)
{
	struct rd_out *o;

	CHECK_OK(rd_out_file("a", "old", 3, &e), &e);
	CHECK_OK(rd_out_open(&o, "a", 0, &e), &e);
	CHECK_OK(rd_out_write(o, "new", 3, &e), &e);
	CHECK(entries() == 2);
	rd_out_abort(o);
	rd_out_abort(NULL);
	CHECK(holds("a", "old") && entries() == 1);
	unlink("a");
}

/* Several outputs appear at once: settled ones are on disk, under names that are not theirs yet. */
static void test_settle(void)
{
	struct rd_out *o[40];
	char name[16];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "s%d", i);
		CHECK_OK(rd_out_open(&o[i], name, 0, &e), &e);
		CHECK_OK(rd_out_printf(o[i], &e, "%d", i), &e);
		CHECK_OK(rd_out_settle(o[i], &e), &e);
		CHECK(access(name, F_OK) != 0);
	}
	CHECK(entries() == 40);
	for (int i = 0; i < 20; i++)
		CHECK_OK(rd_out_finish(o[i], &e), &e);
	CHECK(holds("s7", "7") && holds("s19", "19"));
	for (int i = 20; i < 40; i++)
		rd_out_abort(o[i]);
	CHECK(entries() == 20);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "s%d", i);
		unlink(name);
	}
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_mode & 0777;
}

static void test_modes_and_links(void)
{
	struct stat st;

	umask(027);
	CHECK_OK(rd_out_file("a", "1", 1, &e), &e);
	CHECK(mode_of("a") == 0640);
	CHECK(chmod("a", 0604) == 0);
	CHECK_OK(rd_out_file("a", "2", 1, &e), &e);
	CHECK(mode_of("a") == 0604);
	CHECK(symlink("a", "link") == 0);
	CHECK_OK(rd_out_file("link", "3", 1, &e), &e);
	CHECK(holds("a", "3") && !lstat("link", &st) && S_ISLNK(st.st_mode));
	unlink("a");
	unlink("link");
}

/* As the shell does, what is written is where the link leads, also the first time. */
static void test_links_to_nothing(void)
{
	struct rd_out *o;
	struct stat st;

	CHECK(!mkdir("far", 0777) && !mkdir("near", 0777));
	CHECK(!symlink("../far/new", "near/relative") && !symlink("near/relative", "link"));
	CHECK_OK(rd_out_file("link", "1", 1, &e), &e);
	CHECK(holds("far/new", "1") && !lstat("link", &st) && S_ISLNK(st.st_mode) && !lstat("near/relative", &st) && S_ISLNK(st.st_mode));
	CHECK(!unlink("far/new") && !rmdir("far"));
	CHECK(rd_out_open(&o, "link", 0, &e) == RD_EIO && strstr(e.msg, "link: cannot create a file beside it"));
	CHECK(!symlink("b", "a") && !symlink("a", "b"));
	CHECK(rd_out_open(&o, "a", 0, &e) == RD_EIO && strstr(e.msg, strerror(ELOOP)));
	CHECK(!unlink("near/relative") && !rmdir("near") && !unlink("link") && !unlink("a") && !unlink("b") && entries() == 0);
}

/* What could not be replaced in the end is told before the work. */
static void test_not_replaceable(void)
{
	struct rd_out *o;

	CHECK(!mkdir("common", 0777) && !chmod("common", 01777));
	CHECK_OK(rd_out_file("common/a", "theirs", 6, &e), &e);
	if (as_nobody()) {
		CHECK(rd_out_open(&o, "common/a", 0, &e) == RD_EIO && strstr(e.msg, "common/a: Permission denied"));
		as_before();
		CHECK(!chmod("common/a", 0666));
		CHECK(as_nobody() && rd_out_open(&o, "common/a", 0, &e) == RD_EIO && strstr(e.msg, "common/a: is another user's"));
		CHECK_OK(rd_out_file("common/b", "1", 1, &e), &e);
		CHECK_OK(rd_out_file("common/b", "2", 1, &e), &e);
		CHECK(!chmod("common/b", 0444));
		CHECK(rd_out_open(&o, "common/b", 0, &e) == RD_EIO && strstr(e.msg, "common/b: Permission denied") && holds("common/b", "2"));
		as_before();
		CHECK(holds("common/a", "theirs") && !unlink("common/b") && !chmod("common", 0777));
		CHECK(as_nobody());
		CHECK_OK(rd_out_file("common/a", "mine", 4, &e), &e); /* nothing keeps it without that bit */
		as_before();
		CHECK(holds("common/a", "mine"));
	}
	CHECK(!unlink("common/a") && !rmdir("common"));
}

/* What is complete is not lost, however its name is taken. */
static void test_kept(void)
{
	char name[201], kept[300];
	struct rd_out *o;

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (int i = 0; i < 2; i++) {
		const char *path = i ? name : "a";

		CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
		CHECK_OK(rd_out_write(o, "work", 4, &e), &e);
		CHECK(!mkdir(path, 0777));
		CHECK(rd_out_finish(o, &e) == RD_EIO && (i || strstr(e.msg, strerror(EISDIR))));
		snprintf(kept, sizeof kept, "%s.complete.%ld", path, (long)getpid());
		CHECK(strstr(e.msg, "kept beside it as ") && strstr(e.msg, kept) && holds(kept, "work") && entries() == 2);
		CHECK(!unlink(kept) && !rmdir(path));
	}
}

static void test_refusals(void)
{
	struct rd_out *o;

	CHECK(rd_out_open(&o, "no/such/folder", 0, &e) == RD_EIO && strstr(e.msg, "no/such/folder") && !o);
	CHECK(rd_out_open(&o, ".", 0, &e) == RD_EIO && strstr(e.msg, "directory"));
	CHECK(entries() == 0);
}

/* /dev/full takes a write into the buffer, and refuses it at the latest when that goes out. */
static void test_full(void)
{
	static char big[1 << 20];
	struct rd_out *o;

	CHECK_OK(rd_out_open(&o, "/dev/full", 0, &e), &e);
	CHECK_OK(rd_out_write(o, "a", 1, &e), &e);
	CHECK(rd_out_finish(o, &e) == RD_EIO && strstr(e.msg, strerror(ENOSPC)));
	CHECK_OK(rd_out_open(&o, "/dev/full", 0, &e), &e);
	CHECK(rd_out_write(o, big, sizeof big, &e) == RD_EIO);
	rd_out_abort(o);
	CHECK(access("/dev/full", F_OK) == 0);
	CHECK_OK(rd_out_open(&o, "/dev/null", 0, &e), &e);
	CHECK_OK(rd_out_write(o, big, sizeof big, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
}

/* Standard output: in a child, with descriptor 1 put where the test wants it. */
static int child_stdout(const char *to, int closed)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		struct rd_out *o;

		if (closed)
			close(1);
		else if (!freopen(to, "w", stdout))
			_exit(9);
		if (rd_out_open(&o, NULL, RD_OUT_BINARY, &e))
			_exit(e.code == RD_EIO ? 2 : 9);
		if (rd_out_write(o, "xyz", 3, &e))
			_exit(9);
		_exit(rd_out_finish(o, &e) ? e.code == RD_EIO : 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_stdout(void)
{
	CHECK(child_stdout("/dev/full", 0) == 1);
	CHECK(child_stdout("/dev/null", 0) == 0);
	CHECK(child_stdout("plain", 0) == 0 && holds("plain", "xyz"));
	CHECK(child_stdout(NULL, 1) == 2);
	unlink("plain");
}

static void on_term(int sig)
{
	(void)sig;
	rd_out_unlink_all();
	_exit(7);
}

static void test_signal(void)
{
	int p[2], status;
	char byte = 0;
	pid_t pid;

	CHECK(pipe(p) == 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		struct rd_out *o[2];

		signal(SIGTERM, on_term);
		if (rd_out_open(&o[0], "a", 0, &e) || rd_out_open(&o[1], "b", 0, &e) || rd_out_write(o[0], "1", 1, &e) ||
		    rd_out_settle(o[1], &e) || write(p[1], &byte, 1) != 1)
			_exit(9);
		for (;;)
			pause();
	}
	close(p[1]);
	CHECK(read(p[0], &byte, 1) == 1 && entries() == 2);
	kill(pid, SIGTERM);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(entries() == 0);
	close(p[0]);
}

/* Writes of every size around the buffer's, and a pipe that takes them in pieces. */
static void test_pipe(void)
{
	static const size_t sizes[] = {1, 70000, 65535, 2, 65536, 65537, 100, 300000, 0, 7};
	static char data[300000];
	size_t total = 0, got;
	struct rd_out *o;
	struct rd_in *in;
	char path[32];
	int p[2], status;
	pid_t pid;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 7 + i / 251);
	CHECK(pipe(p) == 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(p[0]);
		snprintf(path, sizeof path, "/proc/self/fd/%d", p[1]);
		if (rd_out_open(&o, path, 0, &e))
			_exit(1);
		close(p[1]);
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			if (rd_out_write(o, data, sizes[i], &e))
				_exit(2);
		_exit(rd_out_finish(o, &e) ? 3 : 0);
	}
	close(p[1]);
	snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
	CHECK_OK(rd_in_open(&in, path, &e), &e);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char *back = malloc(sizes[i] + 1);

		CHECK_OK(rd_in_exact(in, back, sizes[i], &e), &e);
		CHECK(!memcmp(back, data, sizes[i]));
		total += sizes[i];
		free(back);
	}
	CHECK(rd_in_offset(in) == total);
	CHECK_OK(rd_in_read(in, data, 10, &got, &e), &e);
	CHECK(got == 0 && total == 566718);
	CHECK(rd_in_exact(in, data, 1, &e) == RD_EINPUT && strstr(e.msg, "truncated at byte 566718"));
	rd_in_close(in);
	close(p[0]);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

enum { ROUNDS = 40, PIECE = 300000 };

/* A child that writes to its standard output, or reads from its standard input, what is in data ROUNDS times, with a pause before every
 * tenth round; its end of the pipe does not block. */
static pid_t piped(int end, int as, char *data)
{
	struct rd_out *o = NULL;
	struct rd_in *in = NULL;
	char *back = malloc(PIECE);
	pid_t pid = fork();
	int bad;

	if (pid) {
		free(back);
		return pid;
	}
	bad = dup2(end, as) < 0 || fcntl(as, F_SETFL, O_NONBLOCK) || (as ? rd_out_open(&o, NULL, 0, &e) : rd_in_open(&in, "-", &e));
	for (int i = 0; i < ROUNDS && !bad; i++) {
		if (i % 10 == (as ? 5 : 0))
			usleep(30000);
		bad = as ? rd_out_write(o, data, PIECE, &e) : rd_in_exact(in, back, PIECE, &e) || memcmp(back, data, PIECE) != 0;
	}
	_exit(bad || (as && rd_out_finish(o, &e)));
}

static void test_pipe_that_does_not_block(void)
{
	static char data[PIECE];
	int p[2], status;
	pid_t pid[2];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 11 + i / 253);
	CHECK(pipe(p) == 0);
	fflush(NULL);
	for (int i = 0; i < 2; i++)
		pid[i] = piped(p[i], i, data);
	close(p[0]);
	close(p[1]);
	for (int i = 0; i < 2; i++)
		CHECK(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
}

/* --- input -------------------------------------------------------------------------------------------------------- */

static void test_peek(void)
{
	static char data[200000];
	const uint8_t *v;
	struct rd_in *in;
	char back[70000];
	size_t got, at = 0;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 31 + i / 97);
	CHECK_OK(rd_out_file("a", data, sizeof data, &e), &e);
	CHECK_OK(rd_in_open(&in, "a", &e), &e);
	for (size_t step = 1; at + 65536 < sizeof data; step = step * 3 % 70000) {
		size_t k = at + step <= sizeof data ? step : sizeof data - at;

		CHECK_OK(rd_in_peek(in, 65536, &v, &got, &e), &e);
		CHECK(got == 65536 && !memcmp(v, data + at, got));
		CHECK_OK(rd_in_exact(in, back, k, &e), &e);
		CHECK(!memcmp(back, data + at, k));
		at += k;
		CHECK(rd_in_offset(in) == at);
	}
	CHECK_OK(rd_in_peek(in, 65536, &v, &got, &e), &e);
	CHECK(got == sizeof data - at && !memcmp(v, data + at, got));
	CHECK(rd_in_peek(in, 65537, &v, &got, &e) == RD_EUSAGE);
	rd_in_close(in);
	rd_in_close(NULL);
	unlink("a");
}

static void test_in_file(void)
{
	struct rd_in *in;
	char *s;
	size_t n;

	CHECK_OK(rd_out_file("a", "12345", 5, &e), &e);
	CHECK_OK(rd_in_file("a", 5, &s, &n, &e), &e);
	CHECK(n == 5 && !strcmp(s, "12345"));
	free(s);
	CHECK(rd_in_file("a", 4, &s, &n, &e) == RD_EINPUT && !s && strstr(e.msg, "a: larger"));
	CHECK(rd_in_file("none", 4, &s, &n, &e) == RD_EIO && strstr(e.msg, "none: "));
	CHECK(rd_in_file(".", 4, &s, &n, &e) == RD_EIO && strstr(e.msg, "directory"));
	CHECK(rd_in_open(&in, "none", &e) == RD_EIO && !in);
	CHECK_OK(rd_out_file("a", "", 0, &e), &e);
	CHECK_OK(rd_in_file("a", 5, &s, &n, &e), &e);
	CHECK(n == 0 && !*s);
	free(s);
	unlink("a");
}

int main(void)
{
	char dir[] = "/tmp/test_out.XXXXXX";

	if (!mkdtemp(dir) || chmod(dir, 0755) || chdir(dir))
		return 1;
	test_whole_file();
	test_abort();
	test_settle();
	test_modes_and_links();
	test_links_to_nothing();
	test_not_replaceable();
	test_kept();
	test_refusals();
	test_full();
	test_stdout();
	test_signal();
	test_pipe();
	test_pipe_that_does_not_block();
	test_peek();
	test_in_file();
	CHECK(entries() == 0 && !chdir("/") && !rmdir(dir));
	return check_report("test_out");
}
