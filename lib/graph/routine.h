/* Work that a device does over and over with other data in the same buffers: carried out call by call the first time,
 * recorded the second where the device can, and replayed from then on. Where recording or replaying fails, call by call again. */
#ifndef RD_LIB_GRAPH_ROUTINE_H
#define RD_LIB_GRAPH_ROUTINE_H

#include <stdbool.h>

#include "kernels/kernels.h"

struct rd_routine { /* starts zeroed */
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_replay *replay;
	bool warm, plain; /* carried out once; never to be recorded */
};

/* f(ctx) makes the calls: those of the table that may be recorded, with the same arguments each time. It changes nothing on the host
 * that the next time would see: after a recording that failed it is run once more. */
int rd_routine_run(struct rd_routine *r, int (*f)(void *ctx, struct rd_err *e), void *ctx, struct rd_err *e) RD_MUST;
void rd_routine_free(struct rd_routine *r);

#endif
