/* Folders of pictures: nothing stays allocated, also where a name in them leads nowhere. */
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/out.h"
#include "formats/png_dir.h"
#include "lib/base/tree.h"
#include "tests/check.h"

static struct rd_err e;

static void folder(const char *name, const char *picture)
{
	CHECK(!mkdir(name, 0777));
	CHECK_OK(rd_out_file(picture, "x", 1, &e), &e);
}

/* Bytes in use after another listing, beyond those before it. */
static size_t left_allocated(void)
{
	size_t before = mallinfo2().uordblks;
	struct rd_png_dir d;

	if (!rd_png_dir_list("d", &d, &e))
		rd_png_dir_free(&d);
	(void)rd_png_dir_is("d");
	return mallinfo2().uordblks - before;
}

int main(void)
{
	char dir[64];

	snprintf(dir, sizeof dir, "/tmp/test_png_dir.%ld", (long)getpid());
	CHECK(!mkdir(dir, 0700) && !chdir(dir) && !mkdir("d", 0777));
	folder("d/a", "d/a/x.png");
	folder("d/b", "d/b/x.png");
	left_allocated(); /* what the C library keeps for itself */
	CHECK(rd_png_dir_is("d") && left_allocated() == 0);
	CHECK(!symlink("nowhere", "d/c"));
	left_allocated();
	CHECK(!rd_png_dir_is("d") && left_allocated() == 0);
	CHECK(strstr(e.msg, "d/c: No such file"));
	CHECK(!chdir("/"));
	rd_remove_tree(dir);
	return check_report("png_dir");
}
