#include "kernels/cpu/wide.h"

#include "kernels/cpu/vec.h"

typedef double wide_vec __attribute__((vector_size(RD_VW * sizeof(double) / 2)));

/* A block of c: its sums, and the part of b that is at work, widened. */
enum { COLS = RD_VW, VECS = 2, ROWS = 16 * RD_MR, DEPTH = 256 };

struct block {
	wide_vec b[DEPTH][VECS];
	wide_vec sum[ROWS][VECS];
};

static void widen(const struct rd_wide *p, struct block *s, int64_t l0, int64_t depth, int64_t j0, int64_t cols)
{
	for (int64_t l = 0; l < depth; l++) {
		const float *from = p->b + (l0 + l) * p->brs + j0 * p->bcs;
		double row[COLS] = { 0.0 };

		for (int64_t j = 0; j < cols; j++)
			row[j] = (double)from[j * p->bcs];
		memcpy(s->b[l], row, sizeof row);
	}
}

/* mr rows of the block, a constant, so that the sums stay in registers. */
RD_INLINE void tile(const struct rd_wide *p, struct block *s, const float *a, int64_t i, int64_t depth, int mr)
{
	wide_vec sum[RD_MR][VECS];

	RD_UNROLL
	for (int r = 0; r < mr; r++) {
		sum[r][0] = s->sum[i + r][0];
		sum[r][1] = s->sum[i + r][1];
	}
	for (int64_t l = 0; l < depth; l++) {
		RD_UNROLL
		for (int r = 0; r < mr; r++) {
			double x = (double)a[r * p->ars + l * p->acs];

			sum[r][0] += x * s->b[l][0];
			sum[r][1] += x * s->b[l][1];
		}
	}
	RD_UNROLL
	for (int r = 0; r < mr; r++) {
		s->sum[i + r][0] = sum[r][0];
		s->sum[i + r][1] = sum[r][1];
	}
}

static void put(const struct rd_wide *p, const struct block *s, int64_t i0, int64_t rows, int64_t j0, int64_t cols)
{
	for (int64_t i = 0; i < rows; i++) {
		float *to = p->c + (i0 + i) * p->crs + j0 * p->ccs;
		double row[COLS];

		memcpy(row, s->sum[i], sizeof row);
		for (int64_t j = 0; j < cols; j++) {
			double v = (double)p->alpha * row[j] + (p->bias ? (double)p->bias[j0 + j] : 0.0);

			to[j * p->ccs] = (float)(p->acc ? v + (double)to[j * p->ccs] : v);
		}
	}
}

static void product_block(const struct rd_wide *p, struct block *s, int64_t i0, int64_t rows, int64_t j0, int64_t cols)
{
	memset(s->sum, 0, sizeof s->sum);
	for (int64_t l0 = 0; l0 < p->k; l0 += DEPTH) {
		int64_t depth = p->k - l0 < DEPTH ? p->k - l0 : DEPTH, i = 0;
		const float *a = p->a + i0 * p->ars + l0 * p->acs;

		widen(p, s, l0, depth, j0, cols);
		for (; i + RD_MR <= rows; i += RD_MR)
			tile(p, s, a + i * p->ars, i, depth, RD_MR);
		for (; i < rows; i++)
			tile(p, s, a + i * p->ars, i, depth, 1);
	}
	put(p, s, i0, rows, j0, cols);
}

void RD_SYM(wide_product)(const struct rd_wide *p)
{
	struct block s;

	for (int64_t j = 0; j < p->n; j += COLS)
		for (int64_t i = 0; i < p->m; i += ROWS)
			product_block(p, &s, i, p->m - i < ROWS ? p->m - i : ROWS, j, p->n - j < COLS ? p->n - j : COLS);
}
