#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/measure/chart.h"
#include "lib/measure/trajplot_impl.h"

enum { BINS = 24, FEW = 3 };

/* The page: margins on the left and above, gaps between the panels for the axes' numbers and names. */
static const double left = 76, gap_x = 80, gap_y = 62, key_gap = 22;

/* The picture being drawn. */
struct page {
	const struct rd_trajplot *p;
	struct rd_svg *s;
	double (*line)[2]; /* room for a trajectory */
	size_t columns, rows;
	double top, side;  /* of a panel */
};

/* The share of noise in node k's variance. */
static double share(const struct rd_trajplot_input *in, size_t k)
{
	const double a = in->grid->alpha[k], s = in->grid->sigma[k], h = hypot(a, s);

	return s / h * (s / h);
}

/* Noise is light, data dark: where the lines end is where one looks. */
static void colour(double noise, char out[8])
{
	rd_svg_viridis(0.92 * noise, out);
}

static int bin_of(const struct rd_trajplot_input *in, size_t k)
{
	int b = (int)((share(in, k) + share(in, k + 1)) / 2 * BINS);

	return b < BINS ? b : BINS - 1;
}

/* A point over a node's divisor on the page; false: nowhere. */
static bool on_page(const struct rd_panel *panel, const double at[2], double div, double out[2])
{
	if (!(div > 0) || !isfinite(at[0] / div) || !isfinite(at[1] / div))
		return false;
	out[0] = rd_panel_x(panel, at[0] / div);
	out[1] = rd_panel_y(panel, at[1] / div);
	return true;
}

/* Node k of trajectory i. */
static bool place(const struct rd_trajplot_input *in, enum rd_traj_coords c, const struct rd_panel *panel, size_t i,
                  size_t k, double out[2])
{
	return on_page(panel, in->flat[i * rd_trajplot_nodes(in) + k], rd_trajplot_divisor(in, c, k), out);
}

/* The parts of trajectory i whose colour is that of bin b; b < 0: all of it. */
static void draw_runs(const struct page *g, const struct rd_trajplot_input *in, enum rd_traj_coords c,
                      const struct rd_panel *panel, size_t i, int b)
{
	const size_t nodes = rd_trajplot_nodes(in);
	size_t n = 0;

	for (size_t k = 0; k < nodes; k++) {
		const bool begins = k + 1 < nodes && (b < 0 || bin_of(in, k) == b); /* the piece from k to k + 1 is wanted */
		double at[2];
		const bool there = place(in, c, panel, i, k, at);

		if (there && (n || begins)) { /* the node ends a piece, begins one, or both */
			g->line[n][0] = at[0];
			g->line[n++][1] = at[1];
		}
		if (n && (!there || !begins)) {
			if (n > 1)
				rd_svg_polyline(g->s, (const double (*)[2])g->line, n, NULL);
			n = 0;
		}
	}
}

/* The first-order paths of trajectory i, over the nodes that have a place: they meet at the knots, and are one line. */
static void draw_chord(const struct page *g, const struct rd_trajplot_input *in, enum rd_traj_coords c,
                       const struct rd_panel *panel, size_t i)
{
	const size_t nodes = rd_trajplot_nodes(in);
	size_t n = 0;

	for (size_t k = 0; k < nodes; k++) {
		double at[2];

		rd_trajplot_chord(in, i, k, at);
		if (on_page(panel, at, rd_trajplot_divisor(in, c, k), g->line[n]))
			n++;
	}
	if (n > 1)
		rd_svg_polyline(g->s, (const double (*)[2])g->line, n, NULL);
}

/* Many lines are thin and let one another shine through; a few are strong. */
static void line_look(const struct rd_trajplot_input *in, double *width, double *opacity)
{
	*width = in->n <= FEW ? 2.4 : 1.1;
	*opacity = in->n <= FEW ? 1 : fmin(0.8, fmax(0.1, 6.5 / sqrt((double)in->n + 1)));
}

static void draw_by_noise(const struct page *g, const struct rd_trajplot_input *in, enum rd_traj_coords c,
                          const struct rd_panel *panel)
{
	char attrs[192], rgb[8];
	double width, opacity;

	line_look(in, &width, &opacity);
	for (int b = BINS - 1; b >= 0; b--) {
		colour((b + 0.5) / BINS, rgb);
		snprintf(attrs, sizeof attrs, "fill=\"none\" stroke=\"%s\" stroke-width=\"%g\" stroke-opacity=\"%.2f\" "
		         "stroke-linejoin=\"round\"%s", rgb, width, opacity, in->n <= FEW ? " stroke-linecap=\"round\"" : "");
		rd_svg_group(g->s, attrs);
		for (size_t i = 0; i < in->n; i++)
			draw_runs(g, in, c, panel, i, b);
		rd_svg_group_end(g->s);
	}
}

/* Input i of several in one panel. A few lines that lie on one another are seen all the same: later ones are thinner,
 * and have gaps. */
static void draw_by_input(const struct page *g, size_t i, enum rd_traj_coords c, const struct rd_panel *panel)
{
	const struct rd_trajplot_input *in = g->p->in + i;
	char attrs[256];
	double width, opacity;

	line_look(in, &width, &opacity);
	if (in->n <= FEW)
		width = 2.4 + 1.8 * (double)(g->p->n - 1 - i);
	snprintf(attrs, sizeof attrs, "fill=\"none\" stroke=\"%s\" stroke-width=\"%g\" stroke-opacity=\"%.2f\" "
	         "stroke-linejoin=\"round\" stroke-dasharray=\"%s\"", rd_chart_colour(i), width, opacity,
	         in->n <= FEW ? rd_chart_dash(i) : "none");
	rd_svg_group(g->s, attrs);
	for (size_t k = 0; k < in->n; k++)
		draw_runs(g, in, c, panel, k, -1);
	rd_svg_group_end(g->s);
}

static const char start_attrs[] = "fill=\"#fff\" stroke=\"#7a8f2a\" stroke-width=\"0.9\"";
static const char chord_attrs[] = "fill=\"none\" stroke=\"#d55e00\" stroke-width=\"1.1\" stroke-dasharray=\"4 2.5\"";
static const char knot_attrs[] = "fill=\"#d55e00\" stroke=\"none\"";
static const char end_attrs[] = "fill=\"#440154\" fill-opacity=\"0.75\" stroke=\"none\"";

static double mark_radius(const struct rd_trajplot_input *in)
{
	return in->n <= FEW ? 4 : in->n <= 300 ? 2.3 : 1.5;
}

/* A mark at node k of every trajectory that has a place; one outside the frame is cut off with its line. */
static void draw_marks(const struct page *g, const struct rd_trajplot_input *in, enum rd_traj_coords c,
                       const struct rd_panel *panel, size_t k, double r, const char *attrs)
{
	double at[2];

	rd_svg_group(g->s, attrs);
	for (size_t i = 0; i < in->n; i++)
		if (place(in, c, panel, i, k, at))
			rd_svg_circle(g->s, at[0], at[1], r, NULL);
	rd_svg_group_end(g->s);
}

/* Over the trajectories, in dashes through which one is seen that lies on its chord. */
static void draw_chords(const struct page *g, const struct rd_trajplot_input *in, enum rd_traj_coords c,
                        const struct rd_panel *panel)
{
	rd_svg_group(g->s, chord_attrs);
	for (size_t i = 0; i < in->n; i++)
		draw_chord(g, in, c, panel, i);
	rd_svg_group_end(g->s);
	for (int i = 1; i < in->chords->phases; i++)
		draw_marks(g, in, c, panel, (size_t)(i * in->chords->each), 0.75 * mark_radius(in), knot_attrs);
}

static void draw_overlaid(const struct page *g, enum rd_traj_coords c, const struct rd_panel *panel)
{
	for (size_t i = 0; i < g->p->n; i++)
		draw_by_input(g, i, c, panel);
	for (size_t i = 0; i < g->p->n; i++) {
		const struct rd_trajplot_input *in = g->p->in + i;
		char attrs[96];

		snprintf(attrs, sizeof attrs, "fill=\"#fff\" stroke=\"%s\" stroke-width=\"1.2\"", rd_chart_colour(i));
		draw_marks(g, in, c, panel, 0, mark_radius(in), attrs);
		snprintf(attrs, sizeof attrs, "fill=\"%s\" stroke=\"none\"", rd_chart_colour(i));
		draw_marks(g, in, c, panel, rd_trajplot_nodes(in) - 1, mark_radius(in), attrs);
	}
}

static void draw_alone(const struct page *g, const struct rd_trajplot_input *in, enum rd_traj_coords c,
                       const struct rd_panel *panel)
{
	const double r = mark_radius(in);

	draw_marks(g, in, c, panel, 0, r, start_attrs);
	draw_by_noise(g, in, c, panel);
	if (in->chords)
		draw_chords(g, in, c, panel);
	draw_marks(g, in, c, panel, rd_trajplot_nodes(in) - 1, r, end_attrs);
}

static void draw_panel(const struct page *g, size_t column, size_t row)
{
	static const char *const over[] = { "", "/\u03b1", "/\u03c3" };
	const struct rd_trajplot *p = g->p;
	const enum rd_traj_coords c = p->o.coords[p->o.overlay ? column : row];
	const size_t i = p->o.overlay ? 0 : column;
	const struct rd_trajplot_frame f = rd_trajplot_fit(p, i, c);
	char name[2][64], clip[64], attrs[96];
	struct rd_panel panel = {
		.left = left + (double)column * (g->side + gap_x), .top = g->top + (double)row * (g->side + gap_y),
		.w = g->side, .h = g->side, .clip = clip,
		.x = { f.lo[0], f.lo[0] + f.side, false, name[0] }, .y = { f.lo[1], f.lo[1] + f.side, false, name[1] },
	};

	for (int q = 0; q < 2; q++) {
		if (p->dim == 2)
			snprintf(name[q], sizeof name[q], "%s%s", q ? "x\u2082" : "x\u2081", over[c]);
		else
			snprintf(name[q], sizeof name[q], "x%s, principal component %d", over[c], q + 1);
	}
	snprintf(clip, sizeof clip, "frame-%zu-%zu", column, row);
	rd_panel_axes(g->s, &panel);
	snprintf(attrs, sizeof attrs, "clip-path=\"url(#%s)\"", clip);
	rd_svg_group(g->s, attrs);
	if (p->o.overlay) {
		draw_overlaid(g, c, &panel);
	} else {
		draw_alone(g, p->in + i, c, &panel);
	}
	rd_svg_group_end(g->s);
}

/* Legend and colour bar. */
static void draw_bar(struct rd_svg *s, double x, double top, bool chords)
{
	const double bar = top + 84, height = 160;
	char attrs[32], rgb[8];

	rd_svg_group(s, "font-size=\"12\" fill=\"#222\"");
	rd_svg_group(s, start_attrs);
	rd_svg_circle(s, x + 7, top + 10, 3.2, NULL);
	rd_svg_group_end(s);
	rd_svg_text(s, x + 20, top + 14, "start", NULL);
	rd_svg_group(s, end_attrs);
	rd_svg_circle(s, x + 7, top + 30, 3.2, NULL);
	rd_svg_group_end(s);
	rd_svg_text(s, x + 20, top + 34, "end", NULL);
	if (chords) {
		rd_svg_line(s, x - 2, top + 50, x + 16, top + 50, chord_attrs);
		rd_svg_text(s, x + 20, top + 54, "chord", NULL);
	}
	for (int b = 0; b < 4 * BINS; b++) { /* from above; each a little over the next, so that no gap shows */
		colour(1 - (b + 0.5) / (4 * BINS), rgb);
		snprintf(attrs, sizeof attrs, "fill=\"%s\"", rgb);
		rd_svg_rect(s, x, bar + b * height / (4 * BINS), 14, height / (4 * BINS) + (b + 1 < 4 * BINS), attrs);
	}
	rd_svg_rect(s, x, bar, 14, height, "fill=\"none\" stroke=\"#888\" stroke-width=\"0.8\"");
	rd_svg_text(s, x + 20, bar + 9, "1 noise", NULL);
	rd_svg_text(s, x + 20, bar + height / 2 + 4, "0.5", NULL);
	rd_svg_text(s, x + 20, bar + height, "0 data", NULL);
	rd_svg_text(s, x, bar - 12, "\u03c3\u00b2/(\u03b1\u00b2+\u03c3\u00b2)", NULL);
	rd_svg_group_end(s);
}

static void draw_keys(const struct page *g, double x)
{
	for (size_t i = 0; i < g->p->n; i++)
		rd_chart_key(g->s, x, g->top + 14 + 20 * (double)i, i, g->p->in[i].name);
}

/* Appends "BEFORE TEXT AFTER" of a member of meta that is there. */
static void append(char *buf, size_t cap, const char *before, const json_t *meta, const char *key, const char *after)
{
	const json_t *v = json_object_get(meta, key);
	const size_t n = strlen(buf);

	if (json_is_string(v))
		snprintf(buf + n, cap - n, "%s%s%.40s%s", n ? ", " : "", before, json_string_value(v), after);
	else if (json_is_integer(v)) /* a seed, whole */
		snprintf(buf + n, cap - n, "%s%s%lld%s", n ? ", " : "", before, (long long)json_integer_value(v), after);
	else if (json_is_number(v))
		snprintf(buf + n, cap - n, "%s%s%.6g%s", n ? ", " : "", before, json_number_value(v), after);
}

enum { TEXT = 400 };

/* How the trajectories were made. */
static void describe(const struct rd_trajplot_input *in, char text[TEXT])
{
	size_t n;

	text[0] = 0;
	append(text, TEXT, "", in->meta, "form", "");
	append(text, TEXT, "", in->meta, "prediction", in->meta ? " prediction" : "");
	append(text, TEXT, "", in->meta, "solver", "");
	n = strlen(text);
	snprintf(text + n, TEXT - n, "%s%d step%s", n ? ", " : "Trajectories in ", in->grid->steps,
	         in->grid->steps == 1 ? "" : "s");
	n = strlen(text);
	if (in->chords)
		snprintf(text + n, TEXT - n, ", %d chord%s", in->chords->phases, in->chords->phases == 1 ? "" : "s");
}

static void describe_more(const struct rd_trajplot_input *in, char text[TEXT])
{
	size_t n;

	text[0] = 0;
	append(text, TEXT, "model ", in->meta, "model", "");
	append(text, TEXT, "guidance ", in->meta, "guidance", "");
	append(text, TEXT, "", in->meta, "spacing", " spacing");
	append(text, TEXT, "seed ", in->meta, "seed", "");
	n = strlen(text);
	snprintf(text + n, TEXT - n, "%s%zu of %llu samples", n ? ", " : "", in->n, (unsigned long long)in->total);
}

/* Above each column whose it is; where there is but one, what and how. */
static void draw_titles(const struct page *g)
{
	static const char *const title[] = { "x", "x/\u03b1", "x/\u03c3" };
	char text[TEXT], more[TEXT];

	for (size_t i = 0; i < g->columns; i++) {
		const double x = left + (double)i * (g->side + gap_x);

		if (g->p->o.overlay) {
			rd_chart_titles(g->s, x, g->top - 12, g->side, title[g->p->o.coords[i]], "");
			continue;
		}
		describe(g->p->in + i, text);
		describe_more(g->p->in + i, more);
		if (g->columns == 1)
			rd_chart_titles(g->s, x, 28, g->side + 96, text, more);
		else
			rd_chart_titles(g->s, x, 28, g->side + gap_x - 16, g->p->in[i].name, text);
	}
}

static double key_width(const struct rd_trajplot *p)
{
	double widest = 0;

	for (size_t i = 0; p->o.overlay && i < p->n; i++)
		widest = fmax(widest, rd_chart_key_width(p->in[i].name));
	return p->o.overlay ? widest : 74;
}

int rd_trajplot_draw(const struct rd_trajplot *p, struct rd_out *o, struct rd_err *e)
{
	static const double sides[] = { 540, 400, 320, 270 };
	struct page g = { .p = p, .columns = p->o.overlay ? (size_t)p->o.n_coords : p->n,
		.rows = p->o.overlay ? 1 : (size_t)p->o.n_coords, .top = p->o.overlay ? 36 : 64 };
	size_t nodes = 0;
	bool chords = false;
	double keys;
	int rc;

	for (size_t i = 0; i < p->n; i++) {
		chords = chords || p->in[i].chords;
		nodes = rd_trajplot_nodes(p->in + i) > nodes ? rd_trajplot_nodes(p->in + i) : nodes;
	}
	rc = rd_alloc((void **)&g.line, nodes, sizeof *g.line, "a line", e);
	if (rc)
		return rc;
	g.side = sides[g.columns < 4 ? g.columns - 1 : 3];
	keys = left + (double)g.columns * (g.side + gap_x) - gap_x + key_gap;
	rc = rd_chart_open(&g.s, o, keys + key_width(p), g.top + (double)g.rows * (g.side + gap_y) - 6, "Trajectories", e);
	if (!rc) {
		draw_titles(&g);
		for (size_t column = 0; column < g.columns; column++)
			for (size_t row = 0; row < g.rows; row++)
				draw_panel(&g, column, row);
		if (p->o.overlay)
			draw_keys(&g, keys);
		else
			draw_bar(g.s, keys, g.top, chords);
		rc = rd_chart_finish(g.s, e);
	}
	free(g.line);
	return rc;
}
