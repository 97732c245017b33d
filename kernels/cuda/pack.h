/* Weights between their logical layout and (out_c, taps, c), which cuDNN and products over unfolded images take: channels
 * innermost, in the activations' type. */
#ifndef RD_KERNELS_CUDA_PACK_H
#define RD_KERNELS_CUDA_PACK_H

#include "kernels/cuda/dev.h"

/* to (out_c, taps, c) = from (out_c, c, taps). A bias is an out_c and a tap. */
struct rd_pack {
	const float *from;
	void *to;
	int64_t out_c, c, taps;
};

/* Those that one launch does: an argument of a kernel, so that nobody owns a table on the device. */
struct rd_packs {
	struct rd_pack item[100];
	int64_t n, most; /* most: the largest out_c */
};
static_assert(sizeof(struct rd_packs) <= 4096, "rd_packs is more than a kernel's arguments may be");

/* One more; where there is no room those that are there are done first. Begin with n and most 0, end with rd_pack_all. */
int rd_pack_one(struct rd_dev *dev, struct rd_packs *s, struct rd_pack p, struct rd_err *e);
int rd_pack_all(struct rd_dev *dev, struct rd_packs *s, struct rd_err *e);

/* dw OIHW += own, in the packed layout; f32 or bf16. */
int rd_add_weights(struct rd_dev *dev, const struct rd_conv2d_desc *d, const void *own, bool bf16, float *dw,
                   struct rd_err *e);

#endif
