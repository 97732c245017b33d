/* PNG: pixels read back with libpng, the layout of a grid, sizes refused. */
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/png.h"
#include "tests/check.h"

static char path[64];

static uint8_t *read_back(int channels, uint32_t *w, uint32_t *h)
{
	png_image im = {.version = PNG_IMAGE_VERSION};
	uint8_t *pixels;

	CHECK(png_image_begin_read_from_file(&im, path));
	CHECK(im.format == (unsigned)(channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB));
	*w = im.width;
	*h = im.height;
	pixels = malloc(PNG_IMAGE_SIZE(im));
	CHECK(png_image_finish_read(&im, NULL, pixels, 0, NULL));
	return pixels;
}

static void test_write(int channels)
{
	enum { W = 7, H = 5 };
	uint8_t in[W * H * 3], *out;
	struct rd_out *o;
	struct rd_err e;
	uint32_t w, h;

	for (int i = 0; i < W * H * channels; i++)
		in[i] = (uint8_t)(i * 37);
	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_png_write(o, in, W, H, channels, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	out = read_back(channels, &w, &h);
	CHECK(w == W && h == H && !memcmp(in, out, (size_t)(W * H * channels)));
	free(out);
}

/* Five images of 2 x 3 pixels, three in a row, twice as large. */
static void test_grid(int c)
{
	enum { N = 5, H = 2, W = 3, COLS = 3, SCALE = 2, GAP = 2 };
	float x[N * 3 * H * W];
	struct rd_out *o;
	struct rd_err e;
	uint32_t w, h;
	uint8_t *out;
	int wrong = 0;

	for (int i = 0; i < N * c * H * W; i++)
		x[i] = (float)(i % 256) / 127.5f - 1.0f;
	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_png_grid(o, x, N, c, H, W, COLS, SCALE, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	out = read_back(c, &w, &h);
	CHECK(w == 3 * 6 + 2 * GAP && h == 2 * 4 + GAP);
	for (int py = 0; py < (int)h; py++)
		for (int px = 0; px < (int)w; px++)
			for (int k = 0; k < c; k++) {
				int gx = px / 8, gy = py / 6, ix = px % 8, iy = py % 6, n = gy * COLS + gx, want = 255;

				if (ix < 6 && iy < 4 && n < N)
					want = (((n * c + k) * H + iy / SCALE) * W + ix / SCALE) % 256;
				wrong += out[(py * (int)w + px) * c + k] != want;
			}
	CHECK(wrong == 0);
	free(out);
}

/* Every byte survives [-1, 1]; what lies outside is clamped. */
static void test_values(void)
{
	float x[260];
	struct rd_out *o;
	struct rd_err e;
	uint32_t w, h;
	uint8_t *out;

	for (int i = 0; i < 256; i++)
		x[i] = (float)i / 127.5f - 1.0f;
	x[256] = 7;
	x[257] = -7;
	x[258] = INFINITY;
	x[259] = NAN;
	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_png_grid(o, x, 1, 1, 1, 260, 9, 1, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	out = read_back(1, &w, &h);
	CHECK(w == 260 && h == 1);
	for (int i = 0; i < 256; i++)
		CHECK(out[i] == i);
	CHECK(out[256] == 255 && out[257] == 0 && out[258] == 255 && out[259] == 0);
	free(out);
}

static void test_refused(void)
{
	const uint8_t pixel[3] = {0};
	const float x[3] = {0};
	struct rd_out *o;
	struct rd_err e;

	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK(rd_png_write(o, pixel, 1, 1, 2, &e) == RD_EUSAGE);
	CHECK(rd_png_write(o, pixel, 0, 1, 1, &e) == RD_EUSAGE);
	CHECK(rd_png_write(o, pixel, 1000000, 1000000, 3, &e) == RD_EUSAGE);
	CHECK(rd_png_grid(o, x, 0, 1, 1, 1, 1, 1, &e) == RD_EUSAGE);
	CHECK(rd_png_grid(o, x, 1, 2, 1, 1, 1, 1, &e) == RD_EUSAGE);
	CHECK(rd_png_grid(o, x, 1, 1, 1, 1, 0, 1, &e) == RD_EUSAGE);
	CHECK(rd_png_grid(o, x, 1, 1, INT64_MAX, 1, 1, 1, &e) == RD_EUSAGE);
	CHECK(rd_png_grid(o, x, INT64_MAX, 1, 1, 1, 1, 1, &e) == RD_EUSAGE);
	CHECK(rd_png_grid(o, x, 1, 1, 1000, 1000, 1, 1000, &e) == RD_EUSAGE);
	CHECK(rd_png_grid_check(1, 1, 1000, 1000, 1, 1000, &e) == RD_EUSAGE);
	CHECK(rd_png_grid_check(64, 4, 8, 8, 8, 2, &e) == RD_EUSAGE && strstr(e.msg, "4 channels"));
	CHECK(rd_png_grid_check(64, 3, 2048, 2048, 8, 2, &e) == RD_EUSAGE);
	CHECK_OK(rd_png_grid_check(64, 3, 1024, 1024, 8, 2, &e), &e);
	rd_out_abort(o);
	CHECK_OK(rd_out_open(&o, "/dev/full", 0, &e), &e);
	CHECK_OK(rd_png_write(o, pixel, 1, 1, 3, &e), &e); /* it is in the buffer */
	CHECK(rd_out_finish(o, &e) == RD_EIO);
}

/* The width in the file's header, whose chunk's sum is put right. */
static void promise_width(uint32_t w)
{
	enum { IHDR = 12, WIDTH = 16, SUM = 29 };
	uint8_t head[SUM + 4];
	FILE *f = fopen(path, "r+");
	uint32_t sum;

	CHECK(f && fread(head, sizeof head, 1, f) == 1);
	for (int i = 0; i < 4; i++)
		head[WIDTH + i] = (uint8_t)(w >> (24 - 8 * i));
	sum = (uint32_t)crc32(0, head + IHDR, SUM - IHDR);
	for (int i = 0; i < 4; i++)
		head[SUM + i] = (uint8_t)(sum >> (24 - 8 * i));
	rewind(f);
	CHECK(fwrite(head, sizeof head, 1, f) == 1 && !fclose(f));
}

/* A header that promises more than its file can hold is refused before memory is asked for. */
static void test_promises(void)
{
	const uint8_t pixel[3] = {1, 2, 3};
	struct rd_array a;
	struct rd_out *o;
	struct rd_err e;

	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	CHECK_OK(rd_png_write(o, pixel, 1, 1, 3, &e), &e);
	CHECK_OK(rd_out_finish(o, &e), &e);
	promise_width(1);
	CHECK_OK(rd_png_read(path, &a, &e), &e);
	CHECK(a.shape.d[0] == 1 && a.shape.d[1] == 1 && a.shape.d[2] == 3 && !memcmp(a.data, pixel, 3));
	rd_array_free(&a);
	promise_width(2);
	CHECK(rd_png_read(path, &a, &e) == RD_EINPUT && !a.data);
	promise_width(900000);
	CHECK(rd_png_read(path, &a, &e) == RD_EINPUT && !a.data && strstr(e.msg, "cut off"));
	CHECK(rd_png_read("tests/fuzz/regressions/png/chunk-longer-than-file", &a, &e) == RD_EINPUT);
	CHECK(!a.data && strstr(e.msg, "a chunk of 268435457 bytes does not end in the file"));
}

int main(void)
{
	snprintf(path, sizeof path, "/tmp/test_png.%ld", (long)getpid());
	test_write(1);
	test_write(3);
	test_grid(1);
	test_grid(3);
	test_values();
	test_refused();
	test_promises();
	unlink(path);
	return check_report("png");
}
