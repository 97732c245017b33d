/* The parts of which a chart is made: a frame with axes, curves, bands of quantiles, keys of a legend. Everything is
 * drawn so that curves stay apart in print and without colour vision: a style is a colour of Okabe and Ito's palette
 * and a dash of its own. Lengths are in pixels. */
#ifndef RD_LIB_MEASURE_CHART_H
#define RD_LIB_MEASURE_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/svg.h"

#define RD_CHART_FONT "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\""

enum { RD_CHART_STYLES = 8 }; /* then they repeat */

struct rd_axis {
	double lo, hi; /* hi above lo; both above 0 where log */
	bool log;
	const char *label; /* NULL: neither label nor numbers */
};

/* A frame at (left, top), w wide and h high. */
struct rd_panel {
	double left, top, w, h;
	struct rd_axis x, y;
	const char *clip; /* name of the clip path that rd_panel_axes defines; one of its own in a picture */
};

/* Opens a white page with the font set; to be ended by rd_chart_finish. */
int rd_chart_open(struct rd_svg **out, struct rd_out *o, double width, double height, const char *title,
                  struct rd_err *e) RD_MUST;
int rd_chart_finish(struct rd_svg *s, struct rd_err *e) RD_MUST;

/* Title, and a smaller line below it, in about so many pixels at most. */
void rd_chart_titles(struct rd_svg *s, double x, double y, double width, const char *title, const char *below);

/* Where a value is; on a logarithmic axis what is not above 0 is at the low end. NaN stays NaN. */
double rd_panel_x(const struct rd_panel *p, double v);
double rd_panel_y(const struct rd_panel *p, double v);

/* The axis from the least to the greatest of n values with a margin on both sides; NaN and infinities are passed over,
 * and on a logarithmic axis what is not above 0, or more than 12 decades below the greatest. */
void rd_axis_fit(struct rd_axis *a, const double *v, size_t n);

/* Grid lines, numbers, labels, the frame. */
void rd_panel_axes(struct rd_svg *s, const struct rd_panel *p);

/* Points with a NaN among their coordinates are left out, and the line goes on behind them; where they are few they are
 * marked, so that one alone is seen. `room` holds n points for a
 * curve, 2n for a band. */
void rd_panel_curve(struct rd_svg *s, const struct rd_panel *p, const double *x, const double *y, size_t n,
                    size_t style, double (*room)[2]);
void rd_panel_band(struct rd_svg *s, const struct rd_panel *p, const double *x, const double *lo, const double *hi,
                   size_t n, size_t style, double (*room)[2]);

/* A point for each of n values, that of a key below. */
void rd_panel_points(struct rd_svg *s, const struct rd_panel *p, const double *x, const double *y, size_t n, size_t style);

/* "#rrggbb" of a style; its dashes for stroke-dasharray ("none": solid). */
const char *rd_chart_colour(size_t style);
const char *rd_chart_dash(size_t style);

/* A line of the legend: a stroke, or points, of the style and a text, shortened at its front to 40 characters. */
void rd_chart_key(struct rd_svg *s, double x, double y, size_t style, const char *text);
void rd_chart_key_points(struct rd_svg *s, double x, double y, size_t style, const char *text);
/* How wide either is. */
double rd_chart_key_width(const char *text);

#endif
