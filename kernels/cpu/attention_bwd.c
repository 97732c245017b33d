/* Backward of attention:
 *
 * by rows (queries)    dP = do v^T,  dS = P (dP - rowsum P dP),  dq = scale dS k
 * by columns (keys)    dv = P^T do,  dk = scale dS^T q
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

/* The rows r of unit u: their ds, and their dq where it is wanted. vt [d, keys] and kp [keys, d] are packed. */
static void row_block(const struct job *j, int64_t u, struct rd_range r, float *ds, const float *vt, const float *kp)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u, a->tokens) + r.lo * a->c;
	const struct rd_gemm dp = {
		.m = r.hi - r.lo,
		.n = a->keys,
		.k = a->d,
		.a = j->dout + at,
		.ars = a->c,
		.acs = 1,
		.b = vt,
		.ldb = RD_VW,
		.panel = a->d * RD_VW,
		.alpha = 1.0f,
		.wide = a->wide,
		.c = ds + r.lo * a->keys,
		.ldc = a->keys,
	};
	const struct rd_gemm dq = {
		.m = r.hi - r.lo,
		.n = a->d,
		.k = a->keys,
		.a = ds + r.lo * a->keys,
		.ars = a->keys,
		.acs = 1,
		.b = kp,
		.ldb = RD_VW,
		.panel = a->keys * RD_VW,
		.alpha = a->scale,
		.acc = j->acc_dq,
		.wide = a->wide,
		.c = j->dq ? j->dq + at : NULL,
		.ldc = a->c,
	};

	RD_SYM(gemm)(&dp);
	for (int64_t i = r.lo; i < r.hi; i++)
		softmax_bwd(j->probs + (u * a->tokens + i) * a->keys, ds + i * a->keys, a->keys);
	if (j->dq)
		RD_SYM(gemm)(&dq);
}

static void rows(const struct job *j, int64_t u, struct rd_range r, float *ds, float *packed)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u, a->keys);
	float *vt = packed, *kp = vt + rd_gemm_packed(a->d, a->keys);

	if (!j->dq && !j->dk)
		return;
	RD_SYM(gemm_pack)(vt, j->v + at, 1, a->c, a->d, a->keys);
	if (j->dq)
		RD_SYM(gemm_pack)(kp, j->k + at, a->c, 1, a->keys, a->d);
	for (int64_t lo = r.lo, hi; lo < r.hi; lo = hi) {
		hi = lo + RD_ATT_ROWS < r.hi ? lo + RD_ATT_ROWS : r.hi;
		row_block(j, u, (struct rd_range){ lo, hi }, ds, vt, kp);
	}
}

/* out [keys, d] = alpha m^T x for the keys in r; m is [tokens, keys], xp the packed x [tokens, d]. */
static void by_keys(const struct rd_att *a, struct rd_range r, float alpha, const float *m, const float *xp,
                    float *out, int acc)
{
	const struct rd_gemm g = {
		.m = r.hi - r.lo,
		.n = a->d,
		.k = a->tokens,
		.a = m + r.lo,
		.ars = 1,
		.acs = a->keys,
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

static void columns(const struct job *j, int64_t u, struct rd_range r, float *ds, float *packed)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u, a->tokens), at_k = rd_att_at(a, u, a->keys);
	float *gp = packed, *qp = gp + rd_gemm_packed(a->tokens, a->d);

	if (j->dv) {
		RD_SYM(gemm_pack)(gp, j->dout + at, a->c, 1, a->tokens, a->d);
		by_keys(a, r, 1.0f, j->probs + u * a->tokens * a->keys, gp, j->dv + at_k, j->acc_dv);
	}
	if (j->dk) {
		RD_SYM(gemm_pack)(qp, j->q + at, a->c, 1, a->tokens, a->d);
		by_keys(a, r, a->scale, ds, qp, j->dk + at_k, j->acc_dk);
	}
}

/* Of unit u its rows r, of queries or of keys. */
typedef void phase_fn(const struct job *j, int64_t u, struct rd_range r, float *ds, float *packed);

/* This thread's part of all the units' blocks of n rows; the scores of unit u are in work space u. */
static void divided(const struct job *j, phase_fn *f, int64_t n)
{
	int64_t blocks = rd_att_blocks(n);
	struct rd_range mine = rd_share(j->a.units * blocks, 1);
	float *packed = rd_att_packed(&j->a, omp_get_thread_num());

	for (int64_t lo = mine.lo, hi; lo < mine.hi; lo = hi) {
		int64_t u = lo / blocks, first = u * blocks;

		hi = first + blocks < mine.hi ? first + blocks : mine.hi;
		f(j, u, rd_att_range(lo - first, hi - first, n), rd_att_scores(&j->a, u), packed);
	}
}

int RD_SYM(attention_bwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k,
                          const void *v, const float *probs, const void *dout, void *dq, int acc_dq, void *dk,
                          int acc_dk, void *dv, int acc_dv, void *ws, struct rd_err *e)
{
	const struct job j = {
		.a = rd_att(dev, p, p->d.h * p->d.w, ws),
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
	const struct rd_range queries = { 0, j.a.tokens }, keys = { 0, j.a.keys };

	(void)e;
#pragma omp parallel num_threads(dev->threads) if (j.a.units * j.a.tokens * j.a.keys >= RD_PARALLEL_MIN)
	if (j.a.units >= omp_get_num_threads()) {
		struct rd_range mine = rd_share(j.a.units, 1);
		float *ds = rd_att_scores(&j.a, omp_get_thread_num()), *packed = rd_att_packed(&j.a, omp_get_thread_num());

		for (int64_t u = mine.lo; u < mine.hi; u++) {
			rows(&j, u, queries, ds, packed);
			columns(&j, u, keys, ds, packed);
		}
	} else {
		divided(&j, rows, j.a.tokens);
#pragma omp barrier
		divided(&j, columns, j.a.keys);
	}
	return RD_OK;
}
