#include "lib/base/size.h"

#include <stdlib.h>
#include <string.h>

#define GROW_FIRST ((size_t)16 << 20) /* as much as an array usually has, and as little as a lie may cost */
#define ITEMS_FIRST ((size_t)16)

bool rd_mul(size_t a, size_t b, size_t *out)
{
	size_t r;

	if (__builtin_mul_overflow(a, b, &r))
		return false;
	*out = r;
	return true;
}

bool rd_add(size_t a, size_t b, size_t *out)
{
	size_t r;

	if (__builtin_add_overflow(a, b, &r))
		return false;
	*out = r;
	return true;
}

int rd_alloc(void **out, size_t n, size_t size, const char *what, struct rd_err *e)
{
	size_t bytes;

	*out = NULL;
	if (!rd_mul(n, size, &bytes) || !rd_add(bytes, 64, &bytes))
		return rd_fail(e, RD_ENOMEM, "%s: %zu items of %zu bytes overflow a size", what, n, size);
	bytes &= ~(size_t)63;
	*out = aligned_alloc(64, bytes);
	if (!*out)
		return rd_fail(e, RD_ENOMEM, "%s: no memory for %zu bytes", what, bytes);
	return RD_OK;
}

int rd_alloc0(void **out, size_t n, size_t size, const char *what, struct rd_err *e)
{
	int rc = rd_alloc(out, n, size, what, e);

	if (!rc)
		memset(*out, 0, n * size);
	return rc;
}

int rd_grow(void **p, size_t *room, size_t n, const char *what, struct rd_err *e)
{
	size_t want = *room ? *room : GROW_FIRST / 2;
	void *bigger;
	int rc;

	want = want < n / 2 ? 2 * want : n;
	rc = rd_alloc(&bigger, want, 1, what, e);
	if (rc)
		return rc;
	if (*room)
		memcpy(bigger, *p, *room);
	free(*p);
	*p = bigger;
	*room = want;
	return RD_OK;
}

int rd_reserve(void **p, size_t *room, size_t n, size_t size, const char *what, struct rd_err *e)
{
	size_t want = ITEMS_FIRST, bytes;
	void *q;

	if (n <= *room)
		return RD_OK;
	if ((*room && !rd_mul(*room, 2, &want)) || !rd_mul(want < n ? n : want, size, &bytes))
		return rd_fail(e, RD_ENOMEM, "%s: %zu items of %zu bytes overflow a size", what, n, size);
	q = realloc(*p, bytes ? bytes : 1);
	if (!q)
		return rd_fail(e, RD_ENOMEM, "%s: no memory for %zu bytes", what, bytes);
	*p = q;
	*room = want < n ? n : want;
	return RD_OK;
}
