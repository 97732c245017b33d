/* Memory that grows, by itself and in a file. */
#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/block.h"
#include "tests/check.h"

static struct rd_err e;

static unsigned char at(size_t i)
{
	return (unsigned char)(i * 7 + i / 251);
}

/* Up and down; what was written stays, up to the smaller size. */
static void keeps(const char *dir)
{
	static const size_t sizes[] = {10, 5000, 4096, 1 << 20, 123457, 123458, 3 << 20};
	struct rd_block b = {.dir = dir};
	size_t kept = 0;

	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		size_t wrong = 0;

		CHECK_OK(rd_block_resize(&b, sizes[k], "test", &e), &e);
		CHECK(b.bytes == sizes[k]);
		kept = kept < sizes[k] ? kept : sizes[k];
		for (size_t i = 0; i < kept; i++)
			wrong += ((unsigned char *)b.p)[i] != at(i);
		CHECK(!wrong);
		for (kept = 0; kept < sizes[k]; kept++)
			((unsigned char *)b.p)[kept] = at(kept);
	}
	rd_block_free(&b);
	CHECK(!b.p && !b.bytes && !b.fd && !b.dir);
}

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void nothing_is_left(void)
{
	char dir[] = "/tmp/rectdiff-test-XXXXXX";
	struct rd_block b = {0};
	struct stat st;
	char c = 0;

	CHECK(mkdtemp(dir) != NULL);
	keeps(dir);
	b.dir = dir;
	CHECK_OK(rd_block_resize(&b, 1 << 16, "test", &e), &e);
	CHECK(entries(dir) == 0); /* while it is there too */
	CHECK(!fstat(b.fd - 1, &st) && st.st_size == 1 << 16);
	CHECK(st.st_blocks * 512 >= 1 << 16); /* no holes */
	memset(b.p, 'x', 1 << 16);
	CHECK(pread(b.fd - 1, &c, 1, 54321) == 1 && c == 'x'); /* it is the file that holds them, not memory */
	rd_block_free(&b);
	CHECK(!rmdir(dir));
}

static void refusals(void)
{
	struct rd_block b = {.dir = "/tmp/rectdiff-test-nowhere"}, huge = {.dir = "/tmp"}, more = {0};

	CHECK(rd_block_resize(&b, 100, "data", &e) == RD_EIO && strstr(e.msg, "data: /tmp/rectdiff-test-nowhere: "));
	CHECK(!b.p && !b.fd);
	CHECK_OK(rd_block_resize(&huge, 100, "data", &e), &e);
	CHECK(rd_block_resize(&huge, (size_t)1 << 60, "data", &e) < 0 && huge.bytes == 100 && huge.p);
	CHECK(rd_block_resize(&more, SIZE_MAX / 2, "data", &e) == RD_ENOMEM && strstr(e.msg, "data: "));
	rd_block_free(&b);
	rd_block_free(&huge);
	rd_block_free(&more);
}

int main(void)
{
	keeps(NULL);
	nothing_is_left();
	refusals();
	return check_report("block");
}
