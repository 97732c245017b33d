/* What forward and backward of attention share: shapes and the work space. With channels innermost q, k and v are
 * matrices [tokens, c], and a head is d = c / heads columns of them. A unit is a head of an image. */
#ifndef RD_KERNELS_CPU_ATTENTION_H
#define RD_KERNELS_CPU_ATTENTION_H

#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/vecmath.h"

enum { RD_ATT_ROWS = 32 }; /* rows of scores that are worked on at a time */

struct rd_att {
	int64_t tokens, d, c, heads, units, blocks;
	float scale;
	int wide;
	float *ws;
	int64_t slot_floats;
};

static inline struct rd_att rd_att(struct rd_dev *dev, const struct rd_attention_desc *p, void *ws)
{
	struct rd_att a = {
		.tokens = p->d.h * p->d.w,
		.d = p->d.c / p->heads,
		.c = p->d.c,
		.heads = p->heads,
		.units = p->d.n * p->heads,
		.scale = p->scale,
		.wide = dev->wide,
		.ws = ws,
	};

	a.blocks = (a.tokens + RD_ATT_ROWS - 1) / RD_ATT_ROWS;
	/* scores, two operands [tokens, d] and one [d, tokens]; whole cache lines */
	a.slot_floats = a.tokens * a.tokens + 2 * rd_gemm_packed(a.tokens, a.d) + rd_gemm_packed(a.d, a.tokens);
	a.slot_floats = (a.slot_floats + 15) & ~(int64_t)15;
	return a;
}

/* Work space of thread (or unit) i: scores [tokens, tokens], then packed operands. */
static inline float *rd_att_scores(const struct rd_att *a, int64_t i)
{
	return a->ws + i * a->slot_floats;
}

static inline float *rd_att_packed(const struct rd_att *a, int64_t i)
{
	return rd_att_scores(a, i) + a->tokens * a->tokens;
}

/* Where unit u begins in q, k, v, o. */
static inline int64_t rd_att_at(const struct rd_att *a, int64_t u)
{
	return u / a->heads * a->tokens * a->c + u % a->heads * a->d;
}

static inline struct rd_range rd_att_block(const struct rd_att *a, int64_t b)
{
	struct rd_range r = { b * RD_ATT_ROWS, (b + 1) * RD_ATT_ROWS };

	if (r.hi > a->tokens)
		r.hi = a->tokens;
	return r;
}

#endif
