/* Elementary functions that a loop can be vectorised over: no branches, no calls, no fused multiply-add; the same bits
 * with every instruction set. */
#ifndef RD_KERNELS_CPU_VECMATH_H
#define RD_KERNELS_CPU_VECMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/isa.h"

RD_INLINE uint32_t rd_bits(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof u);
	return u;
}

RD_INLINE float rd_from_bits(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof x);
	return x;
}

/* e^x, error <= 2 ulp; 0 and infinity beyond the range, subnormal results and NaN kept.
 * x = n ln2 + r with |r| <= ln2 / 2; adding 1.5 * 2^23 rounds to the integer n and leaves it in the low bits. 2^n is
 * applied in two halves, as n may be -150 or 128. */
RD_INLINE float rd_expf(float x)
{
	const float magic = 12582912.0f;
	float t, n, r, p;
	int32_t k, half;

	x = x > 89.0f ? 89.0f : x;
	x = x < -104.0f ? -104.0f : x;
	t = x * 1.44269504f + magic;
	n = t - magic;
	r = x - n * 0.693359375f;
	r = r - n * -2.12194440e-4f;
	p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	k = (int32_t)(rd_bits(t) - 0x4b400000u);
	half = k >> 1;
	return p * rd_from_bits((uint32_t)(half + 127) << 23) * rd_from_bits((uint32_t)(k - half + 127) << 23);
}

RD_INLINE float rd_sigmoidf(float x)
{
	return 1.0f / (1.0f + rd_expf(-x));
}

/* The standard normal's distribution function, given e = exp(-x^2 / 2). The tail beyond |x| is e v q(v) with
 * v = 1 / (1 + |x| / sqrt 8), q a fit by Chebyshev interpolation: relative error 5e-8, so small values keep their digits. */
RD_INLINE float rd_phif(float x, float e)
{
	float v = 1.0f / (1.0f + 0.353553391f * fabsf(x)), q;

	q = -0.0298574595f;
	q = q * v + 0.143884155f;
	q = q * v + -0.246931825f;
	q = q * v + 0.142848855f;
	q = q * v + -0.0159208788f;
	q = q * v + 0.102426828f;
	q = q * v + 0.121286446f;
	q = q * v + 0.141222521f;
	q = q * v + 0.141041337f;
	q = q * v * e;
	return x < 0.0f ? q : 1.0f - q;
}

/* An activation and its derivative; `a` is a constant where these are used, so that the switch goes away. */
RD_INLINE float rd_act_value(enum rd_act a, float x)
{
	float e, w;

	switch (a) {
	case RD_ACT_SILU:
		return x / (1.0f + rd_expf(-x));
	case RD_ACT_RELU:
		return x < 0.0f ? 0.0f : x;
	case RD_ACT_GELU:
		return x * rd_phif(x, rd_expf(-0.5f * x * x));
	case RD_ACT_MISH: /* tanh(log(1 + e)) = w / (w + 2) with w = e (e + 2); 1 in f32 beyond 20 */
		e = rd_expf(x > 20.0f ? 20.0f : x);
		w = e * (e + 2.0f);
		return x * (w / (w + 2.0f));
	case RD_ACT_NONE:
	case RD_N_ACTS:
		break;
	}
	return x;
}

RD_INLINE float rd_act_slope(enum rd_act a, float x)
{
	float e, s, w;

	switch (a) {
	case RD_ACT_SILU:
		s = rd_sigmoidf(x);
		return s * (1.0f + x * (1.0f - s));
	case RD_ACT_RELU:
		return x > 0.0f ? 1.0f : 0.0f;
	case RD_ACT_GELU:
		e = rd_expf(-0.5f * x * x);
		return rd_phif(x, e) + x * 0.39894228f * e;
	case RD_ACT_MISH:
		e = rd_expf(x > 20.0f ? 20.0f : x);
		w = e * (e + 2.0f);
		s = 1.0f / (w + 2.0f);
		return w * s + x * (4.0f * e * (1.0f + e)) * (s * s);
	case RD_ACT_NONE:
	case RD_N_ACTS:
		break;
	}
	return 1.0f;
}

#endif
