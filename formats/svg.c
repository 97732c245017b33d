#include "formats/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"

struct rd_svg {
	struct rd_out *o;
	struct rd_err e; /* of the first write that failed */
	int rc;
};

#define PUT(s, ...) \
	do { \
		if (!(s)->rc) \
			(s)->rc = rd_out_printf((s)->o, &(s)->e, __VA_ARGS__); \
	} while (0)

/* Bytes of the character at text; 0 where it is no UTF-8. */
static int utf8(const char *text)
{
	const unsigned char c = (unsigned char)*text;
	const int n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	for (int i = 1; i < n; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Text as XML: markup escaped, control characters (not allowed there at all) as spaces, what is no UTF-8 as ?. */
static void put_text(struct rd_svg *s, const char *text)
{
	for (int n; *text && !s->rc; text += n ? n : 1) {
		n = utf8(text);
		switch (*text) {
		case '<': PUT(s, "&lt;"); break;
		case '>': PUT(s, "&gt;"); break;
		case '&': PUT(s, "&amp;"); break;
		case '"': PUT(s, "&quot;"); break;
		default: PUT(s, "%.*s", n ? n : 1, !n ? "?" : (unsigned char)*text < ' ' ? " " : text);
		}
	}
}

/* Viewers give up on coordinates that are not numbers or far out; what is that far is outside every picture. */
static double coordinate(double v)
{
	if (isnan(v))
		return 0;
	return v < -1e6 ? -1e6 : v > 1e6 ? 1e6 : v;
}

/* The attributes behind the tag's own, and its end. */
static void put_attrs(struct rd_svg *s, const char *attrs, const char *end)
{
	PUT(s, "%s%s%s", attrs ? " " : "", attrs ? attrs : "", end);
}

int rd_svg_open(struct rd_svg **out, struct rd_out *o, double width, double height, const char *title, struct rd_err *e)
{
	struct rd_svg *s;
	int rc = rd_alloc0((void **)&s, 1, sizeof *s, "svg", e);

	*out = NULL;
	if (rc)
		return rc;
	s->o = o;
	PUT(s, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" viewBox=\"0 0 %g %g\">\n<title>",
	    width, height, width, height);
	put_text(s, title);
	PUT(s, "</title>\n");
	if (s->rc)
		return rd_svg_finish(s, e);
	*out = s;
	return RD_OK;
}

int rd_svg_finish(struct rd_svg *s, struct rd_err *e)
{
	int rc;

	PUT(s, "</svg>\n");
	rc = s->rc;
	if (rc)
		*e = s->e;
	free(s);
	return rc;
}

void rd_svg_group(struct rd_svg *s, const char *attrs)
{
	PUT(s, "<g");
	put_attrs(s, attrs, ">\n");
}

void rd_svg_group_end(struct rd_svg *s)
{
	PUT(s, "</g>\n");
}

void rd_svg_clip(struct rd_svg *s, const char *id, double x, double y, double w, double h)
{
	PUT(s, "<clipPath id=\"%s\">", id);
	rd_svg_rect(s, x, y, w, h, NULL);
	PUT(s, "</clipPath>\n");
}

void rd_svg_line(struct rd_svg *s, double x1, double y1, double x2, double y2, const char *attrs)
{
	PUT(s, "<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"", coordinate(x1), coordinate(y1), coordinate(x2),
	    coordinate(y2));
	put_attrs(s, attrs, "/>\n");
}

void rd_svg_rect(struct rd_svg *s, double x, double y, double w, double h, const char *attrs)
{
	PUT(s, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"", coordinate(x), coordinate(y), coordinate(w),
	    coordinate(h));
	put_attrs(s, attrs, "/>\n");
}

void rd_svg_circle(struct rd_svg *s, double x, double y, double r, const char *attrs)
{
	PUT(s, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\"", coordinate(x), coordinate(y), coordinate(r));
	put_attrs(s, attrs, "/>\n");
}

static void put_points(struct rd_svg *s, const char *tag, const double (*xy)[2], size_t n, const char *attrs)
{
	PUT(s, "<%s points=\"", tag);
	for (size_t i = 0; i < n; i++)
		PUT(s, "%s%.2f,%.2f", i ? " " : "", coordinate(xy[i][0]), coordinate(xy[i][1]));
	PUT(s, "\"");
	put_attrs(s, attrs, "/>\n");
}

void rd_svg_polyline(struct rd_svg *s, const double (*xy)[2], size_t n, const char *attrs)
{
	put_points(s, "polyline", xy, n, attrs);
}

void rd_svg_polygon(struct rd_svg *s, const double (*xy)[2], size_t n, const char *attrs)
{
	put_points(s, "polygon", xy, n, attrs);
}

void rd_svg_text(struct rd_svg *s, double x, double y, const char *text, const char *attrs)
{
	PUT(s, "<text x=\"%.2f\" y=\"%.2f\"", coordinate(x), coordinate(y));
	put_attrs(s, attrs, ">");
	put_text(s, text);
	PUT(s, "</text>\n");
}

void rd_svg_viridis(double v, char out[8])
{
	/* Ten of the map's colours, evenly spaced, straight lines between them. */
	static const unsigned char c[][3] = {
		{ 68, 1, 84 }, { 72, 40, 120 }, { 62, 74, 137 }, { 49, 104, 142 }, { 38, 130, 142 },
		{ 31, 158, 137 }, { 53, 183, 121 }, { 109, 205, 89 }, { 180, 222, 44 }, { 253, 231, 37 },
	};
	const int last = (int)(sizeof c / sizeof c[0]) - 1;
	double at = (v > 0 ? v < 1 ? v : 1 : 0) * last;
	int i = at < last ? (int)at : last - 1;
	unsigned rgb[3];

	for (int k = 0; k < 3; k++)
		rgb[k] = (unsigned)(c[i][k] + (at - i) * (c[i + 1][k] - c[i][k]) + 0.5) & 0xff;
	snprintf(out, 8, "#%02x%02x%02x", rgb[0], rgb[1], rgb[2]);
}
