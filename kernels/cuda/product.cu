/* A product for which the library has no algorithm. One with a bias: without it, and the bias after that; cuBLASLt refuses
 * some whose matrices have a single row or column. One that adds to what lies elsewhere: in place, after a copy. Any other:
 * by a kernel of this file, slowly. */
#include "kernels/cuda/bias.h"
#include "kernels/cuda/blas.h"

enum { TILE = 16 };

static_assert(TILE * TILE == RD_THREADS, "a thread for each element of a tile");

/* Element at `at` of op(a) or op(b). */
template <class T> static __device__ float element(const T *p, bool there, int64_t at)
{
	return there ? rd_to_float(p[at]) : 0.0f;
}

/* A block makes a tile of d, unit blockIdx.y of the batch; tiles of op(a) and op(b) pass through shared memory. The order of a sum is
 * that of k. */
template <class In, class Out>
static __global__ void product_kernel(struct rd_product p, const In *a, const In *b, const Out *bias, const Out *c, Out *d)
{
	RD_SHARED(float, tiles);
	float *ta = tiles, *tb = tiles + TILE * TILE;
	int64_t across = (p.n + TILE - 1) / TILE, units = p.batch ? p.batch : 1, unit = blockIdx.y;
	int64_t tile_i = blockIdx.x / across * TILE, tile_j = blockIdx.x % across * TILE;
	int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
	int64_t i = tile_i + y, j = tile_j + x;

	for (; unit < units; unit += gridDim.y) {
		float sum = 0.0f;

		for (int64_t l = 0; l < p.k; l += TILE) {
			int64_t la = l + x, lb = l + y;

			ta[y * TILE + x] = element(a, i < p.m && la < p.k, unit * p.a_step + (p.ta ? la * p.lda + i : i * p.lda + la));
			tb[y * TILE + x] = element(b, j < p.n && lb < p.k, unit * p.b_step + (p.tb ? j * p.ldb + lb : lb * p.ldb + j));
			__syncthreads();
			for (int t = 0; t < TILE; t++)
				sum += ta[y * TILE + t] * tb[t * TILE + x];
			__syncthreads();
		}
		if (i < p.m && j < p.n) {
			int64_t at = unit * p.c_step + i * p.ldc + j;

			sum *= p.alpha;
			if (p.beta != 0.0f) /* else c may hold anything */
				sum += p.beta * rd_to_float(c[at]);
			rd_from_float(&d[at], bias ? sum + rd_to_float(bias[j]) : sum);
		}
	}
}

template <class In, class Out>
static int product(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias, const void *c,
                   void *d, struct rd_err *e)
{
	int64_t tiles = (p->m + TILE - 1) / TILE * ((p->n + TILE - 1) / TILE);
	dim3 grid((unsigned)tiles, rd_blocks_y(p->batch ? p->batch : 1));

	if (tiles > INT32_MAX)
		return rd_fail(e, RD_EDEVICE, "cuBLASLt: no algorithm for %lld x %lld x %lld", (long long)p->m,
		               (long long)p->n, (long long)p->k);
	return RD_LAUNCH(dev, e, (product_kernel<In, Out>), grid, RD_THREADS, 2 * TILE * TILE * sizeof(float), *p, (const In *)a,
	                 (const In *)b, (const Out *)bias, (const Out *)c, (Out *)d);
}

static int own_product(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias, const void *c,
                       void *d, struct rd_err *e)
{
	if (!p->bf16_in)
		return product<float, float>(dev, p, a, b, bias, c, d, e);
	if (p->bf16_out)
		return product<rd_bf16, rd_bf16>(dev, p, a, b, bias, c, d, e);
	return product<rd_bf16, float>(dev, p, a, b, bias, c, d, e);
}

/* One number at a time: a row may begin anywhere. */
template <class T>
static int add_bias(struct rd_dev *dev, const struct rd_product *p, const void *bias, void *d, struct rd_err *e)
{
	return rd_add_bias<T, 1>(dev, p->m, p->n, (const T *)bias, (T *)d, e);
}

/* *none: the library has no algorithm with the bias nor without it, and nothing was done. */
static int by_library(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias, const void *c,
                      void *d, bool *none, struct rd_err *e)
{
	int rc = rd_blas_multiply(dev, p, a, b, bias, c, d, none, e);

	if (rc || !*none || !bias || !rd_product_is_flat(p))
		return rc;
	rc = rd_blas_multiply(dev, p, a, b, NULL, c, d, none, e);
	if (rc || *none)
		return rc;
	return p->bf16_out ? add_bias<rd_bf16>(dev, p, bias, d, e) : add_bias<float>(dev, p, bias, d, e);
}

int rd_blas_product_to(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias,
                       const void *c, void *d, struct rd_err *e)
{
	bool none = false;
	int rc = by_library(dev, p, a, b, bias, c, d, &none, e);

	if (!rc && none && c != d && rd_product_is_flat(p)) {
		rc = rd_cuda_copy(dev, d, c, (size_t)(p->m * p->n) * (p->bf16_out ? 2 : 4), e);
		if (!rc)
			rc = by_library(dev, p, a, b, bias, d, d, &none, e);
	}
	return rc || !none ? rc : own_product(dev, p, a, b, bias, c, d, e);
}

int rd_blas_product(struct rd_dev *dev, const struct rd_product *p, const void *a, const void *b, const void *bias, void *c,
                    struct rd_err *e)
{
	return rd_blas_product_to(dev, p, a, b, bias, c, c, e);
}
