/* The arithmetic of rng.h, written once for every CPU and for the GPU: 32-bit integers, and f32 + * fma sqrt, each
 * correctly rounded, so that every compiler gives the same bits (with -ffp-contract=off).
 *
 * The polynomials are minimax fits whose coefficients were rounded to f32 one after another, lowest power first, the
 * rest refitted each time. With their roundings a normal is within 5e-7 of the exact Box-Muller value. */
#ifndef RD_KERNELS_NORMAL_H
#define RD_KERNELS_NORMAL_H

#include <stdint.h>

#ifdef __CUDACC__
#define RD_NORMAL_FN __device__ __forceinline__
#define RD_FMA(a, b, c) __fmaf_rn(a, b, c)
#define RD_MULF(a, b) __fmul_rn(a, b)
#define RD_SQRTF(a) __fsqrt_rn(a)
#define RD_BITS_FLOAT(b) __uint_as_float(b)
#define RD_FLOAT_BITS(f) __float_as_uint(f)
#else
#include <math.h>
#define RD_NORMAL_FN static inline __attribute__((always_inline))
#define RD_FMA(a, b, c) fmaf(a, b, c)
#define RD_MULF(a, b) ((a) * (b))
#define RD_SQRTF(a) sqrtf(a)
#define RD_BITS_FLOAT(b) ((union rd_float_bits){.u = (b)}.f)
#define RD_FLOAT_BITS(x) ((union rd_float_bits){.f = (x)}.u)
union rd_float_bits {
	uint32_t u;
	float f;
};
#endif

struct rd_u32x4 {
	uint32_t a, b, c, d;
};

struct rd_f32x2 {
	float x, y;
};

RD_NORMAL_FN struct rd_u32x4 rd_philox_round(struct rd_u32x4 v, uint32_t k0, uint32_t k1)
{
	uint64_t p = (uint64_t)0xd2511f53u * v.a;
	uint64_t q = (uint64_t)0xcd9e8d57u * v.c;
	struct rd_u32x4 r;

	r.a = (uint32_t)(q >> 32) ^ v.b ^ k0;
	r.b = (uint32_t)q;
	r.c = (uint32_t)(p >> 32) ^ v.d ^ k1;
	r.d = (uint32_t)p;
	return r;
}

/* Ten rounds, written out: a loop here would keep compilers from vectorising the loop around it. */
RD_NORMAL_FN struct rd_u32x4 rd_philox_block(struct rd_u32x4 v, uint32_t k0, uint32_t k1)
{
	const uint32_t w0 = 0x9e3779b9u, w1 = 0xbb67ae85u;

	v = rd_philox_round(v, k0, k1);
	v = rd_philox_round(v, k0 + 1 * w0, k1 + 1 * w1);
	v = rd_philox_round(v, k0 + 2 * w0, k1 + 2 * w1);
	v = rd_philox_round(v, k0 + 3 * w0, k1 + 3 * w1);
	v = rd_philox_round(v, k0 + 4 * w0, k1 + 4 * w1);
	v = rd_philox_round(v, k0 + 5 * w0, k1 + 5 * w1);
	v = rd_philox_round(v, k0 + 6 * w0, k1 + 6 * w1);
	v = rd_philox_round(v, k0 + 7 * w0, k1 + 7 * w1);
	v = rd_philox_round(v, k0 + 8 * w0, k1 + 8 * w1);
	return rd_philox_round(v, k0 + 9 * w0, k1 + 9 * w1);
}

/* -2 ln u of u = (2 (w >> 9) + 1) 2^-24. u = m 2^e with m in [sqrt 1/2, sqrt 2), f = m - 1 (exact):
 * -2 ln u = -2 e ln 2 - 2 f + f^2 Q(f). */
RD_NORMAL_FN float rd_minus_2_log(uint32_t w)
{
	float u = RD_MULF((float)(int32_t)((w >> 9) * 2 + 1), 0x1p-24f);
	uint32_t bits = RD_FLOAT_BITS(u);
	int32_t e = (int32_t)(bits - 0x3f3504f3u) >> 23;
	float f = RD_BITS_FLOAT(bits - ((uint32_t)e << 23)) - 1.0f;
	float q = -0x1.6d4cd6p-3f;

	q = RD_FMA(q, f, 0x1.25df7cp-2f);
	q = RD_FMA(q, f, -0x1.30aae0p-2f);
	q = RD_FMA(q, f, 0x1.53443cp-2f);
	q = RD_FMA(q, f, -0x1.98e494p-2f);
	q = RD_FMA(q, f, 0x1.000492p-1f);
	q = RD_FMA(q, f, -0x1.5556b4p-1f);
	q = RD_FMA(q, f, 1.0f);
	return RD_FMA((float)e, -0x1.62e430p+0f, RD_FMA(RD_MULF(f, f), q, RD_MULF(f, -2.0f)));
}

/* The normals r cos, r sin of two words. The angle is (q + g) pi/2: the quadrant q is v's top two bits, g the
 * next 24, in [-1/2, 1/2) as a signed fraction. Odd quadrants swap sine and cosine; signs are set by their bit. */
RD_NORMAL_FN struct rd_f32x2 rd_box_muller(uint32_t w, uint32_t v)
{
	float r = RD_SQRTF(rd_minus_2_log(w));
	float g = RD_MULF((float)((int32_t)(v << 2) >> 8), 0x1p-24f);
	float y = RD_MULF(g, g);
	float s = -0x1.3351aap-8f, c = 0x1.d45f46p-11f;
	uint32_t swap = -(v >> 30 & 1);
	uint32_t sbits, cbits;
	struct rd_f32x2 z;

	s = RD_FMA(s, y, 0x1.4681b6p-4f);
	s = RD_FMA(s, y, -0x1.4abc26p-1f);
	s = RD_FMA(s, y, 0x1.921fb6p+0f);
	s = RD_MULF(s, g);
	c = RD_FMA(c, y, -0x1.55b118p-6f);
	c = RD_FMA(c, y, 0x1.03c1aep-2f);
	c = RD_FMA(c, y, -0x1.3bd3ccp+0f);
	c = RD_FMA(c, y, 1.0f);
	sbits = RD_FLOAT_BITS(RD_MULF(s, r));
	cbits = RD_FLOAT_BITS(RD_MULF(c, r));
	/* cos: c, -s, -c, s; sin: s, c, -s, -c */
	z.x = RD_BITS_FLOAT(((cbits & ~swap) | (sbits & swap)) ^ ((v ^ v << 1) & 0x80000000u));
	z.y = RD_BITS_FLOAT(((sbits & ~swap) | (cbits & swap)) ^ (v & 0x80000000u));
	return z;
}

#endif
