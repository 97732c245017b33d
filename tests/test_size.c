/* Room for items that come one by one. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/size.h"
#include "tests/check.h"

static struct rd_err e;

/* What was added stays; full arrays double. */
static void one_by_one(void)
{
	size_t room = 0, moves = 0, wrong = 0, short_of = 0;
	void *p = NULL;

	for (size_t n = 0; n < 100000; n++) {
		const size_t before = room;

		if (rd_one_more(&p, &room, n, sizeof(uint32_t), "test", &e) || room <= n) {
			short_of++;
			break;
		}
		moves += room != before;
		((uint32_t *)p)[n] = (uint32_t)n;
	}
	CHECK(!short_of);
	for (size_t n = 0; n < 100000 && !short_of; n++)
		wrong += ((uint32_t *)p)[n] != n;
	CHECK(!wrong);
	CHECK(moves < 20);
	free(p);
}

/* Neither the number of items nor that of their bytes may overflow; what is there is left alone. */
static void overflow(void)
{
	static const struct {
		size_t room, size;
	} c[] = {{SIZE_MAX / 2 + 1, 1}, {SIZE_MAX / 16 + 1, 8}, {0, SIZE_MAX / 8}};
	char there;

	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		void *p = &there;
		size_t room = c[i].room;

		CHECK(rd_one_more(&p, &room, room, c[i].size, "things", &e) == RD_ENOMEM);
		CHECK(p == &there && room == c[i].room);
		CHECK(e.msg[0] == 't');
	}
}

int main(void)
{
	one_by_one();
	overflow();
	return check_report("size");
}
