/* Backward of the group normalisation. With k = mean - chan, xn = (x - k) rstd the normalised input, and g =
 * act'(z) dy:
 *
 * A = sum g,  B = sum g (x - k),  C = sum (x - k)   per channel, over pixels w = gamma (1 + scale),  X = rstd B
 * dbeta = (1 + scale) A,  dgamma = (1 + scale) X,  dshift = A,  dscale = gamma X + beta A dx = rstd (w g - mean of
 * w g - xn mean of w g xn), means over the group;  dchan = sum dx
 *
 * so dx = c1 g + c2 (x - k) + c3, and g, which costs an exponential, is kept from the first pass to the second. */
#include "kernels/cpu/groupnorm.h"
#include "kernels/cpu/vecmath.h"

enum { A, B, C };                /* sums */
enum { CA, CB, CK, C1, C2, C3 }; /* coef: z = x CA + CB */

struct job {
	struct rd_gn g;
	const float *x, *chan, *gamma, *beta, *ss, *stats, *dy;
	float *dx, *dchan, *dss;
	int acc_dx, acc_dchan, acc_dss;
};

/* Where g of this image is kept: in dx itself unless that has contents to add to. */
static float *kept(const struct job *j, int64_t image, int64_t slot)
{
	if (j->dx && !j->acc_dx)
		return j->dx + image * j->g.rows * j->g.c;
	return rd_gn_image(&j->g, slot);
}

RD_INLINE void block_loop(enum rd_act act, const float *x, const float *dy, float *g, const float *coef, float *sums,
                          int64_t rows, int64_t c)
{
	const float *ca = coef + CA * c, *cb = coef + CB * c, *ck = coef + CK * c;
	float *sa = sums + A * c, *sb = sums + B * c, *sc = sums + C * c;

	int64_t i = 0;

	for (; i + 2 <= rows; i += 2, x += 2 * c, dy += 2 * c, g += 2 * c) {
		RD_SIMD
		for (int64_t l = 0; l < c; l++) {
			float v = dy[l] * rd_act_slope(act, x[l] * ca[l] + cb[l]), d = x[l] - ck[l];
			float w = dy[l + c] * rd_act_slope(act, x[l + c] * ca[l] + cb[l]), f = x[l + c] - ck[l];

			g[l] = v;
			g[l + c] = w;
			sa[l] += v + w;
			sb[l] += v * d + w * f;
			sc[l] += d + f;
		}
	}
	for (; i < rows; i++) {
		RD_SIMD
		for (int64_t l = 0; l < c; l++) {
			float v = dy[l] * rd_act_slope(act, x[l] * ca[l] + cb[l]), d = x[l] - ck[l];

			g[l] = v;
			sa[l] += v;
			sb[l] += v * d;
			sc[l] += d;
		}
	}
}

static void block(const void *arg, int64_t image, int64_t slot, int64_t b)
{
	const struct job *j = arg;
	const struct rd_range r = rd_gn_block(&j->g, b);
	const struct rd_gn_slot s = rd_gn_slot(&j->g, slot);
	int64_t c = j->g.c, rows = r.hi - r.lo, at = (image * j->g.rows + r.lo) * c;
	const float *x = j->x + at, *dy = j->dy + at;
	float *g = kept(j, image, slot) + r.lo * c, *sums = s.part + b * RD_GN_SUMS * c;

	for (int64_t l = 0; l < RD_GN_SUMS * c; l++)
		sums[l] = 0.0f;
	RD_BY_ACT(j->g.p->act, block_loop, x, dy, g, s.coef, sums, rows, c);
}

static void prepare(const void *arg, int64_t image, int64_t slot)
{
	const struct job *j = arg;
	int64_t c = j->g.c, groups = j->g.p->groups, width = c / groups;
	const float *stats = j->stats + image * groups * 2, *chan = j->chan ? j->chan + image * c : NULL;
	float *coef = rd_gn_slot(&j->g, slot).coef;

	rd_gn_affine_coef(&j->g, image, j->chan, j->gamma, j->beta, j->ss, stats, coef);
	for (int64_t l = 0; l < c; l++)
		coef[CK * c + l] = stats[l / width * 2] - (chan ? chan[l] : 0.0f);
}

/* c1, c2, c3 of channels lo..hi-1. */
static void group_coef(const struct job *j, const float *ss, const double *sums, float *coef, int64_t lo, int64_t hi,
                       double rstd)
{
	int64_t c = j->g.c;
	double n = (double)(hi - lo) * (double)j->g.rows, m1 = 0.0, m2 = 0.0;

	for (int64_t l = lo; l < hi; l++) {
		double w = (double)j->gamma[l] * (ss ? 1.0 + (double)ss[l] : 1.0);

		m1 += w * sums[A * c + l];
		m2 += w * sums[B * c + l] * rstd;
		coef[C1 * c + l] = (float)(w * rstd);
	}
	for (int64_t l = lo; l < hi; l++) {
		coef[C2 * c + l] = (float)(-rstd * rstd * m2 / n);
		coef[C3 * c + l] = (float)(-rstd * m1 / n);
	}
}

/* The gradients that an image's sums give by themselves. */
static void channel_grads(const struct job *j, int64_t image, const double *sums, const float *coef,
                          const float *stats)
{
	int64_t c = j->g.c, width = c / j->g.p->groups;
	const float *ss = j->ss ? j->ss + image * 2 * c : NULL;
	float *affine = rd_gn_affine(&j->g, image);
	float *dchan = j->dchan ? j->dchan + image * c : NULL, *dss = j->dss ? j->dss + image * 2 * c : NULL;

	for (int64_t l = 0; l < c; l++) {
		double a = sums[A * c + l], x = sums[B * c + l] * (double)stats[l / width * 2 + 1];
		double s1 = ss ? 1.0 + (double)ss[l] : 1.0;

		affine[l] = (float)(s1 * x);
		affine[c + l] = (float)(s1 * a);
		if (dchan) {
			double v = (double)coef[C1 * c + l] * a + (double)coef[C2 * c + l] * sums[C * c + l] +
			           (double)coef[C3 * c + l] * (double)j->g.rows;

			dchan[l] = (j->acc_dchan ? dchan[l] : 0.0f) + (float)v;
		}
		if (dss) {
			double v = (double)j->gamma[l] * x + (double)j->beta[l] * a;

			dss[l] = (j->acc_dss ? dss[l] : 0.0f) + (float)v;
			dss[c + l] = (j->acc_dss ? dss[c + l] : 0.0f) + (float)a;
		}
	}
}

static void finish(const void *arg, int64_t image, int64_t slot)
{
	const struct job *j = arg;
	const struct rd_gn_slot s = rd_gn_slot(&j->g, slot);
	int64_t c = j->g.c, groups = j->g.p->groups, width = c / groups;
	const float *stats = j->stats + image * groups * 2;
	const float *ss = j->ss ? j->ss + image * 2 * c : NULL;

	rd_gn_total(&j->g, &s, RD_GN_SUMS);
	for (int64_t i = 0; i < groups; i++)
		group_coef(j, ss, s.sums, s.coef, i * width, (i + 1) * width, (double)stats[2 * i + 1]);
	channel_grads(j, image, s.sums, s.coef, stats);
}

RD_INLINE void apply_loop(const float *x, const float *g, const float *coef, float *dx, int64_t rows, int64_t c,
                          int acc)
{
	const float *ck = coef + CK * c, *c1 = coef + C1 * c, *c2 = coef + C2 * c, *c3 = coef + C3 * c;

	for (int64_t i = 0; i < rows; i++, x += c, g += c, dx += c) {
		RD_SIMD
		for (int64_t l = 0; l < c; l++)
			dx[l] = (acc ? dx[l] : 0.0f) + (c1[l] * g[l] + (c2[l] * (x[l] - ck[l]) + c3[l]));
	}
}

static void apply(const void *arg, int64_t image, int64_t slot, int64_t b)
{
	const struct job *j = arg;
	const struct rd_range r = rd_gn_block(&j->g, b);
	int64_t c = j->g.c, at = (image * j->g.rows + r.lo) * c;
	const float *coef = rd_gn_slot(&j->g, slot).coef, *g = kept(j, image, slot) + r.lo * c;

	if (!j->dx)
		return;
	if (j->acc_dx)
		apply_loop(j->x + at, g, coef, j->dx + at, r.hi - r.lo, c, 1);
	else
		apply_loop(j->x + at, g, coef, j->dx + at, r.hi - r.lo, c, 0);
}

/* dgamma and dbeta, in the order of the images. */
static void add_affine(const struct rd_gn *g, float *dgamma, float *dbeta)
{
	for (int64_t i = 0; i < g->p->d.n; i++) {
		const float *part = rd_gn_affine(g, i);

		if (dgamma)
			RD_SYM(put)(dgamma, part, g->c, 1);
		if (dbeta)
			RD_SYM(put)(dbeta, part + g->c, g->c, 1);
	}
}

int RD_SYM(groupnorm_bwd)(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
                          const float *gamma, const float *beta, const void *scale_shift, const float *stats,
                          const void *dy, void *dx, int acc_dx, void *dchan, int acc_dchan, float *dgamma,
                          float *dbeta, void *dscale_shift, int acc_dss, void *ws, struct rd_err *e)
{
	static const struct rd_gn_phases phases = { .prepare = prepare, .block = block, .finish = finish, .apply = apply };
	const struct job j = {
		.g = rd_gn(p, ws),
		.x = x,
		.chan = chan,
		.gamma = gamma,
		.beta = beta,
		.ss = scale_shift,
		.stats = stats,
		.dy = dy,
		.dx = dx,
		.dchan = dchan,
		.dss = dscale_shift,
		.acc_dx = acc_dx,
		.acc_dchan = acc_dchan,
		.acc_dss = acc_dss,
	};

	(void)e;
	rd_gn_run(dev, &j.g, &phases, &j);
	add_affine(&j.g, dgamma, dbeta);
	return RD_OK;
}
