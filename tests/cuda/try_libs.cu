/* What cuBLASLt and cuDNN say where there is no device. cuBLASLt checks the descriptors of products. cuDNN is told the properties of
 * devices, and makes plans for them: every convolution and attention of the networks that are measured has an engine, with tensor cores
 * where the precision is for them, and that of a convolution need not be compiled. Linked with the plug-in, and with tests/cuda/driver.c. With an argument it tells the engines. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

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

#if defined(RD_CUDNN) && CUDNN_VERSION >= 90800
static const char *const precisions[] = { "f32", "tf32", "bf16" };
static bool loud;

static void count_plan(const struct rd_dnn_plan *p, enum rd_precision precision, const char *device, const char *name, bool compiled)
{
	bool ok = p->plan && (precision == RD_PRECISION_F32 || p->tensor_core) && p->compiled == compiled;

	if (loud || !ok) {
		printf("%s, %s, ", device, precisions[precision]);
		rd_dnn_tell(stdout, name, p);
	}
	ok ? passed++ : failed++;
}

/* Of the Fashion network, CIFAR's, a 64x64 one, Stable Diffusion's and DiT's; 17 to 5 channels are none's. */
static const struct rd_conv2d_desc convs[] = {
	{ { 128, 1, 28, 28 }, 32, 3, 1, 1, 1 },   { { 128, 32, 28, 28 }, 32, 3, 1, 1, 1 },   { { 8, 64, 14, 14 }, 32, 3, 1, 1, 1 },
	{ { 128, 32, 28, 28 }, 1, 3, 1, 1, 1 },   { { 128, 3, 32, 32 }, 128, 3, 1, 1, 1 },   { { 128, 128, 32, 32 }, 128, 3, 1, 1, 1 },
	{ { 128, 128, 32, 32 }, 3, 3, 1, 1, 1 },  { { 128, 128, 32, 32 }, 128, 3, 2, 0, 1 }, { { 128, 256, 16, 16 }, 256, 3, 1, 1, 1 },
	{ { 128, 512, 4, 4 }, 256, 3, 1, 1, 1 },  { { 1, 256, 8, 8 }, 256, 3, 1, 1, 1 },     { { 32, 192, 64, 64 }, 192, 3, 1, 1, 1 },
	{ { 32, 192, 64, 64 }, 192, 3, 2, 1, 1 }, { { 8, 4, 64, 64 }, 320, 3, 1, 1, 1 },     { { 8, 320, 64, 64 }, 320, 3, 1, 1, 1 },
	{ { 1, 1280, 8, 8 }, 1280, 3, 1, 1, 1 },  { { 2, 2560, 16, 16 }, 1280, 3, 1, 1, 1 }, { { 2, 320, 64, 64 }, 4, 3, 1, 1, 1 },
	{ { 4, 4, 32, 32 }, 1152, 2, 2, 0, 0 },   { { 2, 16, 128, 128 }, 1536, 2, 2, 0, 0 }, { { 1, 17, 8, 8 }, 5, 1, 2, 0, 0 },
	{ { 2, 64, 7, 9 }, 96, 3, 2, 1, 1 },
};

static void convolutions(const struct rd_dnn_target *t, const char *device, enum rd_precision precision)
{
	for (size_t i = 0; i < sizeof convs / sizeof *convs; i++)
		for (int k = 0; k < RD_DNN_N_KINDS; k++) {
			const struct rd_conv2d_desc *d = &convs[i];
			struct rd_dnn_graph g = {};
			struct rd_dnn_plan p;
			char name[RD_DNN_NAME];

			rd_dnn_conv_name(name, sizeof name, d, (enum rd_dnn_kind)k);
			rd_dnn_conv_graph(&g, d, precision, (enum rd_dnn_kind)k);
			rd_dnn_plan_make(&p, t, &g, precision);
			count_plan(&p, precision, device, name, false);
			rd_dnn_plan_free(&p);
		}
}

#if CUDNN_VERSION >= 91300
/* Heads of 40 and 64 channels, wide ones, and a text's keys. These engines are compiled, which takes a second each. */
static void attentions(const struct rd_dnn_target *t, const char *device)
{
	static const struct rd_attention_desc all[] = {
		{ { 8, 320, 64, 64 }, 4096, 8, 0.158f }, { { 8, 640, 32, 32 }, 77, 10, 0.125f }, { { 128, 256, 16, 16 }, 256, 1, 0.0625f },
	};
	char name[RD_DNN_NAME];

	snprintf(name, sizeof name, "libnvrtc.so.%d", CUDART_VERSION / 1000);
	if (!dlopen(name, RTLD_LAZY)) {
		printf("skip: attention: no %s\n", name);
		return;
	}
	for (int i = -1; i < (int)(sizeof all / sizeof *all); i++) {
		const struct rd_attention_desc *d = &all[i < 0 ? 0 : i];
		struct rd_dnn_graph g = {};
		struct rd_dnn_plan p;

		rd_dnn_attention_name(name, sizeof name, d, i >= 0);
		rd_dnn_attention_graph(&g, d, i >= 0);
		rd_dnn_plan_make(&p, t, &g, RD_PRECISION_BF16);
		count_plan(&p, RD_PRECISION_BF16, device, name, true);
		rd_dnn_plan_free(&p);
	}
}

#else
static void attentions(const struct rd_dnn_target *, const char *)
{
	puts("skip: attention: cuDNN before 9.13 has none in one operation");
}
#endif

/* As cuDNN writes such properties of a device that is there. */
static const struct {
	const char *name, *properties;
} devices[] = {
	{ "A100", "{\"deviceName\": \"NVIDIA A100-SXM4-80GB\", \"deviceVer\": 800, \"multiProcessorCount\": 108, \"l2CacheSize\": 41943040,"
	          "\"memoryBusWidth\": 5120, \"smClockRateKHz\": 1410000, \"memClockRateKHz\": 1593000, \"maxSharedMemoryPerBlockOptin\": 166912,"
	          "\"totalGlobalMem\": 85000000000," },
	{ "H200", "{\"deviceName\": \"NVIDIA H200\", \"deviceVer\": 900, \"multiProcessorCount\": 132, \"l2CacheSize\": 62914560,"
	          "\"memoryBusWidth\": 6144, \"smClockRateKHz\": 1980000, \"memClockRateKHz\": 3201000, \"maxSharedMemoryPerBlockOptin\": 232448,"
	          "\"totalGlobalMem\": 150000000000," },
	{ "B200", "{\"deviceName\": \"NVIDIA B200\", \"deviceVer\": 1000, \"multiProcessorCount\": 148, \"l2CacheSize\": 132644864,"
	          "\"memoryBusWidth\": 8192, \"smClockRateKHz\": 1965000, \"memClockRateKHz\": 3996000, \"maxSharedMemoryPerBlockOptin\": 232448,"
	          "\"totalGlobalMem\": 190000000000," },
};
static const char shared_properties[] =
	"\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], \"cudaDeviceId\": 0, \"driverVer\": 13000,"
	"\"regsPerBlock\": 65536, \"warpSize\": 32, \"maxSharedMemoryPerBlock\": 49152, \"reservedSharedMemoryPerBlock\": 1024,"
	"\"maxRegistersPerSM\": 65536, \"pciDeviceId\": 0, \"maxCtasPerSM\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048,"
	"\"oversizedSharedMemoryPerBlock\": 0, \"isTccDriver\": 0, \"supportCoopLaunch\": 1}";

enum { TRIED = 928 }; /* 9.28: a later one may want to know more */

static void on_device(size_t i)
{
	const bool later = cudnnGetVersion() / 100 > TRIED;
	cudnnBackendDescriptor_t d = NULL;
	struct rd_dnn_target t = {};
	char text[2000];

	snprintf(text, sizeof text, "%s%s", devices[i].properties, shared_properties);
	if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d) ||
	    cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(text), text) ||
	    cudnnBackendFinalize(d)) {
		cudnnGetLastErrorString(text, sizeof text);
		printf("%s%s: cuDNN does not take its properties: %s\n", later ? "skip: " : "", devices[i].name, text);
		failed += !later;
		return;
	}
	t.device = d;
	convolutions(&t, devices[i].name, RD_PRECISION_F32);
	convolutions(&t, devices[i].name, RD_PRECISION_TF32);
	convolutions(&t, devices[i].name, RD_PRECISION_BF16);
	attentions(&t, devices[i].name);
	cudnnBackendDestroyDescriptor(d);
}

static void plans(bool tell)
{
	loud = tell;
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		on_device(i);
}
#else
static void plans(bool)
{
	puts("skip: plans: no cuDNN, or one before 9.8, which makes none without a device");
}
#endif

int main(int argc, char **argv)
{
	(void)argv;
	products(RD_PRECISION_F32);
	products(RD_PRECISION_TF32);
	products(RD_PRECISION_BF16);
	plans(argc > 1);
	printf("cuda-libs: %d checks passed, %d failed\n", passed, failed);
	return failed || !passed;
}
