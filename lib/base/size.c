#include "lib/base/size.h"

#include <stdlib.h>
#include <string.h>

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
