/* Dropout from the counter-based generator: the mask of an element is a word of its image's and layer's stream. A block of the
 * generator gives the words of four neighbours in (c, h, w): four pixels of a channel. */
#include "kernels/cuda/types.h"
#include "kernels/normal.h"

enum { WORDS = 4 };

struct dropout_job {
	uint64_t seed;
	const uint64_t *first;
	uint32_t layer, least; /* least: the smallest word that keeps an element */
	float scale;
	int64_t images, c, pixels;
	int64_t groups; /* of four pixels, of a channel */
	int acc;
};

/* Channel l's words: its first block begins `before` elements before its first pixel, in the channel before. */
static __device__ __forceinline__ int before(const dropout_job &j, int64_t l)
{
	return (int)((uint64_t)(l * j.pixels) % WORDS);
}

/* Bit w: word w of block k keeps. */
static __device__ __forceinline__ uint32_t kept(const dropout_job &j, uint64_t index, uint64_t k)
{
	struct rd_u32x4 v = { (uint32_t)k, RD_RNG_DROPOUT, (uint32_t)index, (uint32_t)(index >> 32) };

	v = rd_philox_block(v, (uint32_t)j.seed, (uint32_t)(j.seed >> 32));
	return (uint32_t)(v.a >= j.least) | (uint32_t)(v.b >= j.least) << 1 | (uint32_t)(v.c >= j.least) << 2 |
	       (uint32_t)(v.d >= j.least) << 3;
}

/* Group g of V channels from l on; x and y are the image's. With V > 1 pixels divide by four. y may be x: a thread has read what
 * it writes over. */
template <class T, int V>
static __device__ __forceinline__ void group(const dropout_job &j, uint64_t index, int64_t l, int64_t g, const T *x, T *y)
{
	int64_t p = WORDS * g - (V > 1 ? 0 : before(j, l));
	float v[WORDS][V];
	uint32_t keep = 0;

	RD_ROLLED /* for the registers */
	for (int i = 0; i < V; i++)
		keep |= kept(j, index, (uint64_t)((l + i) * j.pixels) / WORDS + (uint64_t)g) << WORDS * i;
	RD_UNROLL
	for (int w = 0; w < WORDS; w++)
		if (p + w >= 0 && p + w < j.pixels)
			rd_load<T, V>(v[w], x + (p + w) * j.c + l);
	RD_UNROLL
	for (int w = 0; w < WORDS; w++)
		if (p + w >= 0 && p + w < j.pixels) {
			for (int i = 0; i < V; i++)
				v[w][i] = keep >> (WORDS * i + w) & 1 ? v[w][i] * j.scale : 0.0f;
			rd_put<T, V>(y + (p + w) * j.c + l, v[w], j.acc);
		}
}

template <class T, int V> static __global__ void dropout_kernel(dropout_job j, const T *x, T *y)
{
	for (int64_t image = blockIdx.y; image < j.images; image += gridDim.y) {
		uint64_t index = (*j.first + (uint64_t)image) << 16 | j.layer;
		int64_t from = image * j.c * j.pixels;

		for (int64_t g = rd_row_first(); g < j.groups; g += rd_row_step())
			for (int64_t l = threadIdx.x * V; l < j.c; l += blockDim.x * V)
				group<T, V>(j, index, l, g, x + from, y + from);
	}
}

template <class T, int V> static int run(struct rd_dev *dev, const dropout_job &j, const void *x, void *y, struct rd_err *e)
{
	rd_tiles t = rd_tile_images(j.images, j.groups, j.c / V, 1);

	return RD_LAUNCH(dev, e, (dropout_kernel<T, V>), t.grid, t.block, 0, j, (const T *)x, (T *)y);
}

template <class T> static int any(struct rd_dev *dev, const dropout_job &j, const void *x, void *y, struct rd_err *e)
{
	if (j.pixels % WORDS)
		return run<T, 1>(dev, j, x, y, e);
	return RD_BY_WIDTH(T, j.c, run, dev, j, x, y, e);
}

/* An image of one pixel lies as one of one channel does, whose words are a block's neighbours. */
int rd_cuda_dropout(struct rd_dev *dev, struct rd_dims d, const struct rd_dropout_desc *p, const uint64_t *first,
                    const void *x, void *y, int acc, struct rd_err *e)
{
	int64_t pixels = d.h * d.w;
	dropout_job j = { p->seed, first, p->layer, (uint32_t)ceil((double)p->p * 4294967296.0),
		          (float)(1.0 / (1.0 - (double)p->p)), d.n, pixels > 1 ? d.c : 1, pixels > 1 ? pixels : d.c, 0, acc };

	/* The first block of a channel may have but one of its pixels. */
	j.groups = (j.pixels + (j.c > 1 && j.pixels % WORDS ? 2 * (WORDS - 1) : WORDS - 1)) / WORDS;
	return RD_BY_TYPE(dev, any, dev, j, x, y, e);
}
