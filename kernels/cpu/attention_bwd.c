/* Backward of attention:
 *
 * by rows (queries)    P as forward had it, from the row's statistics
 *                      dP = do v^T,  dS = P (dP - rowsum P dP),  dq = scale dS k
 * by columns (keys)    dv = P^T do,  dk = scale dS^T q
 *
 * A chunk of queries goes through both, then the next, which adds to dv and dk. A thread takes a unit through all of
 * them where there are units for all threads; else the rows and then the columns of each unit are divided. */
#include "kernels/cpu/attention.h"

struct job {
	struct rd_att a;
	const float *q, *k, *v, *stats, *dout;
	float *dq, *dk, *dv;
	int acc_dq, acc_dk, acc_dv;
};

enum { LANES = 16 };

/* Scores become p. */
static void softmax_again(float *s, int64_t n, const float *stats)
{
	float top = stats[0], inv = stats[1];

	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		s[j] = rd_expf(s[j] - top) * inv;
}

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

/* The rows r of unit u, in the chunk from row `first` on: their p, their ds where anything is made of it, and their dq where it is
 * wanted. kt, vt [d, keys] and kp [keys, d] are packed. */
static void row_block(const struct job *j, int64_t u, struct rd_range r, int64_t first, float *scores, const float *kt,
                      const float *vt, const float *kp)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u, a->tokens), n = r.hi - r.lo;
	float *p = scores + (r.lo - first) * a->keys, *ds = p + a->chunk * a->keys;

	rd_att_by_dims(a, r, a->scale, j->q + at, kt, p);
	for (int64_t i = 0; i < n; i++)
		softmax_again(p + i * a->keys, a->keys, j->stats + 2 * (u * a->tokens + r.lo + i));
	if (!j->dq && !j->dk)
		return;
	rd_att_by_dims(a, r, 1.0f, j->dout + at, vt, ds);
	for (int64_t i = 0; i < n; i++)
		softmax_bwd(p + i * a->keys, ds + i * a->keys, a->keys);
	if (j->dq)
		rd_att_by_keys(a, r, a->scale, ds, kp, j->dq + at, j->acc_dq);
}

/* The part r of the queries' chunk. */
static void rows(const struct job *j, int64_t u, struct rd_range chunk, struct rd_range r, float *scores, float *packed)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u, a->keys), by_dims = rd_gemm_packed(a->d, a->keys);
	float *kt = packed, *vt = kt + by_dims, *kp = vt + by_dims;

	RD_SYM(gemm_pack)(kt, j->k + at, 1, a->c, a->d, a->keys);
	if (j->dq || j->dk)
		RD_SYM(gemm_pack)(vt, j->v + at, 1, a->c, a->d, a->keys);
	if (j->dq)
		RD_SYM(gemm_pack)(kp, j->k + at, a->c, 1, a->keys, a->d);
	for (int64_t lo = chunk.lo + r.lo, end = chunk.lo + r.hi, hi; lo < end; lo = hi) {
		hi = lo + RD_ATT_ROWS < end ? lo + RD_ATT_ROWS : end;
		row_block(j, u, (struct rd_range){ lo, hi }, chunk.lo, scores, kt, vt, kp);
	}
}

/* out [keys, d] = alpha m^T x for the keys in r; m is [n, keys], xp the packed x [n, d]. */
static void to_keys(const struct rd_att *a, struct rd_range r, float alpha, const float *m, const float *xp, int64_t n,
                    float *out, int acc)
{
	rd_att_product(a, r, alpha, (struct rd_att_matrix){ m + r.lo, 1, a->keys, n }, xp, out, acc);
}

/* For the keys r, what comes of the queries' chunk. */
static void columns(const struct job *j, int64_t u, struct rd_range chunk, struct rd_range r, float *scores, float *packed)
{
	const struct rd_att *a = &j->a;
	int64_t at = rd_att_at(a, u, a->tokens) + chunk.lo * a->c, at_k = rd_att_at(a, u, a->keys), n = chunk.hi - chunk.lo;
	float *gp = packed, *qp = gp + rd_gemm_packed(n, a->d);

	if (j->dv) {
		RD_SYM(gemm_pack)(gp, j->dout + at, a->c, 1, n, a->d);
		to_keys(a, r, 1.0f, scores, gp, n, j->dv + at_k, j->acc_dv || chunk.lo > 0);
	}
	if (j->dk) {
		RD_SYM(gemm_pack)(qp, j->q + at, a->c, 1, n, a->d);
		to_keys(a, r, a->scale, scores + a->chunk * a->keys, qp, n, j->dk + at_k, j->acc_dk || chunk.lo > 0);
	}
}

/* Of unit u and the chunk of its queries the rows r, of this chunk or of the keys. scores: P, then dS. */
typedef void phase_fn(const struct job *j, int64_t u, struct rd_range chunk, struct rd_range r, float *scores, float *packed);

/* This thread's part of all the units' blocks of n rows; the scores of unit u are in slot u. */
static void divided(const struct job *j, phase_fn *f, struct rd_range chunk, int64_t n)
{
	int64_t blocks = rd_att_blocks(n);
	struct rd_range mine = rd_share(j->a.units * blocks, 1);
	float *packed = rd_att_packed(&j->a, omp_get_thread_num());

	for (int64_t lo = mine.lo, hi; lo < mine.hi; lo = hi) {
		int64_t u = lo / blocks, first = u * blocks;

		hi = first + blocks < mine.hi ? first + blocks : mine.hi;
		f(j, u, chunk, rd_att_range(lo - first, hi - first, n), rd_att_scores(&j->a, u), packed);
	}
}

/* A thread's part of one chunk. */
static void one_chunk(const struct job *j, struct rd_range c)
{
	const struct rd_range queries = { 0, c.hi - c.lo }, keys = { 0, j->a.keys };

	if (j->a.units >= omp_get_num_threads()) {
		struct rd_range mine = rd_share(j->a.units, 1);
		int64_t me = omp_get_thread_num();
		float *scores = rd_att_scores(&j->a, me), *packed = rd_att_packed(&j->a, me);

		for (int64_t u = mine.lo; u < mine.hi; u++) {
			rows(j, u, c, queries, scores, packed);
			columns(j, u, c, keys, scores, packed);
		}
		return;
	}
	divided(j, rows, c, queries.hi);
#pragma omp barrier
	divided(j, columns, c, keys.hi);
#pragma omp barrier
}

int RD_SYM(attention_bwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k,
                          const void *v, const void *o, const float *stats, const void *dout, void *dq, int acc_dq,
                          void *dk, int acc_dk, void *dv, int acc_dv, void *ws, struct rd_err *e)
{
	const struct job j = {
		.a = rd_att(dev, p, 1, ws),
		.q = q,
		.k = k,
		.v = v,
		.stats = stats,
		.dout = dout,
		.dq = dq,
		.dk = dk,
		.dv = dv,
		.acc_dq = acc_dq,
		.acc_dk = acc_dk,
		.acc_dv = acc_dv,
	};

	(void)o; /* the sum over P dP is at hand */
	(void)e;
#pragma omp parallel num_threads(dev->threads) if (j.a.units * j.a.tokens * j.a.keys >= RD_PARALLEL_MIN)
	for (int64_t lo = 0; lo < j.a.tokens; lo += j.a.chunk)
		one_chunk(&j, (struct rd_range){ lo, lo + j.a.chunk < j.a.tokens ? lo + j.a.chunk : j.a.tokens });
	return RD_OK;
}
