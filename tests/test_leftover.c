/* What killed processes left is removed by its exact names; what is only called like it stays. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "formats/leftover.h"
#include "formats/name.h"
#include "formats/out.h"
#include "formats/out_dir.h"
#include "lib/base/tree.h"
#include "tests/check.h"

static struct rd_err e;

/* --- machines: these stand in for the C library's ------------------------------------------------------------------------------------ */

static const char *host = "node-1";
static int lock_errno; /* 0: locks work */

int gethostname(char *name, size_t n)
{
	return snprintf(name, n, "%s", host) < 0;
}

int flock(int fd, int operation)
{
	if (lock_errno) {
		errno = lock_errno;
		return -1;
	}
	return (int)syscall(SYS_flock, fd, operation);
}

/* --- what is left -------------------------------------------------------------------------------------------------------------------- */

/* A folder with something in it. */
static void make(const char *dir)
{
	char path[300];

	snprintf(path, sizeof path, "%s/x", dir);
	CHECK(!mkdir(dir, 0777));
	CHECK_OK(rd_out_file(path, "x", 1, &e), &e);
}

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = -2; /* . and .. */

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_folders(void)
{
	static const char *const left[] = {"a.tmp.1", "a.tmp.4194304", "a.100.tmp.7", "a.0.tmp.7", "a.tmp.1.old", "a.100.tmp.2.old"};
	static const char *const mine[] = {
		"a", "a.100", "a.tmp", "a.tmp.", "a.tmp.2-keep", "a.tmp.backup", "a.tmp.1.2", "a.tmp.1.olds", "a.x.tmp.1", "a.1.2.tmp.1", "b.tmp.1",
		"aa.tmp.1", "a.-1.tmp.1", "a..tmp.1", "a.complete.1", "a.200.tmp.2.old", "a.ckpt.tmp.1",
	};
	const int n = sizeof mine / sizeof *mine;

	for (size_t i = 0; i < sizeof left / sizeof *left; i++)
		make(left[i]);
	for (int i = 0; i < n; i++)
		make(mine[i]);
	rd_leftover_dir("a");
	for (size_t i = 0; i < sizeof left / sizeof *left; i++)
		CHECK(access(left[i], F_OK));
	for (int i = 0; i < n; i++) {
		CHECK(!access(mine[i], F_OK));
		rd_remove_tree(mine[i]);
	}
	CHECK(entries(".") == 0);
}

/* The only copy of what was to be replaced stays. */
static void test_old_alone(void)
{
	make("a.tmp.1");
	make("a.tmp.1.old");
	rd_leftover_dir("a");
	CHECK(access("a.tmp.1", F_OK) && !access("a.tmp.1.old", F_OK));
	rd_remove_tree("a.tmp.1.old");
}

/* a.7 may be the output of a process that is at work. */
static void test_locked(void)
{
	make("a.7.tmp.1");
	CHECK_OK(rd_out_file("a.7.lock", "", 0, &e), &e);
	rd_leftover_dir("a");
	CHECK(!access("a.7.tmp.1", F_OK));
	CHECK(!unlink("a.7.lock"));
	rd_leftover_dir("a");
	CHECK(access("a.7.tmp.1", F_OK) && entries(".") == 0);
}

static void put(const char *file, time_t age)
{
	const struct timespec then[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};

	CHECK_OK(rd_out_file(file, "x", 1, &e), &e);
	CHECK(!utimensat(AT_FDCWD, file, then, 0));
}

static void test_files(void)
{
	static const char *const left[] = {".l.og.node-1.1.0.tmp", ".l.og.node-1.123.4567.tmp"};
	static const char *const mine[] = {
		"l.og", ".l.og.node-1.1.tmp", ".l.og.node-1.1.0.tmp.x", ".l.og.node-1.1.x.tmp", ".l.og.node-1.mine.0.tmp", ".l.og.node-1.1.0.2.tmp",
		".lxog.node-1.1.0.tmp", "l.og.node-1.1.0.tmp", ".l.og.node-1..0.tmp", ".l.og.1.0.tmp", ".l.og..1.0.tmp", ".l.og.a.b.1.0.tmp",
	};
	const int n = sizeof mine / sizeof *mine;

	for (size_t i = 0; i < sizeof left / sizeof *left; i++)
		put(left[i], 0);
	for (int i = 0; i < n; i++)
		put(mine[i], 1000000);
	rd_leftover_file("l.og", false);
	for (size_t i = 0; i < sizeof left / sizeof *left; i++)
		CHECK(access(left[i], F_OK));
	for (int i = 0; i < n; i++)
		CHECK(!unlink(mine[i]));
	CHECK(entries(".") == 0);
}

/* Those of other machines, of which a lock may say nothing here, when they are a day old. */
static void test_hosts(void)
{
	static const char *const young[] = {".l.og.node-2.1.0.tmp", ".l.og.node-10.1.0.tmp", ".l.og.node.1.0.tmp"};

	for (int i = 0; i < 3; i++)
		put(young[i], 80000);
	put(".l.og.node-3.1.0.tmp", 90000);
	rd_leftover_file("l.og", false);
	CHECK(entries(".") == 3);
	for (int i = 0; i < 3; i++)
		CHECK(!unlink(young[i]));
}

/* However new, where nobody else may write the file, whatever the machine; but what is at work keeps its own, and so does a file whose
 * name is the same as far as temporary names tell. */
static void test_alone(void)
{
	char name[160], tmp[300];
	struct rd_out *o;

	put(".l.og.node-2.1.0.tmp", 0);
	put(".l.og2.node-2.1.0.tmp", 0);
	host = "node-3";
	CHECK_OK(rd_out_open(&o, "l.og", 0, &e), &e);
	host = "node-1";
	rd_leftover_file("l.og", true);
	CHECK(access(".l.og.node-2.1.0.tmp", F_OK) && entries(".") == 2);
	rd_out_abort(o);
	CHECK(!unlink(".l.og2.node-2.1.0.tmp"));
	memset(name, 'n', sizeof name);
	for (int n = 150; n <= 151; n++) {
		name[n] = '\0';
		snprintf(tmp, sizeof tmp, ".%.150s.node-2.1.0.tmp", name);
		put(tmp, 0);
		rd_leftover_file(name, true);
		CHECK(entries(".") == n - 150);
		name[n] = 'n';
	}
	CHECK(!unlink(tmp));
}

/* A process that is at work keeps its file, whoever asks; without locks nobody knows. */
static void test_at_work(void)
{
	struct rd_out *a, *b, *c;

	CHECK_OK(rd_out_open(&a, "l.og", 0, &e), &e);
	rd_leftover_file("l.og", false);
	CHECK(entries(".") == 1);
	CHECK_OK(rd_out_settle(a, &e), &e);
	rd_leftover_file("l.og", false);
	CHECK(entries(".") == 1);
	put(".l.og.node-1.1.0.tmp", 1000000);
	lock_errno = ENOLCK;
	rd_leftover_file("l.og", false);
	CHECK(entries(".") == 2);
	CHECK_OK(rd_out_open(&b, "other", 0, &e), &e);
	lock_errno = 0;
	CHECK_OK(rd_out_finish(b, &e), &e);
	CHECK_OK(rd_out_finish(a, &e), &e);
	CHECK(entries(".") == 3 && !access("l.og", F_OK));
	CHECK_OK(rd_out_open(&c, "l.og", 0, &e), &e); /* and who starts removes what is left */
	CHECK(entries(".") == 3 && access(".l.og.node-1.1.0.tmp", F_OK));
	rd_out_abort(c);
	CHECK(!unlink("l.og") && !unlink("other"));
}

/* Names of machines with dots or anything else in them are one word. */
static void test_host_names(void)
{
	static const char *const names[][2] = {{"a.b-c", "a-b-c"}, {"x/../y", "x----y"}, {"", "host"}};
	struct rd_out *o;
	char tmp[300];

	for (int i = 0; i < 3; i++) {
		host = names[i][0];
		CHECK_OK(rd_out_open(&o, "l.og", 0, &e), &e);
		CHECK(entries(".") == 1);
		rd_out_abort(o);
		snprintf(tmp, sizeof tmp, ".l.og.%s.1.0.tmp", names[i][1]);
		put(tmp, 0);
		rd_leftover_file("l.og", false);
		CHECK(entries(".") == 0);
	}
	host = "node-1";
}

/* What the writers leave lies beside the real path. */
static void test_links(void)
{
	struct rd_out_dir *d;
	struct rd_out *o;

	CHECK(!mkdir("far", 0777) && !mkdir("far/real", 0777) && !symlink("far/real", "a"));
	CHECK_OK(rd_out_file("far/file", "x", 1, &e), &e);
	CHECK(!symlink("far/file", "log"));
	CHECK_OK(rd_out_dir_open(&d, "a", true, &e), &e);
	CHECK_OK(rd_out_open(&o, "log", 0, &e), &e);
	make("a.3.tmp.1");
	CHECK_OK(rd_out_file("far/.file.node-1.1.0.tmp", "x", 1, &e), &e);
	CHECK(entries("far") == 5 && entries(".") == 4);
	rd_leftover_dir("a");
	CHECK(entries("far") == 4 && entries(".") == 3);
	rd_leftover_file("log", false);
	CHECK(entries("far") == 3);
	rd_leftover_dir("nowhere/a");
	rd_leftover_dir("none");
	rd_out_abort(o);
	rd_out_dir_abort(d);
	rd_remove_tree("far");
	CHECK(!unlink("a") && !unlink("log"));
}

/* A name of the greatest length is cut in that of its temporary file. */
static void test_long_name(void)
{
	char name[251], tmp[300];
	struct rd_out *o;

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	host = "a-host-whose-name-is-as-long-as-names-of-hosts-can-be-on-a-linux";
	CHECK(strlen(host) == RD_NAME_HOST - 1);
	CHECK_OK(rd_out_open(&o, name, 0, &e), &e);
	CHECK(entries(".") == 1);
	snprintf(tmp, sizeof tmp, ".%.150s.%s.4194304.4294967295.tmp", name, host);
	put(tmp, 0);
	rd_leftover_file(name, false);
	CHECK(entries(".") == 1);
	rd_out_abort(o);
	host = "node-1";
}

int main(void)
{
	char dir[64];

	snprintf(dir, sizeof dir, "/tmp/test_leftover.%ld", (long)getpid());
	CHECK(!mkdir(dir, 0700) && !chdir(dir));
	test_folders();
	test_old_alone();
	test_locked();
	test_files();
	test_hosts();
	test_alone();
	test_at_work();
	test_host_names();
	test_links();
	test_long_name();
	CHECK(!chdir("/"));
	rd_remove_tree(dir);
	return check_report("leftover");
}
