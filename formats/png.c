#include "formats/png.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

#define SIDE_MAX 1000000 /* libpng's own limit */
#define GAP 2
#define WHITE 255

/* libpng's simplified interface, since it keeps its longjmp to itself. It compresses to memory: pictures are small. */
int rd_png_write(struct rd_out *o, const uint8_t *pixels, uint32_t width, uint32_t height, int channels,
                 struct rd_err *e)
{
	png_image im = {.version = PNG_IMAGE_VERSION, .width = width, .height = height};
	png_alloc_size_t bytes;
	size_t n;
	void *png;
	int rc;

	if ((channels != 1 && channels != 3) || !width || !height || width > SIDE_MAX || height > SIDE_MAX)
		return rd_fail(e, RD_EUSAGE, "png: %u x %u pixels of %d channels", width, height, channels);
	if (!rd_mul((size_t)width * height, (size_t)channels, &n) || n > INT32_MAX)
		return rd_fail(e, RD_EUSAGE, "png: %u x %u pixels are too many", width, height);
	im.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
	bytes = PNG_IMAGE_PNG_SIZE_MAX(im);
	rc = rd_alloc(&png, bytes, 1, "png", e);
	if (rc)
		return rc;
	if (png_image_write_to_memory(&im, png, &bytes, 0, pixels, 0, NULL))
		rc = rd_out_write(o, png, bytes, e);
	else
		rc = rd_fail(e, RD_EFAIL, "png: %s", im.message);
	png_image_free(&im);
	free(png);
	return rc;
}

/* [-1, 1] to 0..255; what is outside is clamped, what is no number is black. */
static uint8_t to_byte(float v)
{
	if (!(v > -1.0f))
		return 0;
	return v < 1.0f ? (uint8_t)lrintf((v + 1.0f) * 127.5f) : 255;
}

struct grid {
	uint8_t *pixels;
	int64_t across, width, height; /* images in a row; pixels */
	int64_t c, h, w, scale;
};

/* Lays n images out. */
static int layout(struct grid *g, int64_t n, int64_t columns, struct rd_err *e)
{
	int64_t rows;

	if (g->c != 1 && g->c != 3)
		return rd_fail(e, RD_EUSAGE, "images of %lld channels: 1 or 3 make a picture", (long long)g->c);
	if (n < 1 || columns < 1 || g->scale < 1)
		return rd_fail(e, RD_EUSAGE, "%lld images, %lld in a row, enlarged %lld-fold", (long long)n, (long long)columns,
		               (long long)g->scale);
	if (g->h < 1 || g->w < 1 || g->h > SIDE_MAX / g->scale || g->w > SIDE_MAX / g->scale || n > SIDE_MAX)
		return rd_fail(e, RD_EUSAGE, "%lld images of %lld x %lld pixels do not fit a picture", (long long)n,
		               (long long)g->w, (long long)g->h);
	g->across = columns < n ? columns : n;
	rows = (n + g->across - 1) / g->across;
	g->width = g->across * (g->w * g->scale + GAP) - GAP;
	g->height = rows * (g->h * g->scale + GAP) - GAP;
	if (g->width > SIDE_MAX || g->height > SIDE_MAX || g->width * g->height > INT32_MAX / g->c)
		return rd_fail(e, RD_EUSAGE, "a picture of %lld x %lld pixels is too large", (long long)g->width,
		               (long long)g->height);
	return RD_OK;
}

int rd_png_grid_check(int64_t n, int64_t c, int64_t h, int64_t w, int64_t columns, int scale, struct rd_err *e)
{
	struct grid g = {.c = c, .h = h, .w = w, .scale = scale};

	return layout(&g, n, columns, e);
}

/* One image x[c, h, w] with its corner at (left, top). */
static void draw(const struct grid *g, const float *x, int64_t left, int64_t top)
{
	for (int64_t y = 0; y < g->h * g->scale; y++) {
		uint8_t *p = g->pixels + (size_t)(((top + y) * g->width + left) * g->c);

		for (int64_t i = 0; i < g->w * g->scale; i++)
			for (int64_t k = 0; k < g->c; k++)
				*p++ = to_byte(x[(k * g->h + y / g->scale) * g->w + i / g->scale]);
	}
}

int rd_png_grid(struct rd_out *o, const float *x, int64_t n, int64_t c, int64_t h, int64_t w, int64_t columns, int scale,
                struct rd_err *e)
{
	struct grid g = {.c = c, .h = h, .w = w, .scale = scale};
	void *p;
	int rc;

	if (layout(&g, n, columns, e))
		return rd_context(e, "png");
	rc = rd_alloc(&p, (size_t)(g.width * g.height), (size_t)c, "png", e);
	if (rc)
		return rc;
	memset(p, WHITE, (size_t)(g.width * g.height * c));
	g.pixels = p;
	for (int64_t i = 0; i < n; i++)
		draw(&g, x + i * c * h * w, i % g.across * (w * scale + GAP), i / g.across * (h * scale + GAP));
	rc = rd_png_write(o, g.pixels, (uint32_t)g.width, (uint32_t)g.height, (int)c, e);
	free(p);
	return rc;
}
