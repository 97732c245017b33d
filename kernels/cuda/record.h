#ifndef RD_KERNELS_CUDA_RECORD_H
#define RD_KERNELS_CUDA_RECORD_H

#include "kernels/cuda/dev.h"

/* put while recording of what rd_words_put does not take: the bytes are kept with the recording, and every replay uploads
 * them. */
extern "C" int rd_record_put(struct rd_dev *dev, void *dst, const void *host, size_t bytes, struct rd_err *e);

#endif
