#include "lib/ode/weights.h"

#include <math.h>
#include <string.h>

static double lambda(const struct rd_node *n)
{
	return log(n->alpha / n->sigma);
}

/* The frame of a step from s to t over h = lambda_t - lambda_s: x_t = x .a + .b (phi-weighted outputs), z = -h in the data
 * form and h in the noise form, e = exp(z) - 1. */
struct frame {
	double a, b, h, z, e;
};

static struct frame frame_of(bool data, const struct rd_node *t, const struct rd_node *s)
{
	struct frame f = {.h = lambda(t) - lambda(s)};

	f.z = data ? -f.h : f.h;
	f.e = expm1(f.z);
	f.a = data ? t->sigma / s->sigma : t->alpha / s->alpha;
	f.b = data ? -t->alpha : -t->sigma;
	return f;
}

/* What multiplies the first and second derivative of the output along the step. */
static double on_first(const struct frame *f)
{
	return f->e / f->z - 1;
}

static double on_second(const struct frame *f)
{
	return (f->e - f->z) / (f->z * f->z) - 0.5;
}

/* x_t = a x + b (e D0 + c1 D1 + c2 D2), with D1 and D2 as combinations of the outputs. */
static void combine(struct rd_step_weights *w, const struct frame *f, int d0, double c1, const double *d1, double c2,
                    const double *d2, int n)
{
	memset(w, 0, sizeof *w);
	w->n = n;
	w->x = f->a;
	for (int i = 0; i < n; i++)
		w->m[i] = f->b * ((i == d0 ? f->e : 0) + c1 * (d1 ? d1[i] : 0) + c2 * (d2 ? d2[i] : 0));
}

static void multistep(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                      const struct rd_node *const *s)
{
	struct frame f = frame_of(v->data, t, s[0]);
	double r0, r1, k, d1[3] = {0}, d2[3] = {0};

	if (order == 1) {
		combine(w, &f, 0, 0, NULL, 0, NULL, 1);
		return;
	}
	r0 = (lambda(s[0]) - lambda(s[1])) / f.h;
	if (order == 2) {
		d1[0] = 1 / r0;
		d1[1] = -1 / r0;
		combine(w, &f, 0, v->type == RD_TYPE_HEUN ? on_first(&f) : 0.5 * f.e, d1, 0, NULL, 2);
		return;
	}
	/* divided differences over the last three outputs */
	r1 = (lambda(s[1]) - lambda(s[2])) / f.h;
	k = r0 / (r0 + r1);
	d1[0] = (1 + k) / r0;
	d1[1] = -(1 + k) / r0 - k / r1;
	d1[2] = k / r1;
	d2[0] = 1 / (r0 * (r0 + r1));
	d2[1] = -(1 / r0 + 1 / r1) / (r0 + r1);
	d2[2] = 1 / (r1 * (r0 + r1));
	combine(w, &f, 0, on_first(&f), d1, on_second(&f), d2, 3);
}

static void singlestep(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                       const struct rd_node *const *s)
{
	struct frame f = frame_of(v->data, t, s[order - 1]);
	double base = lambda(s[order - 1]), r0, r1, d1[3] = {0}, d2[3] = {0};
	bool heun = v->type == RD_TYPE_HEUN;

	if (order == 1) {
		combine(w, &f, 0, 0, NULL, 0, NULL, 1);
		return;
	}
	r0 = (lambda(s[0]) - base) / f.h;
	if (order == 2) {
		d1[0] = 1 / r0;
		d1[1] = -1 / r0;
		combine(w, &f, 1, heun ? on_first(&f) : 0.5 * f.e, d1, 0, NULL, 2);
		return;
	}
	if (!heun) { /* the slope to the newest output alone */
		d1[0] = 1 / r0;
		d1[2] = -1 / r0;
		combine(w, &f, 2, on_first(&f), d1, 0, NULL, 3);
		return;
	}
	r1 = (lambda(s[1]) - base) / f.h;
	d1[0] = -r1 / (r0 * (r0 - r1));
	d1[1] = r0 / (r1 * (r0 - r1));
	d1[2] = -(d1[0] + d1[1]);
	d2[0] = 2 / (r0 * (r0 - r1));
	d2[1] = -2 / (r1 * (r0 - r1));
	d2[2] = -(d2[0] + d2[1]);
	combine(w, &f, 2, on_first(&f), d1, on_second(&f), d2, 3);
}

void rd_dpm_weights(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                    const struct rd_node *const *s)
{
	(v->singlestep ? singlestep : multistep)(w, v, order, t, s);
}

/* The integral over n from 0 to exp(l) of (ln n - p), and of (ln n - p)(ln n - q). */
static double integral_1(double l, double p)
{
	return exp(l) * (l - 1 - p);
}

static double integral_2(double l, double p, double q)
{
	return exp(l) * (l * l - 2 * l + 2 - (p + q) * (l - 1) + p * q);
}

/* y_t = y_s + sum of outputs times the integral over n of their Lagrange polynomials in ln n. */
void rd_deis_weights(struct rd_step_weights *w, int order, const struct rd_node *t, const struct rd_node *const *s)
{
	double lt = -lambda(t), l[RD_MAX_ORDER];

	memset(w, 0, sizeof *w);
	w->n = order;
	w->x = t->alpha / s[0]->alpha;
	for (int i = 0; i < order; i++)
		l[i] = -lambda(s[i]);
	for (int i = 0; i < order; i++) {
		double p = l[(i + 1) % order], q = l[(i + 2) % order], c;

		if (order == 1)
			c = exp(lt) - exp(l[0]);
		else if (order == 2)
			c = (integral_1(lt, p) - integral_1(l[0], p)) / (l[i] - p);
		else
			c = (integral_2(lt, p, q) - integral_2(l[0], p, q)) / ((l[i] - p) * (l[i] - q));
		w->m[i] = t->alpha * c;
	}
}

/* Solves the n x n system a x = b by elimination with pivots; a and b are spent. */
static void solve(int n, double a[][RD_MAX_ORDER], double *b, double *x)
{
	for (int c = 0; c < n; c++) {
		int top = c;

		for (int r = c + 1; r < n; r++)
			if (fabs(a[r][c]) > fabs(a[top][c]))
				top = r;
		for (int k = 0; k < n; k++) {
			double swap = a[c][k];

			a[c][k] = a[top][k];
			a[top][k] = swap;
		}
		double swap = b[c];
		b[c] = b[top];
		b[top] = swap;
		for (int r = c + 1; r < n; r++) {
			double f = a[r][c] / a[c][c];

			for (int k = c; k < n; k++)
				a[r][k] -= f * a[c][k];
			b[r] -= f * b[c];
		}
	}
	for (int r = n - 1; r >= 0; r--) {
		x[r] = b[r];
		for (int k = r + 1; k < n; k++)
			x[r] -= a[r][k] * x[k];
		x[r] /= a[r][r];
	}
}

/* The rho of UniPC's differences at the places r[0..n-1] of the step (arXiv 2302.04867, eq. 5 and appendix E): n conditions. */
static void unipc_rho(const struct frame *f, double bh, int n, const double *r, double *rho)
{
	double a[RD_MAX_ORDER][RD_MAX_ORDER], b[RD_MAX_ORDER], phi = f->e / f->z - 1, factorial = 1;

	for (int i = 0; i < n; i++) {
		for (int k = 0; k < n; k++)
			a[i][k] = pow(r[k], i);
		b[i] = phi * factorial / bh;
		factorial *= i + 2;
		phi = phi / f->z - 1 / factorial;
	}
	solve(n, a, b, rho);
}

static double bh_of(const struct rd_solver *v, const struct frame *f)
{
	return v->type == RD_TYPE_BH1 ? f->z : f->e;
}

void rd_unipc_predict(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                      const struct rd_node *const *s)
{
	struct frame f = frame_of(v->data, t, s[0]);
	double r[RD_MAX_ORDER], rho[RD_MAX_ORDER] = {0.5}, bh = bh_of(v, &f);

	for (int i = 1; i < order; i++)
		r[i - 1] = (lambda(s[i]) - lambda(s[0])) / f.h;
	if (order > 2) /* with one difference 1/2 is enough for order 2 */
		unipc_rho(&f, bh, order - 1, r, rho);
	memset(w, 0, sizeof *w);
	w->n = order;
	w->x = f.a;
	w->m[0] = f.b * f.e;
	for (int i = 1; i < order; i++) {
		w->m[i] = f.b * bh * rho[i - 1] / r[i - 1];
		w->m[0] -= w->m[i];
	}
}

void rd_unipc_correct(struct rd_step_weights *w, const struct rd_solver *v, int order, const struct rd_node *t,
                      const struct rd_node *const *s)
{
	struct frame f = frame_of(v->data, t, s[0]);
	double r[RD_MAX_ORDER], rho[RD_MAX_ORDER] = {0.5}, bh = bh_of(v, &f);

	for (int i = 1; i < order; i++)
		r[i - 1] = (lambda(s[i]) - lambda(s[0])) / f.h;
	r[order - 1] = 1; /* the new output's place */
	if (order > 1)
		unipc_rho(&f, bh, order, r, rho);
	memset(w, 0, sizeof *w);
	w->n = order + 1;
	w->x = f.a;
	w->m[0] = f.b * bh * rho[order - 1];
	w->m[1] = f.b * f.e - w->m[0];
	for (int i = 1; i < order; i++) {
		w->m[i + 1] = f.b * bh * rho[i - 1] / r[i - 1];
		w->m[1] -= w->m[i + 1];
	}
}
