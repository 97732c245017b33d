/* Dropout with masks from the generator: an element's fate depends on its image's number and its place in (c,h,w) order,
 * not on how it lies in memory. Here channels lie innermost, so that neighbours in memory are words far apart. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/normal.h"

#include <math.h>

/* The words of one image. */
struct draw {
	uint32_t k0, k1, lo, hi;
	uint32_t least; /* the smallest word that keeps an element */
	float scale;
};

static struct draw draw_of(const struct rd_dropout_desc *p, uint64_t image)
{
	uint64_t index = image << 16 | p->layer;

	return (struct draw){
		.k0 = (uint32_t)p->seed,
		.k1 = (uint32_t)(p->seed >> 32),
		.lo = (uint32_t)index,
		.hi = (uint32_t)(index >> 32),
		.least = (uint32_t)ceil((double)p->p * 4294967296.0),
		.scale = (float)(1.0 / (1.0 - (double)p->p)),
	};
}

RD_INLINE struct rd_u32x4 words(const struct draw *d, uint32_t block)
{
	struct rd_u32x4 v = { block, RD_RNG_DROPOUT, d->lo, d->hi };

	return rd_philox_block(v, d->k0, d->k1);
}

RD_INLINE void put(const struct draw *d, uint32_t word, const float *x, float *y, int acc)
{
	*y = (acc ? *y : 0.0f) + (word >= d->least ? *x * d->scale : 0.0f);
}

/* The c channels of four pixels; where pixels are a multiple of four, a channel's block of words is theirs. `blocks`
 * to a channel, the first channel's is `block`. */
RD_INLINE void four_pixels(const struct draw *draw, uint32_t block, uint32_t blocks, const float *x, float *y,
                           int64_t c, int acc)
{
	const struct draw d = *draw;

	RD_SIMD
	for (int64_t k = 0; k < c; k++) {
		struct rd_u32x4 v = words(&d, block + (uint32_t)k * blocks);

		put(&d, v.a, x + k, y + k, acc);
		put(&d, v.b, x + c + k, y + c + k, acc);
		put(&d, v.c, x + 2 * c + k, y + 2 * c + k, acc);
		put(&d, v.d, x + 3 * c + k, y + 3 * c + k, acc);
	}
}

/* The c channels of pixel number `pixel` of `pixels`. */
RD_INLINE void one_pixel(const struct draw *draw, int64_t pixel, int64_t pixels, const float *x, float *y, int64_t c,
                         int acc)
{
	const struct draw d = *draw;

	RD_SIMD
	for (int64_t k = 0; k < c; k++) {
		uint64_t at = (uint64_t)(k * pixels + pixel);
		struct rd_u32x4 v = words(&d, (uint32_t)(at / 4));
		uint32_t low = at & 1 ? v.b : v.a, high = at & 1 ? v.d : v.c;

		put(&d, at & 2 ? high : low, x + k, y + k, acc);
	}
}

/* Runs lo..hi-1 of `unit` pixels, counted over all images. */
RD_INLINE void runs(const struct rd_dropout_desc *p, uint64_t first, struct rd_dims s, int64_t unit, struct rd_range r,
                    const float *x, float *y, int acc)
{
	int64_t pixels = s.h * s.w, in_image = pixels / unit;

	for (int64_t i = r.lo; i < r.hi; i++) {
		struct draw d = draw_of(p, first + (uint64_t)(i / in_image));
		int64_t at = i * unit * s.c, q = i % in_image;

		if (unit == 4)
			four_pixels(&d, (uint32_t)q, (uint32_t)in_image, x + at, y + at, s.c, acc);
		else
			one_pixel(&d, q, pixels, x + at, y + at, s.c, acc);
	}
}

int RD_SYM(dropout)(struct rd_dev *dev, struct rd_dims d, const struct rd_dropout_desc *p, const uint64_t *first,
                    const void *x, void *y, int acc, struct rd_err *e)
{
	int64_t unit = d.h * d.w % 4 ? 1 : 4, n = d.n * d.h * d.w / unit;

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (rd_dims_elems(d) >= RD_PARALLEL_MIN)
	{
		struct rd_range r = rd_share(n, 1);

		if (acc)
			runs(p, *first, d, unit, r, x, y, 1);
		else
			runs(p, *first, d, unit, r, x, y, 0);
	}
	return RD_OK;
}
