/* Element types, shapes, and arrays in host memory (row-major, contiguous, little-endian). */
#ifndef RD_BASE_TENSOR_H
#define RD_BASE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define RD_MAX_DIMS 8

enum rd_dtype { RD_F32, RD_F64, RD_F16, RD_BF16, RD_U8, RD_I32, RD_I64, RD_N_DTYPES };

size_t rd_dtype_bytes(enum rd_dtype t);

/* numpy's spelling ("<f4", "|u1"); bf16 has none and gives "bf16". */
const char *rd_dtype_name(enum rd_dtype t);

/* The inverse; false for a type we do not read (big-endian, complex, object, ...). */
bool rd_dtype_parse(const char *name, enum rd_dtype *out) RD_MUST;

struct rd_shape {
	int nd;
	int64_t d[RD_MAX_DIMS]; /* every one >= 0 */
};

/* Number of elements in *n; RD_EINPUT where a dimension is negative or the product overflows. */
int rd_shape_elems(const struct rd_shape *s, size_t *n, struct rd_err *e) RD_MUST;
bool rd_shape_eq(const struct rd_shape *a, const struct rd_shape *b);

/* Elements of one sample: the product of all dimensions but the first. The shape must be valid. */
size_t rd_shape_sample_elems(const struct rd_shape *s);

/* "[64, 3, 32, 32]" into buf; returns buf. */
const char *rd_shape_str(const struct rd_shape *s, char *buf, size_t cap);

/* nd dimensions copied from d. */
struct rd_shape rd_shape_make(int nd, const int64_t *d);

/* An array that owns its data (rd_alloc). */
struct rd_array {
	enum rd_dtype dtype;
	struct rd_shape shape;
	void *data;
};

/* Allocates data for dtype and shape, uninitialised. At most max_bytes (0: no limit): RD_EINPUT beyond. */
int rd_array_init(struct rd_array *a, enum rd_dtype t, const struct rd_shape *s, size_t max_bytes,
                  struct rd_err *e) RD_MUST;
void rd_array_free(struct rd_array *a); /* NULL-safe; leaves a zeroed struct */
size_t rd_array_bytes(const struct rd_array *a);

/* n elements of type t at src (of any alignment), as f32 at dst (bf16 and f16 exactly; f64 and integers rounded). */
void rd_to_f32(float *dst, const void *src, enum rd_dtype t, size_t n);

/* n numbers at src as type t, f32, f16 or bf16, at dst: rounded to the nearest, ties to even. How many became infinite that were
 * not. */
size_t rd_from_f32(void *dst, enum rd_dtype t, const float *src, size_t n);

/* n integers of type u8, i32 or i64 at src as int32; RD_EINPUT for another type or a value out of range. */
int rd_to_i32(int32_t *dst, const void *src, enum rd_dtype t, size_t n, struct rd_err *e) RD_MUST;

#endif
