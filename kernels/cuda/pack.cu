#include "kernels/cuda/pack.h"

#include "kernels/cuda/types.h"

/* Item blockIdx.y. A row is an output channel, a column an input channel, whose taps lie side by side: over the taps a warp
 * reads whole lines, and what it writes are runs of channels. */
template <class T> static __global__ void pack_kernel(struct rd_packs s)
{
	struct rd_pack p = s.item[blockIdx.y];
	T *to = (T *)p.to;

	for (int64_t o = rd_row_first(); o < p.out_c; o += rd_row_step())
		for (int64_t i = threadIdx.x; i < p.c; i += blockDim.x)
			for (int64_t t = 0; t < p.taps; t++)
				rd_from_float(&to[(o * p.taps + t) * p.c + i], p.from[(o * p.c + i) * p.taps + t]);
}

template <class T> static int pack(struct rd_dev *dev, const struct rd_packs *s, struct rd_err *e)
{
	enum { X = 64, Y = RD_THREADS / X };
	dim3 grid(rd_blocks((s->most + Y - 1) / Y), (unsigned)s->n);

	return RD_LAUNCH(dev, e, pack_kernel<T>, grid, dim3(X, Y), 0, *s);
}

int rd_pack_all(struct rd_dev *dev, struct rd_packs *s, struct rd_err *e)
{
	int rc = s->n ? RD_BY_TYPE(dev, pack, dev, s, e) : RD_OK;

	s->n = s->most = 0;
	return rc;
}

int rd_pack_one(struct rd_dev *dev, struct rd_packs *s, struct rd_pack p, struct rd_err *e)
{
	int rc = s->n < (int64_t)(sizeof s->item / sizeof *s->item) ? RD_OK : rd_pack_all(dev, s, e);

	s->item[s->n++] = p;
	if (p.out_c > s->most)
		s->most = p.out_c;
	return rc;
}

/* dw += own. A warp takes V channels a lane of one output channel, `once` taps at a time: it reads them tap by tap and writes
 * them as they lie in dw, by way of its share of the block's shared memory, [32 V][once]. Blocks are dim3(32, warps), V 1
 * unless once is taps and dw is aligned to 16 bytes, as a parameter's gradient need not be. */
struct add_job {
	int64_t out_c;
	int c, taps, once;
	float *dw;
};

/* n elements, V of them side by side in each access. */
template <int V> static __device__ __forceinline__ void add_run(float *to, const float *from, int n)
{
	for (int i = (int)threadIdx.x * V; i < n; i += 32 * V) {
		float v[V];

		for (int k = 0; k < V; k++)
			v[k] = from[i + k];
		rd_put<float, V>(to + i, v, 1);
	}
}

template <class T, int V>
static __device__ __forceinline__ void add_taps(const add_job &j, const T *own, float *dw, int first, int t0, float *shared)
{
	int n = j.c - first < 32 * V ? j.c - first : 32 * V, taps = j.taps - t0 < j.once ? j.taps - t0 : j.once;
	int i = (int)threadIdx.x * V;

	RD_UNROLL_4
	for (int t = 0; t < taps && i < n; t++) {
		float v[V];

		rd_load<T, V>(v, own + (int64_t)(t0 + t) * j.c + first + i);
		for (int k = 0; k < V; k++)
			shared[(i + k) * taps + t] = v[k];
	}
	__syncwarp();
	dw += (int64_t)first * j.taps + t0;
	if (taps == j.taps)
		add_run<V>(dw, shared, n * taps);
	else
		for (int l = 0; l < n; l++)
			add_run<1>(dw + (int64_t)l * j.taps, shared + l * taps, taps);
	__syncwarp(); /* before it is written again */
}

template <class T, int V> static __global__ void add_kernel(add_job j, const T *own)
{
	RD_SHARED(float, shared);
	int first = (int)blockIdx.y * 32 * V;
	float *mine = shared + threadIdx.y * 32 * V * j.once;

	for (int64_t o = rd_row_first(); o < j.out_c; o += rd_row_step())
		for (int t0 = 0; t0 < j.taps; t0 += j.once)
			add_taps<T, V>(j, own + o * j.taps * j.c, j.dw + o * j.taps * j.c, first, t0, mine);
}

enum { ADD_BYTES = 36 << 10 }; /* of shared memory */

template <class T, int V> static int add(struct rd_dev *dev, add_job j, const T *own, struct rd_err *e)
{
	int most = ADD_BYTES / (32 * V * (int)sizeof(float)), warps = 8;

	j.once = j.taps < most ? j.taps : most;
	while (warps * j.once > most)
		warps /= 2;
	return RD_LAUNCH(dev, e, (add_kernel<T, V>),
	                 dim3(rd_blocks((j.out_c + warps - 1) / warps), (unsigned)((j.c + 32 * V - 1) / (32 * V))),
	                 dim3(32, (unsigned)warps), (size_t)(warps * 32 * V * j.once) * sizeof(float), j, own);
}

template <class T> static int add_any(struct rd_dev *dev, const add_job &j, const void *own, struct rd_err *e)
{
	if (j.c % 4 == 0 && (uintptr_t)j.dw % 16 == 0 && j.taps <= ADD_BYTES / (32 * 4 * (int)sizeof(float)))
		return add<T, 4>(dev, j, (const T *)own, e);
	return add<T, 1>(dev, j, (const T *)own, e);
}

int rd_add_weights(struct rd_dev *dev, const struct rd_conv2d_desc *d, const void *own, bool bf16, float *dw,
                   struct rd_err *e)
{
	const add_job j = { d->out_c, (int)d->in.c, d->kernel * d->kernel, 0, dw };

	return bf16 ? add_any<rd_bf16>(dev, j, own, e) : add_any<float>(dev, j, own, e);
}
