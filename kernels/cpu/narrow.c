/* Forward: one product of all pixels with all taps, z [pixels, taps * out_c] = x [pixels, in_c] w, and then every
 * output pixel gathers its taps from its neighbours. Backward for the weights is the adjoint: the taps' gradients
 * side by side, g [pixels, taps * out_c], and dw = g^T x. Column j of z and g is tap j / out_c, channel j % out_c. */
#include "kernels/cpu/narrow.h"

#include "kernels/cpu/common/dev.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/share.h"

enum {
	MAX_OUT = 4,
	CHUNK = 512 /* pixels whose part of dw is summed in f32; parts are added in order, in double */
};

int RD_SYM(narrow_fits)(const struct rd_conv2d_desc *d)
{
	return d->kernel == 3 && d->stride == 1 && d->out_c <= MAX_OUT && d->in.c >= 16;
}

static int64_t columns(const struct rd_conv2d_desc *d)
{
	return d->out_c * d->kernel * d->kernel;
}

static int64_t pixels(const struct rd_conv2d_desc *d)
{
	return d->in.n * d->in.h * d->in.w;
}

static int64_t chunks(const struct rd_conv2d_desc *d)
{
	return (pixels(d) + CHUNK - 1) / CHUNK;
}

size_t RD_SYM(narrow_packed_bytes)(const struct rd_conv2d_desc *d)
{
	return ((size_t)rd_gemm_packed(d->in.c, columns(d)) * sizeof(float) + 63) & ~(size_t)63;
}

/* Every thread has g of a chunk and, where x cannot be read in place, the chunk of x packed. */
static int64_t thread_floats(const struct rd_conv2d_desc *d)
{
	return CHUNK * columns(d) + rd_gemm_packed(CHUNK, d->in.c);
}

size_t RD_SYM(narrow_ws_bytes)(const struct rd_conv2d_desc *d, int threads, int training)
{
	int64_t fwd = pixels(d) * columns(d), bwd = chunks(d) * columns(d) * d->in.c + threads * thread_floats(d);

	return (size_t)(training && bwd > fwd ? bwd : fwd) * sizeof(float);
}

void RD_SYM(narrow_pack)(const struct rd_conv2d_desc *d, const float *w, float *packed)
{
	int64_t taps = d->kernel * d->kernel, c = d->in.c, n = rd_gemm_packed(1, columns(d));

	for (int64_t j = 0; j < n; j++) {
		float *to = packed + j / RD_VW * c * RD_VW + j % RD_VW;
		int64_t tap = j / d->out_c, o = j % d->out_c;

		for (int64_t i = 0; i < c; i++)
			to[i * RD_VW] = j < columns(d) ? w[(o * c + i) * taps + tap] : 0.0f;
	}
}

/* Row r of the outputs, numbered through all images. */
static void gather_row(const struct rd_conv2d_desc *d, const float *z, const float *b, float *y, int64_t r, int acc)
{
	const struct rd_dims o = rd_conv2d_out(d);
	int64_t image = r / o.h, oy = r % o.h, n = columns(d), oc = d->out_c;

	for (int64_t i = 0; i < o.w * oc; i++)
		y[i] = (acc ? y[i] : 0.0f) + (b ? b[i % oc] : 0.0f);
	for (int64_t tap = 0; tap < d->kernel * d->kernel; tap++) {
		int64_t iy = oy + tap / d->kernel - d->pad_lo, dx = tap % d->kernel - d->pad_lo;
		int64_t lo = dx < 0 ? -dx : 0, hi = d->in.w - dx < o.w ? d->in.w - dx : o.w;
		const float *from = z + ((image * d->in.h + iy) * d->in.w + dx) * n + tap * oc;

		if (iy < 0 || iy >= d->in.h)
			continue;
		for (int64_t x = lo; x < hi; x++)
			for (int64_t k = 0; k < oc; k++)
				y[x * oc + k] += from[x * n + k];
	}
}

void RD_SYM(narrow_fwd)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *packed, const float *b,
                        const float *x, float *y, int accumulate, float *ws)
{
	const struct rd_dims o = rd_conv2d_out(d);

#pragma omp parallel num_threads(dev->threads) if (pixels(d) * d->in.c >= RD_PARALLEL_MIN)
	{
		struct rd_range in = rd_share(pixels(d), RD_MR), out = rd_share(o.n * o.h, 1);
		const struct rd_gemm g = {
			.m = in.hi - in.lo,
			.n = columns(d),
			.k = d->in.c,
			.a = x + in.lo * d->in.c,
			.ars = d->in.c,
			.acs = 1,
			.b = packed,
			.ldb = RD_VW,
			.panel = d->in.c * RD_VW,
			.alpha = 1.0f,
			.c = ws + in.lo * columns(d),
			.ldc = columns(d),
		};

		RD_SYM(gemm)(&g);
#pragma omp barrier
		for (int64_t r = out.lo; r < out.hi; r++)
			gather_row(d, ws, b, y + r * o.w * o.c, r, accumulate);
	}
}

/* g of input pixels lo..hi-1: what each tap of the pixel contributes to is one pixel of dy, or none. */
static void spread(const struct rd_conv2d_desc *d, const float *dy, float *g, int64_t lo, int64_t hi)
{
	const struct rd_dims o = rd_conv2d_out(d);
	int64_t taps = d->kernel * d->kernel, oc = d->out_c;

	for (int64_t p = lo; p < hi; p++) {
		int64_t x = p % d->in.w, y = p / d->in.w % d->in.h, image = p / (d->in.w * d->in.h);

		for (int64_t tap = 0; tap < taps; tap++, g += oc) {
			int64_t oy = y + d->pad_lo - tap / d->kernel, ox = x + d->pad_lo - tap % d->kernel;
			int inside = oy >= 0 && oy < o.h && ox >= 0 && ox < o.w;

			for (int64_t k = 0; k < oc; k++)
				g[k] = inside ? dy[((image * o.h + oy) * o.w + ox) * oc + k] : 0.0f;
		}
	}
}

static void chunk(const struct rd_conv2d_desc *d, const float *x, const float *dy, float *part, float *own, int64_t i)
{
	int64_t lo = i * CHUNK, hi = lo + CHUNK < pixels(d) ? lo + CHUNK : pixels(d), c = d->in.c;
	float *g = own, *xp = own + CHUNK * columns(d);
	struct rd_gemm p = {
		.m = columns(d),
		.n = c,
		.k = hi - lo,
		.a = g,
		.ars = 1,
		.acs = columns(d),
		.b = x + lo * c,
		.ldb = c,
		.panel = RD_VW,
		.alpha = 1.0f,
		.c = part + i * columns(d) * c,
		.ldc = c,
	};

	spread(d, dy, g, lo, hi);
	if (c % RD_VW) {
		RD_SYM(gemm_pack)(xp, x + lo * c, c, 1, hi - lo, c);
		p.b = xp;
		p.ldb = RD_VW;
		p.panel = p.k * RD_VW;
	}
	RD_SYM(gemm)(&p);
}

/* dw OIHW += the chunks' parts [columns, in_c]. */
static void add_parts(const struct rd_conv2d_desc *d, const float *part, float *dw)
{
	int64_t c = d->in.c, taps = d->kernel * d->kernel;

	for (int64_t j = 0; j < columns(d); j++)
		for (int64_t i = 0; i < c; i++) {
			double sum = 0.0;

			for (int64_t k = 0; k < chunks(d); k++)
				sum += (double)part[(k * columns(d) + j) * c + i];
			dw[(j % d->out_c * c + i) * taps + j / d->out_c] += (float)sum;
		}
}

void RD_SYM(narrow_bwd_weights)(struct rd_dev *dev, const struct rd_conv2d_desc *d, const float *x, const float *dy,
                                float *dw, float *ws)
{
	float *own = ws + chunks(d) * columns(d) * d->in.c;

#pragma omp parallel for schedule(static) num_threads(dev->threads) if (pixels(d) * d->in.c >= RD_PARALLEL_MIN)
	for (int64_t i = 0; i < chunks(d); i++)
		chunk(d, x, dy, ws, own + omp_get_thread_num() * thread_floats(d), i);
	add_parts(d, ws, dw);
}
