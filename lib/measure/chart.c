#include "lib/measure/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEY_CHARS = 40, FEW_POINTS = 12 };

static const double point_radius = 2.8;

int rd_chart_open(struct rd_svg **out, struct rd_out *o, double width, double height, const char *title,
                  struct rd_err *e)
{
	int rc = rd_svg_open(out, o, width, height, title, e);

	if (rc)
		return rc;
	rd_svg_rect(*out, 0, 0, width, height, "fill=\"#fff\"");
	rd_svg_group(*out, RD_CHART_FONT);
	return RD_OK;
}

int rd_chart_finish(struct rd_svg *s, struct rd_err *e)
{
	rd_svg_group_end(s);
	return rd_svg_finish(s, e);
}

/* Characters of UTF-8 text; where n of them end. */
static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static size_t bytes_of(const char *text, size_t n)
{
	size_t i = 0;

	for (; text[i] && n; n--)
		do
			i++;
		while (((unsigned char)text[i] & 0xc0) == 0x80);
	return i;
}

/* Text of this size in at most so many pixels: what is too much is cut off at its end. */
static void text_within(struct rd_svg *s, double x, double y, const char *text, double size, double width,
                        const char *fill)
{
	const double fits = width / (0.56 * size); /* a character of the widest font named is about this wide */
	char attrs[64], shown[512];

	snprintf(attrs, sizeof attrs, "font-size=\"%g\" fill=\"%s\"", size, fill);
	if ((double)characters(text) <= fits)
		snprintf(shown, sizeof shown, "%s", text);
	else
		snprintf(shown, sizeof shown, "%.*s\u2026", (int)bytes_of(text, (size_t)fits - 1), text);
	rd_svg_text(s, x, y, shown, attrs);
}

void rd_chart_titles(struct rd_svg *s, double x, double y, double width, const char *title, const char *below)
{
	text_within(s, x, y, title, 16, width, "#111");
	text_within(s, x, y + 19, below, 12, width, "#555");
}

/* 0 at the low end, 1 at the high one. */
static double along(const struct rd_axis *a, double v)
{
	if (!a->log)
		return (v - a->lo) / (a->hi - a->lo);
	if (isnan(v))
		return v;
	return v > 0 ? log(v / a->lo) / log(a->hi / a->lo) : 0;
}

double rd_panel_x(const struct rd_panel *p, double v)
{
	return p->left + along(&p->x, v) * p->w;
}

double rd_panel_y(const struct rd_panel *p, double v)
{
	return p->top + (1 - along(&p->y, v)) * p->h;
}

static void fit_log(struct rd_axis *a, const double *v, size_t n)
{
	double lo = HUGE_VAL, hi = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i] > hi && isfinite(v[i]))
			hi = v[i];
	for (size_t i = 0; i < n; i++)
		if (v[i] > hi * 1e-12 && v[i] < lo)
			lo = v[i];
	if (!(hi > 0))
		lo = hi = 1;
	if (hi / lo < 2) { /* of one value or nearly: something to see on both sides */
		lo /= 3;
		hi *= 3;
	}
	a->lo = lo / pow(hi / lo, 0.04);
	a->hi = hi * pow(hi / lo, 0.04);
}

void rd_axis_fit(struct rd_axis *a, const double *v, size_t n)
{
	double lo = HUGE_VAL, hi = -HUGE_VAL;

	if (a->log) {
		fit_log(a, v, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (isfinite(v[i])) {
			lo = fmin(lo, v[i]);
			hi = fmax(hi, v[i]);
		}
	if (!(lo <= hi))
		lo = hi = 0;
	if (!(hi - lo > 1e-12 * fabs(hi))) {
		lo -= 1;
		hi += 1;
	}
	a->lo = lo - 0.02 * (hi - lo);
	a->hi = hi + 0.02 * (hi - lo);
}

static void number_text(char *buf, size_t cap, double v)
{
	snprintf(buf, cap, "%s%.6g", v < 0 ? "\u2212" : "", fabs(v));
}

/* 10 to the power i: as it is where the axis has nothing below 0.001 and nothing above 1000, else with a raised i. */
static void power_text(char *buf, size_t cap, const struct rd_axis *a, int i)
{
	static const char *const digit[] = { "\u2070", "\u00b9", "\u00b2", "\u00b3", "\u2074",
		"\u2075", "\u2076", "\u2077", "\u2078", "\u2079" };
	const int n = i < 0 ? -i : i;

	if (a->lo > 1e-4 && a->hi < 1e4)
		snprintf(buf, cap, "%g", pow(10, i));
	else
		snprintf(buf, cap, "10%s%s%s%s", i < 0 ? "\u207b" : "", n >= 100 ? digit[n / 100 % 10] : "",
		         n >= 10 ? digit[n / 10 % 10] : "", digit[n % 10]);
}

/* A grid line at v and its number below it or to its left; text NULL: only a line, a faint one. */
static void tick(struct rd_svg *s, const struct rd_panel *p, bool upright, double v, const char *text)
{
	const char *const attrs = text ? NULL : "stroke=\"#f3f3f3\"";

	if (upright) {
		rd_svg_line(s, rd_panel_x(p, v), p->top, rd_panel_x(p, v), p->top + p->h, attrs);
		if (text && p->x.label)
			rd_svg_text(s, rd_panel_x(p, v), p->top + p->h + 17, text, "text-anchor=\"middle\" stroke=\"none\"");
	} else {
		rd_svg_line(s, p->left, rd_panel_y(p, v), p->left + p->w, rd_panel_y(p, v), attrs);
		if (text && p->y.label)
			rd_svg_text(s, p->left - 7, rd_panel_y(p, v) + 4, text, "text-anchor=\"end\" stroke=\"none\"");
	}
}

/* Steps of 1, 2 or 5 times a power of ten, a number for every 60 pixels or so. */
static void linear_ticks(struct rd_svg *s, const struct rd_panel *p, bool upright)
{
	const struct rd_axis *a = upright ? &p->x : &p->y;
	const double least = (a->hi - a->lo) * 60 / ((upright ? p->w : p->h) + 60);
	const double power = pow(10, floor(log10(least))), m = least / power;
	const double step = power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);

	for (double i = ceil(a->lo / step); i * step <= a->hi; i++) {
		char text[32];

		number_text(text, sizeof text, i * step);
		tick(s, p, upright, i * step, text);
	}
}

/* Powers of ten, each or every so many of them; over a short range the numbers between them too. */
static void log_ticks(struct rd_svg *s, const struct rd_panel *p, bool upright)
{
	const struct rd_axis *a = upright ? &p->x : &p->y;
	const double decades = log10(a->hi / a->lo);
	const int every = (int)ceil(decades * 40 / (upright ? p->w : p->h));
	char text[32];

	for (int i = (int)floor(log10(a->lo)); i <= (int)ceil(log10(a->hi)); i++)
		for (int m = 1; m < 10; m++) {
			const double v = m * pow(10, i);
			const bool number = m == 1 ? i % every == 0 : decades < 1.5 && (m == 2 || m == 5);

			if (v < a->lo || v > a->hi || (!number && decades > 6))
				continue;
			if (m == 1)
				power_text(text, sizeof text, a, i);
			else
				number_text(text, sizeof text, v);
			tick(s, p, upright, v, number ? text : NULL);
		}
}

void rd_panel_axes(struct rd_svg *s, const struct rd_panel *p)
{
	const double down = p->top + p->h / 2, out = p->left - 48;
	char turned[128];

	rd_svg_group(s, "font-size=\"12\" fill=\"#333\" stroke=\"#e2e2e2\" stroke-width=\"1\"");
	(p->x.log ? log_ticks : linear_ticks)(s, p, true);
	(p->y.log ? log_ticks : linear_ticks)(s, p, false);
	rd_svg_group_end(s);
	rd_svg_rect(s, p->left, p->top, p->w, p->h, "fill=\"none\" stroke=\"#777\" stroke-width=\"1\"");
	rd_svg_clip(s, p->clip, p->left, p->top, p->w, p->h);
	if (p->x.label)
		rd_svg_text(s, p->left + p->w / 2, p->top + p->h + 38, p->x.label,
		            "text-anchor=\"middle\" font-size=\"13\" fill=\"#111\"");
	if (!p->y.label)
		return;
	snprintf(turned, sizeof turned,
	         "text-anchor=\"middle\" font-size=\"13\" fill=\"#111\" transform=\"rotate(-90 %g %g)\"", out, down);
	rd_svg_text(s, out, down, p->y.label, turned);
}

static const struct {
	const char *colour, *dash;
} styles[RD_CHART_STYLES] = {
	{ "#0072b2", "none" },    { "#d55e00", "8 3" },         { "#009e73", "2.5 2.5" },       { "#cc79a7", "9 3 2.5 3" },
	{ "#e69f00", "14 3" },    { "#56b4e9", "5 2 2 2 2 2" }, { "#000000", "4 4" },           { "#8a7a00", "1.5 3" },
};

const char *rd_chart_colour(size_t style)
{
	return styles[style % RD_CHART_STYLES].colour;
}

const char *rd_chart_dash(size_t style)
{
	return styles[style % RD_CHART_STYLES].dash;
}

void rd_panel_curve(struct rd_svg *s, const struct rd_panel *p, const double *x, const double *y, size_t n,
                    size_t style, double (*room)[2])
{
	char attrs[256];
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		room[m][0] = rd_panel_x(p, x[i]);
		room[m][1] = rd_panel_y(p, y[i]);
		m += isnan(room[m][0] + room[m][1]) ? 0 : 1;
	}
	snprintf(attrs, sizeof attrs, "fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" stroke-dasharray=\"%s\" "
	         "stroke-linejoin=\"round\" clip-path=\"url(#%s)\"", rd_chart_colour(style), rd_chart_dash(style), p->clip);
	rd_svg_polyline(s, (const double (*)[2])room, m, attrs);
	if (m > FEW_POINTS)
		return;
	snprintf(attrs, sizeof attrs, "fill=\"%s\" stroke=\"none\"", rd_chart_colour(style));
	for (size_t i = 0; i < m; i++)
		rd_svg_circle(s, room[i][0], room[i][1], 2.6, attrs);
}

static void point_attrs(char attrs[96], size_t style)
{
	snprintf(attrs, 96, "fill=\"#fff\" stroke=\"%s\" stroke-width=\"1.4\"", rd_chart_colour(style));
}

void rd_panel_points(struct rd_svg *s, const struct rd_panel *p, const double *x, const double *y, size_t n, size_t style)
{
	char attrs[96];

	point_attrs(attrs, style);
	for (size_t i = 0; i < n; i++) {
		const double at[2] = { rd_panel_x(p, x[i]), rd_panel_y(p, y[i]) };

		if (!isnan(at[0] + at[1]))
			rd_svg_circle(s, at[0], at[1], point_radius, attrs);
	}
}

void rd_panel_band(struct rd_svg *s, const struct rd_panel *p, const double *x, const double *lo, const double *hi,
                   size_t n, size_t style, double (*room)[2])
{
	char attrs[192];
	size_t m = 0;

	for (size_t i = 0; i < 2 * n; i++) { /* there along one side, back along the other */
		const size_t j = i < n ? i : 2 * n - 1 - i;

		room[m][0] = rd_panel_x(p, x[j]);
		room[m][1] = rd_panel_y(p, i < n ? lo[j] : hi[j]);
		m += isnan(room[m][0] + room[m][1]) ? 0 : 1;
	}
	snprintf(attrs, sizeof attrs, "fill=\"%s\" fill-opacity=\"0.16\" stroke=\"none\" clip-path=\"url(#%s)\"",
	         rd_chart_colour(style), p->clip);
	rd_svg_polygon(s, (const double (*)[2])room, m, attrs);
}

static void key_text(struct rd_svg *s, double x, double y, const char *text)
{
	const size_t n = characters(text);
	char shown[4 * KEY_CHARS + 8];

	if (n > KEY_CHARS) /* the end of a path tells more */
		text += bytes_of(text, n - KEY_CHARS + 1);
	snprintf(shown, sizeof shown, "%s%s", n > KEY_CHARS ? "\u2026" : "", text);
	rd_svg_text(s, x + 37, y, shown, "font-size=\"12\" fill=\"#111\"");
}

void rd_chart_key(struct rd_svg *s, double x, double y, size_t style, const char *text)
{
	char attrs[128];

	snprintf(attrs, sizeof attrs, "stroke=\"%s\" stroke-width=\"2.2\" stroke-dasharray=\"%s\"", rd_chart_colour(style),
	         rd_chart_dash(style));
	rd_svg_line(s, x, y - 4, x + 30, y - 4, attrs);
	key_text(s, x, y, text);
}

void rd_chart_key_points(struct rd_svg *s, double x, double y, size_t style, const char *text)
{
	char attrs[96];

	point_attrs(attrs, style);
	for (int i = 0; i < 3; i++)
		rd_svg_circle(s, x + 3 + 12 * i, y - 4, point_radius, attrs);
	key_text(s, x, y, text);
}

double rd_chart_key_width(const char *text)
{
	const size_t n = characters(text);

	return 37 + 7.0 * (double)(n < KEY_CHARS ? n : KEY_CHARS) + 10;
}
