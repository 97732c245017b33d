/* The way of host data to the device: pinned buffers with a device buffer each, filled over a stream of their own while the
 * device still computes. A few words go as an argument of a kernel, which is sooner there and is kept by a recording. */
#ifndef RD_KERNELS_CUDA_STAGE_H
#define RD_KERNELS_CUDA_STAGE_H

#include "kernels/cuda/dev.h"

enum { RD_SLOTS = 8, RD_PIECE = 4 << 20 }; /* larger things go in pieces */

struct rd_slot {
	char *pinned, *device;
	size_t bytes;
	cudaEvent_t copied, used;
	bool busy; /* used is recorded, or will be, by the work that reads this slot */
};

struct rd_stage {
	struct rd_slot slot[RD_SLOTS];
	int next;
};

extern "C" {
int rd_stage_new(struct rd_stage **out, struct rd_err *e);
void rd_stage_free(struct rd_stage *s);
/* A slot of at least bytes that nothing uses any more. */
int rd_stage_take(struct rd_dev *dev, size_t bytes, struct rd_slot **out, struct rd_err *e);
/* host[0..bytes) is on its way into slot->device; what is put on dev->stream from here on finds it there. */
int rd_stage_in(struct rd_dev *dev, const void *host, size_t bytes, struct rd_slot **out, struct rd_err *e);
/* All that reads slot->device is on dev->stream. */
int rd_stage_used(struct rd_dev *dev, struct rd_slot *slot, struct rd_err *e);
/* slot->device[0..bytes) into host; waits. */
int rd_stage_out(struct rd_dev *dev, struct rd_slot *slot, void *host, size_t bytes, struct rd_err *e);
/* Whether these bytes go as an argument, and their going. */
bool rd_words_fit(const void *dst, size_t bytes);
int rd_words_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e);
}

#endif
