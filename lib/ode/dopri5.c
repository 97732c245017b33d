#include "lib/ode/dopri5.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/ode/lincomb.h"

#define STAGES 7
#define TURN 100.0 /* K of the header */
#define FIRST_STEP 0.05 /* of the way: costs nothing to find, and where it is too long an error estimate says so */
#define SAFETY 0.9
#define SHRINK 0.2
#define GROW 10.0
#define LEAST_STEP 1e-10 /* of the way */

/* Dormand and Prince, J. Comp. Appl. Math. 6 (1980). The last stage is at the result of order 5. */
static const double place[STAGES] = {0, 1 / 5.0, 3 / 10.0, 4 / 5.0, 8 / 9.0, 1, 1};
static const double weight[STAGES][STAGES - 1] = {
	{0},
	{1 / 5.0},
	{3 / 40.0, 9 / 40.0},
	{44 / 45.0, -56 / 15.0, 32 / 9.0},
	{19372 / 6561.0, -25360 / 2187.0, 64448 / 6561.0, -212 / 729.0},
	{9017 / 3168.0, -355 / 33.0, 46732 / 5247.0, 49 / 176.0, -5103 / 18656.0},
	{35 / 384.0, 0, 500 / 1113.0, 125 / 192.0, -2187 / 6784.0, 11 / 84.0},
};
/* of order 5 less order 4 */
static const double error_weight[STAGES] = {71 / 57600.0, 0, -71 / 16695.0, 71 / 1920.0, -17253 / 339200.0, 22 / 525.0, -1 / 40.0};

struct image {
	double tau, h;        /* where it is; the step under way, 0 where it rests */
	double size;          /* RMS of u */
	struct rd_node rest;  /* where it is asked for while others are under way */
	bool last, rejected;  /* the step under way ends at the end; the one before was rejected */
	bool arrived;         /* just now */
};

struct rd_dopri5 {
	struct rd_lincomb lin;
	void *u, *next;       /* activations: the state and that of the stage, in the end of the step */
	void *x, *x0, *eps;   /* what the network is given and says; between steps x is scratch */
	void *slope[STAGES];
	void *zero;
	void *one, *mean;     /* device, [n] f32 */
	float *host;          /* [n], of mean */
	double *a, *b, *error; /* [n] */
	struct rd_node *node;  /* [n] */
	struct image *image;   /* [n] */
};

struct walk {
	struct rd_dopri5 *o;
	const struct rd_solver *s;
	const struct rd_grid *g;
	int64_t n, under_way;
	void *x;
	rd_denoise_each_fn denoise;
	void *ctx;
	struct rd_effort *effort;
	struct rd_node end;   /* of the integration */
	double tau_end, way;  /* way: from the start to there */
};

int rd_dopri5_nfe(const struct rd_effort *f)
{
	return 1 + (STAGES - 1) * (f->accepted + f->rejected);
}

/* --- scratch -------------------------------------------------------------------------------------------------------- */

static void **buffer(struct rd_dopri5 *o, size_t i)
{
	void **b[] = {&o->u, &o->next, &o->x, &o->x0, &o->eps, &o->zero};

	return i < STAGES ? &o->slope[i] : i - STAGES < sizeof b / sizeof *b ? b[i - STAGES] : NULL;
}

static int alloc_host(struct rd_dopri5 *o, size_t n, struct rd_err *e)
{
	double **const number[] = {&o->a, &o->b, &o->error};
	void *p;
	int rc = rd_alloc(&p, n, sizeof *o->host, "solver", e);

	if (rc)
		return rc;
	o->host = p;
	for (int i = 0; i < 3 && !rc; i++) {
		rc = rd_alloc0(&p, n, sizeof **number, "solver", e);
		*number[i] = rc ? NULL : p;
	}
	if (!rc)
		rc = rd_alloc(&p, n, sizeof *o->node, "solver", e);
	if (rc)
		return rc;
	o->node = p;
	rc = rd_alloc(&p, n, sizeof *o->image, "solver", e);
	o->image = rc ? NULL : p;
	return rc;
}

static int alloc_device(struct rd_dopri5 *o, struct rd_err *e)
{
	const struct rd_backend *be = o->lin.be;
	size_t bytes = be->sample_bytes(o->lin.d), row = (size_t)o->lin.d.n * sizeof(float);
	int rc = RD_OK;

	for (size_t i = 0; buffer(o, i) && !rc; i++)
		rc = be->alloc(o->lin.dev, buffer(o, i), bytes, e);
	if (!rc)
		rc = be->zero(o->lin.dev, o->zero, bytes, e);
	if (!rc)
		rc = be->alloc(o->lin.dev, &o->one, row, e);
	if (!rc)
		rc = be->alloc(o->lin.dev, &o->mean, row, e);
	for (int64_t i = 0; i < o->lin.d.n; i++)
		o->host[i] = 1;
	return rc ? rc : be->put(o->lin.dev, o->one, o->host, row, e);
}

int rd_dopri5_new(struct rd_dopri5 **out, const struct rd_backend *be, struct rd_dev *dev, struct rd_dims d, struct rd_err *e)
{
	struct rd_dopri5 *o;
	void *p;
	int rc = rd_alloc0(&p, 1, sizeof *o, "solver", e);

	*out = NULL;
	if (rc)
		return rc;
	o = p;
	rc = rd_lincomb_init(&o->lin, be, dev, d, e);
	if (!rc)
		rc = alloc_host(o, (size_t)d.n, e);
	if (!rc)
		rc = alloc_device(o, e);
	if (rc)
		rd_dopri5_free(o);
	else
		*out = o;
	return rc;
}

void rd_dopri5_free(struct rd_dopri5 *o)
{
	if (!o)
		return;
	void *dev[] = {o->one, o->mean}, *host[] = {o->host, o->a, o->b, o->error, o->node, o->image};

	for (size_t i = 0; buffer(o, i); i++)
		if (*buffer(o, i))
			o->lin.be->release(o->lin.dev, *buffer(o, i));
	for (size_t i = 0; i < sizeof dev / sizeof *dev; i++)
		if (dev[i])
			o->lin.be->release(o->lin.dev, dev[i]);
	for (size_t i = 0; i < sizeof host / sizeof *host; i++)
		free(host[i]);
	rd_lincomb_free(&o->lin);
	free(o);
}

/* --- a step --------------------------------------------------------------------------------------------------------- */

static double tau_of(const struct rd_node *n)
{
	return asinh(TURN * n->alpha / n->sigma);
}

/* sigma/alpha there; infinite at 0. */
static double n_of(double tau)
{
	return TURN / sinh(tau);
}

static double scale_of(const struct rd_node *n)
{
	return hypot(n->alpha, n->sigma);
}

/* Where image i is after `part` of its step. */
static struct rd_node node_at(const struct walk *w, int64_t i, double part)
{
	const struct image *m = &w->o->image[i];

	if (m->h == 0)
		return m->rest;
	return m->last && part == 1 ? w->end : rd_node_of_n(w->g->schedule, n_of(m->tau + part * m->h));
}

/* The slope of u at o->node, where x is. */
static int slope_at(struct walk *w, const void *x, void *slope, struct rd_err *e)
{
	struct rd_dopri5 *o = w->o;
	int rc = w->denoise(w->ctx, o->node, x, o->x0, o->eps, e);

	for (int64_t i = 0; i < o->lin.d.n; i++) {
		double c = o->node[i].alpha / scale_of(&o->node[i]), s = o->node[i].sigma / scale_of(&o->node[i]);
		double speed = s * hypot(s / TURN, c);

		o->a[i] = speed * s;
		o->b[i] = -speed * c;
	}
	return rc ? rc : rd_lincomb_each(&o->lin, o->a, o->x0, o->b, o->eps, slope, e);
}

/* out = base + h (the sum of n slopes, weighted); base NULL: none. */
static int weigh(struct walk *w, const void *base, const double *by, int n, void *out, struct rd_err *e)
{
	struct rd_dopri5 *o = w->o;
	int rc = RD_OK;

	for (int j = 0; j < n && !rc; j++) {
		if (by[j] == 0)
			continue;
		for (int64_t i = 0; i < o->lin.d.n; i++) {
			o->a[i] = 1;
			o->b[i] = by[j] * o->image[i].h;
		}
		rc = base ? rd_lincomb_each(&o->lin, o->a, base, o->b, o->slope[j], out, e)
		          : rd_lincomb_each(&o->lin, o->b, o->slope[j], NULL, NULL, out, e);
		base = out;
	}
	return rc;
}

/* The stages of every image's step: slopes 1 to 6, and its end in o->next. */
static int stages(struct walk *w, struct rd_err *e)
{
	struct rd_dopri5 *o = w->o;
	int rc = RD_OK;

	for (int k = 1; k < STAGES && !rc; k++) {
		rc = weigh(w, o->u, weight[k], k, o->next, e);
		for (int64_t i = 0; i < o->lin.d.n; i++) {
			o->node[i] = node_at(w, i, place[k]);
			o->a[i] = scale_of(&o->node[i]);
		}
		if (!rc)
			rc = rd_lincomb_each(&o->lin, o->a, o->next, NULL, NULL, o->x, e);
		if (!rc)
			rc = slope_at(w, o->x, o->slope[k], e);
	}
	return rc;
}

/* The RMS of each image of v. */
static int rms(struct rd_dopri5 *o, const void *v, double *out, struct rd_err *e)
{
	const struct rd_lincomb *l = &o->lin;
	const struct rd_loss_desc square = {.d = l->d, .kind = RD_LOSS_L2};
	int rc = l->be->loss(l->dev, &square, v, o->zero, o->one, o->one, o->mean, NULL, e);

	if (!rc)
		rc = l->be->get(l->dev, o->host, o->mean, (size_t)l->d.n * sizeof *o->host, e);
	for (int64_t i = 0; i < l->d.n && !rc; i++)
		out[i] = sqrt((double)o->host[i]);
	return rc;
}

/* The next step of an image, no longer than what is left; what is left may be one per cent more than the step. */
static void set_step(const struct walk *w, struct image *m, double h)
{
	double left = w->tau_end - m->tau;

	m->last = fabs(left) <= 1.01 * fabs(h);
	m->h = m->last ? left : h;
}

/* o->a: 1 for images whose step is accepted, o->b: 1 for the others, given the errors and the sizes at the ends of the steps. */
static int judge(struct walk *w, const double *size, struct rd_err *e)
{
	struct rd_dopri5 *o = w->o;

	for (int64_t i = 0; i < o->lin.d.n; i++) {
		struct image *m = &o->image[i];
		double most = fmax(m->size, size[i]), error = o->error[i] / (w->s->atol + w->s->rtol * most), grow;

		o->a[i] = m->h != 0 && error <= 1;
		o->b[i] = 1 - o->a[i];
		if (m->h == 0)
			continue;
		if (!isfinite(error) || !isfinite(most))
			return rd_fail(e, RD_EFAIL, "dopri5: a sample is no number at sigma/alpha = %g", n_of(m->tau + m->h));
		grow = fmin(fmax(SAFETY * pow(error, -0.2), SHRINK), GROW);
		if (o->a[i] == 0) {
			m->rejected = true;
			w->effort[i].rejected++;
			set_step(w, m, m->h * fmin(grow, 1));
		} else {
			w->effort[i].accepted++;
			m->size = size[i];
			m->tau += m->h;
			m->arrived = m->last;
			if (m->arrived) {
				m->h = 0;
				m->rest = w->end;
				continue;
			}
			set_step(w, m, m->h * (m->rejected ? fmin(grow, 1) : grow));
			m->rejected = false;
		}
		if (fabs(m->h) < LEAST_STEP * fabs(w->way))
			return rd_fail(e, RD_EFAIL, "dopri5: at sigma/alpha = %g no step is short enough: a larger tolerance is needed (--rtol, --atol)",
			               n_of(m->tau));
		if (w->effort[i].accepted + w->effort[i].rejected >= w->s->max_steps)
			return rd_fail(e, RD_EFAIL, "dopri5: a sample is at sigma/alpha = %g after %d steps, the most it may take (--steps): "
			               "more steps, or a larger tolerance (--rtol, --atol)", n_of(m->tau), w->s->max_steps);
	}
	return RD_OK;
}

/* What has come to the end goes to x: the state there, or where the grid goes on to the data, what the network says of it. */
static int arrive(struct walk *w, struct rd_err *e)
{
	const struct rd_node *to = &w->g->to[w->g->steps - 1];
	struct rd_dopri5 *o = w->o;
	int64_t before = w->under_way;
	int rc;

	for (int64_t i = 0; i < o->lin.d.n; i++) {
		o->a[i] = !o->image[i].arrived;
		o->b[i] = o->image[i].arrived;
		w->under_way -= o->image[i].arrived;
		o->image[i].arrived = false;
	}
	if (w->under_way == before)
		return RD_OK;
	rc = to->sigma > 0 ? rd_lincomb(&o->lin, scale_of(&w->end), o->next, 0, NULL, o->x, e)
	                   : rd_lincomb(&o->lin, to->alpha, o->x0, to->sigma, o->eps, o->x, e);
	return rc ? rc : rd_lincomb_each(&o->lin, o->a, w->x, o->b, o->x, w->x, e);
}

/* Every image tries a step. */
static int try_step(struct walk *w, struct rd_err *e)
{
	struct rd_dopri5 *o = w->o;
	int rc = stages(w, e);

	if (!rc)
		rc = weigh(w, NULL, error_weight, STAGES, o->x, e);
	if (!rc)
		rc = rms(o, o->x, o->error, e);
	if (!rc)
		rc = rms(o, o->next, o->b, e);
	if (!rc)
		rc = judge(w, o->b, e);
	if (!rc)
		rc = rd_lincomb_each(&o->lin, o->a, o->next, o->b, o->u, o->u, e);
	if (!rc)
		rc = rd_lincomb_each(&o->lin, o->a, o->slope[STAGES - 1], o->b, o->slope[0], o->slope[0], e);
	return rc ? rc : arrive(w, e);
}

/* --- a run ---------------------------------------------------------------------------------------------------------- */

static int begin(struct walk *w, struct rd_err *e)
{
	const struct rd_node *from = &w->g->from[0], *to = &w->g->to[w->g->steps - 1];
	struct rd_dopri5 *o = w->o;
	double tau = tau_of(from);
	int rc;

	w->end = to->sigma > 0 ? *to : rd_node_at(w->g->schedule, w->g->schedule->t_lo);
	w->tau_end = tau_of(&w->end);
	w->way = w->tau_end - tau;
	if (!(isfinite(w->way) && w->way != 0))
		return rd_fail(e, RD_EDOMAIN, "dopri5: nothing lies between sigma/alpha = %g and %g", from->sigma / from->alpha,
		               w->end.sigma / w->end.alpha);
	for (int64_t i = 0; i < o->lin.d.n; i++) {
		o->image[i] = (struct image){.tau = tau, .rest = *from};
		o->node[i] = *from;
		if (i < w->n) /* what fills up the batch rests at the start */
			set_step(w, &o->image[i], FIRST_STEP * w->way);
	}
	memset(w->effort, 0, (size_t)w->n * sizeof *w->effort);
	w->under_way = w->n;
	rc = slope_at(w, w->x, o->slope[0], e);
	if (!rc)
		rc = rd_lincomb(&o->lin, 1 / scale_of(from), w->x, 0, NULL, o->u, e);
	if (!rc)
		rc = rms(o, o->u, o->b, e);
	for (int64_t i = 0; i < w->n && !rc; i++)
		o->image[i].size = o->b[i];
	return rc;
}

int rd_dopri5_solve(struct rd_dopri5 *o, const struct rd_solver *s, const struct rd_grid *g, int64_t n, void *x,
                    rd_denoise_each_fn denoise, void *ctx, struct rd_effort *effort, struct rd_err *e)
{
	struct walk w = {.o = o, .s = s, .g = g, .n = n, .x = x, .denoise = denoise, .ctx = ctx, .effort = effort};
	int rc;

	if (!(s->rtol >= 0 && s->atol >= 0 && s->rtol + s->atol > 0 && s->max_steps > 0))
		return rd_fail(e, RD_EUSAGE, "dopri5: rtol %g, atol %g, %d steps: tolerances and a number above 0 expected", s->rtol, s->atol,
		               s->max_steps);
	rc = begin(&w, e);
	while (!rc && w.under_way)
		rc = try_step(&w, e);
	return rc;
}
