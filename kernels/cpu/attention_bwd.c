/* Backward of attention:
 *
 * dP = do v^T,  dS = P (dP - rowsum P dP),  dq = scale dS k      by rows (queries) dv = P^T do,  dk = scale dS^T q
 * by columns (keys)
 *
 * A thread takes a unit through both where there are units for all of them; else the rows and then the columns of
 * each unit are divided. */
#include "kernels/cpu/attention.h"

struct job {
	struct rd_att a;
	const float *q, *k, *v, *probs, *dout;
	float *dq, *dk, *dv;
	int acc_dq, acc_dk, acc_dv;
};

enum { LANES = 16 };

/* dp becomes ds. */
static void softmax_bwd(const float *p, float *dp, int64_t n)
{
	float s[LANES] = { 0.0f }, dot = 0.0f;
	int64_t full = n / LANES * LANES;

	for (int64_t j = 0; j < full; j += LANES) {
		RD_SIMD
		for (int l = 0; l < LANES; l++)
			s[l] += p[j + l] * dp[j + l];
	}
	for (int64_t j = full; j < n; j++)
		dot += p[j] * dp[j];
	for (int l = 0; l < LANES; l++)
		dot += s[l];
	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		dp[j] = p[j] * (dp[j] - dot);
}

/* The rows r of unit u: their ds, and their dq where it is wanted. vt [d, tokens] and kp [tokens, d] are packed. */
static void row_block(const struct job *j, int64_t u, struct rd_range r, float *ds, const float *vt, const float *kp)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u) + r.lo * a->c, t = a->tokens;
	const struct rd_gemm dp = {
		.m = r.hi - r.lo,
		.n = t,
		.k = a->d,
		.a = j->dout + at,
		.ars = a->c,
		.acs = 1,
		.b = vt,
		.ldb = RD_VW,
		.panel = a->d * RD_VW,
		.alpha = 1.0f,
		.wide = a->wide,
		.c = ds + r.lo * t,
		.ldc = t,
	};
	const struct rd_gemm dq = {
		.m = r.hi - r.lo,
		.n = a->d,
		.k = t,
		.a = ds + r.lo * t,
		.ars = t,
		.acs = 1,
		.b = kp,
		.ldb = RD_VW,
		.panel = t * RD_VW,
		.alpha = a->scale,
		.acc = j->acc_dq,
		.wide = a->wide,
		.c = j->dq ? j->dq + at : NULL,
		.ldc = a->c,
	};

	RD_SYM(gemm)(&dp);
	for (int64_t i = r.lo; i < r.hi; i++)
		softmax_bwd(j->probs + (u * t + i) * t, ds + i * t, t);
	if (j->dq)
		RD_SYM(gemm)(&dq);
}

static void rows(const struct job *j, int64_t u, struct rd_range blocks, float *ds, float *packed)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u), t = a->tokens;
	float *vt = packed, *kp = vt + rd_gemm_packed(a->d, t);

	if (!j->dq && !j->dk)
		return;
	RD_SYM(gemm_pack)(vt, j->v + at, 1, a->c, a->d, t);
	if (j->dq)
		RD_SYM(gemm_pack)(kp, j->k + at, a->c, 1, t, a->d);
	for (int64_t b = blocks.lo; b < blocks.hi; b++)
		row_block(j, u, rd_att_block(a, b), ds, vt, kp);
}

/* out [keys, d] = alpha m^T x for the keys in r; m is [tokens, tokens], xp the packed x [tokens, d]. */
static void by_keys(const struct rd_att *a, struct rd_range r, float alpha, const float *m, const float *xp,
                    float *out, int acc)
{
	const struct rd_gemm g = {
		.m = r.hi - r.lo,
		.n = a->d,
		.k = a->tokens,
		.a = m + r.lo,
		.ars = 1,
		.acs = a->tokens,
		.b = xp,
		.ldb = RD_VW,
		.panel = a->tokens * RD_VW,
		.alpha = alpha,
		.acc = acc,
		.wide = a->wide,
		.c = out + r.lo * a->c,
		.ldc = a->c,
	};

	RD_SYM(gemm)(&g);
}

static void columns(const struct job *j, int64_t u, struct rd_range blocks, float *ds, float *packed)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u), t = a->tokens;
	struct rd_range r = { blocks.lo * RD_ATT_ROWS, blocks.hi * RD_ATT_ROWS < t ? blocks.hi * RD_ATT_ROWS : t };
	float *gp = packed, *qp = gp + rd_gemm_packed(t, a->d);

	if (j->dv) {
		RD_SYM(gemm_pack)(gp, j->dout + at, a->c, 1, t, a->d);
		by_keys(a, r, 1.0f, j->probs + u * t * t, gp, j->dv + at, j->acc_dv);
	}
	if (j->dk) {
		RD_SYM(gemm_pack)(qp, j->q + at, a->c, 1, t, a->d);
		by_keys(a, r, a->scale, ds, qp, j->dk + at, j->acc_dk);
	}
}

typedef void phase_fn(const struct job *j, int64_t u, struct rd_range blocks, float *ds, float *packed);

/* This thread's part of all the units' blocks; the scores of unit u are in work space u. */
static void divided(const struct job *j, phase_fn *f)
{
	struct rd_range mine = rd_share(j->a.units * j->a.blocks, 1);
	float *packed = rd_att_packed(&j->a, omp_get_thread_num());

	for (int64_t lo = mine.lo, hi; lo < mine.hi; lo = hi) {
		int64_t u = lo / j->a.blocks, first = u * j->a.blocks;

		hi = first + j->a.blocks < mine.hi ? first + j->a.blocks : mine.hi;
		f(j, u, (struct rd_range){ lo - first, hi - first }, rd_att_scores(&j->a, u), packed);
	}
}

int RD_SYM(attention_bwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k,
                          const void *v, const float *probs, const void *dout, void *dq, int acc_dq, void *dk,
                          int acc_dk, void *dv, int acc_dv, void *ws, struct rd_err *e)
{
	const struct job j = {
		.a = rd_att(dev, p, ws),
		.q = q,
		.k = k,
		.v = v,
		.probs = probs,
		.dout = dout,
		.dq = dq,
		.dk = dk,
		.dv = dv,
		.acc_dq = acc_dq,
		.acc_dk = acc_dk,
		.acc_dv = acc_dv,
	};
	const struct rd_range whole = { 0, j.a.blocks };

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (j.a.units * j.a.tokens * j.a.tokens >= RD_PARALLEL_MIN)
	if (j.a.units >= omp_get_num_threads()) {
		struct rd_range mine = rd_share(j.a.units, 1);
		float *ds = rd_att_scores(&j.a, omp_get_thread_num()), *packed = rd_att_packed(&j.a, omp_get_thread_num());

		for (int64_t u = mine.lo; u < mine.hi; u++) {
			rows(&j, u, whole, ds, packed);
			columns(&j, u, whole, ds, packed);
		}
	} else {
		divided(&j, rows);
#pragma omp barrier
		divided(&j, columns);
	}
	return RD_OK;
}
