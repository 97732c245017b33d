/* The descriptors of every product and convolution that a U-Net makes, shown to cuBLASLt and cuDNN: they check their
 * arguments without a device. Linked with the plug-in. */
#include <stdio.h>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/dnn_graph.h"

extern "C" int rd_blas_try(const struct rd_product *p, bool bias, enum rd_precision precision, struct rd_err *e);

static int passed, failed;

static void count(int rc, const struct rd_err *e, const char *what)
{
	if (rc) {
		failed++;
		fprintf(stderr, "%s: %s\n", what, e->msg);
	} else {
		passed++;
	}
}

static void products(enum rd_precision precision)
{
	for (int i = 0; i < 32; i++) {
		bool bf16 = precision == RD_PRECISION_BF16;
		struct rd_product p = {};
		struct rd_err e;

		p.m = 1 + 37 * i;
		p.n = 3 + 5 * i;
		p.k = 8 + i;
		p.ta = i & 1;
		p.tb = i & 2;
		p.lda = p.ta ? p.m : p.k;
		p.ldb = p.tb ? p.k : p.n;
		p.ldc = p.n;
		p.bf16_in = bf16;
		p.bf16_out = bf16 && (i & 4);
		p.alpha = 1.0f;
		p.beta = i & 8 ? 1.0f : 0.0f;
		p.batch = i & 16 ? 6 : 0;
		p.a_step = p.m * p.k;
		p.b_step = p.n * p.k;
		p.c_step = p.m * p.n;
		count(rd_blas_try(&p, i % 3 == 0, precision, &e), &e, "cuBLASLt");
	}
}

static void convolutions(enum rd_precision precision)
{
#ifdef RD_CUDNN
	static const struct rd_conv2d_desc all[] = {
		{ { 4, 3, 32, 32 }, 128, 3, 1, 1, 1 },  { { 4, 128, 32, 32 }, 3, 3, 1, 1, 1 },
		{ { 4, 128, 32, 32 }, 128, 3, 2, 0, 1 }, { { 2, 64, 7, 9 }, 96, 3, 2, 1, 1 },
		{ { 1, 17, 8, 8 }, 5, 1, 2, 0, 0 },      { { 4, 4, 32, 32 }, 1152, 2, 2, 0, 0 },
		{ { 2, 3, 64, 64 }, 384, 4, 4, 0, 0 },   { { 2, 16, 64, 64 }, 384, 8, 8, 0, 0 },
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct rd_err e;

		count(rd_dnn_try(&all[i], precision, &e), &e, "cuDNN");
	}
#else
	(void)precision;
	puts("skip: built without cuDNN");
#endif
}

int main(void)
{
	products(RD_PRECISION_F32);
	products(RD_PRECISION_TF32);
	products(RD_PRECISION_BF16);
	convolutions(RD_PRECISION_F32);
	convolutions(RD_PRECISION_BF16);
	printf("cuda-libs: %d checks passed, %d failed\n", passed, failed);
	return failed || !passed;
}
