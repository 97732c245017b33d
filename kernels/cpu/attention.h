/* What forward and backward of attention share: shapes and the work space. With channels innermost q is a matrix
 * [tokens, c], k and v are [keys, c], and a head is d = c / heads columns of them. A unit is a head of an image. */
#ifndef RD_KERNELS_CPU_ATTENTION_H
#define RD_KERNELS_CPU_ATTENTION_H

#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/vecmath.h"

enum {
	RD_ATT_ROWS = 32,       /* rows of scores that are worked on at a time */
	RD_ATT_CELLS = 1 << 20, /* of P that backward has at a time, unless these are fewer rows than that */
};

struct rd_att {
	int64_t tokens, keys, d, c, heads, units;
	int64_t chunk; /* rows of scores that there is room for: forward a block, backward whole blocks or all */
	float scale;
	int wide;
	float *ws;
	int64_t threads, slots;              /* work space: packed operands of each thread, then scores of each slot */
	int64_t packed_floats, score_floats; /* whole cache lines */
};

static inline int64_t rd_att_lines(int64_t floats)
{
	return (floats + 15) & ~(int64_t)15;
}

static inline int64_t rd_att_chunk(int64_t tokens, int64_t keys, int backward)
{
	int64_t rows = backward && RD_ATT_CELLS / keys > RD_ATT_ROWS ? RD_ATT_CELLS / keys / RD_ATT_ROWS * RD_ATT_ROWS : RD_ATT_ROWS;

	return tokens < rows ? tokens : rows;
}

/* Forward packs k and v and has a block of rows of scores. Backward packs k twice and v, then q and do, and has P and dS of
 * a chunk of rows; where threads divide a unit they share these. */
static inline struct rd_att rd_att(struct rd_dev *dev, const struct rd_attention_desc *p, int backward, void *ws)
{
	struct rd_att a = {
		.tokens = p->d.h * p->d.w,
		.keys = p->keys,
		.d = p->d.c / p->heads,
		.c = p->d.c,
		.heads = p->heads,
		.units = p->d.n * p->heads,
		.scale = p->scale,
		.wide = dev->wide,
		.ws = ws,
		.threads = dev->threads,
		.chunk = rd_att_chunk(p->d.h * p->d.w, p->keys, backward),
	};
	int64_t by_dims = rd_gemm_packed(a.d, a.keys), by_keys = rd_gemm_packed(a.keys, a.d);
	int64_t by_key = backward ? 2 * by_dims + by_keys : by_dims + by_keys;
	int64_t by_query = backward ? 2 * rd_gemm_packed(a.chunk, a.d) : 0;

	a.slots = backward && a.units < a.threads ? a.units : a.threads;
	a.packed_floats = rd_att_lines(by_key > by_query ? by_key : by_query);
	a.score_floats = rd_att_lines((backward ? 2 : 1) * a.chunk * a.keys);
	return a;
}

static inline size_t rd_att_ws_bytes(const struct rd_att *a)
{
	return (size_t)(a->threads * a->packed_floats + a->slots * a->score_floats) * sizeof(float);
}

static inline float *rd_att_packed(const struct rd_att *a, int64_t thread)
{
	return a->ws + thread * a->packed_floats;
}

static inline float *rd_att_scores(const struct rd_att *a, int64_t slot)
{
	return a->ws + a->threads * a->packed_floats + slot * a->score_floats;
}

/* Where unit u begins: in q and o with `rows` the tokens, in k and v with the keys. */
static inline int64_t rd_att_at(const struct rd_att *a, int64_t u, int64_t rows)
{
	return u / a->heads * rows * a->c + u % a->heads * a->d;
}

static inline int64_t rd_att_blocks(int64_t rows)
{
	return (rows + RD_ATT_ROWS - 1) / RD_ATT_ROWS;
}

/* The rows, of `rows`, of blocks lo to hi - 1. */
static inline struct rd_range rd_att_range(int64_t lo, int64_t hi, int64_t rows)
{
	struct rd_range r = { lo * RD_ATT_ROWS, hi * RD_ATT_ROWS };

	if (r.hi > rows)
		r.hi = rows;
	return r;
}

/* s = alpha x y^T for the rows r of a unit: x of its queries (q, do), yt [d, keys] its packed k or v, s [rows of r, keys].
 * Backward makes scores again by it, to the bit. */
static inline void rd_att_by_dims(const struct rd_att *a, struct rd_range r, float alpha, const float *x, const float *yt,
                                  float *s)
{
	const struct rd_gemm g = {
		.m = r.hi - r.lo,
		.n = a->keys,
		.k = a->d,
		.a = x + r.lo * a->c,
		.ars = a->c,
		.acs = 1,
		.b = yt,
		.ldb = RD_VW,
		.panel = a->d * RD_VW,
		.alpha = alpha,
		.wide = a->wide,
		.c = s,
		.ldc = a->keys,
	};

	RD_SYM(gemm)(&g);
}

/* A matrix whose element (i, j) is m[i step_i + j step_j], n of them in a row. */
struct rd_att_matrix {
	const float *m;
	int64_t step_i, step_j, n;
};

/* o = alpha s y for the rows r of o, or += with acc: of s these rows, yp the packed y [s.n, d], o [rows, d]. */
static inline void rd_att_product(const struct rd_att *a, struct rd_range r, float alpha, struct rd_att_matrix s, const float *yp,
                                  float *o, int acc)
{
	const struct rd_gemm g = {
		.m = r.hi - r.lo,
		.n = a->d,
		.k = s.n,
		.a = s.m,
		.ars = s.step_i,
		.acs = s.step_j,
		.b = yp,
		.ldb = RD_VW,
		.panel = s.n * RD_VW,
		.alpha = alpha,
		.acc = acc,
		.wide = a->wide,
		.c = o + r.lo * a->c,
		.ldc = a->c,
	};

	RD_SYM(gemm)(&g);
}

/* The same for s [rows of r, keys], y of the keys, o of the queries. */
static inline void rd_att_by_keys(const struct rd_att *a, struct rd_range r, float alpha, const float *s, const float *yp,
                                  float *o, int acc)
{
	rd_att_product(a, r, alpha, (struct rd_att_matrix){ s, a->keys, 1, a->keys }, yp, o, acc);
}

#endif
