/* y = act(gn(x + chan) * gamma + beta), with scale and shift: two passes over an image, sums and then one
 * multiply, one add and the activation: y = act(x a[c] + b[c]). */
#include "kernels/cpu/groupnorm.h"

#include <math.h>

#include "kernels/cpu/vecmath.h"

struct job {
	struct rd_gn g;
	const float *x, *chan, *gamma, *beta, *ss;
	float *y, *stats;
};

size_t RD_SYM(groupnorm_ws_bytes)(const struct rd_groupnorm_desc *p)
{
	const struct rd_gn g = rd_gn(p, NULL);

	return (size_t)p->d.n * (g.slot_bytes + g.affine_bytes + (size_t)(g.rows * g.c) * sizeof(float));
}

/* Sums of x - k and (x - k)^2 over the block's rows. The pivot k is the image's first pixel: near the channel's
 * mean, so that the variance does not cancel. */
static void block(const void *arg, int64_t image, int64_t slot, int64_t b)
{
	const struct job *j = arg;
	const struct rd_range r = rd_gn_block(&j->g, b);
	int64_t c = j->g.c, i = r.lo;
	const float *k = j->x + image * j->g.rows * c;
	float *s1 = rd_gn_slot(&j->g, slot).part + b * RD_GN_SUMS * c, *s2 = s1 + c;

	for (int64_t l = 0; l < 2 * c; l++)
		s1[l] = 0.0f;
	for (; i + 4 <= r.hi; i += 4) {
		const float *p = k + i * c, *q = p + 2 * c;

		RD_SIMD
		for (int64_t l = 0; l < c; l++) {
			float d0 = p[l] - k[l], d1 = p[l + c] - k[l], d2 = q[l] - k[l], d3 = q[l + c] - k[l];

			s1[l] += (d0 + d1) + (d2 + d3);
			s2[l] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
		}
	}
	for (; i < r.hi; i++) {
		RD_SIMD
		for (int64_t l = 0; l < c; l++) {
			float d = k[i * c + l] - k[l];

			s1[l] += d;
			s2[l] += d * d;
		}
	}
}

/* Mean and variance of channels lo..hi-1 together, from those of each. sums: [0] becomes the channel's mean. */
static void group_stats(const struct job *j, int64_t image, double *sums, int64_t lo, int64_t hi, float *stats)
{
	double rows = (double)j->g.rows, m = 0.0, m2 = 0.0;
	const float *k = j->x + image * j->g.rows * j->g.c;
	const float *chan = j->chan ? j->chan + image * j->g.c : NULL;

	for (int64_t l = lo; l < hi; l++) {
		double s1 = sums[l], s2 = sums[j->g.c + l];

		m2 += s2 - s1 * s1 / rows;
		sums[l] = s1 / rows + (double)k[l] + (chan ? (double)chan[l] : 0.0);
		m += sums[l];
	}
	m /= (double)(hi - lo);
	for (int64_t l = lo; l < hi; l++)
		m2 += rows * (sums[l] - m) * (sums[l] - m);
	m2 /= rows * (double)(hi - lo);
	stats[0] = (float)m;
	stats[1] = (float)(1.0 / sqrt((m2 > 0.0 ? m2 : 0.0) + (double)j->g.p->eps));
	if (m2 != m2)
		stats[1] = (float)m2; /* NaN stays */
}

static void finish(const void *arg, int64_t image, int64_t slot)
{
	const struct job *j = arg;
	const struct rd_gn_slot s = rd_gn_slot(&j->g, slot);
	int64_t c = j->g.c, groups = j->g.p->groups, width = c / groups;
	float *stats = j->stats + image * groups * 2;

	rd_gn_total(&j->g, &s, 2);
	for (int64_t i = 0; i < groups; i++)
		group_stats(j, image, s.sums, i * width, (i + 1) * width, stats + 2 * i);
	rd_gn_affine_coef(&j->g, image, j->chan, j->gamma, j->beta, j->ss, stats, s.coef);
}

RD_INLINE void apply_loop(enum rd_act act, const float *x, const float *coef, float *y, int64_t rows, int64_t c)
{
	const float *a = coef, *b = coef + c;

	for (int64_t i = 0; i < rows; i++) {
		RD_SIMD
		for (int64_t l = 0; l < c; l++)
			y[i * c + l] = rd_act_value(act, x[i * c + l] * a[l] + b[l]);
	}
}

static void apply(const void *arg, int64_t image, int64_t slot, int64_t b)
{
	const struct job *j = arg;
	const struct rd_range r = rd_gn_block(&j->g, b);
	int64_t c = j->g.c, rows = r.hi - r.lo, at = (image * j->g.rows + r.lo) * c;
	const float *x = j->x + at, *coef = rd_gn_slot(&j->g, slot).coef;
	float *y = j->y + at;

	RD_BY_ACT(j->g.p->act, apply_loop, x, coef, y, rows, c);
}

int RD_SYM(groupnorm_fwd)(struct rd_dev *dev, const struct rd_groupnorm_desc *p, const void *x, const void *chan,
                          const float *gamma, const float *beta, const void *scale_shift, void *y, float *stats,
                          void *ws, struct rd_err *e)
{
	static const struct rd_gn_phases phases = { .block = block, .finish = finish, .apply = apply };
	const struct job j = {
		.g = rd_gn(p, ws),
		.x = x,
		.chan = chan,
		.gamma = gamma,
		.beta = beta,
		.ss = scale_shift,
		.y = y,
		.stats = stats,
	};

	(void)e;
	rd_gn_run(dev, &j.g, &phases, &j);
	return RD_OK;
}
