#include "lib/base/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

static const struct { const char *name; size_t bytes; } dtypes[RD_N_DTYPES] = {
	[RD_F32] = {"<f4", 4}, [RD_F64] = {"<f8", 8}, [RD_F16] = {"<f2", 2},  [RD_BF16] = {"bf16", 2},
	[RD_U8] = {"|u1", 1},  [RD_I32] = {"<i4", 4}, [RD_I64] = {"<i8", 8},
};

size_t rd_dtype_bytes(enum rd_dtype t)
{
	return dtypes[t].bytes;
}

const char *rd_dtype_name(enum rd_dtype t)
{
	return dtypes[t].name;
}

bool rd_dtype_parse(const char *name, enum rd_dtype *out)
{
	for (int i = 0; i < RD_N_DTYPES; i++)
		if (!strcmp(name, dtypes[i].name)) {
			*out = (enum rd_dtype)i;
			return true;
		}
	return false;
}

int rd_shape_elems(const struct rd_shape *s, size_t *n, struct rd_err *e)
{
	size_t r = 1;

	if (s->nd < 0 || s->nd > RD_MAX_DIMS)
		return rd_fail(e, RD_EINPUT, "%d dimensions: at most %d are read", s->nd, RD_MAX_DIMS);
	for (int i = 0; i < s->nd; i++)
		if (s->d[i] < 0 || !rd_mul(r, (size_t)s->d[i], &r))
			return rd_fail(e, RD_EINPUT, "dimension %d is %lld: negative, or the size overflows", i,
			               (long long)s->d[i]);
	*n = r;
	return RD_OK;
}

bool rd_shape_eq(const struct rd_shape *a, const struct rd_shape *b)
{
	return a->nd == b->nd && !memcmp(a->d, b->d, (size_t)a->nd * sizeof a->d[0]);
}

size_t rd_shape_sample_elems(const struct rd_shape *s)
{
	size_t r = 1;

	for (int i = 1; i < s->nd; i++)
		r *= (size_t)s->d[i];
	return r;
}

const char *rd_shape_str(const struct rd_shape *s, char *buf, size_t cap)
{
	size_t n = 0;
	int k;

	for (int i = 0; i < s->nd && n < cap; i++) {
		k = snprintf(buf + n, cap - n, "%s%lld", i ? ", " : "[", (long long)s->d[i]);
		n += k > 0 ? (size_t)k : 0;
	}
	if (n < cap)
		snprintf(buf + n, cap - n, s->nd ? "]" : "[]");
	return buf;
}

struct rd_shape rd_shape_make(int nd, const int64_t *d)
{
	struct rd_shape s = {.nd = nd};

	memcpy(s.d, d, (size_t)nd * sizeof *d);
	return s;
}

int rd_array_init(struct rd_array *a, enum rd_dtype t, const struct rd_shape *s, size_t max_bytes, struct rd_err *e)
{
	size_t n, bytes;
	int rc;

	memset(a, 0, sizeof *a);
	rc = rd_shape_elems(s, &n, e);
	if (rc)
		return rc;
	if (!rd_mul(n, rd_dtype_bytes(t), &bytes) || (max_bytes && bytes > max_bytes))
		return rd_fail(e, RD_EINPUT, "an array of %zu elements is larger than the limit of %zu bytes", n,
		               max_bytes);
	rc = rd_alloc(&a->data, bytes, 1, "array", e);
	if (rc)
		return rc;
	a->dtype = t;
	a->shape = *s;
	return RD_OK;
}

void rd_array_free(struct rd_array *a)
{
	if (!a)
		return;
	free(a->data);
	memset(a, 0, sizeof *a);
}

size_t rd_array_bytes(const struct rd_array *a)
{
	size_t n = rd_dtype_bytes(a->dtype);

	for (int i = 0; i < a->shape.nd; i++)
		n *= (size_t)a->shape.d[i];
	return n;
}

/* IEEE binary16 to binary32; exact, subnormals and NaN payloads included. */
static float f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 0x3ff, bits;
	float f;

	if (exp == 31) {
		bits = sign | 0x7f800000u | man << 13;
	} else if (exp) {
		bits = sign | (exp + 112) << 23 | man << 13;
	} else {
		f = (float)man * 0x1p-24f;
		memcpy(&bits, &f, 4);
		bits |= sign;
	}
	memcpy(&f, &bits, 4);
	return f;
}

static float bf16_to_f32(uint16_t h)
{
	uint32_t bits = (uint32_t)h << 16;
	float f;

	memcpy(&f, &bits, 4);
	return f;
}

static uint16_t f32_to_f16(float f)
{
	uint32_t bits, sign, man;
	float scaled;
	int exp;

	memcpy(&bits, &f, 4);
	sign = bits >> 16 & 0x8000;
	exp = (int)(bits >> 23 & 255) - 112; /* of binary16 */
	man = bits & 0x7fffff;
	if (exp == 143) /* infinite, or NaN, which stays one */
		return (uint16_t)(sign | 0x7c00 | (man ? 0x200 | man >> 13 : 0));
	if (exp < 1) { /* subnormal: adding 2^-1 leaves whole multiples of 2^-24 in the low bits, rounded */
		scaled = fabsf(f) + 0.5f;
		memcpy(&bits, &scaled, 4);
		return (uint16_t)(sign | (bits - 0x3f000000u));
	}
	bits = (uint32_t)exp << 10 | man >> 13;
	bits += (man & 0x1fff) > 0x1000 || ((man & 0x1fff) == 0x1000 && (bits & 1)); /* may carry into the exponent */
	return (uint16_t)(sign | (bits > 0x7c00 ? 0x7c00 : bits));
}

static uint16_t f32_to_bf16(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, 4);
	if ((bits & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

size_t rd_from_f32(void *dst, enum rd_dtype t, const float *src, size_t n)
{
	uint16_t *to = dst;
	size_t lost = 0;

	if (t == RD_F32) {
		memcpy(dst, src, n * sizeof *src);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		to[i] = t == RD_F16 ? f32_to_f16(src[i]) : f32_to_bf16(src[i]);
		lost += isfinite(src[i]) && !isfinite(t == RD_F16 ? f16_to_f32(to[i]) : bf16_to_f32(to[i]));
	}
	return lost;
}

/* Element i at src, which need not be aligned for its type. */
#define DEFINE_LOAD(name, type) \
	static inline type name(const void *src, size_t i) \
	{ \
		type v; \
\
		memcpy(&v, (const uint8_t *)src + i * sizeof v, sizeof v); \
		return v; \
	}
DEFINE_LOAD(load_f64, double)
DEFINE_LOAD(load_u16, uint16_t)
DEFINE_LOAD(load_i32, int32_t)
DEFINE_LOAD(load_i64, int64_t)

void rd_to_f32(float *dst, const void *src, enum rd_dtype t, size_t n)
{
	switch (t) {
	case RD_F32: memcpy(dst, src, n * 4); break;
	case RD_F64:
		for (size_t i = 0; i < n; i++)
			dst[i] = (float)load_f64(src, i);
		break;
	case RD_F16:
		for (size_t i = 0; i < n; i++)
			dst[i] = f16_to_f32(load_u16(src, i));
		break;
	case RD_BF16:
		for (size_t i = 0; i < n; i++)
			dst[i] = bf16_to_f32(load_u16(src, i));
		break;
	case RD_U8:
		for (size_t i = 0; i < n; i++)
			dst[i] = ((const uint8_t *)src)[i];
		break;
	case RD_I32:
		for (size_t i = 0; i < n; i++)
			dst[i] = (float)load_i32(src, i);
		break;
	default:
		for (size_t i = 0; i < n; i++)
			dst[i] = (float)load_i64(src, i);
		break;
	}
}

int rd_to_i32(int32_t *dst, const void *src, enum rd_dtype t, size_t n, struct rd_err *e)
{
	for (size_t i = 0; i < n; i++) {
		int64_t v;

		switch (t) {
		case RD_U8: v = ((const uint8_t *)src)[i]; break;
		case RD_I32: v = load_i32(src, i); break;
		case RD_I64: v = load_i64(src, i); break;
		default: return rd_fail(e, RD_EINPUT, "integers expected, %s found", rd_dtype_name(t));
		}
		if (v < INT32_MIN || v > INT32_MAX)
			return rd_fail(e, RD_EINPUT, "element %zu is %lld: out of range", i, (long long)v);
		dst[i] = (int32_t)v;
	}
	return RD_OK;
}
