/* numpy's .npy, version 1.0 written, 1.0 to 3.0 read; C order, little-endian, the types of rd_dtype but bf16. */
#ifndef RD_FORMATS_NPY_H
#define RD_FORMATS_NPY_H

#include "formats/in.h"
#include "formats/out.h"
#include "lib/base/tensor.h"

/* Parses a .npy header at the front of buf. RD_EINPUT for what is not one (Fortran order, big-endian, objects, ...).
 * *header_bytes is where the data starts. */
int rd_npy_header(const void *buf, size_t n, enum rd_dtype *t, struct rd_shape *s, size_t *header_bytes,
                  struct rd_err *e) RD_MUST;

/* The header (64-byte aligned) of an array into buf (>= 256 bytes); its length in *n. */
int rd_npy_make_header(enum rd_dtype t, const struct rd_shape *s, char *buf, size_t cap, size_t *n,
                       struct rd_err *e) RD_MUST;

/* A whole .npy from in, which must end there. */
int rd_npy_read(struct rd_in *in, struct rd_array *a, struct rd_err *e) RD_MUST;
int rd_npy_load(const char *path, struct rd_array *a, struct rd_err *e) RD_MUST;
int rd_npy_write(struct rd_out *o, enum rd_dtype t, const struct rd_shape *s, const void *data, struct rd_err *e) RD_MUST;

#endif
