/* Elementary functions that a loop can be vectorised over: no branches, no calls, no fused multiply-add; the same
 * bits with every instruction set. */
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

/* a where the sign of x is set, else b; both are computed, which `?:` leaves to the compiler. */
RD_INLINE float rd_by_sign(float x, float a, float b)
{
	uint32_t mask = 0u - (rd_bits(x) >> 31);

	return rd_from_bits((rd_bits(a) & mask) | (rd_bits(b) & ~mask));
}

/* e^r for |r| <= ln2 / 2: a fit by Chebyshev interpolation, relative error 1e-8. */
RD_INLINE float rd_exp_poly(float r)
{
	float p = 1.39262038e-3f;

	p = p * r + 8.36319476e-3f;
	p = p * r + 4.16665561e-2f;
	p = p * r + 1.66665763e-1f;
	p = p * r + 0.5f;
	return p * (r * r) + r + 1.0f;
}

/* x = n ln2 + r. Adding 1.5 * 2^23 rounds to the integer n and leaves it in the low bits of *t. */
RD_INLINE float rd_exp_reduce(float x, float *t)
{
	float n;

	*t = x * 1.44269504f + 12582912.0f;
	n = *t - 12582912.0f;
	return (x - n * 0.693359375f) - n * -2.12194440e-4f;
}

/* One comparison and no more: a second one would become conditional on the first, and gcc does not vectorise that.
 * NaN stays. */
RD_INLINE float rd_limit(float x, float most)
{
	return fabsf(x) > most ? copysignf(most, x) : x;
}

/* e^x, error <= 2 ulp; 0 and infinity beyond the range, subnormal results and NaN kept. 2^n is applied in two
 * halves, as n goes from -150 to 150. */
RD_INLINE float rd_expf(float x)
{
	float t, p = rd_exp_poly(rd_exp_reduce(rd_limit(x, 104.0f), &t));
	int32_t n = (int32_t)(rd_bits(t) - 0x4b400000u), half = n >> 1;

	return p * rd_from_bits((uint32_t)(half + 127) << 23) * rd_from_bits((uint32_t)(n - half + 127) << 23);
}

/* e^x where e^-87 will do for less and e^87 for more. */
RD_INLINE float rd_expf_limited(float x)
{
	float t, p = rd_exp_poly(rd_exp_reduce(rd_limit(x, 87.0f), &t));

	return p * rd_from_bits((rd_bits(t) << 23) + 0x3f800000u); /* the magic number's own low bits are 0 */
}

RD_INLINE float rd_sigmoidf(float x)
{
	return 1.0f / (1.0f + rd_expf_limited(-x));
}

/* The standard normal's distribution function, given e = exp(-x^2 / 2). The tail beyond |x| is e v q(v) with v = 1
 * / (1 + |x| / sqrt 8), q a fit by Chebyshev interpolation: relative error 5e-8, so small values keep their
 * digits. */
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
	return rd_by_sign(x, q, 1.0f - q);
}

/* Mish: tanh(log(1 + e^x)) = num / den with e = e^-|x|, which does not overflow. */
struct rd_mish {
	float e, num, den;
};

RD_INLINE struct rd_mish rd_mish(float x)
{
	struct rd_mish m;
	float twice, square;

	m.e = rd_expf_limited(-fabsf(x));
	twice = 2.0f * m.e;
	square = m.e * m.e;
	m.num = twice + rd_by_sign(x, square, 1.0f);
	m.den = m.num + rd_by_sign(x, 2.0f, 2.0f * square);
	return m;
}

/* GELU's fit by tanh: x (1 + tanh u) / 2 = x / (1 + e^-2u) with 2u = sqrt(8 / pi) (x + 0.044715 x^3). */
RD_INLINE float rd_gelu_tanh_e(float x)
{
	return rd_expf_limited(-1.59576912f * (x + 0.044715f * x * x * x));
}

/* An activation and its derivative; `a` is a constant where these are used, so that the switch goes away. */
RD_INLINE float rd_act_value(enum rd_act a, float x)
{
	struct rd_mish m;

	switch (a) {
	case RD_ACT_SILU:
		return x / (1.0f + rd_expf_limited(-x));
	case RD_ACT_RELU:
		return x < 0.0f ? 0.0f : x;
	case RD_ACT_GELU:
		return x * rd_phif(x, rd_expf(-0.5f * x * x));
	case RD_ACT_MISH:
		m = rd_mish(x);
		return x * (m.num / m.den);
	case RD_ACT_GELU_TANH:
		return x / (1.0f + rd_gelu_tanh_e(x));
	case RD_ACT_NONE:
	case RD_N_ACTS:
		break;
	}
	return x;
}

RD_INLINE float rd_act_slope(enum rd_act a, float x)
{
	struct rd_mish m;
	float e, s;

	switch (a) {
	case RD_ACT_SILU:
		s = rd_sigmoidf(x);
		return s * (1.0f + x * (1.0f - s));
	case RD_ACT_RELU:
		return rd_from_bits(x > 0.0f ? 0x3f800000u : 0u); /* no float operation that depends on the comparison */
	case RD_ACT_GELU:
		e = rd_expf(-0.5f * x * x);
		return rd_phif(x, e) + x * 0.39894228f * e;
	case RD_ACT_MISH:
		m = rd_mish(x);
		s = 1.0f / m.den;
		return m.num * s + x * (4.0f * m.e * rd_by_sign(x, 1.0f, m.e) * (1.0f + m.e)) * (s * s);
	case RD_ACT_GELU_TANH:
		x = rd_limit(x, 16.0f); /* 0 or 1 from there on */
		e = rd_gelu_tanh_e(x);
		s = 1.0f / (1.0f + e);
		return s + x * (e * s) * s * (1.59576912f + 0.214064449f * x * x);
	case RD_ACT_NONE:
	case RD_N_ACTS:
		break;
	}
	return 1.0f;
}

/* f(act, ...), with an `act` that is a constant. */
#define RD_BY_ACT(act, f, ...) \
	do { \
		switch (act) { \
		case RD_ACT_SILU: f(RD_ACT_SILU, __VA_ARGS__); break; \
		case RD_ACT_RELU: f(RD_ACT_RELU, __VA_ARGS__); break; \
		case RD_ACT_GELU: f(RD_ACT_GELU, __VA_ARGS__); break; \
		case RD_ACT_MISH: f(RD_ACT_MISH, __VA_ARGS__); break; \
		case RD_ACT_GELU_TANH: f(RD_ACT_GELU_TANH, __VA_ARGS__); break; \
		case RD_ACT_NONE: \
		case RD_N_ACTS: f(RD_ACT_NONE, __VA_ARGS__); break; \
		} \
	} while (0)

#endif
