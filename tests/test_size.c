/* Room for items that come one by one, or many at once. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

		if (rd_reserve(&p, &room, n + 1, sizeof(uint32_t), "test", &e) || room <= n) {
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

/* Many at once get all their room, few at once twice what there was; what fits already moves nothing. */
static void many_at_once(void)
{
	size_t room = 0;
	void *p = NULL, *before;

	CHECK_OK(rd_reserve(&p, &room, 1000, sizeof(uint32_t), "test", &e), &e);
	CHECK(room == 1000);
	memset(p, 1, room * sizeof(uint32_t));
	CHECK_OK(rd_reserve(&p, &room, 1001, sizeof(uint32_t), "test", &e), &e);
	CHECK(room == 2000);
	before = p;
	CHECK_OK(rd_reserve(&p, &room, 2000, sizeof(uint32_t), "test", &e), &e);
	CHECK(room == 2000 && p == before);
	free(p);
	room = 0;
	p = NULL;
	CHECK_OK(rd_reserve(&p, &room, 3, 0, "items without a size", &e), &e);
	CHECK_OK(rd_reserve(&p, &room, 300, 0, "items without a size", &e), &e);
	CHECK(p && room == 300);
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

		CHECK(rd_reserve(&p, &room, room + 1, c[i].size, "things", &e) == RD_ENOMEM);
		CHECK(p == &there && room == c[i].room);
		CHECK(e.msg[0] == 't');
	}
}

int main(void)
{
	one_by_one();
	many_at_once();
	overflow();
	return check_report("size");
}
