/* In place of dnn_graph.cu: convolutions by plain loops. Not of all shapes, so that what is done without an engine is tested as
 * well: none where padding differs from side to side, the input has 1, 5, 17, .. channels, or it is patches of an even number of
 * images; no bias in the same kernel where there is an odd number of outputs. */
#include <string.h>

#include "kernels/cuda/dnn_graph.h"
#include "kernels/cuda/types.h"

struct shim_plan {
	rd_conv2d_desc d;
	bool bf16;
	rd_dnn_kind kind;
};

void rd_dnn_plan_make(struct rd_dnn_plan *p, cudnnHandle_t, const struct rd_conv2d_desc *d, enum rd_precision precision,
                      const struct rd_dnn_kind *k)
{
	bool patches = d->kernel > 1 && d->kernel == d->stride;

	*p = {};
	p->bias = k->bias;
	if (d->pad_lo != d->pad_hi || (patches && d->in.n % 2 == 0) || d->in.c % 4 == 1 || (k->bias && d->out_c % 2)) {
		p->passed_over[RD_DNN_NO_PLAN] = 1;
		return;
	}
	p->plan = new shim_plan{ *d, precision == RD_PRECISION_BF16, *k };
	p->ws_bytes = (size_t)(1000 * (1 + k->bias) + d->out_c);
	p->engine = k->way;
	p->mode = 'A';
}

void rd_dnn_plan_free(struct rd_dnn_plan *p)
{
	delete (shim_plan *)p->plan;
	p->plan = nullptr;
}

static float get(const void *p, bool bf16, int64_t i)
{
	return bf16 ? rd_to_float(((const rd_bf16 *)p)[i]) : ((const float *)p)[i];
}

static void put(void *p, bool bf16, int64_t i, double v, bool acc)
{
	v += acc ? (double)get(p, bf16, i) : 0.0;
	if (bf16)
		rd_from_float((rd_bf16 *)p + i, (float)v);
	else
		((float *)p)[i] = (float)v;
}

/* x, w and y of the way that is written are sums of products of the other two, over every place (oc, t, ic) of the kernel at
 * every pixel of y. NHWC, (out_c, kernel, kernel, in_c). */
static void convolve(const shim_plan &p, void *x, void *w, void *y, const float *bias)
{
	const rd_conv2d_desc &d = p.d;
	rd_dims i = d.in, o = rd_conv2d_out(&d);
	int64_t ks = d.kernel, nx = rd_dims_elems(i), nw = o.c * ks * ks * i.c, ny = rd_dims_elems(o);
	int64_t n_out = p.kind.way == RD_DNN_FWD ? ny : p.kind.way == RD_DNN_BWD_DATA ? nx : nw;
	double *sum = new double[(size_t)n_out]();

	for (int64_t yi = 0; yi < ny; yi++) {
		int64_t oc = yi % o.c, ox = yi / o.c % o.w, oy = yi / (o.c * o.w) % o.h, n = yi / (o.c * o.w * o.h);

		for (int64_t t = 0; t < ks * ks; t++) {
			int64_t iy = oy * d.stride - d.pad_lo + t / ks, ix = ox * d.stride - d.pad_lo + t % ks;
			int64_t xi = ((n * i.h + iy) * i.w + ix) * i.c, wi = (oc * ks * ks + t) * i.c;

			for (int64_t c = 0; c < i.c && iy >= 0 && iy < i.h && ix >= 0 && ix < i.w; c++) {
				if (p.kind.way == RD_DNN_FWD)
					sum[yi] += (double)get(x, p.bf16, xi + c) * (double)get(w, p.bf16, wi + c);
				else if (p.kind.way == RD_DNN_BWD_DATA)
					sum[xi + c] += (double)get(w, p.bf16, wi + c) * (double)get(y, p.bf16, yi);
				else
					sum[wi + c] += (double)get(x, p.bf16, xi + c) * (double)get(y, p.bf16, yi);
			}
		}
	}
	for (int64_t at = 0; at < n_out; at++)
		put(p.kind.way == RD_DNN_FWD ? y : p.kind.way == RD_DNN_BWD_DATA ? x : w, p.bf16, at,
		    sum[at] + (bias ? (double)bias[at % o.c] : 0.0), p.kind.acc);
	delete[] sum;
}

cudnnStatus_t rd_dnn_plan_run(const struct rd_dnn_plan *p, cudnnHandle_t h, const void *x, const void *w, const void *y,
                              const void *bias, void *ws)
{
	shim_plan s = *(const shim_plan *)p->plan;
	size_t ws_bytes = p->ws_bytes;

	if (!x || !w || !y || !ws || !bias != !p->bias)
		return CUDNN_STATUS_BAD_PARAM;
	rd_shim_enqueue(h->stream, [=] {
		memset(ws, 0xff, ws_bytes);
		convolve(s, (void *)x, (void *)w, (void *)y, (const float *)bias);
		memset(ws, 0xff, ws_bytes);
	});
	return CUDNN_STATUS_SUCCESS;
}
