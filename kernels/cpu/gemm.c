#include "kernels/cpu/gemm.h"

#include "kernels/cpu/wide.h"

void RD_SYM(gemm_pack)(float *dst, const float *src, int64_t rs, int64_t cs, int64_t k, int64_t n)
{
	for (int64_t j0 = 0; j0 < n; j0 += RD_VW, dst += k * RD_VW) {
		int64_t cols = n - j0 < RD_VW ? n - j0 : RD_VW;

		for (int64_t l = 0; l < k; l++) {
			const float *p = src + l * rs + j0 * cs;

			for (int64_t j = 0; j < cols; j++)
				dst[l * RD_VW + j] = p[j * cs];
			for (int64_t j = cols; j < RD_VW; j++)
				dst[l * RD_VW + j] = 0.0f;
		}
	}
}

/* cols <= RD_VW columns of a row of c. */
RD_INLINE void put_row(const struct rd_gemm *g, float *c, rd_vec sum, int64_t cols)
{
	rd_vec v = sum * rd_vec_set(g->alpha);
	float part[RD_VW];

	if (cols >= RD_VW) {
		if (g->acc)
			v = v + rd_vec_load(c);
		rd_vec_store(c, v);
		return;
	}
	rd_vec_store(part, v);
	for (int64_t j = 0; j < cols; j++)
		c[j] = g->acc ? c[j] + part[j] : part[j];
}

/* mr rows from row i, nv panels from column j; both constants, so that the sums stay in registers. */
RD_INLINE void tile(const struct rd_gemm *g, int64_t i, int64_t j, int mr, int nv)
{
	const float *a = g->a + i * g->ars, *b0 = g->b + j / RD_VW * g->panel, *b1 = b0 + (nv > 1 ? g->panel : 0);
	rd_vec sum[RD_MR][2];
	float *c = g->c + i * g->ldc + j;

	RD_UNROLL
	for (int r = 0; r < mr; r++)
		sum[r][0] = sum[r][1] = rd_vec_set(0.0f);
	for (int64_t l = 0; l < g->k; l++) {
		rd_vec v0 = rd_vec_load(b0 + l * g->ldb), v1 = rd_vec_load(b1 + l * g->ldb);

		RD_UNROLL
		for (int r = 0; r < mr; r++) {
			rd_vec x = rd_vec_set(a[r * g->ars + l * g->acs]);

			sum[r][0] = rd_vec_madd(x, v0, sum[r][0]);
			if (nv > 1)
				sum[r][1] = rd_vec_madd(x, v1, sum[r][1]);
		}
	}
	RD_UNROLL
	for (int r = 0; r < mr; r++) {
		put_row(g, c + r * g->ldc, sum[r][0], g->n - j);
		if (nv > 1)
			put_row(g, c + r * g->ldc + RD_VW, sum[r][1], g->n - j - RD_VW);
	}
}

RD_INLINE void column(const struct rd_gemm *g, int64_t j, int nv)
{
	int64_t i = 0;

	for (; i + RD_MR <= g->m; i += RD_MR)
		tile(g, i, j, RD_MR, nv);
	if (RD_MR > 4 && i + 4 <= g->m) {
		tile(g, i, j, 4, nv);
		i += 4;
	}
	if (i + 2 <= g->m) {
		tile(g, i, j, 2, nv);
		i += 2;
	}
	if (i < g->m)
		tile(g, i, j, 1, nv);
}

/* Panel by panel. */
static void wide(const struct rd_gemm *g)
{
	for (int64_t j = 0; j < g->n; j += RD_VW) {
		const struct rd_wide p = {
			.m = g->m,
			.n = g->n - j < RD_VW ? g->n - j : RD_VW,
			.k = g->k,
			.a = g->a,
			.ars = g->ars,
			.acs = g->acs,
			.b = g->b + j / RD_VW * g->panel,
			.brs = g->ldb,
			.bcs = 1,
			.alpha = g->alpha,
			.acc = g->acc,
			.c = g->c + j,
			.crs = g->ldc,
			.ccs = 1,
		};

		RD_SYM(wide_product)(&p);
	}
}

void RD_SYM(gemm)(const struct rd_gemm *g)
{
	int64_t j = 0;

	if (g->wide) {
		wide(g);
		return;
	}
	for (; j + RD_VW < g->n; j += 2 * RD_VW)
		column(g, j, 2);
	if (j < g->n)
		column(g, j, 1);
}
