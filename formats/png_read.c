#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/png.h"
#include "lib/base/size.h"

#define PIXELS_MAX ((size_t)1 << 26)
#define PIXELS_A_BYTE (1032 * 8) /* deflate makes at most 1032 bytes of one, and a pixel takes one bit at least */

/* libpng takes memory for a chunk on its length's word: none may be longer than what is left of the file, which has `bytes`. */
static int check_chunks(FILE *f, int64_t bytes, const char *path, struct rd_err *e)
{
	enum { SIGNATURE = 8, HEAD = 8, SUM = 4 };
	uint8_t head[HEAD];
	int64_t at = SIGNATURE;

	while (at + HEAD <= bytes && !fseeko(f, at, SEEK_SET) && fread(head, HEAD, 1, f) == 1) {
		uint32_t len = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];

		if ((int64_t)len + SUM > bytes - at - HEAD)
			return rd_fail(e, RD_EINPUT, "%s: png: a chunk of %lu bytes does not end in the file: it is cut off", path,
			               (unsigned long)len);
		at += HEAD + (int64_t)len + SUM;
	}
	if (ferror(f))
		return rd_fail_errno(e, RD_EIO, "%s", path);
	rewind(f);
	return RD_OK;
}

static int check_kind(const png_image *im, int64_t bytes, const char *path, struct rd_err *e)
{
	if (im->format & PNG_FORMAT_FLAG_LINEAR)
		return rd_fail(e, RD_EINPUT, "%s: has 16 bits a channel; pictures of 8 are read", path);
	if (im->format & PNG_FORMAT_FLAG_ALPHA)
		return rd_fail(e, RD_EINPUT, "%s: has transparency; grey and RGB are read", path);
	if ((size_t)im->width * im->height > PIXELS_MAX)
		return rd_fail(e, RD_EINPUT, "%s: %u x %u pixels are too many", path, im->width, im->height);
	if ((int64_t)im->width * im->height / PIXELS_A_BYTE > bytes)
		return rd_fail(e, RD_EINPUT, "%s: %lld bytes for %u x %u pixels: it is cut off", path, (long long)bytes, im->width,
		               im->height);
	return RD_OK;
}

static int decode(png_image *im, int64_t bytes, const char *path, struct rd_array *a, struct rd_err *e)
{
	const int64_t c = im->format & PNG_FORMAT_FLAG_COLOR ? 3 : 1;
	int rc = check_kind(im, bytes, path, e);

	if (!rc)
		rc = rd_alloc(&a->data, (size_t)im->width * im->height, (size_t)c, path, e);
	if (rc)
		return rc;
	a->dtype = RD_U8;
	a->shape = rd_shape_make(3, (const int64_t[]){im->height, im->width, c});
	im->format = c == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
	if (png_image_finish_read(im, NULL, a->data, 0, NULL))
		return RD_OK;
	rd_array_free(a);
	return rd_fail(e, RD_EINPUT, "%s: png: %s", path, im->message);
}

static int read_open(FILE *f, const char *path, struct rd_array *a, struct rd_err *e)
{
	static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
	png_image im = {.version = PNG_IMAGE_VERSION};
	uint8_t got[sizeof signature];
	struct stat st;
	int rc;

	if (fstat(fileno(f), &st))
		return rd_fail_errno(e, RD_EIO, "%s", path);
	if (fread(got, sizeof got, 1, f) != 1 || memcmp(got, signature, sizeof got) != 0)
		return rd_fail(e, RD_EINPUT, "%s: png: not a PNG file", path);
	rc = check_chunks(f, st.st_size, path, e);
	if (rc)
		return rc;
	if (!png_image_begin_read_from_stdio(&im, f))
		return rd_fail(e, RD_EINPUT, "%s: png: %s", path, im.message);
	rc = decode(&im, st.st_size, path, a, e);
	png_image_free(&im);
	return rc;
}

int rd_png_read(const char *path, struct rd_array *a, struct rd_err *e)
{
	FILE *f = fopen(path, "rbe");
	int rc;

	*a = (struct rd_array){0};
	if (!f)
		return rd_fail_errno(e, RD_EIO, "%s", path);
	rc = read_open(f, path, a, e);
	fclose(f);
	return rc;
}
