/* Folders that are complete or not there, also where the file system lacks what makes that easy. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "formats/in.h"
#include "formats/out_dir.h"
#include "lib/base/tree.h"
#include "tests/check.h"
#include "tests/folder.h"
#include "tests/user.h"

static struct rd_err e;

/* --- a file system with faults: these stand in for the C library's -------------------------------------------------------------- */

static struct {
	int with_flags;          /* errno of a rename with flags; 0: they work */
	int plain;               /* errno of a rename to `to`, or from `from` */
	const char *to, *from;
	int sync_folder;         /* errno of fsync of a folder */
} fault;

static int fails(int error)
{
	errno = error;
	return -1;
}

int renameat2(int old_dir, const char *old, int new_dir, const char *new, unsigned flags)
{
	if (flags && fault.with_flags)
		return fails(fault.with_flags);
	return (int)syscall(SYS_renameat2, old_dir, old, new_dir, new, flags);
}

int rename(const char *old, const char *new)
{
	if (fault.plain && ((fault.to && !strcmp(new, fault.to)) || (fault.from && !strcmp(old, fault.from))))
		return fails(fault.plain);
	return (int)syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0);
}

int fsync(int fd)
{
	struct stat st;

	if (fault.sync_folder && !fstat(fd, &st) && S_ISDIR(st.st_mode))
		return fails(fault.sync_folder);
	return (int)syscall(SYS_fsync, fd);
}

/* --- folders -------------------------------------------------------------------------------------------------------------------- */

static int holds(const char *dir, const char *text)
{
	char path[64], *s;
	size_t n;
	int same;

	snprintf(path, sizeof path, "%s/model_index.json", dir);
	if (rd_in_file(path, 1 << 20, &s, &n, &e))
		return 0;
	same = n == strlen(text) && !memcmp(s, text, n);
	free(s);
	return same;
}

static int make(const char *dir, const char *text, bool replace)
{
	struct rd_out_dir *o;
	int rc = rd_out_dir_open(&o, dir, replace, &e);

	if (rc)
		return rc;
	CHECK_OK(rd_out_dir_sub(o, "sub", &e), &e);
	CHECK_OK(rd_out_dir_text(o, "model_index.json", text, &e), &e);
	return rd_out_dir_finish(o, &e);
}

/* New, over another, and over an empty folder; with the renames that there are. */
static void test_replaced(int with_flags)
{
	fault.with_flags = with_flags;
	CHECK_OK(make("a", "one", false), &e);
	CHECK(holds("a", "one") && entries() == 1);
	CHECK(make("a", "two", false) == RD_EFAIL && strstr(e.msg, "is there already"));
	CHECK_OK(make("a", "two", true), &e);
	CHECK(holds("a", "two") && entries() == 1);
	rd_remove_tree("a");
	CHECK(!mkdir("a", 0777));
	CHECK_OK(make("a", "three", true), &e);
	CHECK(holds("a", "three") && entries() == 1);
	rd_remove_tree("a");
	memset(&fault, 0, sizeof fault);
}

/* The name of what was kept, and nothing but that and `a` is here. */
static void check_kept(const char *text, int n)
{
	char kept[64];

	snprintf(kept, sizeof kept, "a.complete.%ld", (long)getpid());
	CHECK(holds(kept, text) && entries() == n);
	CHECK(strstr(e.msg, "complete") && strstr(e.msg, kept));
	rd_remove_tree(kept);
}

/* What was made stays, and so does what it was to replace. */
static void test_last_rename_fails(void)
{
	char tmp[64];

	CHECK_OK(make("a", "one", false), &e);
	fault.with_flags = EBUSY;
	CHECK(make("a", "two", true) == RD_EIO);
	CHECK(holds("a", "one"));
	check_kept("two", 2);
	fault.with_flags = EINVAL;
	fault.plain = EBUSY;
	fault.from = "a";
	CHECK(make("a", "two", true) == RD_EIO && holds("a", "one"));
	check_kept("two", 2);
	snprintf(tmp, sizeof tmp, "a.tmp.%ld", (long)getpid());
	fault.from = tmp;
	CHECK(make("a", "two", true) == RD_EIO && holds("a", "one"));
	CHECK(holds(tmp, "two") && entries() == 2 && strstr(e.msg, tmp)); /* it cannot be renamed at all */
	rd_remove_tree(tmp);
	fault.from = NULL;
	rd_remove_tree("a");
	fault.to = "a";
	CHECK(make("a", "two", false) == RD_EIO);
	check_kept("two", 1);
	memset(&fault, 0, sizeof fault);
}

/* The old one has stepped aside, and neither name can be given: both are told. */
static void test_not_put_back(void)
{
	char old[64];

	CHECK_OK(make("a", "one", false), &e);
	fault.with_flags = ENOSYS;
	fault.plain = EIO;
	fault.to = "a";
	CHECK(make("a", "two", true) == RD_EIO);
	snprintf(old, sizeof old, "a.tmp.%ld.old", (long)getpid());
	CHECK(holds(old, "one") && strstr(e.msg, old));
	check_kept("two", 2);
	memset(&fault, 0, sizeof fault);
	rd_remove_tree(old);
}

static void test_appeared_meanwhile(void)
{
	struct rd_out_dir *o;

	for (int flags = 0; flags < 2; flags++) {
		fault.with_flags = flags ? EINVAL : 0;
		CHECK_OK(rd_out_dir_open(&o, "a", false, &e), &e);
		CHECK_OK(rd_out_dir_text(o, "model_index.json", "mine", &e), &e);
		CHECK(!mkdir("a", 0777));
		CHECK(rd_out_dir_finish(o, &e) == RD_EFAIL && strstr(e.msg, "meanwhile"));
		check_kept("mine", 2);
		CHECK(!rmdir("a"));
	}
	fault.with_flags = 0;
}

/* What no rename can put a folder in the place of: told before there is one. */
static void test_places(void)
{
	static const char *const dots[] = {".", "..", "a/.", "a/..", "./"};

	CHECK_OK(make("a", "one", false), &e);
	for (size_t i = 0; i < sizeof dots / sizeof *dots; i++)
		CHECK(rd_out_dir_try(dots[i], true, &e) == RD_EUSAGE && strstr(e.msg, dots[i]) && strstr(e.msg, "what it is called"));
	CHECK(rd_out_dir_try("/proc", true, &e) == RD_EFAIL && strstr(e.msg, "/proc: is a mount point"));
	CHECK(!symlink("/proc", "p"));
	CHECK(rd_out_dir_try("p", true, &e) == RD_EFAIL && strstr(e.msg, "p: is a mount point"));
	CHECK(rd_out_dir_try("/", true, &e) == RD_EFAIL); /* a mount point, or under chroot a folder of something else */
	CHECK(!unlink("p") && entries() == 1);
	rd_remove_tree("a");
}

/* Models that may not be replaced: of somebody else in a folder with the sticky bit, and read-only ones. */
static void test_not_mine(void)
{
	CHECK(!mkdir("common", 0777) && !chmod("common", 01777));
	CHECK_OK(make("common/a", "one", false), &e);
	if (as_nobody()) {
		CHECK(rd_out_dir_try("common/a", true, &e) == RD_EIO && strstr(e.msg, "common/a: Permission denied"));
		as_before();
		CHECK(!chmod("common/a", 0777));
		CHECK(as_nobody() && rd_out_dir_try("common/a", true, &e) == RD_EIO && strstr(e.msg, "sticky bit"));
		CHECK_OK(make("common/b", "one", false), &e);
		CHECK_OK(make("common/b", "two", true), &e);
		as_before();
	}
	rd_remove_tree("common");
}

static void test_folders_not_synced(void)
{
	static const int tolerated[] = {EINVAL, EROFS, ENOTSUP, ENOSYS};

	for (size_t i = 0; i < sizeof tolerated / sizeof *tolerated; i++) {
		fault.sync_folder = tolerated[i];
		CHECK_OK(make("a", "one", false), &e);
		CHECK(holds("a", "one") && entries() == 1);
		rd_remove_tree("a");
	}
	fault.sync_folder = EIO; /* of a disk that fails */
	CHECK(make("a", "one", false) == RD_EIO && strstr(e.msg, "sync") && entries() == 0);
	fault.sync_folder = 0;
}

int main(void)
{
	static const int faults[] = {0, EINVAL, ENOSYS, ENOTSUP};
	char dir[64];

	snprintf(dir, sizeof dir, "/tmp/test_out_dir.%ld", (long)getpid());
	CHECK(!mkdir(dir, 0755) && !chdir(dir));
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		test_replaced(faults[i]);
	test_last_rename_fails();
	test_not_put_back();
	test_appeared_meanwhile();
	test_places();
	test_not_mine();
	test_folders_not_synced();
	CHECK(!chdir("/"));
	rd_remove_tree(dir);
	return check_report("out_dir");
}
