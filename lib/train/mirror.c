#include "lib/train/mirror.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

static size_t aligned(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

int rd_mirror_init(struct rd_mirror *m, const struct rd_backend *be, struct rd_dev *dev, const struct rd_mirror_part *part,
                   size_t n, struct rd_err *e)
{
	void *host, *device;
	char *at;
	int rc;

	m->be = be;
	m->dev = dev;
	for (size_t i = 0; i < n; i++)
		m->bytes += aligned(part[i].bytes);
	rc = rd_alloc0(&host, m->bytes, 1, "training batch", e);
	if (rc)
		return rc;
	m->host = host;
	rc = be->alloc(dev, &device, m->bytes, e);
	if (rc)
		return rc;
	m->device = at = device;
	for (size_t i = 0; i < n; i++) {
		*part[i].device = at;
		at += aligned(part[i].bytes);
	}
	return RD_OK;
}

void rd_mirror_free(struct rd_mirror *m)
{
	if (m->device)
		m->be->release(m->dev, m->device);
	free(m->host);
	memset(m, 0, sizeof *m);
}

int rd_mirror_put(struct rd_mirror *m, struct rd_err *e)
{
	return m->be->put(m->dev, m->device, m->host, m->bytes, e);
}

int rd_mirror_get(struct rd_mirror *m, struct rd_err *e)
{
	return m->be->get(m->dev, m->host, m->device, m->bytes, e);
}
