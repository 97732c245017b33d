/* cuBLASLt. Its matrices are column-major: a row-major c = op(a) op(b) is c^T = op(b)^T op(a)^T, so the operands change
 * places and the bias, one number for each column of c, runs along the rows of c^T as the epilogue wants it. */
#include "kernels/cuda/blas.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

enum { WORKSPACE = 32 << 20, MAX_ALIGN = 16 };

/* All that an algorithm is chosen by. */
struct key {
	struct rd_product p;
	uint32_t align[4]; /* of a, b, c and d, bias; 0: no bias */
	int64_t apart;     /* c is not d */
};
static_assert(sizeof(struct key) == sizeof(struct rd_product) + 4 * 4 + 8, "padding in key");

struct plan {
	struct plan *next;
	struct key key;
	cublasLtMatmulDesc_t op;
	cublasLtMatrixLayout_t a, b, c;
	cublasLtMatmulAlgo_t algo;
	bool none; /* there is no algorithm */
};

struct rd_blas {
	cublasLtHandle_t handle;
	struct plan *plans;
	void *ws;
};

static int check(cublasStatus_t s, const char *what, struct rd_err *e)
{
	if (s == CUBLAS_STATUS_SUCCESS)
		return RD_OK;
	return rd_fail(e, RD_EDEVICE, "cuBLASLt: %s: %s", what, cublasLtGetStatusString(s));
}

int rd_blas_new(struct rd_blas **out, struct rd_dev *dev, struct rd_err *e)
{
	struct rd_blas *b = (struct rd_blas *)calloc(1, sizeof *b);
	int rc = b ? check(cublasLtCreate(&b->handle), "start", e) : rd_fail(e, RD_ENOMEM, "no memory");

	if (!rc)
		rc = rd_cuda_alloc(dev, &b->ws, WORKSPACE, e);
	if (rc)
		rd_blas_free(b);
	*out = rc ? NULL : b;
	return rc;
}

static void free_plan(struct plan *p)
{
	if (p->op)
		cublasLtMatmulDescDestroy(p->op);
	if (p->a)
		cublasLtMatrixLayoutDestroy(p->a);
	if (p->b)
		cublasLtMatrixLayoutDestroy(p->b);
	if (p->c)
		cublasLtMatrixLayoutDestroy(p->c);
	free(p);
}

void rd_blas_free(struct rd_blas *b)
{
	if (!b)
		return;
	while (b->plans) {
		struct plan *p = b->plans;

		b->plans = p->next;
		free_plan(p);
	}
	if (b->handle)
		cublasLtDestroy(b->handle);
	cudaFree(b->ws);
	free(b);
}

/* Of every matrix of a batch: they lie step elements apart. */
static uint32_t alignment(const void *p, int64_t step, bool bf16)
{
	uint32_t a = MAX_ALIGN;

	while (((uintptr_t)p | (uintptr_t)step * (bf16 ? 2 : 4)) % a)
		a /= 2;
	return a;
}

/* rows x cols, column-major; batch matrices `step` elements apart. */
static int layout(cublasLtMatrixLayout_t *l, bool bf16, int64_t rows, int64_t cols, int64_t ld, const struct rd_product *p,
                  int64_t step, struct rd_err *e)
{
	int32_t batch = (int32_t)p->batch;
	int rc = check(cublasLtMatrixLayoutCreate(l, bf16 ? CUDA_R_16BF : CUDA_R_32F, (uint64_t)rows, (uint64_t)cols, ld),
	               "layout", e);

	if (rc || batch <= 1)
		return rc;
	rc = check(cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch), "batch", e);
	return rc ? rc : check(cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step,
	                                                        sizeof step), "batch", e);
}

static int describe_op(struct plan *n, enum rd_precision precision, struct rd_err *e)
{
	const struct rd_product *p = &n->key.p;
	cublasComputeType_t compute = precision == RD_PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
	cublasOperation_t first = p->tb ? CUBLAS_OP_T : CUBLAS_OP_N, second = p->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasLtEpilogue_t epilogue = n->key.align[3] ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
	cudaDataType_t bias = p->bf16_out ? CUDA_R_16BF : CUDA_R_32F;
	int rc = check(cublasLtMatmulDescCreate(&n->op, compute, CUDA_R_32F), "product", e);

	if (!rc)
		rc = check(cublasLtMatmulDescSetAttribute(n->op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first), "product", e);
	if (!rc)
		rc = check(cublasLtMatmulDescSetAttribute(n->op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second), "product", e);
	if (!rc)
		rc = check(cublasLtMatmulDescSetAttribute(n->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
		           "epilogue", e);
	if (!rc && n->key.align[3])
		rc = check(cublasLtMatmulDescSetAttribute(n->op, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias, sizeof bias),
		           "epilogue", e);
	return rc;
}

/* The descriptors, which need no device. */
static int describe_plan(struct plan *n, enum rd_precision precision, struct rd_err *e)
{
	const struct rd_product *p = &n->key.p;
	int rc = describe_op(n, precision, e);

	if (!rc)
		rc = layout(&n->a, p->bf16_in, p->tb ? p->k : p->n, p->tb ? p->n : p->k, p->ldb, p, p->b_step, e);
	if (!rc)
		rc = layout(&n->b, p->bf16_in, p->ta ? p->m : p->k, p->ta ? p->k : p->m, p->lda, p, p->a_step, e);
	return rc ? rc : layout(&n->c, p->bf16_out, p->n, p->m, p->ldc, p, p->c_step, e);
}

static int set_preference(cublasLtMatmulPreference_t pref, const struct key *k, struct rd_err *e)
{
	size_t ws = WORKSPACE;
	uint32_t parts = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* partial sums are f32, or there are none */
	const struct {
		cublasLtMatmulPreferenceAttributes_t attr;
		const void *value;
		size_t bytes;
	} s[] = { { CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &ws, sizeof ws },
		  { CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &parts, sizeof parts },
		  { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &k->align[1], 4 },
		  { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &k->align[0], 4 },
		  { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &k->align[2], 4 },
		  { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &k->align[2], 4 } };
	int rc = RD_OK;

	for (size_t i = 0; i < sizeof s / sizeof *s && !rc; i++)
		rc = check(cublasLtMatmulPreferenceSetAttribute(pref, s[i].attr, s[i].value, s[i].bytes), "preference", e);
	return rc;
}

/* What product.cu goes on to. */
static const char *next_way(const struct key *k)
{
	if (rd_product_is_flat(&k->p) && k->align[3])
		return "the bias is added after it";
	if (rd_product_is_flat(&k->p) && k->apart)
		return "what is added to is copied";
	return "it is done by a plain kernel";
}

static void no_algorithm(struct rd_dev *dev, struct plan *n, const char *why)
{
	const struct key *k = &n->key;
	const struct rd_product *p = &k->p;

	n->none = true;
	(void)cudaGetLastError(); /* what the library tried is not the next launch's error */
	rd_cuda_note(dev, "cuBLASLt: no algorithm for %lld x %lld x %lld, %lld of them, %s to %s%s%s, alignments %u %u %u: %s; %s",
	             (long long)p->m, (long long)p->n, (long long)p->k, (long long)(p->batch ? p->batch : 1),
	             p->bf16_in ? "bf16" : "f32", p->bf16_out ? "bf16" : "f32", k->align[3] ? " with bias" : "",
	             k->apart ? ", out of place" : "", k->align[0], k->align[1], k->align[2], why, next_way(k));
}

/* Whether the algorithm leaves c where it is, as far as the library says so. */
static bool leaves_c(const struct plan *n)
{
	int32_t can = 0;
	size_t got;

	return cublasLtMatmulAlgoCapGetAttribute(&n->algo, CUBLASLT_ALGO_CAP_OUT_OF_PLACE_RESULT_SUPPORT, &can, sizeof can, &got) ==
	       CUBLAS_STATUS_SUCCESS && can;
}

/* A product that the library does not take, in whichever of the two ways it says so, can be made otherwise; the note tells, and so
 * test_engines fails where it is an ordinary one. */
static bool is_refusal(cublasStatus_t s)
{
	return s == CUBLAS_STATUS_NOT_SUPPORTED || s == CUBLAS_STATUS_INVALID_VALUE;
}

/* The first algorithm that the library's table gives: no timing race, so the same one every time. That there is none is
 * no error; a status that tells of the device or of memory is one. */
static int choose(struct rd_dev *dev, struct plan *n, struct rd_err *e)
{
	cublasLtMatmulPreference_t pref;
	cublasLtMatmulHeuristicResult_t r = {};
	int found = 0, rc = check(cublasLtMatmulPreferenceCreate(&pref), "preference", e);

	if (rc)
		return rc;
	rc = set_preference(pref, &n->key, e);
	if (!rc) {
		cublasStatus_t s = cublasLtMatmulAlgoGetHeuristic(dev->blas->handle, n->op, n->a, n->b, n->c, n->c, pref, 1, &r,
		                                                  &found);

		if (s == CUBLAS_STATUS_SUCCESS && found)
			s = r.state;
		if (is_refusal(s))
			no_algorithm(dev, n, cublasLtGetStatusString(s));
		else if (s == CUBLAS_STATUS_SUCCESS && !found)
			no_algorithm(dev, n, "none found");
		else
			rc = check(s, "algorithm", e);
		n->algo = r.algo;
	}
	if (!rc && !n->none && n->key.apart && !leaves_c(n))
		no_algorithm(dev, n, "in place only");
	cublasLtMatmulPreferenceDestroy(pref);
	return rc;
}

static int set_bias(struct plan *n, const void *bias, struct rd_err *e)
{
	return check(cublasLtMatmulDescSetAttribute(n->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias), "bias", e);
}

static int find_plan(struct rd_dev *dev, const struct key *k, const void *bias, struct plan **out, struct rd_err *e)
{
	struct plan *n;
	int rc;

	for (n = dev->blas->plans; n; n = n->next)
		if (memcmp(&n->key, k, sizeof *k) == 0) {
			*out = n;
			return RD_OK;
		}
	n = (struct plan *)calloc(1, sizeof *n);
	if (!n)
		return rd_fail(e, RD_ENOMEM, "no memory");
	memcpy(&n->key, k, sizeof *k);
	rc = describe_plan(n, dev->precision, e);
	if (!rc && bias) /* whose alignment the library takes from the pointer itself */
		rc = set_bias(n, bias, e);
	if (!rc)
		rc = choose(dev, n, e);
	if (rc) {
		free_plan(n);
		return rc;
	}
	n->next = dev->blas->plans;
	dev->blas->plans = n;
	*out = n;
	return RD_OK;
}

int rd_blas_multiply(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias,
                     const void *c, void *d, bool *none, struct rd_err *e)
{
	struct plan *n = NULL;
	cublasStatus_t s;
	struct key k;
	int rc;

	k.p = *p;
	k.align[0] = alignment(a, p->a_step, p->bf16_in);
	k.align[1] = alignment(b, p->b_step, p->bf16_in);
	k.align[2] = alignment(c, p->c_step, p->bf16_out);
	if (alignment(d, p->c_step, p->bf16_out) < k.align[2])
		k.align[2] = alignment(d, p->c_step, p->bf16_out);
	k.align[3] = bias ? alignment(bias, 0, p->bf16_out) : 0;
	k.apart = c != d;
	rc = find_plan(dev, &k, bias, &n, e);
	*none = !rc && n->none;
	if (*none)
		return RD_OK;
	if (!rc && bias)
		rc = set_bias(n, bias, e);
	if (rc)
		return rc;
	s = cublasLtMatmul(dev->blas->handle, n->op, &p->alpha, b, n->a, a, n->b, &p->beta, c, n->c, d, n->c, &n->algo,
	                   dev->blas->ws, WORKSPACE, dev->stream);
	if (!is_refusal(s))
		return check(s, "product", e);
	no_algorithm(dev, n, cublasLtGetStatusString(s));
	*none = true;
	return RD_OK;
}

extern "C" int rd_blas_try(const struct rd_product *p, bool bias, enum rd_precision precision, struct rd_err *e);

/* For tests where there is no device: whether the library takes the descriptors and preferences of this product. */
int rd_blas_try(const struct rd_product *p, bool bias, enum rd_precision precision, struct rd_err *e)
{
	struct plan *n = (struct plan *)calloc(1, sizeof *n);
	cublasLtMatmulPreference_t pref;
	int rc;

	if (!n)
		return rd_fail(e, RD_ENOMEM, "no memory");
	n->key.p = *p;
	n->key.align[3] = bias ? MAX_ALIGN : 0;
	rc = describe_plan(n, precision, e);
	if (!rc)
		rc = check(cublasLtMatmulPreferenceCreate(&pref), "preference", e);
	if (!rc) {
		rc = set_preference(pref, &n->key, e);
		cublasLtMatmulPreferenceDestroy(pref);
	}
	free_plan(n);
	return rc;
}
