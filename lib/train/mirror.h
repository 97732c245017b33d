/* Arrays that lie in a row on the device and, as they do there, on the host: one copy takes them all across. */
#ifndef RD_LIB_TRAIN_MIRROR_H
#define RD_LIB_TRAIN_MIRROR_H

#include "kernels/kernels.h"

struct rd_mirror { /* starts zeroed */
	const struct rd_backend *be;
	struct rd_dev *dev;
	char *device, *host;
	size_t bytes;
};

struct rd_mirror_part {
	void **device; /* where to say where it is */
	size_t bytes;
};

/* Of n parts, 64-byte aligned. */
int rd_mirror_init(struct rd_mirror *m, const struct rd_backend *be, struct rd_dev *dev, const struct rd_mirror_part *part,
                   size_t n, struct rd_err *e) RD_MUST;
void rd_mirror_free(struct rd_mirror *m);

/* The host's place for what is at an address of the device. */
static inline void *rd_mirror_host(const struct rd_mirror *m, const void *device)
{
	return m->host + ((const char *)device - m->device);
}

int rd_mirror_put(struct rd_mirror *m, struct rd_err *e) RD_MUST;
int rd_mirror_get(struct rd_mirror *m, struct rd_err *e) RD_MUST; /* waits */

#endif
