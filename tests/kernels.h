/* What the kernel tests share: every backend that is here, one after another; device buffers from host arrays; and
 * the comparison with a reference in double. Outputs start as NaN, so that what is not written shows. */
#ifndef RD_TESTS_KERNELS_H
#define RD_TESTS_KERNELS_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cpu/common/cpu.h"
#include "kernels/plugin.h"
#include "tests/device.h"

#define KT_MAX_BUFS 256

/* A backend under test. The buffers of a case are released together by kt_free. */
struct kt {
	const struct rd_backend *be;
	struct rd_dev *dev;
	struct rd_err e;
	int threads;   /* of the CPU; 0: another device */
	int wide;      /* products are double */
	double factor; /* widens the error bounds of a backend with narrower arithmetic */
	int bf16;      /* activations are: inputs are numbers that it has */
	int on_host;   /* CUDA's kernels on the CPU */
	int sparse;    /* RD_TEST_SPARSE: one case in eleven, for what makes a device slow (tests/gpu/check.sh) */
	int n_bufs;
	void *buf[KT_MAX_BUFS];
	int n_host;
	void *host[KT_MAX_BUFS];
};

static const int64_t kt_channels[] = { 1, 3, 5, 17, 24, 32, 48, 96 };
static const int64_t kt_sizes[] = { 1, 3, 7, 8 };
#define KT_N(a) (sizeof(a) / sizeof((a)[0]))

static inline void kt_die(const struct kt *k, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, k->e.msg);
	exit(1);
}

static inline void kt_free(struct kt *k)
{
	for (int i = 0; i < k->n_bufs; i++)
		k->be->release(k->dev, k->buf[i]);
	for (int i = 0; i < k->n_host; i++)
		free(k->host[i]);
	k->n_bufs = k->n_host = 0;
}

/* n items of host memory, freed by kt_free. */
static inline void *kt_host(struct kt *k, size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p || k->n_host == KT_MAX_BUFS) {
		fprintf(stderr, "out of memory or of slots\n");
		exit(1);
	}
	return k->host[k->n_host++] = p;
}

/* Inputs to the nearest bf16 where activations have no more; the reference then starts from the same numbers. */
static inline void kt_round(const struct kt *k, float *p, int64_t n)
{
	for (int64_t i = 0; k->bf16 && i < n; i++) {
		uint32_t u;

		memcpy(&u, &p[i], sizeof u);
		u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
		memcpy(&p[i], &u, sizeof u);
	}
}

/* Numbers in [-1, 1) from a small congruential generator: n of them, the same for the same seed. */
static inline float *kt_random(struct kt *k, int64_t n, unsigned seed)
{
	float *p = kt_host(k, (size_t)n, sizeof *p);
	uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;

	for (int64_t i = 0; i < n; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		p[i] = (float)(int32_t)(s >> 32) / 2147483648.0f;
	}
	kt_round(k, p, n);
	return p;
}

static inline void *kt_alloc(struct kt *k, size_t bytes)
{
	void *p = NULL;

	if (k->n_bufs == KT_MAX_BUFS || k->be->alloc(k->dev, &p, bytes, &k->e))
		kt_die(k, "alloc");
	return k->buf[k->n_bufs++] = p;
}

/* n bytes of the device with every one 0xff: NaN as f32. */
static inline void *kt_poison(struct kt *k, size_t bytes)
{
	void *p = kt_alloc(k, bytes), *host = malloc(bytes + 1);

	if (!host)
		exit(1);
	memset(host, 0xff, bytes);
	if (k->be->put(k->dev, p, host, bytes, &k->e))
		kt_die(k, "put");
	free(host);
	return p;
}

/* A flat f32 array on the device. */
static inline float *kt_flat(struct kt *k, int64_t n, const float *host)
{
	float *p = kt_alloc(k, (size_t)n * sizeof *p);

	if (k->be->put(k->dev, p, host, (size_t)n * sizeof *p, &k->e))
		kt_die(k, "put");
	return p;
}

static inline float *kt_get(struct kt *k, int64_t n, const float *dev)
{
	float *p = kt_host(k, (size_t)n, sizeof *p);

	if (k->be->get(k->dev, p, dev, (size_t)n * sizeof *p, &k->e))
		kt_die(k, "get");
	return p;
}

static inline void *kt_act(struct kt *k, struct rd_dims d, const float *host)
{
	void *p = kt_alloc(k, k->be->act_bytes(d));

	if (k->be->act_import(k->dev, d, host, p, &k->e))
		kt_die(k, "act_import");
	return p;
}

/* An output to be written (acc 0: NaN) or added to (acc 1: start). */
static inline void *kt_out(struct kt *k, struct rd_dims d, int acc, const float *start)
{
	return acc ? kt_act(k, d, start) : kt_poison(k, k->be->act_bytes(d));
}

static inline float *kt_get_act(struct kt *k, struct rd_dims d, const void *act)
{
	float *p = kt_host(k, (size_t)rd_dims_elems(d), sizeof *p);

	if (k->be->act_export(k->dev, d, act, p, &k->e))
		kt_die(k, "act_export");
	return p;
}

/* The same for samples. */
static inline void *kt_sample(struct kt *k, struct rd_dims d, const float *host)
{
	void *p = kt_alloc(k, k->be->sample_bytes(d));

	if (k->be->sample_import(k->dev, d, host, p, &k->e))
		kt_die(k, "sample_import");
	return p;
}

static inline float *kt_get_sample(struct kt *k, struct rd_dims d, const void *sample)
{
	float *p = kt_host(k, (size_t)rd_dims_elems(d), sizeof *p);

	if (k->be->sample_export(k->dev, d, sample, p, &k->e))
		kt_die(k, "sample_export");
	return p;
}

static inline double *kt_zeros(struct kt *k, int64_t n)
{
	return kt_host(k, (size_t)n, sizeof(double));
}

/* |got - want| <= tol * the largest |want| (at least 1: inputs are of that size), everywhere. One check; the first
 * failure tells where. */
static inline void kt_near(struct kt *k, const char *what, const float *got, const double *want, int64_t n,
                           double tol)
{
	double top = 1.0, worst = 0.0;
	int64_t at = -1;

	for (int64_t i = 0; i < n; i++)
		if (fabs(want[i]) > top)
			top = fabs(want[i]);
	for (int64_t i = 0; i < n; i++) {
		double err = fabs((double)got[i] - want[i]) / top;

		if (err == err && err <= worst)
			continue;
		at = i;
		worst = err;
		if (err != err)
			break;
	}
	if (at >= 0 && !(worst <= tol * k->factor))
		fprintf(stderr, "%s, %s: element %lld of %lld: %.9g, not %.9g; relative error %.3g over %.3g\n",
		        k->be->describe(k->dev), what, (long long)at, (long long)n, (double)got[at], want[at], worst, tol);
	CHECK(at < 0 || worst <= tol * k->factor);
}

/* The same of the two as vectors, whatever the size of want: |got - want| <= 6e-6 |want|, or what narrower arithmetic makes of that. */
static inline void kt_near_norm(struct kt *k, const char *what, const float *got, const double *want, int64_t n)
{
	const double tol = k->bf16 ? 0.015 : 6e-6 * k->factor;
	double off = 0.0, all = 0.0;

	for (int64_t i = 0; i < n; i++) {
		off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
		all += want[i] * want[i];
	}
	if (!(sqrt(off) <= tol * sqrt(all)))
		fprintf(stderr, "%s, %s: off by %.3g of its length, over %.3g\n", k->be->describe(k->dev), what, sqrt(off / all), tol);
	CHECK(sqrt(off) <= tol * sqrt(all));
}

/* An activation of x, and its derivative. */
static inline double kt_activation(int a, double x, double *slope)
{
	double s = 1.0 / (1.0 + exp(-x)), t = tanh(log1p(exp(x))), u = sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);

	switch (a) {
	case RD_ACT_SILU:
		*slope = s * (1.0 + x * (1.0 - s));
		return x * s;
	case RD_ACT_RELU:
		*slope = x > 0.0;
		return x > 0.0 ? x : 0.0;
	case RD_ACT_GELU:
		*slope = 0.5 * erfc(-x * M_SQRT1_2) + x * exp(-0.5 * x * x) / sqrt(2.0 * M_PI);
		return 0.5 * x * erfc(-x * M_SQRT1_2);
	case RD_ACT_MISH:
		*slope = t + x * (1.0 - t * t) * s;
		return x * t;
	case RD_ACT_GELU_TANH:
		t = tanh(u);
		*slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * sqrt(2.0 / M_PI) * (1.0 + 3.0 * 0.044715 * x * x);
		return 0.5 * x * (1.0 + t);
	default:
		*slope = 1.0;
		return x;
	}
}

/* want[i] += start[i] where the gradient was to be added. */
static inline void kt_acc(double *want, const float *start, int64_t n, int acc)
{
	for (int64_t i = 0; acc && i < n; i++)
		want[i] += (double)start[i];
}

/* Case number i is left out: with several threads one in twelve is enough, as only the division of the work is new,
 * and a busy machine takes milliseconds to bring threads together. One in three of CUDA's kernels on the CPU, which are slow. */
static inline int kt_skip(const struct kt *k, int i)
{
	return (k->threads > 1 && i % 12 != 0) || (k->on_host && i % 3 != 0) || (k->sparse && i % 11 != 0);
}

/* The same of a convolution: on a device one in five: cuDNN may compile the plans as they are made. */
static inline int kt_skip_conv(const struct kt *k, int i)
{
	return kt_skip(k, i) || (!k->threads && !k->on_host && i % 5 != 0);
}

static inline void kt_cpu(void (*f)(struct kt *), int isa, int threads, enum rd_precision p)
{
	struct kt k = { .be = rd_cpu_backend(isa), .threads = threads, .wide = p == RD_PRECISION_F64, .factor = 1.0 };
	const struct rd_dev_opts o = { .threads = threads, .precision = p };

	if (!k.be) {
		printf("not tested: this CPU lacks %s\n", rd_cpu_isa_name(isa));
		return;
	}
	if (k.be->open(&k.dev, &o, &k.e))
		kt_die(&k, "open");
	f(&k);
	k.be->close(k.dev);
}

/* How much wider the bounds of a device that is no CPU are: f32 with other functions; products of 11 bits; everything of 8. */
static const double kt_factors[] = { 4.0, 1000.0, 8000.0 };

/* Times that a device said that it goes on without recordings. */
static int kt_graphs_off;

static inline void kt_note(const char *line)
{
	kt_graphs_off += strstr(line, "CUDA graph") != NULL;
	if (test_on_cuda())
		printf("  note: %s\n", line);
}

/* A device of the CUDA backend, opened by open(). */
static inline void kt_cuda(void (*f)(struct kt *), const struct rd_backend *be, enum rd_precision p)
{
	struct kt k = { .be = be, .factor = kt_factors[p], .bf16 = p == RD_PRECISION_BF16, .on_host = be != NULL,
		        .sparse = getenv("RD_TEST_SPARSE") != NULL };
	const struct rd_dev_opts o = { .precision = p, .note = kt_note };

	if (be ? be->open(&k.dev, &o, &k.e) : rd_device_open_with("cuda", o, &k.be, &k.dev, &k.e)) {
		if (test_on_cuda())
			kt_die(&k, "open");
		printf("not tested: %s\n", k.e.msg);
		return;
	}
	f(&k);
	k.be->close(k.dev);
}

/* The CUDA backend's own kernels compiled for the CPU (tests/cuda), as a plug-in beside the test programs. */
static inline const struct rd_plugin *kt_cuda_on_host(void)
{
	static const struct rd_plugin *p;
	char path[4096];
	struct rd_err e;
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);

	if (p || n < 0 || test_on_cuda())
		return p;
	path[n] = '\0';
	strcpy(strrchr(path, '/'), "/cuda-host.so");
	if (rd_plugin_load(path, &p, &e))
		printf("skip: CUDA's kernels on the CPU: %s\n", e.msg);
	return p;
}

/* f for every instruction set of the CPU on one thread, for the best on three, with double products on both, for CUDA's kernels on the CPU, and for
 * CUDA where there is a device; with RD_TEST_DEVICE=cuda for that alone, which must then be there. */
static inline void kt_each(void (*f)(struct kt *))
{
	const struct rd_plugin *host = kt_cuda_on_host();

	for (int i = 0; rd_cpu_isa_name(i) && !test_on_cuda(); i++) {
		kt_cpu(f, i, 1, RD_PRECISION_F32);
		kt_cpu(f, i, 1, RD_PRECISION_F64);
	}
	if (!test_on_cuda()) {
		kt_cpu(f, rd_cpu_isa_best(), 3, RD_PRECISION_F32);
		kt_cpu(f, rd_cpu_isa_best(), 3, RD_PRECISION_F64);
	}
	for (int p = RD_PRECISION_F32; p <= RD_PRECISION_BF16; p++) {
		if (host && p != RD_PRECISION_TF32)
			kt_cuda(f, host->backend((enum rd_precision)p), (enum rd_precision)p);
		kt_cuda(f, NULL, (enum rd_precision)p);
	}
}

#endif
