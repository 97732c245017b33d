/* SVG, as much of it as a plot needs. Lengths are in pixels, y down. `attrs` is text for inside the tag
 * (stroke="#ccc"), NULL or trusted; text to be shown may be anything and is escaped. Drawing calls return nothing: the
 * first write that fails is kept, what follows it is dropped, and rd_svg_finish reports it. */
#ifndef RD_FORMATS_SVG_H
#define RD_FORMATS_SVG_H

#include <stddef.h>

#include "formats/out.h"

struct rd_svg;

/* o is borrowed: the caller finishes it after rd_svg_finish, aborts it otherwise. title: for those who cannot
 * see. */
int rd_svg_open(struct rd_svg **out, struct rd_out *o, double width, double height, const char *title,
                struct rd_err *e) RD_MUST;
int rd_svg_finish(struct rd_svg *s, struct rd_err *e) RD_MUST; /* frees, also when it fails */

void rd_svg_group(struct rd_svg *s, const char *attrs);
void rd_svg_group_end(struct rd_svg *s);

/* Defines a rectangle that clip-path="url(#id)" cuts to. */
void rd_svg_clip(struct rd_svg *s, const char *id, double x, double y, double w, double h);

void rd_svg_line(struct rd_svg *s, double x1, double y1, double x2, double y2, const char *attrs);
void rd_svg_rect(struct rd_svg *s, double x, double y, double w, double h, const char *attrs);
void rd_svg_circle(struct rd_svg *s, double x, double y, double r, const char *attrs);
void rd_svg_polyline(struct rd_svg *s, const double (*xy)[2], size_t n, const char *attrs);
void rd_svg_polygon(struct rd_svg *s, const double (*xy)[2], size_t n, const char *attrs);
void rd_svg_text(struct rd_svg *s, double x, double y, const char *text, const char *attrs);

/* "#rrggbb" of viridis at v in [0, 1] (clamped). */
void rd_svg_viridis(double v, char out[8]);

#endif
