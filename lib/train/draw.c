#include "lib/train/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/lanes.h"
#include "lib/base/size.h"
#include "lib/ode/path.h"
#include "lib/train/assign.h"
#include "lib/train/epochs.h"

#define HELD_FIRST ((uint64_t)1 << 63) /* no step's images have such numbers */

struct rd_draw {
	const struct rd_dataset *d;
	const struct rd_objective *b;
	const struct rd_train_opts *o;
	struct rd_epochs epochs;
	size_t *row;   /* of the data, for each image of the batch */
	/* optimal transport: costs, its work, a class's images and their columns; noise on its way */
	double *cost;
	size_t *member, *column;
	float *moved;
};

static int alloc(struct rd_draw *d, struct rd_err *e)
{
	size_t b = (size_t)d->o->batch, square;
	void *p;
	int rc = rd_epochs_init(&d->epochs, d->o->seed, d->d->n, e);

	if (rc)
		return rc;
	rc = rd_alloc(&p, 3 * b, sizeof *d->row, "batch", e);
	if (rc)
		return rc;
	d->row = p;
	d->member = d->row + b;
	d->column = d->member + b;
	if (d->o->coupling != RD_COUPLING_OT)
		return RD_OK;
	if (!rd_mul(b, b, &square) || square > SIZE_MAX / 16)
		return rd_fail(e, RD_ENOMEM, "a batch of %zu: too many to be coupled by optimal transport", b);
	rc = rd_alloc(&p, square + rd_assign_doubles(b), sizeof *d->cost, "costs of a coupling", e);
	if (rc)
		return rc;
	d->cost = p;
	rc = rd_alloc(&p, b * d->d->dim, sizeof *d->moved, "noise of a batch", e);
	d->moved = p;
	return rc;
}

int rd_draw_new(struct rd_draw **out, const struct rd_dataset *data, const struct rd_objective *b, struct rd_err *e)
{
	struct rd_draw *d;
	void *p;
	int rc;

	*out = NULL;
	if (!data->eps != (b->o->coupling != RD_COUPLING_PAIRS))
		return rd_fail(e, RD_EUSAGE, "coupling %s: the training data %s noise of their own", rd_coupling_names[b->o->coupling],
		               data->eps ? "have" : "have no");
	if (b->o->flip && b->m->net.sample.nd != 3)
		return rd_fail(e, RD_EUSAGE, "--flip: the model's samples are no images, [channels, height, width]");
	if (data->knots && data->n_knots != b->phases.n - 1)
		return rd_fail(e, RD_EINPUT, "training data: %lld knots between noise and sample, %d phases in their meta",
		               (long long)data->n_knots, b->phases.n);
	rc = rd_alloc0(&p, 1, sizeof *d, "draws", e);
	if (rc)
		return rc;
	d = p;
	d->d = data;
	d->b = b;
	d->o = b->o;
	rc = alloc(d, e);
	if (rc)
		rd_draw_free(d);
	else
		*out = d;
	return rc;
}

void rd_draw_free(struct rd_draw *d)
{
	if (!d)
		return;
	rd_epochs_free(&d->epochs);
	free(d->row);
	free(d->cost);
	free(d->moved);
	free(d);
}

static int32_t null_label(const struct rd_draw *d)
{
	return (int32_t)(d->o->null_class >= 0 ? d->o->null_class : 0);
}

static int32_t pick_label(const struct rd_draw *d, uint64_t i, size_t row)
{
	if (!d->d->label)
		return null_label(d);
	if (d->o->label_drop > 0 && rd_rng_uniform(d->o->seed, RD_RNG_DROP, i) < d->o->label_drop)
		return null_label(d);
	return d->d->label[row];
}

/* --- optimal transport -------------------------------------------------------------------------------------------- */

/* Deals the noise of a class's images to them anew. The cost is |a - b|^2 but for the norms, which are in every assignment's sum. */
static void couple_class(struct rd_draw *d, struct rd_train_batch *b, size_t members)
{
	size_t dim = b->dim, bytes = dim * sizeof *b->eps;

	for (size_t i = 0; i < members; i++)
		for (size_t j = 0; j < members; j++)
			d->cost[i * members + j] = -rd_dot_wide(b->x0 + d->member[i] * dim, b->eps + d->member[j] * dim, dim);
	rd_assign(members, d->cost, d->column, d->cost + (size_t)b->n * (size_t)b->n);
	for (size_t i = 0; i < members; i++)
		memcpy(d->moved + i * dim, b->eps + d->member[d->column[i]] * dim, bytes);
	for (size_t i = 0; i < members; i++)
		memcpy(b->eps + d->member[i] * dim, d->moved + i * dim, bytes);
}

/* label: of the rows' data, NULL: none. */
static void couple(struct rd_draw *d, struct rd_train_batch *b, const int32_t *label)
{
	for (int64_t i = 0; i < b->n; i++) {
		size_t members = 0;
		bool seen = false;

		for (int64_t j = 0; j < i && !seen; j++)
			seen = !label || label[d->row[j]] == label[d->row[i]];
		for (int64_t j = i; j < b->n && !seen; j++)
			if (!label || label[d->row[j]] == label[d->row[i]])
				d->member[members++] = (size_t)j;
		if (members > 1)
			couple_class(d, b, members);
	}
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

static void take_row(struct rd_train_batch *b, int64_t j, const struct rd_dataset *d, size_t row)
{
	size_t at = (size_t)j * b->dim, bytes = b->dim * sizeof *b->x0;

	memcpy(b->x0 + at, d->sample + row * b->dim, bytes);
	if (d->eps)
		memcpy(b->eps + at, d->eps + row * b->dim, bytes);
}

/* An image from right to left. */
static void mirror(float *x, size_t dim, size_t width)
{
	for (size_t row = 0; row < dim; row += width)
		for (size_t i = row, j = row + width - 1; i < j; i++, j--) {
			const float t = x[i];

			x[i] = x[j];
			x[j] = t;
		}
}

/* The pair of the phase that the image's time is in: the path through the states at its ends. */
static void take_phase(const struct rd_draw *d, struct rd_train_batch *b, int64_t j, const struct rd_dataset *data, size_t row)
{
	const struct rd_phases *ph = &d->b->phases;
	int at = b->part[j];
	struct rd_path_coef c = rd_path_through(&ph->knot[at], &ph->knot[at + 1]);
	const float *knots = data->knots + row * (size_t)data->n_knots * b->dim;
	const float *s = at ? knots + (size_t)(at - 1) * b->dim : NULL, *p = at < ph->n - 1 ? knots + (size_t)at * b->dim : NULL;
	float *x0 = b->x0 + (size_t)j * b->dim, *eps = b->eps + (size_t)j * b->dim;

	for (size_t i = 0; i < b->dim; i++) {
		double xs = s ? (double)s[i] : ph->knot[0].alpha * (double)x0[i] + ph->knot[0].sigma * (double)eps[i];
		double xp = p ? (double)p[i] : (double)x0[i];

		x0[i] = (float)(c.x0_s * xs + c.x0_p * xp);
		eps[i] = (float)(c.eps_s * xs + c.eps_p * xp);
	}
}

/* The draws of a batch are one uniform number and its translates by 1/B: each is uniform, and together they cover the
 * schedule evenly. */
int rd_draw_step(struct rd_draw *d, int64_t step, struct rd_train_batch *b, struct rd_err *e)
{
	uint64_t first = (uint64_t)step * (uint64_t)b->n;
	double v0 = rd_rng_uniform(d->o->seed, RD_RNG_TIME, (uint64_t)step);
	int rc = 0;

	for (int64_t j = 0; j < b->n && !rc; j++) {
		double v = v0 + (double)j / (double)b->n;

		d->row[j] = rd_epochs_pick(&d->epochs, first + (uint64_t)j);
		take_row(b, j, d->d, d->row[j]);
		if (d->o->flip && rd_rng_uniform(d->o->seed, RD_RNG_AUGMENT, first + (uint64_t)j) < 0.5)
			mirror(b->x0 + (size_t)j * b->dim, b->dim, (size_t)d->b->m->net.sample.d[2]);
		b->label[j] = pick_label(d, first + (uint64_t)j, d->row[j]);
		rc = rd_objective_set(d->b, v < 1 ? v : v - 1, b, j, e);
		if (!rc && d->d->knots)
			take_phase(d, b, j, d->d, d->row[j]);
	}
	if (!rc && d->o->coupling != RD_COUPLING_PAIRS)
		rd_rng_normal_batch(d->o->seed, RD_RNG_COUPLE, first, b->eps, (size_t)b->n, b->dim);
	if (!rc && d->o->coupling == RD_COUPLING_OT)
		couple(d, b, d->d->label);
	return rc;
}

static int64_t gcd(int64_t a, int64_t b)
{
	return b ? gcd(b, a % b) : a;
}

/* Of n samples held out, the position of the i-th's time: the middle of one of n equal parts, which about the golden ratio's multiples
 * deal out, so that any run of samples covers the schedule. */
static double held_time(int64_t i, int64_t n)
{
	int64_t step = (int64_t)(0.6180339887498949 * (double)n + 0.5);

	while (gcd(step, n) > 1)
		step++;
	return ((double)((uint64_t)i * (uint64_t)step % (uint64_t)n) + 0.5) / (double)n;
}

/* What fills up a last batch is there for the coupling, which is of as many as in training. */
int rd_draw_held(struct rd_draw *d, const struct rd_dataset *held, int64_t first, struct rd_train_batch *b, struct rd_err *e)
{
	int rc = 0;

	for (int64_t j = 0; j < b->n && !rc; j++) {
		int64_t i = first + j, row = i % held->n;

		d->row[j] = (size_t)row;
		take_row(b, j, held, (size_t)row);
		b->label[j] = held->label ? held->label[row] : null_label(d);
		rc = rd_objective_set(d->b, held_time(row, held->n), b, j, e);
		if (!rc && held->knots)
			take_phase(d, b, j, held, (size_t)row);
		if (!rc && d->o->coupling != RD_COUPLING_PAIRS)
			rd_rng_normal(d->o->seed, RD_RNG_COUPLE, HELD_FIRST + (uint64_t)i, b->eps + (size_t)j * b->dim, b->dim);
	}
	if (!rc && d->o->coupling == RD_COUPLING_OT)
		couple(d, b, held->label);
	return rc;
}
