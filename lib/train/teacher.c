#include "lib/train/teacher.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/ode/lincomb.h"
#include "lib/ode/path.h"
#include "lib/sample/denoiser.h"

struct rd_teacher {
	const struct rd_objective *b;
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_denoiser *teacher, *average; /* average: consistency's */
	struct rd_dims d;
	struct rd_lincomb lin;
	void *start, *x, *x0, *eps; /* device samples */
	/* host, [batch] */
	struct rd_node *from, *to;
	double *a, *c;
};

static int alloc(struct rd_teacher *t, struct rd_err *e)
{
	size_t n = (size_t)t->d.n;
	void **sample[] = {&t->start, &t->x, &t->x0, &t->eps}, *p;
	int rc = rd_lincomb_init(&t->lin, t->be, t->dev, t->d, e);

	for (size_t i = 0; i < sizeof sample / sizeof *sample && !rc; i++)
		rc = t->be->alloc(t->dev, sample[i], t->be->sample_bytes(t->d), e);
	if (!rc)
		rc = rd_alloc(&p, 2 * n, sizeof *t->from, "teacher", e);
	if (rc)
		return rc;
	t->from = p;
	t->to = t->from + n;
	rc = rd_alloc(&p, 2 * n, sizeof *t->a, "teacher", e);
	if (rc)
		return rc;
	t->a = p;
	t->c = t->a + n;
	return RD_OK;
}

int rd_teacher_new(struct rd_teacher **out, const struct rd_objective *b, const struct rd_backend *be, struct rd_dev *dev,
                   int64_t batch, struct rd_err *e)
{
	struct rd_denoiser_opts plain = {.guidance = 1, .null_class = b->o->null_class}, guided = plain;
	struct rd_teacher *t;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *t, "teacher", e);

	*out = NULL;
	if (rc)
		return rc;
	t = p;
	t->b = b;
	t->be = be;
	t->dev = dev;
	guided.guidance = b->o->guidance;
	rc = rd_denoiser_new(&t->teacher, b->m, be, dev, batch, &guided, e);
	plain.lora = b->o->lora;
	if (!rc && b->grid.steps)
		rc = rd_denoiser_new(&t->average, b->m, be, dev, batch, &plain, e);
	if (!rc) {
		t->d = rd_denoiser_dims(t->teacher);
		rc = alloc(t, e);
	}
	if (rc)
		rd_teacher_free(t);
	else
		*out = t;
	return rc;
}

void rd_teacher_free(struct rd_teacher *t)
{
	if (!t)
		return;
	void *sample[] = {t->start, t->x, t->x0, t->eps};

	for (size_t i = 0; i < sizeof sample / sizeof *sample; i++)
		if (sample[i])
			t->be->release(t->dev, sample[i]);
	rd_lincomb_free(&t->lin);
	rd_denoiser_free(t->teacher);
	rd_denoiser_free(t->average);
	free(t->from);
	free(t->a);
	free(t);
}

size_t rd_teacher_bytes(const struct rd_teacher *t)
{
	return rd_denoiser_bytes(t->teacher, false) + (t->average ? rd_denoiser_bytes(t->average, true) : 0) +
	       4 * t->be->sample_bytes(t->d);
}

/* out = alpha x0 + sigma eps, each image at its own node. */
static int noised(struct rd_teacher *t, const struct rd_node *at, const void *x0, const void *eps, void *out, struct rd_err *e)
{
	for (int64_t i = 0; i < t->d.n; i++) {
		t->a[i] = at[i].alpha;
		t->c[i] = at[i].sigma;
	}
	return rd_lincomb_each(&t->lin, t->a, x0, t->c, eps, out, e);
}

/* t->x, each image from its node of `from` to that of `to`, by one DDIM step. */
static int walk(struct rd_teacher *t, struct rd_err *e)
{
	int rc = rd_denoiser_eval_each(t->teacher, t->from, t->x, t->x0, t->eps, e);

	return rc ? rc : noised(t, t->to, t->x0, t->eps, t->x, e);
}

/* x0, or eps, of the path through the states at the phases' ends. */
static int path(struct rd_teacher *t, const struct rd_train_batch *b, bool of_eps, void *out, struct rd_err *e)
{
	const struct rd_node *knot = t->b->phases.knot;

	for (int64_t i = 0; i < t->d.n; i++) {
		struct rd_path_coef c = rd_path_through(&knot[b->part[i]], &knot[b->part[i] + 1]);

		t->a[i] = of_eps ? c.eps_s : c.x0_s;
		t->c[i] = of_eps ? c.eps_p : c.x0_p;
	}
	return rd_lincomb_each(&t->lin, t->a, t->start, t->c, t->x, out, e);
}

static int phases(struct rd_teacher *t, const struct rd_train_batch *b, void *x0, void *eps, struct rd_err *e)
{
	const struct rd_grid *g = &t->b->within;
	int each = t->b->o->phase_steps, rc;

	for (int64_t i = 0; i < t->d.n; i++)
		t->from[i] = t->b->phases.knot[b->part[i]];
	rc = noised(t, t->from, x0, eps, t->start, e);
	if (!rc)
		rc = t->be->copy(t->dev, t->x, t->start, t->be->sample_bytes(t->d), e);
	for (int k = 0; k < each && !rc; k++) {
		for (int64_t i = 0; i < t->d.n; i++) {
			t->from[i] = g->from[b->part[i] * each + k];
			t->to[i] = g->to[b->part[i] * each + k];
		}
		rc = walk(t, e);
	}
	if (!rc)
		rc = path(t, b, false, x0, e);
	return rc ? rc : path(t, b, true, eps, e);
}

/* What the averaged network takes for x0 at the nodes `to`; where the walk has ended at the data, that is x itself. */
static int destination(struct rd_teacher *t, void *x0, struct rd_err *e)
{
	int rc;

	for (int64_t i = 0; i < t->d.n; i++)
		if (t->to[i].sigma > 0)
			t->from[i] = t->to[i]; /* else the network is asked where it was, and not listened to */
	rc = rd_denoiser_eval_each(t->average, t->from, t->x, t->x0, t->eps, e);
	for (int64_t i = 0; i < t->d.n; i++) {
		t->a[i] = t->to[i].sigma > 0;
		t->c[i] = t->to[i].sigma > 0 ? 0 : 1 / t->to[i].alpha;
	}
	return rc ? rc : rd_lincomb_each(&t->lin, t->a, t->x0, t->c, t->x, x0, e);
}

static int consistency(struct rd_teacher *t, const struct rd_train_batch *b, const float *ema, void *x0, void *eps,
                       struct rd_err *e)
{
	const struct rd_grid *g = &t->b->grid;
	int rc = rd_denoiser_load(t->average, ema, e);

	for (int64_t i = 0; i < t->d.n; i++) {
		t->from[i] = g->from[b->part[i]];
		t->to[i] = g->to[b->part[i]];
	}
	if (!rc)
		rc = rd_denoiser_labels(t->average, b->label, e);
	if (!rc)
		rc = noised(t, t->from, x0, eps, t->x, e);
	if (!rc)
		rc = t->be->copy(t->dev, eps, t->x, t->be->sample_bytes(t->d), e);
	if (!rc)
		rc = walk(t, e);
	return rc ? rc : destination(t, x0, e);
}

int rd_teacher_prepare(struct rd_teacher *t, const struct rd_train_batch *b, const float *ema, void *x0, void *eps,
                       struct rd_err *e)
{
	int rc = rd_denoiser_labels(t->teacher, b->label, e);

	if (rc)
		return rc;
	return t->b->grid.steps ? consistency(t, b, ema, x0, eps, e) : phases(t, b, x0, eps, e);
}
