#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/measure/pca.h"
#include "lib/measure/trajplot_impl.h"

#define KEEP_BYTES ((size_t)256 << 20)

enum { PCA_ROWS = 256 };

const char *const rd_traj_coords_names[] = { "x", "alpha", "sigma", NULL };

int rd_trajplot_new(struct rd_trajplot **out, const struct rd_trajplot_opts *o, struct rd_err *e)
{
	int rc = rd_alloc0((void **)out, 1, sizeof **out, "a picture", e);

	if (rc)
		return rc;
	(*out)->o = *o;
	if (!(o->range > 0))
		(*out)->o.range = 3.1623;
	return RD_OK;
}

void rd_trajplot_free(struct rd_trajplot *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		free(p->in[i].x);
		free(p->in[i].flat);
	}
	free(p->in);
	free(p);
}

int rd_trajplot_input(struct rd_trajplot *p, const char *name, const struct rd_traj_grid *g, const json_t *meta,
                      const struct rd_chords *chords, struct rd_err *e)
{
	void *in = p->in;
	int rc = rd_reserve(&in, &p->room, p->n + 1, sizeof *p->in, "inputs of a picture", e);

	p->in = in;
	if (rc)
		return rc;
	p->in[p->n++] = (struct rd_trajplot_input){ .name = name, .grid = g, .meta = meta,
		.chords = chords && chords->phases ? chords : NULL };
	return RD_OK;
}

/* Room for as many trajectories of an input as are wanted and fit its share. */
static int reserve(struct rd_trajplot *p, struct rd_trajplot_input *in, size_t dim, struct rd_err *e)
{
	const size_t share = KEEP_BYTES / (p->o.inputs ? p->o.inputs : 1);
	size_t each;

	if (dim < 2)
		return rd_fail(e, RD_ESHAPE, "%s: a picture needs samples of two numbers or more", in->name);
	if (p->dim && p->dim != dim)
		return rd_fail(e, RD_ESHAPE, "%s: samples of %zu numbers do not fit into a picture of samples of %zu", in->name, dim,
		               p->dim);
	p->dim = dim;
	if (!rd_mul(rd_trajplot_nodes(in) * sizeof *in->x, dim, &each) || each > share)
		return rd_fail(e, RD_ESHAPE, "%s: trajectories of %d steps of %zu numbers are too large for a picture", in->name,
		               in->grid->steps, dim);
	in->room = p->o.max < share / each ? p->o.max : share / each;
	return rd_alloc((void **)&in->x, in->room, each, "the picture's trajectories", e);
}

int rd_trajplot_add(struct rd_trajplot *p, const struct rd_traj *t, struct rd_err *e)
{
	struct rd_trajplot_input *in = p->in + p->n - 1;
	const size_t each = rd_trajplot_nodes(in) * t->dim;

	if (!in->x) {
		int rc = reserve(p, in, t->dim, e);

		if (rc)
			return rc;
	}
	if (in->n < in->room)
		memcpy(in->x + in->n++ * each, t->x, each * sizeof *in->x);
	in->total++;
	return RD_OK;
}

double rd_trajplot_divisor(const struct rd_trajplot_input *in, enum rd_traj_coords c, size_t k)
{
	return c == RD_TRAJ_ALPHA ? in->grid->alpha[k] : c == RD_TRAJ_SIGMA ? in->grid->sigma[k] : 1;
}

/* Two rows of dim numbers that a state is multiplied with: the axes themselves in two dimensions. */
static int directions(const struct rd_trajplot *p, double *dir, struct rd_err *e)
{
	const float *row[PCA_ROWS];
	size_t n = 0;

	if (p->dim == 2) {
		dir[0] = dir[3] = 1;
		dir[1] = dir[2] = 0;
		return RD_OK;
	}
	for (size_t i = 0; i < p->n; i++) /* the same share for every input */
		for (size_t k = 0; k < p->in[i].n && k < PCA_ROWS / p->n; k++) {
			const size_t nodes = rd_trajplot_nodes(p->in + i);

			row[n++] = p->in[i].x + (k * nodes + nodes - 1) * p->dim;
		}
	return rd_pca(dir, 2, row, n, p->dim, e);
}

static int project(struct rd_trajplot *p, struct rd_err *e)
{
	double *dir;
	int rc = rd_alloc((void **)&dir, 2 * p->dim, sizeof *dir, "the picture's axes", e);

	if (!rc && p->dim)
		rc = directions(p, dir, e);
	for (size_t i = 0; !rc && i < p->n; i++) {
		struct rd_trajplot_input *in = p->in + i;
		const size_t m = in->n * rd_trajplot_nodes(in);

		rc = rd_alloc((void **)&in->flat, m, sizeof *in->flat, "the picture's points", e);
		for (size_t k = 0; !rc && k < m; k++)
			for (int q = 0; q < 2; q++) {
				double sum = 0;

				for (size_t j = 0; j < p->dim; j++)
					sum += (double)in->x[k * p->dim + j] * dir[(size_t)q * p->dim + j];
				in->flat[k][q] = sum;
			}
	}
	free(dir);
	return rc;
}

static const char *form(const struct rd_trajplot_input *in)
{
	const char *s = json_string_value(json_object_get(in->meta, "form"));

	return s ? s : "";
}

void rd_trajplot_chord(const struct rd_trajplot_input *in, size_t i, size_t k, double out[2])
{
	const double *w = in->chords->w[k];
	const double (*from)[2] = (const double (*)[2])in->flat + i * rd_trajplot_nodes(in) + rd_chords_start(in->chords, (int)k);

	for (int q = 0; q < 2; q++)
		out[q] = w[0] * from[0][q] + w[1] * from[in->chords->each][q];
}

static void extend(double lo[2], double hi[2], const double at[2], double div)
{
	for (int q = 0; q < 2; q++) {
		const double v = at[q] / div;

		if (!isfinite(v))
			continue;
		lo[q] = fmin(lo[q], v);
		hi[q] = fmax(hi[q], v);
	}
}

/* Extends lo, hi by the input's nodes of a scale of at most range, and by its chords there. */
static void reach(const struct rd_trajplot_input *in, enum rd_traj_coords c, double range, double lo[2], double hi[2])
{
	const size_t nodes = rd_trajplot_nodes(in);

	for (size_t k = 0; k < nodes; k++) {
		const double div = rd_trajplot_divisor(in, c, k);

		if (!(div > 0) || hypot(in->grid->alpha[k], in->grid->sigma[k]) > range * div)
			continue;
		for (size_t i = 0; i < in->n; i++) {
			double chord[2];

			extend(lo, hi, in->flat[i * nodes + k], div);
			if (!in->chords)
				continue;
			rd_trajplot_chord(in, i, k, chord);
			extend(lo, hi, chord, div);
		}
	}
}

struct rd_trajplot_frame rd_trajplot_fit(const struct rd_trajplot *p, size_t i, enum rd_traj_coords c)
{
	double lo[2] = { HUGE_VAL, HUGE_VAL }, hi[2] = { -HUGE_VAL, -HUGE_VAL };
	struct rd_trajplot_frame f;

	for (size_t k = 0; k < p->n; k++)
		if (p->o.overlay || c != RD_TRAJ_X || !strcmp(form(p->in + i), form(p->in + k)))
			reach(p->in + k, c, p->o.range, lo, hi);
	for (int q = 0; q < 2; q++)
		if (!(lo[q] <= hi[q])) {
			lo[q] = -1;
			hi[q] = 1;
		}
	f.side = 1.08 * fmax(hi[0] - lo[0], hi[1] - lo[1]);
	if (!(f.side > 0))
		f.side = 1;
	for (int q = 0; q < 2; q++)
		f.lo[q] = (lo[q] + hi[q] - f.side) / 2;
	return f;
}

int rd_trajplot_write(struct rd_trajplot *p, struct rd_out *o, struct rd_err *e)
{
	int rc = p->n && !p->in[0].flat ? project(p, e) : RD_OK;

	return rc ? rc : rd_trajplot_draw(p, o, e);
}
