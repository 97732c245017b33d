/* What forward and backward of the group normalisation share: the work space and the order of the work.
 *
 * An image is cut into blocks of rows (pixels). Every block gives f32 sums per channel, which are combined in
 * double in the order of the blocks; so the bits do not depend on the threads. Where there are images for all
 * threads a thread takes an image through all phases while it is in its second cache; else the blocks of an image
 * are divided. */
#ifndef RD_KERNELS_CPU_GROUPNORM_H
#define RD_KERNELS_CPU_GROUPNORM_H

#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"

enum { RD_GN_ROWS = 32, RD_GN_SUMS = 3, RD_GN_COEFS = 6 };

/* One of these for every image at work: sums [RD_GN_SUMS][c], coef [RD_GN_COEFS][c], part [blocks][RD_GN_SUMS][c]. */
struct rd_gn_slot {
	double *sums;
	float *coef, *part;
};

struct rd_gn {
	const struct rd_groupnorm_desc *p;
	int64_t c, rows, blocks; /* rows: pixels of an image */
	char *ws;
	size_t slot_bytes, affine_bytes;
};

static inline size_t rd_gn_round(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static inline struct rd_gn rd_gn(const struct rd_groupnorm_desc *p, void *ws)
{
	struct rd_gn g = { .p = p, .c = p->d.c, .rows = p->d.h * p->d.w, .ws = ws };

	g.blocks = (g.rows + RD_GN_ROWS - 1) / RD_GN_ROWS;
	g.slot_bytes = rd_gn_round((size_t)g.c * RD_GN_SUMS * sizeof(double)) +
	               rd_gn_round((size_t)g.c * RD_GN_COEFS * sizeof(float)) +
	               rd_gn_round((size_t)(g.c * g.blocks) * RD_GN_SUMS * sizeof(float));
	g.affine_bytes = rd_gn_round((size_t)g.c * 2 * sizeof(float));
	return g;
}

static inline struct rd_gn_slot rd_gn_slot(const struct rd_gn *g, int64_t i)
{
	char *at = g->ws + (size_t)i * g->slot_bytes;
	struct rd_gn_slot s = { .sums = (double *)(void *)at };

	at += rd_gn_round((size_t)g->c * RD_GN_SUMS * sizeof(double));
	s.coef = (float *)(void *)at;
	at += rd_gn_round((size_t)g->c * RD_GN_COEFS * sizeof(float));
	s.part = (float *)(void *)at;
	return s;
}

/* dgamma and dbeta of image i, [2][c]: they are added in the order of the images at the end. */
static inline float *rd_gn_affine(const struct rd_gn *g, int64_t i)
{
	return (float *)(void *)(g->ws + (size_t)g->p->d.n * g->slot_bytes + (size_t)i * g->affine_bytes);
}

/* Room for an image, where dx is not free to hold one between the phases. */
static inline float *rd_gn_image(const struct rd_gn *g, int64_t slot)
{
	char *at = g->ws + (size_t)g->p->d.n * (g->slot_bytes + g->affine_bytes);

	return (float *)(void *)at + slot * g->rows * g->c;
}

/* Rows of block b. */
static inline struct rd_range rd_gn_block(const struct rd_gn *g, int64_t b)
{
	struct rd_range r = { b * RD_GN_ROWS, (b + 1) * RD_GN_ROWS };

	if (r.hi > g->rows)
		r.hi = g->rows;
	return r;
}

/* The blocks' sums of one slot added up: sums[0..n_sums-1][c]. */
static inline void rd_gn_total(const struct rd_gn *g, const struct rd_gn_slot *s, int n_sums)
{
	int64_t n = n_sums * g->c;

	for (int64_t k = 0; k < n; k++)
		s->sums[k] = 0.0;
	for (int64_t b = 0; b < g->blocks; b++) {
		const float *part = s->part + b * RD_GN_SUMS * g->c;

		RD_SIMD
		for (int64_t k = 0; k < n; k++)
			s->sums[k] += (double)part[k];
	}
}

/* coef[0] = a and coef[1] = b of act's argument x a + b; chan, gamma, beta, ss as the table's functions take them. */
static inline void rd_gn_affine_coef(const struct rd_gn *g, int64_t image, const float *chan, const float *gamma,
                                     const float *beta, const float *ss, const float *stats, float *coef)
{
	int64_t c = g->c, width = c / g->p->groups;

	for (int64_t l = 0; l < c; l++) {
		double mean = (double)stats[l / width * 2], rstd = (double)stats[l / width * 2 + 1];
		double a = rstd * (double)gamma[l];
		double b = (double)beta[l] + ((chan ? (double)chan[image * c + l] : 0.0) - mean) * a;

		if (ss) {
			double s1 = 1.0 + (double)ss[image * 2 * c + l];

			a *= s1;
			b = b * s1 + (double)ss[image * 2 * c + c + l];
		}
		coef[l] = (float)a;
		coef[c + l] = (float)b;
	}
}

/* The phases of one image. `job` is what the caller's functions share; slot numbers a work space. */
struct rd_gn_phases {
	void (*prepare)(const void *job, int64_t image, int64_t slot); /* or NULL */
	void (*block)(const void *job, int64_t image, int64_t slot, int64_t b);
	void (*finish)(const void *job, int64_t image, int64_t slot);
	void (*apply)(const void *job, int64_t image, int64_t slot, int64_t b);
};

static inline void rd_gn_image_phases(const struct rd_gn *g, const struct rd_gn_phases *f, const void *job,
                                      int64_t image, int64_t slot)
{
	if (f->prepare)
		f->prepare(job, image, slot);
	for (int64_t b = 0; b < g->blocks; b++)
		f->block(job, image, slot, b);
	f->finish(job, image, slot);
	for (int64_t b = 0; b < g->blocks; b++)
		f->apply(job, image, slot, b);
}

static inline void rd_gn_run(struct rd_dev *dev, const struct rd_gn *g, const struct rd_gn_phases *f, const void *job)
{
	int64_t n = g->p->d.n;

#pragma omp parallel num_threads(dev->threads) if (n * g->rows * g->c >= RD_PARALLEL_MIN)
	if (n >= omp_get_num_threads()) {
		struct rd_range r = rd_share(n, 1);

		for (int64_t i = r.lo; i < r.hi; i++)
			rd_gn_image_phases(g, f, job, i, omp_get_thread_num());
	} else {
		struct rd_range units = rd_share(n * g->blocks, 1), images = rd_share(n, 1);

		for (int64_t i = images.lo; i < images.hi && f->prepare; i++)
			f->prepare(job, i, i);
#pragma omp barrier
		for (int64_t u = units.lo; u < units.hi; u++)
			f->block(job, u / g->blocks, u / g->blocks, u % g->blocks);
#pragma omp barrier
		for (int64_t i = images.lo; i < images.hi; i++)
			f->finish(job, i, i);
#pragma omp barrier
		for (int64_t u = units.lo; u < units.hi; u++)
			f->apply(job, u / g->blocks, u / g->blocks, u % g->blocks);
	}
}

#endif
