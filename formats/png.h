/* PNG through libpng. */
#ifndef RD_FORMATS_PNG_H
#define RD_FORMATS_PNG_H

#include <stdint.h>

#include "formats/out.h"
#include "lib/base/tensor.h"

/* 8-bit grey (channels 1) or RGB (3), rows top down, pixels interleaved. */
int rd_png_write(struct rd_out *o, const uint8_t *pixels, uint32_t width, uint32_t height, int channels,
                 struct rd_err *e) RD_MUST;

/* A file as u8 [height, width, channels], 1 (grey) or 3 (RGB; palettes become that). Refused: 16 bits, transparency, more than
 * 2^26 pixels. */
int rd_png_read(const char *path, struct rd_array *a, struct rd_err *e) RD_MUST;

/* Whether rd_png_grid can draw n such images: RD_EUSAGE where there are none, or not of 1 or 3 channels, or they make too large a
 * picture. */
int rd_png_grid_check(int64_t n, int64_t c, int64_t h, int64_t w, int64_t columns, int scale, struct rd_err *e) RD_MUST;

/* n images x[n, c, h, w] f32 in [-1, 1] (clamped) as one grid, `columns` wide, `scale`-fold nearest enlargement, a
 * 2-pixel white gap; c is 1 or 3. */
int rd_png_grid(struct rd_out *o, const float *x, int64_t n, int64_t c, int64_t h, int64_t w, int64_t columns, int scale,
                struct rd_err *e) RD_MUST;

#endif
