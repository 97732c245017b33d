/* Activations and their derivatives on the device; the formulas of kernels/cpu/vecmath.h with the device's functions. */
#ifndef RD_KERNELS_CUDA_ACTMATH_H
#define RD_KERNELS_CUDA_ACTMATH_H

#include "kernels/cuda/types.h"

static __device__ __forceinline__ float rd_sigmoid(float x)
{
	return 1.0f / (1.0f + expf(-x));
}

/* Mish: tanh(log(1 + e^x)) = num / den with e = e^-|x|, which does not overflow. */
struct rd_mish {
	float e, num, den;
};

static __device__ __forceinline__ rd_mish rd_mish_of(float x)
{
	float e = expf(-fabsf(x)), square = e * e;
	rd_mish m;

	m.e = e;
	m.num = 2.0f * e + (x < 0.0f ? square : 1.0f);
	m.den = m.num + (x < 0.0f ? 2.0f : 2.0f * square);
	return m;
}

/* GELU with tanh: x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3). The sigmoid and what it lacks of 1, both by e^-|2 u|, so
 * that neither is a difference. */
struct rd_gelu_tanh {
	float sigmoid, rest;
};

static __device__ __forceinline__ rd_gelu_tanh rd_gelu_tanh_of(float x)
{
	float u2 = 1.5957691f * x * (1.0f + 0.044715f * x * x), e = expf(-fabsf(u2)), big = 1.0f / (1.0f + e), small = e * big;

	return u2 < 0.0f ? rd_gelu_tanh{ small, big } : rd_gelu_tanh{ big, small };
}

static __device__ __forceinline__ float rd_act_value(enum rd_act a, float x)
{
	rd_mish m;

	switch (a) {
	case RD_ACT_SILU: return x < -87.0f ? x * expf(x) : x / (1.0f + expf(-x)); /* -1e30 / infinity, without the 0 / 0 */
	case RD_ACT_RELU: return x < 0.0f ? 0.0f : x;
	case RD_ACT_GELU: return x < -15.0f ? x * 0.0f : 0.5f * x * erfcf(-0.70710678f * x);
	case RD_ACT_MISH:
		m = rd_mish_of(x);
		return x * (m.num / m.den);
	case RD_ACT_GELU_TANH: return x * rd_gelu_tanh_of(x).sigmoid;
	default: return x;
	}
}

/* SiLU where bf16 is all that comes of it: the hardware's own exponential and division, some 1e-6 off. */
static __device__ __forceinline__ float rd_fast_sigmoid(float x)
{
#ifdef RD_CUDA_HOST
	return rd_sigmoid(x);
#else
	return __fdividef(1.0f, 1.0f + __expf(x < -80.0f ? 80.0f : -x));
#endif
}

static __device__ __forceinline__ float rd_act_slope(enum rd_act a, float x)
{
	rd_gelu_tanh g;
	rd_mish m;
	float s;

	switch (a) {
	case RD_ACT_SILU:
		s = rd_sigmoid(x);
		return s * (1.0f + x * (1.0f - s));
	case RD_ACT_RELU: return x > 0.0f ? 1.0f : 0.0f;
	case RD_ACT_GELU: return 0.5f * erfcf(-0.70710678f * x) + x * 0.39894228f * expf(-0.5f * x * x);
	case RD_ACT_MISH:
		m = rd_mish_of(x);
		s = 1.0f / m.den;
		return m.num * s + x * (4.0f * m.e * (x < 0.0f ? 1.0f : m.e) * (1.0f + m.e)) * (s * s);
	case RD_ACT_GELU_TANH:
		if (fabsf(x) > 12.0f) /* 1 or 0, before x^3 leaves the range */
			return x > 0.0f ? 1.0f : 0.0f;
		g = rd_gelu_tanh_of(x);
		return g.sigmoid + 1.5957691f * x * (1.0f + 0.134145f * x * x) * (g.sigmoid * g.rest);
	default: return 1.0f;
	}
}

/* The activation of an element of type T, and its derivative; SILU: known to be that one. */
template <class T, int SILU> static __device__ __forceinline__ float rd_act_value_of(enum rd_act a, float x)
{
	if (SILU && sizeof(T) == 2)
		return x * rd_fast_sigmoid(x);
	return rd_act_value(SILU ? RD_ACT_SILU : a, x);
}

template <class T, int SILU> static __device__ __forceinline__ float rd_act_slope_of(enum rd_act a, float x)
{
	if (SILU && sizeof(T) == 2) {
		float s = rd_fast_sigmoid(x);

		return s * (1.0f + x * (1.0f - s));
	}
	return rd_act_slope(SILU ? RD_ACT_SILU : a, x);
}

#endif
