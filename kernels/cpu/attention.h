/* What forward and backward of attention share: shapes and the work space. With channels innermost q is a matrix
 * [tokens, c], k and v are [keys, c], and a head is d = c / heads columns of them. A unit is a head of an image. */
#ifndef RD_KERNELS_CPU_ATTENTION_H
#define RD_KERNELS_CPU_ATTENTION_H

#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/vecmath.h"

enum { RD_ATT_ROWS = 32 }; /* rows of scores that are worked on at a time */

struct rd_att {
	int64_t tokens, keys, d, c, heads, units;
	float scale;
	int wide;
	float *ws;
	int64_t packed_floats, slot_floats;
};

/* With a work space of score_rows rows of scores for each thread. */
static inline struct rd_att rd_att(struct rd_dev *dev, const struct rd_attention_desc *p, int64_t score_rows, void *ws)
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
	};
	int64_t by_query = 2 * rd_gemm_packed(a.tokens, a.d);

	/* k and v, one of them transposed; or, for the columns of backward, q and do */
	a.packed_floats = rd_gemm_packed(a.d, a.keys) + rd_gemm_packed(a.keys, a.d);
	if (a.packed_floats < by_query)
		a.packed_floats = by_query;
	a.slot_floats = a.packed_floats + score_rows * a.keys;
	a.slot_floats = (a.slot_floats + 15) & ~(int64_t)15; /* whole cache lines */
	return a;
}

/* Work space of thread (or unit) i: packed operands, then scores [score_rows, keys]. */
static inline float *rd_att_packed(const struct rd_att *a, int64_t i)
{
	return a->ws + i * a->slot_floats;
}

static inline float *rd_att_scores(const struct rd_att *a, int64_t i)
{
	return rd_att_packed(a, i) + a->packed_floats;
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

#endif
