/* Dropout from the counter-based generator: the mask of an element is a word of its image's and layer's stream. */
#include "kernels/cuda/map.h"
#include "kernels/normal.h"

struct dropout_op {
	uint64_t seed;
	const uint64_t *first;
	uint32_t layer;
	double below; /* words below this are dropped: p 2^32 */
	float scale;
	int64_t c, pixels;

	__device__ float operator()(int64_t image, int64_t i, float x, float) const
	{
		uint64_t index = (*first + (uint64_t)image) << 16 | layer;
		uint64_t k = (uint64_t)(i % c * pixels + i / c); /* the element's number in (c, h, w) */
		struct rd_u32x4 v = { (uint32_t)(k / 4), RD_RNG_DROPOUT, (uint32_t)index, (uint32_t)(index >> 32) };
		uint32_t word;

		v = rd_philox_block(v, (uint32_t)seed, (uint32_t)(seed >> 32));
		word = k % 4 == 0 ? v.a : k % 4 == 1 ? v.b : k % 4 == 2 ? v.c : v.d;
		return (double)word >= below ? x * scale : 0.0f;
	}
};

int rd_cuda_dropout(struct rd_dev *dev, struct rd_dims d, const struct rd_dropout_desc *p, const uint64_t *first,
                    const void *x, void *y, int acc, struct rd_err *e)
{
	dropout_op op = { p->seed, first, p->layer, (double)p->p * 4294967296.0, (float)(1.0 / (1.0 - (double)p->p)), d.c,
			  d.h * d.w };

	return rd_map_acts(dev, op, d.n, d.c * d.h * d.w, x, NULL, y, acc, e);
}
