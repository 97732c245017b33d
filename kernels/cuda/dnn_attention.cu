/* Forward of attention in bf16 by cuDNN, whose engines are compiled for a device's generation: about a second for each plan. So they
 * do it where there is much to do; statistics are written as the other kernels' backward reads them. */
#include "kernels/cuda/attention_fused.h"
#include "kernels/cuda/dnn_graph.h"

#ifdef RD_CUDNN

#include <stdlib.h>

/* Multiplications of q k^T from which on an engine is compiled, and from which on where no kernel of our own has the head's width. */
#ifndef RD_DNN_ATT_LEAST
#define RD_DNN_ATT_LEAST ((int64_t)1 << 30)
#endif
#define RD_DNN_ATT_LEAST_WIDE (RD_DNN_ATT_LEAST / 16)

enum { Q = 1, K, V, O, STATS, SCALE };

struct rd_dnn_attention {
	struct rd_dnn_attention *next;
	struct rd_attention_desc desc;
	bool stats;
	struct rd_dnn_entry *plan;
};

#if CUDNN_VERSION >= 91300
/* What is [rows, c] of an image, as (images, heads, rows, d). */
static cudnnBackendDescriptor_t tensor(struct rd_dnn_graph *g, int64_t uid, const rd_att &a, int64_t rows)
{
	const int64_t dims[4] = { a.images, a.heads, rows, a.d }, strides[4] = { rows * a.c, a.d, a.c, 1 };

	return rd_dnn_tensor(g, uid, CUDNN_DATA_BFLOAT16, dims, strides, RD_DNN_MEMORY);
}

void rd_dnn_attention_graph(struct rd_dnn_graph *g, const struct rd_attention_desc *p, bool stats)
{
	const rd_att a = rd_att_of(p);
	const int64_t rows[4] = { a.images, a.heads, a.tokens, 1 }, one[4] = { 1, 1, 1, 1 };
	const int64_t packed[4] = { a.heads * a.tokens, a.tokens, 1, 1 };
	cudnnBackendDescriptor_t q = tensor(g, Q, a, a.tokens), k = tensor(g, K, a, a.keys), v = tensor(g, V, a, a.keys);
	cudnnBackendDescriptor_t o = tensor(g, O, a, a.tokens), scale, op;

	scale = rd_dnn_tensor(g, SCALE, CUDNN_DATA_FLOAT, one, one, RD_DNN_BY_VALUE);
	op = rd_dnn_make(g, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o);
	rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, scale);
	if (stats) /* of each row of scores the logarithm of the sum of its exponentials */
		rd_dnn_set_desc(g, op, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC,
		                rd_dnn_tensor(g, STATS, CUDNN_DATA_FLOAT, rows, packed, RD_DNN_MEMORY));
	rd_dnn_add_op(g, op);
}
#else
void rd_dnn_attention_graph(struct rd_dnn_graph *g, const struct rd_attention_desc *, bool)
{
	g->status = CUDNN_STATUS_NOT_SUPPORTED;
}
#endif

void rd_dnn_attentions_free(struct rd_dnn_attention *a)
{
	while (a) {
		struct rd_dnn_attention *next = a->next;

		free(a);
		a = next;
	}
}

static bool pays(struct rd_dev *dev, const struct rd_attention_desc *p)
{
	const rd_att a = rd_att_of(p);
	double products = (double)a.images * (double)a.heads * (double)a.tokens * (double)a.keys * (double)a.d;

	if (!rd_is_bf16(dev) || a.d % 8 || a.scale <= 0.0f || CUDNN_VERSION < 91300)
		return false;
	return products >= (double)(rd_att_is_fused(dev, a) ? RD_DNN_ATT_LEAST : RD_DNN_ATT_LEAST_WIDE);
}

/* Scores may be scaled by any number. NULL: not asked for yet. */
static struct rd_dnn_attention *find(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats)
{
	struct rd_dnn_attention *a = dev->dnn ? dev->dnn->attentions : NULL;

	while (a && (a->stats != stats || a->desc.d.n != p->d.n || a->desc.d.c != p->d.c || a->desc.d.h * a->desc.d.w != p->d.h * p->d.w ||
	             a->desc.keys != p->keys || a->desc.heads != p->heads))
		a = a->next;
	return a;
}

static const struct rd_dnn_plan *plan_of(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats)
{
	const struct rd_dnn_attention *a = find(dev, p, stats);

	return a && a->plan && a->plan->plan.plan ? &a->plan->plan : NULL;
}

bool rd_dnn_attention_has(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats)
{
	return plan_of(dev, p, stats) != NULL;
}

void rd_dnn_attention_name(char *to, size_t n, const struct rd_attention_desc *p, bool stats)
{
	snprintf(to, n, "attention of %lldx%lld heads of %lld, %lld by %lld%s", (long long)p->d.n, (long long)p->heads,
	         (long long)(p->d.c / p->heads), (long long)(p->d.h * p->d.w), (long long)p->keys, stats ? ", with statistics" : "");
}

static void make_plan(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats)
{
	struct rd_dnn_attention *a = (struct rd_dnn_attention *)calloc(1, sizeof *a);
	struct rd_dnn_graph g = {};
	char name[RD_DNN_NAME];

	if (!a)
		return;
	a->desc = *p;
	a->stats = stats;
	rd_dnn_attention_name(name, sizeof name, p, stats);
	rd_dnn_attention_graph(&g, p, stats);
	a->plan = rd_dnn_entry_new(dev, &g, false, name);
	a->next = dev->dnn->attentions;
	dev->dnn->attentions = a;
}

bool rd_dnn_attention_plan(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats)
{
	if (dev->dnn && pays(dev, p) && !find(dev, p, stats))
		make_plan(dev, p, stats);
	return rd_dnn_attention_has(dev, p, stats);
}

static int64_t n_rows(const struct rd_attention_desc *p)
{
	return p->d.n * p->heads * p->d.h * p->d.w;
}

/* The engine's own, then its statistics. */
size_t rd_dnn_attention_ws_bytes(struct rd_dev *dev, const struct rd_attention_desc *p, bool stats)
{
	const struct rd_dnn_plan *plan = plan_of(dev, p, stats);

	return plan ? rd_align(plan->ws_bytes) + (stats ? (size_t)n_rows(p) * sizeof(float) : 0) : 0;
}

/* exp(s - m) / sum exp(s - m) with the logarithm of the sum in m's place: the sum is 1. */
static __global__ void stats_kernel(int64_t rows, const float *lse, float *stats)
{
	for (int64_t r = (int64_t)blockIdx.x * RD_THREADS + threadIdx.x; r < rows; r += (int64_t)gridDim.x * RD_THREADS) {
		stats[2 * r] = lse[r];
		stats[2 * r + 1] = 1.0f;
	}
}

int rd_dnn_attention_fwd(struct rd_dev *dev, const struct rd_attention_desc *p, const void *q, const void *k, const void *v, void *o,
                         float *stats, void *ws, struct rd_err *e)
{
	const struct rd_dnn_plan *plan = plan_of(dev, p, stats != NULL);
	const int64_t uids[6] = { Q, K, V, O, SCALE, STATS }, rows = n_rows(p);
	float *lse = (float *)(void *)((char *)ws + rd_align(plan->ws_bytes));
	const void *pointers[6] = { q, k, v, o, &p->scale, lse };
	cudnnStatus_t s = rd_dnn_plan_run(plan, dev->dnn->handle, stats ? 6 : 5, uids, pointers, ws);

	if (s != CUDNN_STATUS_SUCCESS)
		return rd_fail(e, RD_EDEVICE, "cuDNN: attention: %s", cudnnGetErrorString(s));
	return stats ? RD_LAUNCH(dev, e, stats_kernel, dim3(rd_blocks((rows + RD_THREADS - 1) / RD_THREADS)), RD_THREADS, 0, rows, lse,
	                         stats) : RD_OK;
}

#endif
