#include "lib/measure/named.h"

#include <string.h>

const char *rd_named_path(const char *spec)
{
	const char *is = strchr(spec, '='), *slash = strchr(spec, '/');

	return is && is > spec && (!slash || is < slash) ? is + 1 : spec;
}

int rd_named_name(char **out, const char *spec, const char *other, struct rd_err *e)
{
	const char *path = rd_named_path(spec);

	*out = path != spec ? strndup(spec, (size_t)(path - spec) - 1) : strdup(other);
	return *out ? RD_OK : rd_fail(e, RD_ENOMEM, "no memory for a name");
}
