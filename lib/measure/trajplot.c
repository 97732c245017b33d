#include "lib/measure/trajplot.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/svg.h"
#include "lib/base/size.h"
#include "lib/measure/pca.h"

#define KEEP_BYTES ((size_t)256 << 20)

enum { BINS = 24, PCA_ROWS = 256 };

/* The page, in pixels: the square frame, and the column with legend and colour bar to its right. */
static const double page_w = 730, page_h = 664, left = 74, top = 68, side = 540, column = 634;

const char *const rd_traj_coords_names[] = { "x", "alpha", "sigma", NULL };

struct rd_trajplot {
	const struct rd_traj_grid *grid;
	enum rd_traj_coords coords;
	size_t max, n, dim;
	float *x;           /* [n][K+1][dim] */
	double (*at)[2];    /* [n][K+1]: where each node is drawn; NaN: nowhere */
	double (*line)[2];  /* [K+1]: a line that is being put together */
	double lo[2], unit; /* the frame's lower left corner; its side, the same in both directions */
};

int rd_trajplot_new(struct rd_trajplot **out, const struct rd_traj_grid *g, enum rd_traj_coords coords, size_t max,
                    struct rd_err *e)
{
	int rc = rd_alloc0((void **)out, 1, sizeof **out, "a picture", e);

	if (rc)
		return rc;
	(*out)->grid = g;
	(*out)->coords = coords;
	(*out)->max = max;
	return RD_OK;
}

void rd_trajplot_free(struct rd_trajplot *p)
{
	if (!p)
		return;
	free(p->x);
	free(p->at);
	free(p->line);
	free(p);
}

static size_t nodes(const struct rd_trajplot *p)
{
	return (size_t)p->grid->steps + 1;
}

static int reserve(struct rd_trajplot *p, size_t dim, struct rd_err *e)
{
	size_t each;

	if (dim < 2)
		return rd_fail(e, RD_ESHAPE, "a picture needs samples of two numbers or more");
	if (!rd_mul(nodes(p) * sizeof *p->x, dim, &each) || each > KEEP_BYTES)
		return rd_fail(e, RD_ESHAPE, "trajectories of %d steps of %zu numbers are too large for a picture",
		               p->grid->steps, dim);
	if (p->max > KEEP_BYTES / each)
		p->max = KEEP_BYTES / each;
	p->dim = dim;
	return rd_alloc((void **)&p->x, p->max, each, "the picture's trajectories", e);
}

int rd_trajplot_add(struct rd_trajplot *p, const struct rd_traj *t, struct rd_err *e)
{
	if (!p->x && p->max) {
		int rc = reserve(p, t->dim, e);

		if (rc)
			return rc;
	}
	if (p->n < p->max) {
		size_t each = nodes(p) * p->dim;

		memcpy(p->x + p->n * each, t->x, each * sizeof *p->x);
		p->n++;
	}
	return RD_OK;
}

/* What the states at node k are divided by. */
static double divisor(const struct rd_trajplot *p, size_t k)
{
	return p->coords == RD_TRAJ_ALPHA ? p->grid->alpha[k] : p->coords == RD_TRAJ_SIGMA ? p->grid->sigma[k] : 1;
}

/* Whether node k is among those that the frame is fitted to: its states' scale is at most sqrt 10. */
static bool framed(const struct rd_trajplot *p, size_t k)
{
	return hypot(p->grid->alpha[k], p->grid->sigma[k]) <= 3.1623 * divisor(p, k);
}

/* The share of noise in node k's variance. */
static double share(const struct rd_trajplot *p, size_t k)
{
	const double a = p->grid->alpha[k], s = p->grid->sigma[k], h = hypot(a, s);

	return s / h * (s / h);
}

/* Two rows of dim numbers that a state is multiplied with: the axes themselves in two dimensions. */
static int directions(const struct rd_trajplot *p, double *dir, struct rd_err *e)
{
	const size_t n = p->n < PCA_ROWS ? p->n : PCA_ROWS;
	const float *row[PCA_ROWS];

	if (p->dim == 2) {
		dir[0] = dir[3] = 1;
		dir[1] = dir[2] = 0;
		return RD_OK;
	}
	for (size_t i = 0; i < n; i++)
		row[i] = p->x + (i * nodes(p) + nodes(p) - 1) * p->dim;
	return rd_pca(dir, 2, row, n, p->dim, e);
}

/* Makes p->at and p->line. */
static int project(struct rd_trajplot *p, struct rd_err *e)
{
	double *dir;
	int rc = rd_alloc((void **)&dir, 2 * p->dim, sizeof *dir, "the picture's axes", e);

	if (!rc)
		rc = rd_alloc((void **)&p->at, p->n * nodes(p), sizeof *p->at, "the picture's points", e);
	if (!rc)
		rc = rd_alloc((void **)&p->line, nodes(p), sizeof *p->line, "a line", e);
	if (!rc)
		rc = directions(p, dir, e);
	for (size_t i = 0; !rc && i < p->n * nodes(p); i++) {
		const float *x = p->x + i * p->dim;
		const double div = divisor(p, i % nodes(p));

		for (int q = 0; q < 2; q++) {
			double sum = 0;

			for (size_t j = 0; j < p->dim; j++)
				sum += (double)x[j] * dir[(size_t)q * p->dim + j];
			p->at[i][q] = div > 0 && isfinite(sum / div) ? sum / div : NAN;
		}
	}
	free(dir);
	return rc;
}

/* The frame: a square around what is to be seen, with a margin of 4%. */
static void fit(struct rd_trajplot *p)
{
	double lo[2] = { HUGE_VAL, HUGE_VAL }, hi[2] = { -HUGE_VAL, -HUGE_VAL };

	for (size_t i = 0; i < p->n * nodes(p); i++)
		for (int q = 0; framed(p, i % nodes(p)) && q < 2; q++) {
			lo[q] = fmin(lo[q], p->at[i][q]); /* fmin and fmax ignore a NaN */
			hi[q] = fmax(hi[q], p->at[i][q]);
		}
	for (int q = 0; q < 2; q++)
		if (!(lo[q] <= hi[q])) {
			lo[q] = -1;
			hi[q] = 1;
		}
	p->unit = 1.08 * fmax(hi[0] - lo[0], hi[1] - lo[1]);
	if (!(p->unit > 0))
		p->unit = 1;
	for (int q = 0; q < 2; q++)
		p->lo[q] = (lo[q] + hi[q] - p->unit) / 2;
}

static double px(const struct rd_trajplot *p, double x)
{
	return left + (x - p->lo[0]) / p->unit * side;
}

static double py(const struct rd_trajplot *p, double y)
{
	return top + side - (y - p->lo[1]) / p->unit * side;
}

/* 1, 2 or 5 times a power of ten: the step of four to nine ticks. */
static double tick_step(double range)
{
	const double power = pow(10, floor(log10(range / 4)));
	const double m = range / 4 / power;

	return power * (m >= 5 ? 5 : m >= 2 ? 2 : 1);
}

static void draw_ticks(const struct rd_trajplot *p, struct rd_svg *s, int axis)
{
	const double step = tick_step(p->unit);

	for (double i = ceil(p->lo[axis] / step); i * step <= p->lo[axis] + p->unit; i++) {
		char text[32];

		snprintf(text, sizeof text, "%s%.6g", i < 0 ? "\u2212" : "", fabs(i * step));
		if (axis == 0) {
			rd_svg_line(s, px(p, i * step), top, px(p, i * step), top + side, NULL);
			rd_svg_text(s, px(p, i * step), top + side + 18, text, "text-anchor=\"middle\" stroke=\"none\"");
		} else {
			rd_svg_line(s, left, py(p, i * step), left + side, py(p, i * step), NULL);
			rd_svg_text(s, left - 8, py(p, i * step) + 4, text, "text-anchor=\"end\" stroke=\"none\"");
		}
	}
}

static void draw_axes(const struct rd_trajplot *p, struct rd_svg *s)
{
	static const char *const over[] = { "", "/\u03b1", "/\u03c3" };
	char name[2][64], turned[96];

	for (int q = 0; q < 2; q++) {
		if (p->dim == 2)
			snprintf(name[q], sizeof name[q], "%s%s", q ? "x\u2082" : "x\u2081", over[p->coords]);
		else
			snprintf(name[q], sizeof name[q], "x%s, principal component %d", over[p->coords], q + 1);
	}
	rd_svg_group(s, "font-size=\"12\" fill=\"#444\" stroke=\"#e6e6e6\" stroke-width=\"1\"");
	draw_ticks(p, s, 0);
	draw_ticks(p, s, 1);
	rd_svg_group_end(s);
	rd_svg_text(s, left + side / 2, top + side + 42, name[0], "text-anchor=\"middle\" font-size=\"14\" fill=\"#222\"");
	snprintf(turned, sizeof turned,
	         "text-anchor=\"middle\" font-size=\"14\" fill=\"#222\" transform=\"rotate(-90 22 %g)\"", top + side / 2);
	rd_svg_text(s, 22, top + side / 2, name[1], turned);
}

/* Noise is light, data dark: where the lines end is where one looks. */
static void colour(double noise, char out[8])
{
	rd_svg_viridis(0.92 * noise, out);
}

static int bin_of(const struct rd_trajplot *p, size_t k)
{
	int b = (int)((share(p, k) + share(p, k + 1)) / 2 * BINS);

	return b < BINS ? b : BINS - 1;
}

/* The parts of trajectory i whose colour is that of bin b. */
static void draw_runs(const struct rd_trajplot *p, struct rd_svg *s, size_t i, int b)
{
	const double (*at)[2] = (const double (*)[2])(p->at + i * nodes(p));
	size_t n = 0;

	for (size_t k = 0; k + 1 < nodes(p); k++) {
		const bool in = bin_of(p, k) == b && !isnan(at[k][0] + at[k + 1][0] + at[k][1] + at[k + 1][1]);

		for (size_t m = n ? k + 1 : k; in && m <= k + 1; m++, n++) {
			p->line[n][0] = px(p, at[m][0]);
			p->line[n][1] = py(p, at[m][1]);
		}
		if (n && (!in || k + 2 == nodes(p))) {
			rd_svg_polyline(s, (const double (*)[2])p->line, n, NULL);
			n = 0;
		}
	}
}

static void draw_lines(const struct rd_trajplot *p, struct rd_svg *s)
{
	const double opacity = fmin(0.8, fmax(0.1, 6.5 / sqrt((double)p->n + 1)));
	char attrs[160], rgb[8];

	for (int b = BINS - 1; b >= 0; b--) {
		colour((b + 0.5) / BINS, rgb);
		snprintf(attrs, sizeof attrs, "fill=\"none\" stroke=\"%s\" stroke-width=\"1.1\" stroke-opacity=\"%.2f\" "
		         "stroke-linejoin=\"round\"", rgb, opacity);
		rd_svg_group(s, attrs);
		for (size_t i = 0; i < p->n; i++)
			draw_runs(p, s, i, b);
		rd_svg_group_end(s);
	}
}

static const char *const start_attrs = "fill=\"#fff\" stroke=\"#7a8f2a\" stroke-width=\"0.9\"";
static const char *const end_attrs = "fill=\"#440154\" fill-opacity=\"0.75\" stroke=\"none\"";

/* A mark at node k of every trajectory; one outside the frame is cut off with its line. */
static void draw_marks(const struct rd_trajplot *p, struct rd_svg *s, size_t k, const char *attrs)
{
	const double r = p->n <= 300 ? 2.3 : 1.5;

	rd_svg_group(s, attrs);
	for (size_t i = 0; i < p->n; i++) {
		const double *at = p->at[i * nodes(p) + k];

		if (!isnan(at[0] + at[1]))
			rd_svg_circle(s, px(p, at[0]), py(p, at[1]), r, NULL);
	}
	rd_svg_group_end(s);
}

/* Legend and colour bar. */
static void draw_column(struct rd_svg *s)
{
	const double bar = top + 84, height = 220;
	char attrs[32], rgb[8];

	rd_svg_group(s, "font-size=\"12\" fill=\"#222\"");
	rd_svg_group(s, start_attrs);
	rd_svg_circle(s, column + 7, top + 10, 3.2, NULL);
	rd_svg_group_end(s);
	rd_svg_text(s, column + 20, top + 14, "start", NULL);
	rd_svg_group(s, end_attrs);
	rd_svg_circle(s, column + 7, top + 30, 3.2, NULL);
	rd_svg_group_end(s);
	rd_svg_text(s, column + 20, top + 34, "end", NULL);
	for (int b = 0; b < 4 * BINS; b++) { /* from above; each a little over the next, so that no gap shows */
		colour(1 - (b + 0.5) / (4 * BINS), rgb);
		snprintf(attrs, sizeof attrs, "fill=\"%s\"", rgb);
		rd_svg_rect(s, column, bar + b * height / (4 * BINS), 14, height / (4 * BINS) + (b + 1 < 4 * BINS), attrs);
	}
	rd_svg_rect(s, column, bar, 14, height, "fill=\"none\" stroke=\"#888\" stroke-width=\"0.8\"");
	rd_svg_text(s, column + 20, bar + 9, "1 noise", NULL);
	rd_svg_text(s, column + 20, bar + height / 2 + 4, "0.5", NULL);
	rd_svg_text(s, column + 20, bar + height, "0 data", NULL);
	rd_svg_text(s, column, bar - 12, "\u03c3\u00b2/(\u03b1\u00b2+\u03c3\u00b2)", NULL);
	rd_svg_group_end(s);
}

/* Appends "SEPARATOR TEXT" of a member of meta that is there. */
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

static void make_titles(const struct rd_trajplot *p, const json_t *meta, uint64_t total, char title[300],
                        char below[400])
{
	const char *const one = p->grid->steps == 1 ? " step" : " steps";
	size_t n;

	title[0] = below[0] = 0;
	append(title, 300, "", meta, "form", "");
	append(title, 300, "", meta, "prediction", " prediction");
	append(title, 300, "", meta, "solver", "");
	n = strlen(title);
	snprintf(title + n, 300 - n, "%s%d%s", n ? ", " : "Trajectories in ", p->grid->steps, one);
	append(below, 400, "model ", meta, "model", "");
	append(below, 400, "guidance ", meta, "guidance", "");
	append(below, 400, "", meta, "spacing", " spacing");
	append(below, 400, "seed ", meta, "seed", "");
	n = strlen(below);
	snprintf(below + n, 400 - n, "%s%zu of %llu samples", n ? ", " : "", p->n, (unsigned long long)total);
}

static void draw(const struct rd_trajplot *p, struct rd_svg *s, const char *title, const char *below)
{
	rd_svg_rect(s, 0, 0, page_w, page_h, "fill=\"#fff\"");
	rd_svg_group(s, "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\"");
	rd_svg_text(s, left, 30, title, "font-size=\"17\" fill=\"#111\"");
	rd_svg_text(s, left, 51, below, "font-size=\"12\" fill=\"#666\"");
	draw_axes(p, s);
	rd_svg_clip(s, "frame", left, top, side, side);
	rd_svg_group(s, "clip-path=\"url(#frame)\"");
	draw_marks(p, s, 0, start_attrs);
	draw_lines(p, s);
	draw_marks(p, s, nodes(p) - 1, end_attrs);
	rd_svg_group_end(s);
	rd_svg_rect(s, left, top, side, side, "fill=\"none\" stroke=\"#888\" stroke-width=\"1\"");
	draw_column(s);
	rd_svg_group_end(s);
}

int rd_trajplot_write(struct rd_trajplot *p, const json_t *meta, uint64_t total, struct rd_out *o, struct rd_err *e)
{
	char title[300], below[400];
	struct rd_svg *s;
	int rc = RD_OK;

	if (!p->at && p->n)
		rc = project(p, e);
	if (rc)
		return rc;
	fit(p);
	make_titles(p, meta, total, title, below);
	rc = rd_svg_open(&s, o, page_w, page_h, title, e);
	if (rc)
		return rc;
	draw(p, s, title, below);
	return rd_svg_finish(s, e);
}
