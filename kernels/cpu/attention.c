/* Attention over the pixels of an image, head by head. With channels innermost q, k and v are matrices [tokens, c] and a
 * head is d = c / heads columns of them. Heads are divided among the threads; where there are fewer heads than threads
 * the matrix products and the softmax divide themselves instead. */
#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/share.h"
#include "kernels/cpu/vecmath.h"

struct shape {
	int64_t tokens, d, c; /* c is the distance from token to token */
	float scale;
	int threads;
};

static struct shape shape(struct rd_dev *dev, const struct rd_attention_desc *p)
{
	return (struct shape){
		.tokens = p->d.h * p->d.w,
		.d = p->d.c / p->heads,
		.c = p->d.c,
		.scale = p->scale,
		.threads = dev->threads,
	};
}

/* A tokens x tokens matrix for every thread that works on a head of its own. */
size_t RD_SYM(attention_ws_bytes)(struct rd_dev *dev, const struct rd_attention_desc *p)
{
	size_t t = (size_t)(p->d.h * p->d.w);

	return (size_t)dev->threads * ((t * t * sizeof(float) + 63) & ~(size_t)63);
}

static float *ws_of_thread(void *ws, const struct shape *s)
{
	size_t bytes = ((size_t)(s->tokens * s->tokens) * sizeof(float) + 63) & ~(size_t)63;

	return (float *)(void *)((char *)ws + (size_t)omp_get_thread_num() * bytes);
}

enum { LANES = 16 };

static float row_max(const float *x, int64_t n)
{
	float m[LANES], best;
	int64_t j = 0;

	for (int l = 0; l < LANES; l++)
		m[l] = x[0];
	for (; j + LANES <= n; j += LANES) {
		RD_SIMD
		for (int l = 0; l < LANES; l++)
			m[l] = x[j + l] > m[l] ? x[j + l] : m[l];
	}
	best = m[0];
	for (int l = 1; l < LANES; l++)
		best = m[l] > best ? m[l] : best;
	for (; j < n; j++)
		best = x[j] > best ? x[j] : best;
	return best;
}

/* sum x[j] y[j] in lanes; y NULL: sum x[j]. */
static float row_dot(const float *x, const float *y, int64_t n)
{
	float s[LANES] = { 0.0f }, sum = 0.0f;
	int64_t j = 0;

	for (; j + LANES <= n; j += LANES) {
		RD_SIMD
		for (int l = 0; l < LANES; l++)
			s[l] += x[j + l] * (y ? y[j + l] : 1.0f);
	}
	for (; j < n; j++)
		sum += x[j] * (y ? y[j] : 1.0f);
	for (int l = 0; l < LANES; l++)
		sum += s[l];
	return sum;
}

static void softmax_row(float *x, int64_t n)
{
	float m = row_max(x, n), inv;

	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		x[j] = rd_expf(x[j] - m);
	inv = 1.0f / row_dot(x, NULL, n);
	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		x[j] *= inv;
}

/* dp becomes p (dp - sum p dp). */
static void softmax_bwd_row(const float *p, float *dp, int64_t n)
{
	float dot = row_dot(p, dp, n);

	RD_SIMD
	for (int64_t j = 0; j < n; j++)
		dp[j] = p[j] * (dp[j] - dot);
}

static int head_fwd(const struct shape *s, const float *q, const float *k, const float *v, float *o, float *probs,
                    struct rd_err *e)
{
	int64_t t = s->tokens;
	int rc = rd_dnnl_sgemm('N', 'T', t, t, s->d, s->scale, q, s->c, k, s->c, 0.0f, probs, t, e);

	if (rc)
		return rc;
#pragma omp parallel for schedule(static) num_threads(s->threads) if (t * t >= RD_PARALLEL_MIN)
	for (int64_t i = 0; i < t; i++)
		softmax_row(probs + i * t, t);
	return rd_dnnl_sgemm('N', 'N', t, s->d, t, 1.0f, probs, t, v, s->c, 0.0f, o, s->c, e);
}

int RD_SYM(attention_fwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          void *o, float *probs, void *ws, struct rd_err *e)
{
	const struct shape s = shape(dev, p);
	const float *fq = q, *fk = k, *fv = v;
	float *fo = o;
	int64_t units = p->d.n * p->heads;
	int rc = RD_OK;

#pragma omp parallel for schedule(static) num_threads(dev->threads) if (units >= dev->threads)
	for (int64_t u = 0; u < units; u++) {
		int64_t at = u / p->heads * s.tokens * s.c + u % p->heads * s.d;
		float *pr = probs ? probs + u * s.tokens * s.tokens : ws_of_thread(ws, &s);
		struct rd_err mine;
		int my_rc = head_fwd(&s, fq + at, fk + at, fv + at, fo + at, pr, &mine);

		if (my_rc) {
#pragma omp critical(rd_cpu_attention)
			{
				*e = mine;
				rc = my_rc;
			}
		}
	}
	return rc;
}

struct head {
	const float *q, *k, *v, *probs, *dout;
	float *dq, *dk, *dv;
	int acc_dq, acc_dk, acc_dv;
};

/* dv = P^T do; dP = do v^T; dS = P (dP - rowsum P dP); dq = scale dS k; dk = scale dS^T q. */
static int head_bwd(const struct shape *s, const struct head *h, float *ds, struct rd_err *e)
{
	int64_t t = s->tokens, d = s->d, c = s->c;
	int rc = RD_OK;

	if (h->dv)
		rc = rd_dnnl_sgemm('T', 'N', t, d, t, 1.0f, h->probs, t, h->dout, c, h->acc_dv ? 1.0f : 0.0f, h->dv, c, e);
	if (rc || (!h->dq && !h->dk))
		return rc;
	rc = rd_dnnl_sgemm('N', 'T', t, t, d, 1.0f, h->dout, c, h->v, c, 0.0f, ds, t, e);
	if (rc)
		return rc;
#pragma omp parallel for schedule(static) num_threads(s->threads) if (t * t >= RD_PARALLEL_MIN)
	for (int64_t i = 0; i < t; i++)
		softmax_bwd_row(h->probs + i * t, ds + i * t, t);
	if (h->dq)
		rc = rd_dnnl_sgemm('N', 'N', t, d, t, s->scale, ds, t, h->k, c, h->acc_dq ? 1.0f : 0.0f, h->dq, c, e);
	if (!rc && h->dk)
		rc = rd_dnnl_sgemm('T', 'N', t, d, t, s->scale, ds, t, h->q, c, h->acc_dk ? 1.0f : 0.0f, h->dk, c, e);
	return rc;
}

int RD_SYM(attention_bwd)(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v,
                          const float *probs, const void *dout, void *dq, int acc_dq, void *dk, int acc_dk, void *dv,
                          int acc_dv, void *ws, struct rd_err *e)
{
	const struct shape s = shape(dev, p);
	int64_t units = p->d.n * p->heads;
	int rc = RD_OK;

#pragma omp parallel for schedule(static) num_threads(dev->threads) if (units >= dev->threads)
	for (int64_t u = 0; u < units; u++) {
		int64_t at = u / p->heads * s.tokens * s.c + u % p->heads * s.d;
		const struct head h = {
			.q = (const float *)q + at,
			.k = (const float *)k + at,
			.v = (const float *)v + at,
			.probs = probs + u * s.tokens * s.tokens,
			.dout = (const float *)dout + at,
			.dq = dq ? (float *)dq + at : NULL,
			.dk = dk ? (float *)dk + at : NULL,
			.dv = dv ? (float *)dv + at : NULL,
			.acc_dq = acc_dq,
			.acc_dk = acc_dk,
			.acc_dv = acc_dv,
		};
		struct rd_err mine;
		int my_rc = head_bwd(&s, &h, ws_of_thread(ws, &s), &mine);

		if (my_rc) {
#pragma omp critical(rd_cpu_attention)
			{
				*e = mine;
				rc = my_rc;
			}
		}
	}
	return rc;
}
